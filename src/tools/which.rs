//! The event that a tool works in, as its command line names it.

use crate::domain::{Event, Result, Slug};
use crate::store::Store;
use std::sync::Arc;

/// Which event is meant.
#[derive(Clone, Debug, clap::Args)]
pub struct EventArg {
    /// The event, by its slug
    #[arg(long = "event", env = "DEFAULT_EVENT", value_name = "EVENT", default_value = "default")]
    pub slug: Slug,
}

impl EventArg {
    /// The event, or [`Error::UnknownEvent`](crate::domain::Error::UnknownEvent).
    #[allow(dead_code)] // the demo makes its own
    pub async fn find(&self, store: &Store) -> Result<Arc<Event>> {
        store.events().by_slug(&self.slug).await
    }
}
