use std::fmt;

/// Which event a row belongs to: from 1 up. Existing data are those of event 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(i32);

impl EventId {
    /// The event that everything belonged to before there were several. Migrations make it.
    pub const FIRST: Self = Self(1);

    /// `id` as the database has it.
    pub fn new(id: i32) -> Self {
        Self(id)
    }

    /// The number that the database has.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
