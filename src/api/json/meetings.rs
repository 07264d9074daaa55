//! The shapes of answers about meetings.

use super::{LocationJson, PersonJson, seconds, time};
use crate::domain::{Location, Person};
use crate::meeting::{Closest, Encounter};
use crate::service::meetings::Met;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

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
