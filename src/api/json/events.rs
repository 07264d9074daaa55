//! The shapes of events, as they are answered, created and changed.

use super::{seconds, time};
use crate::domain::{Event, TimeRange};
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

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
#[schema(as = NewEvent)]
#[allow(dead_code)] // read field by field, so that every error is named
pub struct NewEventJson {
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
#[schema(as = EventChange)]
#[allow(dead_code)] // read field by field, so that every error is named
pub struct EventChangeJson {
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
