//! The door to one event's rows: every statement behind it names the event.

use super::Store;
use crate::domain::EventId;

/// The rows of one event. Its methods read and change this event's rows only; rows of other events do not exist for them.
#[derive(Clone, Copy)]
pub struct EventStore<'a> {
    pub(super) store: &'a Store,
    pub(super) event: EventId,
}

impl Store {
    /// The only way to an event's persons and locations. It is not checked that the event exists; one that does not has no rows.
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
