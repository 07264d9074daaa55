//! Events: created, found, listed, changed, deleted; and the way from an event's name to what can be done there.

use super::Service;
use crate::domain::{Event, EventChange, EventId, NewEvent, Page, Result, Slug};
use crate::store::EventContents;

/// Which event is meant where none is named.
#[derive(Clone, Debug, clap::Args)]
pub struct DefaultEventArgs {
    /// The event of addresses and calls that name none, by its slug
    #[arg(long, env, value_name = "EVENT", default_value = "default")]
    pub default_event: Slug,
}

impl Service {
    /// Adds an event under a new id; [`Error::Exists`](crate::domain::Error::Exists) when another one has its slug.
    pub async fn create_event(&self, new: &NewEvent) -> Result<Event> {
        self.store().events().create(new).await
    }

    /// The event of this slug as it is now, or [`Error::UnknownEvent`](crate::domain::Error::UnknownEvent).
    pub async fn event(&self, slug: &Slug) -> Result<Event> {
        self.store().events().read(slug).await
    }

    /// Events by id, after `after`, at most `limit`.
    pub async fn events(&self, after: Option<EventId>, limit: usize) -> Result<Page<Event, EventId>> {
        self.store().events().list(after, limit).await
    }

    /// Changes the event of this slug, or [`Error::UnknownEvent`](crate::domain::Error::UnknownEvent). Other processes, which cache
    /// events, see the change within a few seconds.
    pub async fn change_event(&self, slug: &Slug, change: EventChange) -> Result<Event> {
        self.store().events().change(slug, change).await
    }

    /// Deletes the event of this slug, as [`Events::delete`](crate::store::Events::delete) says.
    pub async fn delete_event(&self, slug: &Slug, force: bool) -> Result<EventContents> {
        self.store().events().delete(slug, force, self.default_event()).await
    }
}
