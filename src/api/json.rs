//! The shapes of requests and answers.

use super::problem::FieldProblem;
use crate::domain::{Event, Location, Person, TimeRange};
use crate::meeting::{Closest, Encounter};
use crate::service::meetings::Met;
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

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

/// A conference.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventJson {
    /// Records in Kafka name their event by it.
    #[schema(example = 1, minimum = 1)]
    id: i32,
    /// What stands in addresses.
    #[schema(example = "default", pattern = "^[a-z0-9-]{1,64}$")]
    slug: String,
    #[schema(example = "Sandia Days 2026")]
    name: String,
    /// Whose days the event's are, by its IANA name.
    #[schema(example = "America/Denver")]
    time_zone: String,
    /// Locations of more than a day before are refused; null, with `ends`, when it has no dates: then all from 2000 on are taken.
    #[schema(example = "2026-06-01T06:00:00Z")]
    #[serde(serialize_with = "optional_time")]
    begins: Option<DateTime<Utc>>,
    /// The first instant after it. Locations of more than a day after are refused.
    #[schema(example = "2026-06-04T06:00:00Z")]
    #[serde(serialize_with = "optional_time")]
    ends: Option<DateTime<Utc>>,
    /// Who may see it: `open` (everybody) or `members`.
    #[schema(example = "open", pattern = "^(open|members)$")]
    access: &'static str,
    /// Metres at most between two who meet, where a question does not say.
    #[schema(example = 10.0, maximum = 1000)]
    distance_m: f64,
    /// How far two locations in contact may be apart in time, seconds.
    #[schema(example = 300.0, minimum = 0, maximum = 86400)]
    within: f64,
    /// The longest pause in an encounter, seconds.
    #[schema(example = 600.0, minimum = 0, maximum = 86400)]
    gap: f64,
    /// How many days locations are kept after the event's end; then `udaconnect maintain` deletes them, and persons stay. Null, or
    /// without dates: until somebody deletes them.
    #[schema(example = 90, minimum = 1, maximum = 36500)]
    retention_days: Option<u32>,
    /// A count of fewer people than this is not shown.
    #[schema(example = 5, minimum = 1, maximum = 1000)]
    k: u32,
}

impl From<&Event> for EventJson {
    fn from(event: &Event) -> Self {
        let settings = &event.settings;
        Self {
            id: event.id.get(),
            slug: event.slug.to_string(),
            name: settings.name.clone(),
            time_zone: settings.time_zone.name().to_owned(),
            begins: settings.dates.map(TimeRange::from),
            ends: settings.dates.map(TimeRange::to),
            access: settings.access.as_str(),
            distance_m: settings.rule.distance_m(),
            within: seconds(settings.rule.within()),
            gap: seconds(settings.rule.gap()),
            retention_days: settings.retention_days,
            k: settings.k,
        }
    }
}

/// An event to be.
#[derive(ToSchema)]
#[allow(dead_code)] // read field by field, so that every error is named
pub struct NewEvent {
    /// What stands in addresses; it does not change.
    #[schema(example = "sandia-2026", pattern = "^[a-z0-9-]{1,64}$")]
    slug: String,
    #[schema(example = "Sandia Days 2026", min_length = 1, max_length = 200)]
    name: String,
    /// An IANA name; UTC when absent.
    #[schema(example = "America/Denver")]
    time_zone: Option<String>,
    /// A day of the time zone, or a time; absent or null, with `ends`: it has no dates.
    #[schema(example = "2026-06-01")]
    begins: Option<String>,
    /// The last day, or the first instant after it.
    #[schema(example = "2026-06-03")]
    ends: Option<String>,
    /// `open` (when absent) or `members`.
    #[schema(example = "open", nullable = false, pattern = "^(open|members)$")]
    access: Option<String>,
    /// Metres, more than 0; 10 when absent.
    #[schema(example = 10.0, nullable = false, maximum = 1000)]
    distance_m: Option<f64>,
    #[schema(schema_with = within)]
    within: Option<String>,
    #[schema(schema_with = gap)]
    gap: Option<String>,
    /// How many days locations are kept after the event's end; then `udaconnect maintain` deletes them, and persons stay. Absent or
    /// null: until somebody deletes them.
    #[schema(example = 90, minimum = 1, maximum = 36500)]
    retention_days: Option<u32>,
    /// 5 when absent.
    #[schema(example = 5, nullable = false, minimum = 1, maximum = 1000)]
    k: Option<u32>,
}

/// What is to be changed of an event; what is absent stays.
#[derive(ToSchema)]
#[schema(example = json!({"name": "Sandia Days 2026"}))]
#[allow(dead_code)] // read field by field, so that every error is named
pub struct EventChange {
    #[schema(example = "Sandia Days 2026", nullable = false, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// An IANA name. Dates that are not given with it stay the instants that they are.
    #[schema(nullable = false)]
    time_zone: Option<String>,
    /// A day of the time zone, or a time; null, with `ends`, takes the dates away.
    begins: Option<String>,
    /// The last day, or the first instant after it.
    ends: Option<String>,
    #[schema(nullable = false, pattern = "^(open|members)$")]
    access: Option<String>,
    #[schema(nullable = false, maximum = 1000)]
    distance_m: Option<f64>,
    #[schema(schema_with = within)]
    within: Option<String>,
    #[schema(schema_with = gap)]
    gap: Option<String>,
    /// Null: until somebody deletes.
    #[schema(minimum = 1, maximum = 36500)]
    retention_days: Option<u32>,
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    k: Option<u32>,
}

fn within() -> Schema {
    length(
        "How far two locations in contact may be apart in time: seconds, as a number or a text, or as ISO 8601 (PT5M), up to 24 \
            hours; 5 minutes when absent from a new event.",
        "PT5M",
    )
}

fn gap() -> Schema {
    length(
        "The longest pause in an encounter, written as `within` and from that to 24 hours; 10 minutes when absent from a new event.",
        "PT10M",
    )
}

/// The documentation of a length of time that is sent.
#[expect(deprecated, reason = "examples are written as the other fields' are, by `example`")]
fn length(description: &str, example: &str) -> Schema {
    let number_or_text = SchemaType::from_iter([Type::Number, Type::String]);
    let object = ObjectBuilder::new().schema_type(number_or_text).description(Some(description));
    object.example(Some(example.into())).into()
}

fn optional_time<S: Serializer>(given: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match given {
        Some(given) => time(given, serializer),
        None => serializer.serialize_none(),
    }
}

fn seconds(duration: TimeDelta) -> f64 {
    duration.as_seconds_f64()
}

/// RFC 3339 with `Z`, with as many decimals as are needed.
fn time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
