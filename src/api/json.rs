//! The shapes of requests and answers.

use super::problem::FieldProblem;
use crate::domain::{Location, Person};
use crate::meeting::{Closest, Encounter};
use crate::service::meetings::Met;
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
#[allow(dead_code)] // read field by field, so that every error is named
pub struct NewPerson {
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
#[allow(dead_code)] // read field by field, so that every error is named
pub struct NewLocation {
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

/// The nearest that two persons came to each other.
#[derive(Serialize, ToSchema)]
#[schema(as = Closest)]
pub struct ClosestJson {
    /// Metres on the WGS 84 spheroid.
    #[schema(example = 0.73, minimum = 0)]
    distance_m: f64,
    /// When the earlier of the two locations was.
    #[schema(example = "2026-06-01T16:20:00Z")]
    #[serde(serialize_with = "time")]
    time: DateTime<Utc>,
    /// Where the earlier of the two locations was; of simultaneous ones, that of the person with the lower id.
    #[schema(example = 35.0585, minimum = -90, maximum = 90)]
    latitude: f64,
    #[schema(example = -106.5819, minimum = -180, maximum = 180)]
    longitude: f64,
}

impl From<Closest> for ClosestJson {
    fn from(closest: Closest) -> Self {
        Self {
            distance_m: closest.distance_m,
            time: closest.time,
            latitude: closest.coordinate.latitude(),
            longitude: closest.coordinate.longitude(),
        }
    }
}

/// All encounters with one person, summed up.
#[derive(Serialize, ToSchema)]
#[schema(as = Connection)]
pub struct ConnectionJson {
    person: PersonJson,
    /// How many.
    #[schema(example = 3, minimum = 1)]
    encounters: usize,
    /// Seconds.
    #[schema(example = 1234.0, minimum = 0)]
    total_duration: f64,
    #[schema(example = "2026-06-01T16:15:00Z")]
    #[serde(serialize_with = "time")]
    first_met: DateTime<Utc>,
    #[schema(example = "2026-06-01T21:40:00Z")]
    #[serde(serialize_with = "time")]
    last_met: DateTime<Utc>,
    /// The same as in `closest`.
    #[schema(example = 0.73, minimum = 0)]
    closest_m: f64,
    closest: ClosestJson,
    /// The encounters, oldest first; only with `include=encounters`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    met: Option<Vec<EncounterJson>>,
}

impl From<Met> for ConnectionJson {
    fn from(Met { connection, person, encounters }: Met) -> Self {
        Self {
            person: person.into(),
            encounters: connection.encounters,
            total_duration: seconds(connection.total_duration),
            first_met: connection.first_met,
            last_met: connection.last_met,
            closest_m: connection.closest.distance_m,
            closest: connection.closest.into(),
            met: encounters.map(|met| met.into_iter().map(EncounterJson::from).collect()),
        }
    }
}

/// One stretch of time in which two persons were near each other.
#[derive(Serialize, ToSchema)]
#[schema(as = Encounter)]
pub struct EncounterJson {
    #[schema(example = "2026-06-01T16:15:00Z")]
    #[serde(serialize_with = "time")]
    start: DateTime<Utc>,
    #[schema(example = "2026-06-01T16:25:00Z")]
    #[serde(serialize_with = "time")]
    end: DateTime<Utc>,
    /// Seconds.
    #[schema(example = 600.0, minimum = 0)]
    duration: f64,
    /// The same as in `closest`.
    #[schema(example = 0.73, minimum = 0)]
    closest_m: f64,
    closest: ClosestJson,
}

impl From<Encounter> for EncounterJson {
    fn from(encounter: Encounter) -> Self {
        Self {
            start: encounter.start,
            end: encounter.end,
            duration: seconds(encounter.duration()),
            closest_m: encounter.closest.distance_m,
            closest: encounter.closest.into(),
        }
    }
}

/// A location near one of the person's own, and whose it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Nearby)]
pub struct NearbyJson {
    location: LocationJson,
    person: PersonJson,
}

impl NearbyJson {
    pub fn of(location: Location, person: &Person) -> Self {
        Self { location: location.into(), person: person.clone().into() }
    }
}

fn seconds(duration: TimeDelta) -> f64 {
    duration.as_seconds_f64()
}

/// RFC 3339 with `Z`, with as many decimals as are needed.
fn time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
