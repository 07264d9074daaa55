use crate::domain::FieldError;
use chrono::{DateTime, Utc};
use prost_types::Timestamp;

pub fn to_timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() as i32 }
}

/// `field` is what the caller calls this time, for the error.
pub fn from_timestamp(timestamp: &Timestamp, field: &str) -> Result<DateTime<Utc>, FieldError> {
    u32::try_from(timestamp.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)
        .and_then(|nanos| DateTime::from_timestamp(timestamp.seconds, nanos))
        .ok_or_else(|| {
            FieldError::new(
                field,
                format!(
                    "must have seconds from the year 0 to 9999 and nanos from 0 to 999999999; got seconds {} and nanos {}",
                    timestamp.seconds, timestamp.nanos
                ),
            )
        })
}
