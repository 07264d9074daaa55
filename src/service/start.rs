//! What the use cases work with, made once a process.

use super::clock::Clock;
use super::record::{Drain, IngestArgs, Sink};
use crate::domain::{EventId, Result};
use crate::store::{DatabaseArgs, Store};
use std::sync::Arc;

/// What a role that offers the use cases is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceArgs {
    #[command(flatten)]
    pub ingest: IngestArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// The use cases of this process. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

struct Parts {
    store: Store,
    sink: Sink,
    clock: Clock,
}

/// What can be done at one event. Cheap to clone, and owns what it needs, so that an answer that is made while it is sent can
/// keep it.
#[derive(Clone)]
pub struct AtEvent {
    service: Service,
    event: EventId,
}

impl ServiceArgs {
    /// Connects to nothing yet but the database, which may be away; `application` is what `pg_stat_activity` shows. The error is
    /// something that an operator must mend. Await the [`Drain`] at the end.
    pub async fn start(&self, application: &str) -> Result<(Service, Drain)> {
        let store = Store::new(&self.database, application)?;
        store.check_at_start().await?;
        Service::new(store, &self.ingest)
    }
}

impl Service {
    /// The use cases on a store that is there already.
    pub fn new(store: Store, ingest: &IngestArgs) -> Result<(Self, Drain)> {
        let (sink, drain) = Sink::start(&store, ingest)?;
        Ok((Self(Arc::new(Parts { store, sink, clock: ingest.clock.clock() })), drain))
    }

    /// What can be done at an event.
    pub fn at(&self, event: EventId) -> AtEvent {
        AtEvent { service: self.clone(), event }
    }

    /// What stands above events, and what every event has through [`AtEvent::store`].
    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn sink(&self) -> &Sink {
        &self.0.sink
    }
}

impl AtEvent {
    /// The event's rows.
    pub(super) fn store(&self) -> &Store {
        self.service.store()
    }

    pub(super) fn sink(&self) -> &Sink {
        self.service.sink()
    }

    pub(super) fn event(&self) -> EventId {
        self.event
    }

    /// The rule by which times of locations are judged.
    pub fn clock(&self) -> Clock {
        self.service.0.clock
    }
}
