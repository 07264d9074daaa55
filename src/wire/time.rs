use crate::domain::FieldError;
use chrono::{DateTime, TimeDelta, Utc};
use prost_types::{Duration, Timestamp};

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

pub fn to_duration(length: TimeDelta) -> Duration {
    Duration { seconds: length.num_seconds(), nanos: length.subsec_nanos() }
}

/// `field` is what the caller calls this length of time, for the error. May be negative; bounds are for the rules to check.
pub fn from_duration(duration: &Duration, field: &str) -> Result<TimeDelta, FieldError> {
    let seconds = TimeDelta::try_seconds(duration.seconds);
    let nanos =
        (-999_999_999..=999_999_999).contains(&duration.nanos).then(|| TimeDelta::nanoseconds(duration.nanos.into()));
    seconds.zip(nanos).and_then(|(seconds, nanos)| seconds.checked_add(&nanos)).ok_or_else(|| {
        let message = format!(
            "must be a google.protobuf.Duration; got seconds {} and nanos {}",
            duration.seconds, duration.nanos
        );
        FieldError::new(field, message)
    })
}
