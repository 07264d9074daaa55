//! The shapes of requests and answers.

mod events;
mod meetings;

pub use events::{EventChangeJson, EventJson, NewEventJson};
pub use meetings::{ConnectionJson, EncounterJson, NearbyJson};

use super::problem::FieldProblem;
use crate::domain::{Location, Person};
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// An attendee.
#[derive(Serialize, ToSchema)]
#[schema(as = Person)]
pub struct PersonJson {
    #[schema(example = 1, minimum = 1)]
    id: i64,
    #[schema(example = "Ada")]
    first_name: String,
    #[schema(example = "Lovelace")]
    last_name: String,
    #[schema(example = "Analytical Engines")]
    company_name: String,
}

impl From<Person> for PersonJson {
    fn from(person: Person) -> Self {
        Self {
            id: person.id.get(),
            first_name: person.first_name,
            last_name: person.last_name,
            company_name: person.company_name,
        }
    }
}

/// An attendee to be.
#[derive(ToSchema)]
#[schema(as = NewPerson)]
#[allow(dead_code)] // read field by field, so that every error is named
pub struct NewPersonJson {
    #[schema(example = "Ada", min_length = 1, max_length = 200)]
    first_name: String,
    #[schema(example = "Lovelace", min_length = 1, max_length = 200)]
    last_name: String,
    #[schema(example = "Analytical Engines", min_length = 1, max_length = 200)]
    company_name: String,
}

/// Where a person was at one time.
#[derive(Serialize, ToSchema)]
#[schema(as = Location)]
pub struct LocationJson {
    #[schema(example = 7, minimum = 1)]
    id: i64,
    #[schema(example = 1, minimum = 1)]
    person_id: i64,
    /// Degrees north, WGS 84.
    #[schema(example = 35.0585, minimum = -90, maximum = 90)]
    latitude: f64,
    /// Degrees east, WGS 84.
    #[schema(example = -106.5819, minimum = -180, maximum = 180)]
    longitude: f64,
    /// UTC.
    #[schema(example = "2026-06-02T16:00:00Z")]
    #[serde(serialize_with = "time")]
    creation_time: DateTime<Utc>,
    /// 68 % horizontal radius in metres; null when the phone did not know.
    #[schema(minimum = 0, example = 4.5)]
    accuracy_m: Option<f64>,
}

impl From<Location> for LocationJson {
    fn from(location: Location) -> Self {
        Self {
            id: location.id,
            person_id: location.person_id.get(),
            latitude: location.coordinate.latitude(),
            longitude: location.coordinate.longitude(),
            creation_time: location.creation_time,
            accuracy_m: location.accuracy_m,
        }
    }
}

/// Where a person is or was.
#[derive(ToSchema)]
#[schema(as = NewLocation)]
#[allow(dead_code)] // read field by field, so that every error is named
pub struct NewLocationJson {
    #[schema(example = 1, minimum = 1)]
    person_id: i64,
    /// Degrees north, WGS 84: a number or a text that holds one.
    #[schema(example = 35.0585, minimum = -90, maximum = 90)]
    latitude: f64,
    /// Degrees east, WGS 84: a number or a text that holds one.
    #[schema(example = -106.5819, minimum = -180, maximum = 180)]
    longitude: f64,
    /// Now, when absent. A time without an offset is UTC. At most a few minutes ahead of the server's clock.
    #[schema(example = "2026-06-02T16:00:00Z")]
    creation_time: Option<DateTime<Utc>>,
    /// 68 % horizontal radius in metres; absent when the phone does not know.
    #[schema(minimum = 0, example = 4.5)]
    accuracy_m: Option<f64>,
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
pub struct BatchOutcome {
    /// How many are stored now that were not before.
    #[schema(example = 1)]
    pub stored: usize,
    /// How many were stored already or came twice in the batch.
    #[schema(example = 0)]
    pub duplicates: usize,
    /// How many were refused; the others are stored all the same.
    #[schema(example = 0)]
    pub refused: usize,
    /// What became of each, in the order in which they were sent.
    pub items: Vec<ItemOutcome>,
}

/// What became of one location of a batch.
#[derive(Serialize, ToSchema)]
pub struct ItemOutcome {
    /// Its place in the batch, from 0; of lines, empty ones are not counted.
    #[schema(example = 0)]
    pub index: usize,
    pub status: ItemStatus,
    /// The location's id, unless it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 7)]
    pub id: Option<i64>,
    /// What is wrong, if it was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// Stored now.
    Stored,
    /// Stored before, or earlier in the batch: a success.
    Duplicate,
    /// Refused; `errors` tells why.
    Refused,
}

/// A day with locations.
#[derive(Serialize, ToSchema)]
#[schema(as = Day)]
pub struct DayJson {
    /// In the time zone that was asked for.
    #[schema(example = "2026-06-01")]
    date: NaiveDate,
    /// How many.
    #[schema(example = 540, minimum = 1)]
    locations: u64,
}

impl From<(NaiveDate, u64)> for DayJson {
    fn from((date, locations): (NaiveDate, u64)) -> Self {
        Self { date, locations }
    }
}

pub(super) fn seconds(duration: TimeDelta) -> f64 {
    duration.as_seconds_f64()
}

/// RFC 3339 with `Z`, with as many decimals as are needed.
pub(super) fn time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
