//! Meetings at an event.

use super::{ConnectionPosition, MeetingQuery, Met, Nearby, Part};
use crate::domain::{Page, PersonId, Result, TimeRange};
use crate::meeting::{ContactRule, Encounter};
use crate::service::AtEvent;

impl AtEvent {
    /// The persons met, as [`connections`](super::connections) returns them.
    pub async fn connections(&self, query: MeetingQuery, part: Part) -> Result<Page<Met, ConnectionPosition>> {
        super::connections(self.store()?, query, part).await
    }

    /// The encounters of two persons, as [`encounters`](super::encounters) returns them.
    pub async fn encounters(&self, query: MeetingQuery, other: PersonId) -> Result<Vec<Encounter>> {
        super::encounters(self.store()?, query, other).await
    }

    /// The locations of others near a person's own, as [`nearby`](super::nearby) returns them.
    pub async fn nearby(&self, person: PersonId, range: TimeRange, rule: ContactRule) -> Result<Nearby> {
        super::nearby(self.store()?, person, range, rule).await
    }
}
