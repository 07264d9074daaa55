//! Times and durations ↔ protobuf's `Timestamp` and `Duration`.

use crate::domain::{FieldError, checked_time};
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
        .and_then(checked_time)
        .ok_or_else(|| {
            FieldError::new(
                field,
                format!(
                    "must be in the years 1 to 9999, with nanos from 0 to 999999999; got seconds {} and nanos {}",
                    timestamp.seconds, timestamp.nanos
                ),
            )
        })
}

pub fn to_duration(length: TimeDelta) -> Duration {
    Duration { seconds: length.num_seconds(), nanos: length.subsec_nanos() }
}

/// `field` is what the caller calls this length of time, for the error. May be negative; bounds are for the rules to check. What
/// is no whole number of microseconds is refused, as in texts.
pub fn from_duration(duration: &Duration, field: &str) -> Result<TimeDelta, FieldError> {
    let Duration { seconds, nanos } = *duration;
    let wrong = |what: &str| FieldError::new(field, format!("must be {what}; got seconds {seconds} and nanos {nanos}"));
    let bounded = seconds.abs_diff(0) <= MOST_SECONDS && nanos.abs_diff(0) < 1_000_000_000;
    if !bounded || i64::from(nanos).signum() * seconds.signum() < 0 {
        return Err(wrong("a google.protobuf.Duration"));
    }
    if nanos % 1_000 != 0 {
        return Err(wrong("whole microseconds"));
    }
    Ok(TimeDelta::seconds(seconds) + TimeDelta::nanoseconds(nanos.into()))
}

/// The most that a google.protobuf.Duration may have, about 10,000 years.
const MOST_SECONDS: u64 = 315_576_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_timestamp_may_not_hold_is_refused() {
        let read = |seconds, nanos| from_timestamp(&Timestamp { seconds, nanos }, "from");
        for (seconds, nanos) in [
            (-62_135_596_801, 0),
            (253_402_300_800, 0),
            (253_402_300_799, 999_999_500),
            (i64::MIN, 0),
            (i64::MAX, 0),
            (-210_866_803_200, 0),
            (0, -1),
            (0, 1_000_000_000),
            (0, i32::MIN),
        ] {
            let error = read(seconds, nanos).unwrap_err();
            assert!(error.field == "from" && error.message.contains("1 to 9999"), "{seconds} {nanos}: {error:?}");
        }
        for (seconds, nanos) in [(-62_135_596_800, 0), (253_402_300_799, 999_999_000), (0, 0)] {
            assert_eq!(to_timestamp(read(seconds, nanos).unwrap()), Timestamp { seconds, nanos });
        }
        assert_eq!(read(6, 799_999_952), read(6, 800_000_000), "to the nearest microsecond");
    }

    #[test]
    fn a_duration_is_whole_microseconds() {
        let read = |seconds, nanos| from_duration(&Duration { seconds, nanos }, "within");
        assert_eq!(read(299, 999_999_000), Ok(TimeDelta::microseconds(299_999_999)));
        assert_eq!(read(-1, -500_000_000), Ok(TimeDelta::milliseconds(-1_500)));
        assert!(read(299, 999_999_900).unwrap_err().message.contains("microseconds"));
        for (seconds, nanos) in
            [(i64::MAX, 0), (i64::MIN, 0), (315_576_000_001, 0), (0, i32::MIN), (0, 1_000_000_000), (1, -1_000)]
        {
            assert!(read(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }
}
