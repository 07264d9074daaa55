//! A page of a list, and whether more follows.

/// A part of a list, and where the next part begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T, C> {
    pub items: Vec<T>,
    /// The position after the last item; `None` when there is no more.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Makes a page of at most `limit` items from up to `limit + 1` of them: the extra one only tells that there is more.
    pub fn cut(mut items: Vec<T>, limit: usize, position: impl Fn(&T) -> C) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(position) } else { None };
        Self { items, next }
    }
}
