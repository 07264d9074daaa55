//! A bound on the memory that bodies and messages take in the whole process, however many come at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The memory of all bodies and messages that are being received or worked on: 20 MiB together, of which the last 4 MiB are
/// kept for small ones. One at a time, which would otherwise have to wait for the others, may take a little more.
pub static BODIES: Budget = Budget::new(20 << 20, 4 << 20);
/// The memory of all answers that wait to be read by their callers.
pub static ANSWERS: Budget = Budget::new(20 << 20, 4 << 20);

/// A share of this size or less is small, bytes.
const SMALL: usize = 64 << 10;

/// A number of bytes that are shared by many.
pub struct Budget {
    free: AtomicUsize,
    /// What only small shares may take of it.
    reserve: usize,
    /// Whoever holds it may grow as its own limit allows, so that of many that wait for each other one can go on.
    beyond: Semaphore,
}

impl Budget {
    const fn new(bytes: usize, reserve: usize) -> Self {
        Self { free: AtomicUsize::new(bytes), reserve, beyond: Semaphore::const_new(1) }
    }

    /// An empty share; what it has grown to goes back when it is dropped.
    pub fn share(&'static self) -> Share {
        Share { budget: self, held: 0, beyond: None }
    }
}

/// A part of a [`Budget`].
pub struct Share {
    budget: &'static Budget,
    held: usize,
    beyond: Option<SemaphorePermit<'static>>,
}

impl Share {
    /// Grows to this many bytes, unless it is as large already; false, and nothing has changed, when there is no room.
    pub fn try_grow(&mut self, to: usize) -> bool {
        if to <= self.held || self.beyond.is_some() {
            return true;
        }
        let more = to - self.held;
        let keep = if to <= SMALL { 0 } else { self.budget.reserve };
        let take = |free: usize| free.checked_sub(more).filter(|left| *left >= keep);
        let taken = self.budget.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if taken {
            self.held = to;
        }
        taken
    }

    /// Grows to this many bytes; waits while there is no room.
    pub async fn grow(&mut self, to: usize) {
        if !self.try_grow(to) {
            self.beyond = self.budget.beyond.acquire().await.ok();
        }
    }

    /// As [`Share::try_grow`], or beyond the budget where nobody else is; so that what is larger than all of it is possible, too.
    pub fn take(&mut self, to: usize) -> bool {
        if !self.try_grow(to) {
            self.beyond = self.budget.beyond.try_acquire().ok();
        }
        self.beyond.is_some() || to <= self.held
    }

    /// Gives back what is more than this many bytes.
    pub fn shrink(&mut self, to: usize) {
        if to < self.held {
            self.budget.free.fetch_add(self.held - to, Ordering::Relaxed);
            self.held = to;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn small_ones_have_room_when_large_ones_have_none_and_one_of_those_goes_on() {
        static BUDGET: Budget = Budget::new(10 << 20, 1 << 20);
        let (mut first, mut second, mut third) = (BUDGET.share(), BUDGET.share(), BUDGET.share());
        assert!(first.try_grow(8 << 20) && first.try_grow(1));
        assert!(!second.try_grow(2 << 20), "the reserve is not for it");
        let mut small = BUDGET.share();
        assert!(small.try_grow(SMALL));
        assert!(second.grow(8 << 20).now_or_never().is_some(), "one may go beyond");
        assert!(third.grow(8 << 20).now_or_never().is_none(), "and only one");
        drop(second);
        assert!(third.grow(8 << 20).now_or_never().is_some());
        first.shrink(1 << 20);
        assert!(!BUDGET.share().take(8 << 20));
        drop((third, small));
        assert!(BUDGET.share().take(1 << 30), "one that is larger than all of it");
        assert!(BUDGET.share().try_grow(8 << 20), "everything comes back");
    }
}
