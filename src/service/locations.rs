//! Locations that are stored: read, listed and deleted. Those that come in take the way of [`record`](super::record).

use super::AtEvent;
use crate::domain::{Error, Location, Page, PersonId, Result, TimeRange};

pub use crate::store::LocationPosition;

impl AtEvent {
    /// The location, or [`Error::NotFound`].
    pub async fn location(&self, id: i64) -> Result<Location> {
        self.store()?.location(id).await
    }

    /// Deletes one location, or [`Error::NotFound`].
    pub async fn delete_location(&self, id: i64) -> Result<()> {
        self.store()?.delete_location(id).await
    }

    /// A person's locations in the range, oldest first, after `after`, at most `limit`; [`Error::NotFound`] for an unknown
    /// person.
    pub async fn locations(
        &self,
        person: PersonId,
        range: TimeRange,
        after: Option<LocationPosition>,
        limit: usize,
    ) -> Result<Page<Location, LocationPosition>> {
        self.store()?.locations(person, range, after, limit).await
    }
}

/// All further locations of a person, page by page, after a first page that the caller has.
pub struct AllLocations {
    at: AtEvent,
    person: PersonId,
    range: TimeRange,
}

impl AllLocations {
    /// How many locations are asked for at a time.
    const PAGE: usize = 5_000;

    pub fn new(at: AtEvent, person: PersonId, range: TimeRange) -> Self {
        Self { at, person, range }
    }

    /// The next page; an empty one when the person has been erased meanwhile.
    pub async fn after(&self, position: LocationPosition) -> Result<Page<Location, LocationPosition>> {
        match self.at.locations(self.person, self.range, Some(position), Self::PAGE).await {
            Err(Error::NotFound { .. }) => Ok(Page { items: Vec::new(), next: None }),
            page => page,
        }
    }
}
