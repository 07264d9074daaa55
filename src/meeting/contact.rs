//! When two locations are a contact, and when contacts are an encounter: the parameters of the question, within their bounds.

use crate::domain::{Error, FieldError, Result};
use chrono::TimeDelta;

/// Two locations of two persons are a contact when they are at most [`distance_m`](Self::distance_m) metres apart on the
/// WGS 84 spheroid and their times differ by at most [`within`](Self::within), both inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContactRule {
    distance_m: f64,
    within: Option<TimeDelta>,
}

impl ContactRule {
    /// The largest distance, metres.
    pub const MAX_DISTANCE_M: f64 = 1_000.0;
    /// The largest finite time window.
    pub const MAX_WITHIN: TimeDelta = TimeDelta::hours(24);

    /// `distance_m` is more than 0 and at most [`Self::MAX_DISTANCE_M`]; `within` is 0 to [`Self::MAX_WITHIN`], or `None`
    /// for any two times. The error names `distance` or `within`, or both.
    pub fn new(distance_m: f64, within: Option<TimeDelta>) -> Result<Self> {
        let errors = wrong(distance_m, within);
        if errors.is_empty() { Ok(Self { distance_m, within }) } else { Err(Error::Invalid(errors)) }
    }

    pub fn distance_m(self) -> f64 {
        self.distance_m
    }

    /// `None` is unlimited.
    pub fn within(self) -> Option<TimeDelta> {
        self.within
    }

    /// The times, in microseconds since 1970, that are near enough to this one; both ends included.
    pub(super) fn window(self, time: i64) -> (i64, i64) {
        match self.within.and_then(|within| within.num_microseconds()) {
            Some(within) => (time.saturating_sub(within), time.saturating_add(within)),
            None => (i64::MIN, i64::MAX),
        }
    }
}

/// How contacts become encounters: whatever takes part in one, sorted by time, is split where two neighbours are more than
/// [`gap`](Self::gap) apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncounterRule {
    contact: ContactRule,
    gap: TimeDelta,
}

impl EncounterRule {
    pub const DEFAULT_DISTANCE_M: f64 = 10.0;
    pub const DEFAULT_WITHIN: TimeDelta = TimeDelta::minutes(5);
    /// Where a larger `within` is asked for and no gap, the gap is as large as `within`.
    pub const DEFAULT_GAP: TimeDelta = TimeDelta::minutes(10);
    pub const MAX_GAP: TimeDelta = TimeDelta::hours(24);

    /// Bounds as for [`ContactRule::new`], but `within` is finite; `gap` is `within` to [`Self::MAX_GAP`]. What is `None` takes
    /// its default. The error names every wrong field of `distance`, `within` and `gap`.
    pub fn new(distance_m: Option<f64>, within: Option<TimeDelta>, gap: Option<TimeDelta>) -> Result<Self> {
        let distance_m = distance_m.unwrap_or(Self::DEFAULT_DISTANCE_M);
        let within = within.unwrap_or(Self::DEFAULT_WITHIN);
        let mut errors = wrong(distance_m, Some(within));
        let least = within.clamp(TimeDelta::zero(), ContactRule::MAX_WITHIN);
        let gap = gap.unwrap_or_else(|| Self::DEFAULT_GAP.max(least));
        if gap < least || gap > Self::MAX_GAP {
            errors.push(FieldError::new(
                "gap",
                format!(
                    "must be from {} s (within) to {} s (24 hours); got {} s",
                    seconds(least),
                    seconds(Self::MAX_GAP),
                    seconds(gap)
                ),
            ));
        }
        if errors.is_empty() {
            Ok(Self { contact: ContactRule { distance_m, within: Some(within) }, gap })
        } else {
            Err(Error::Invalid(errors))
        }
    }

    pub fn contact(self) -> ContactRule {
        self.contact
    }

    pub fn gap(self) -> TimeDelta {
        self.gap
    }
}

impl Default for EncounterRule {
    fn default() -> Self {
        let contact = ContactRule { distance_m: Self::DEFAULT_DISTANCE_M, within: Some(Self::DEFAULT_WITHIN) };
        Self { contact, gap: Self::DEFAULT_GAP }
    }
}

fn wrong(distance_m: f64, within: Option<TimeDelta>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    // A NaN fails the comparisons, too.
    if !(distance_m > 0.0 && distance_m <= ContactRule::MAX_DISTANCE_M) {
        errors.push(FieldError::new(
            "distance",
            format!(
                "must be a number of metres, more than 0 and at most {}; got {distance_m}",
                ContactRule::MAX_DISTANCE_M
            ),
        ));
    }
    if let Some(within) = within
        && (within < TimeDelta::zero() || within > ContactRule::MAX_WITHIN)
    {
        errors.push(FieldError::new(
            "within",
            format!("must be from 0 to {} s (24 hours); got {} s", seconds(ContactRule::MAX_WITHIN), seconds(within)),
        ));
    }
    errors
}

fn seconds(time: TimeDelta) -> f64 {
    time.as_seconds_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(error: Error) -> Vec<String> {
        let Error::Invalid(errors) = error else { panic!("{error}") };
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn a_distance_is_more_than_zero_and_at_most_a_kilometre() {
        for allowed in [f64::MIN_POSITIVE, 5.0, 1_000.0] {
            assert!(ContactRule::new(allowed, None).is_ok(), "{allowed}");
        }
        for refused in [0.0, -0.0, -5.0, 1_000.000_1, 1e9, f64::NAN, f64::INFINITY] {
            assert_eq!(fields(ContactRule::new(refused, None).unwrap_err()), ["distance"], "{refused}");
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let error = EncounterRule::new(Some(0.0), Some(TimeDelta::hours(25)), Some(TimeDelta::minutes(1))).unwrap_err();
        assert_eq!(fields(error), ["distance", "within", "gap"]);
    }

    #[test]
    fn a_gap_is_no_smaller_than_within() {
        let rule = |within, gap| EncounterRule::new(None, Some(TimeDelta::seconds(within)), gap);
        assert_eq!(rule(60, None).unwrap().gap(), TimeDelta::minutes(10));
        assert_eq!(rule(3_600, None).unwrap().gap(), TimeDelta::hours(1), "the default grows with within");
        assert_eq!(fields(rule(60, Some(TimeDelta::seconds(59))).unwrap_err()), ["gap"]);
        assert!(rule(60, Some(TimeDelta::seconds(60))).is_ok());
        assert_eq!(EncounterRule::new(None, None, None).unwrap(), EncounterRule::default());
    }
}
