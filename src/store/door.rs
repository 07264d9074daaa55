//! The door to one event's rows.

use super::Store;
use crate::domain::EventId;

/// The rows of one event: whatever is asked or changed here is this event's alone. What another event has does not exist.
#[derive(Clone, Copy)]
pub struct EventStore<'a> {
    pub(super) store: &'a Store,
    pub(super) event: EventId,
}

impl Store {
    /// The only way to an event's persons and locations. Whether there is such an event is not asked; one that does not exist
    /// has nothing.
    pub fn event(&self, id: EventId) -> EventStore<'_> {
        EventStore { store: self, event: id }
    }
}

impl<'a> EventStore<'a> {
    /// Which event's rows these are.
    pub fn id(&self) -> EventId {
        self.event
    }

    /// The store that they are in.
    pub fn whole(&self) -> &'a Store {
        self.store
    }
}
