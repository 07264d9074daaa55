//! Starts a [`Service`](super::Service), once in a process, from the command line's arguments.

use super::clock::Clock;
use super::events::DefaultEventArgs;
use super::record::{Drain, IngestArgs, Sink};
use crate::domain::{Error, Event, EventId, FieldError, LocationDraft, MeetingRule, NewLocation, Result, Slug};
use crate::store::{DatabaseArgs, EventStore, Store};
use chrono_tz::Tz;
use std::sync::Arc;

/// The settings of a role that offers the use cases.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceArgs {
    #[command(flatten)]
    pub ingest: IngestArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub event: DefaultEventArgs,
}

/// The use cases of this process. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

struct Parts {
    store: Store,
    sink: Sink,
    clock: Clock,
    default_event: Slug,
}

/// The use cases at one event. Cheap to clone; it borrows nothing, so that a streamed answer can keep it.
#[derive(Clone)]
pub struct AtEvent {
    service: Service,
    /// `None` for the default event as long as it is not known which that is: locations can be queued for it all the same.
    event: Option<Arc<Event>>,
    /// Whether the caller named it; then what is left open is the event's.
    named: bool,
}

impl ServiceArgs {
    /// Connects to nothing yet but the database, which may be away; `application` is what `pg_stat_activity` shows. The error is
    /// something that an operator must mend. Await the [`Drain`] at the end.
    pub async fn start(&self, application: &str) -> Result<(Service, Drain)> {
        let store = Store::new(&self.database, application)?;
        store.check_at_start().await?;
        Service::new(store, &self.ingest, self.event.default_event.clone())
    }
}

impl Service {
    /// The use cases on a store that is there already.
    pub fn new(store: Store, ingest: &IngestArgs, default_event: Slug) -> Result<(Self, Drain)> {
        let (sink, drain) = Sink::start(&store, ingest)?;
        Ok((Self(Arc::new(Parts { store, sink, clock: ingest.clock.clock(), default_event })), drain))
    }

    /// What can be done at an event.
    pub fn at(&self, event: Arc<Event>) -> AtEvent {
        AtEvent { service: self.clone(), event: Some(event), named: true }
    }

    /// The use cases at the event of this slug, or [`Error::UnknownEvent`].
    pub async fn at_slug(&self, slug: &Slug) -> Result<AtEvent> {
        Ok(self.at(self.store().events().by_slug(slug).await?))
    }

    /// The use cases at the default event, for a caller who has named none.
    pub async fn at_default(&self) -> Result<AtEvent> {
        let event = match self.store().events().by_slug(self.default_event()).await {
            Ok(event) => Some(event),
            // Locations are queued while the database is away; whoever stores them knows their persons' event.
            Err(Error::Unavailable { .. } | Error::TimedOut(_)) if self.has_queue() => None,
            Err(error) => return Err(error),
        };
        Ok(AtEvent { service: self.clone(), event, named: false })
    }

    /// The event that is meant where none is named.
    pub(super) fn default_event(&self) -> &Slug {
        &self.0.default_event
    }

    /// The store above events; the rows of an event are reached through [`AtEvent::store`].
    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn sink(&self) -> &Sink {
        &self.0.sink
    }
}

impl AtEvent {
    /// What is above events.
    pub(super) fn whole_store(&self) -> &Store {
        self.service.store()
    }

    /// The event's rows.
    pub(super) fn store(&self) -> Result<EventStore<'_>> {
        let event = self.event().ok_or_else(|| Error::Unavailable {
            dependency: "postgres",
            detail: "it is not known yet which the default event is".to_owned(),
        })?;
        Ok(self.service.store().event(event))
    }

    pub(super) fn sink(&self) -> &Sink {
        self.service.sink()
    }

    pub(super) fn event(&self) -> Option<EventId> {
        self.event.as_ref().map(|event| event.id)
    }

    /// Checks a location that is sent now, its time by the clock and by the event's dates; the error names every field that is
    /// wrong.
    pub fn check(&self, draft: impl Into<LocationDraft>) -> Result<NewLocation, Vec<FieldError>> {
        let clock = self.service.0.clock;
        match &self.event {
            Some(event) => clock.check_at(event, draft),
            None => clock.check(draft),
        }
    }

    /// The time zone of days for which none is given: the event's, if the caller named the event, else UTC.
    pub fn zone(&self) -> Tz {
        self.given().map_or(Tz::UTC, |event| event.settings.time_zone)
    }

    /// The rule of meetings where none is given: the event's, if the caller named the event, else the default one.
    pub fn rule(&self) -> MeetingRule {
        self.given().map_or_else(MeetingRule::default, |event| event.settings.rule)
    }

    fn given(&self) -> Option<&Event> {
        self.event.as_deref().filter(|_| self.named)
    }
}
