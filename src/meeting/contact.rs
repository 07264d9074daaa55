//! The rules of meetings, within their bounds: when two locations are a contact, and when contacts are one encounter.

use crate::domain::{Error, MeetingRule, Result};
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
    pub const MAX_DISTANCE_M: f64 = MeetingRule::MAX_DISTANCE_M;
    /// The largest finite time window.
    pub const MAX_WITHIN: TimeDelta = MeetingRule::MAX_WITHIN;

    /// `distance_m` is more than 0 and at most [`Self::MAX_DISTANCE_M`]; `within` is 0 to [`Self::MAX_WITHIN`], or `None`
    /// for any two times. The error names `distance` or `within`, or both.
    pub fn new(distance_m: f64, within: Option<TimeDelta>) -> Result<Self> {
        let errors = MeetingRule::wrong_contact(distance_m, within);
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
    /// Bounds as for [`MeetingRule::new`]. What is `None` takes its default ([`MeetingRule::default`]). The error names every wrong
    /// field of `distance`, `within` and `gap`.
    pub fn new(distance_m: Option<f64>, within: Option<TimeDelta>, gap: Option<TimeDelta>) -> Result<Self> {
        Self::with_defaults(MeetingRule::default(), distance_m, within, gap)
    }

    /// As [`EncounterRule::new`], with defaults of an event's own. Where a larger `within` is asked for and no gap, the gap is as
    /// large as `within`.
    pub fn with_defaults(
        defaults: MeetingRule,
        distance_m: Option<f64>,
        within: Option<TimeDelta>,
        gap: Option<TimeDelta>,
    ) -> Result<Self> {
        let within = within.unwrap_or(defaults.within());
        let least = within.clamp(TimeDelta::zero(), MeetingRule::MAX_WITHIN);
        let gap = gap.unwrap_or_else(|| defaults.gap().max(least));
        MeetingRule::new(distance_m.unwrap_or(defaults.distance_m()), within, gap).map(Self::from)
    }

    pub fn contact(self) -> ContactRule {
        self.contact
    }

    pub fn gap(self) -> TimeDelta {
        self.gap
    }
}

impl From<MeetingRule> for EncounterRule {
    fn from(rule: MeetingRule) -> Self {
        let contact = ContactRule { distance_m: rule.distance_m(), within: Some(rule.within()) };
        Self { contact, gap: rule.gap() }
    }
}

impl Default for EncounterRule {
    fn default() -> Self {
        MeetingRule::default().into()
    }
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
