//! Locations: drafts as they are read, valid new ones, and stored ones.

use crate::domain::{Error, Event, EventId, FieldError, PersonId, Result, TimeRange, to_micros};
use crate::geo::Coordinate;
use chrono::{DateTime, TimeDelta, Utc};

/// Before this no phone had a clock that could be believed: 1970 is where Unix time begins, 1980 where that of GPS does, and 1999
/// is where the weeks of GPS began anew.
pub const EARLIEST_FIX: DateTime<Utc> = DateTime::from_timestamp(946_684_800, 0).unwrap(); // 2000-01-01

/// Why a report is no fix at all, although each of its values is one that a fix could have.
///
/// One rule for every door. Who reports one thing at a time is refused, with the field named; of files and phones, which cannot
/// do better, it is skipped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoFix {
    /// Exactly at latitude 0 and longitude 0: what devices and programs write when they have no position.
    ZeroZero,
    /// A negative radius: what phones write when the position is invalid.
    NegativeAccuracy,
    /// Before the year 2000 ([`EARLIEST_FIX`]): a clock that was never set.
    UnsetClock,
}

impl NoFix {
    /// Looks at what a report says; `accuracy_m` in metres, `None` when it says nothing.
    pub fn of(coordinate: Coordinate, creation_time: DateTime<Utc>, accuracy_m: Option<f64>) -> Option<Self> {
        if (coordinate.latitude(), coordinate.longitude()) == (0.0, 0.0) {
            Some(Self::ZeroZero)
        } else if accuracy_m.is_some_and(|metres| metres < 0.0) {
            Some(Self::NegativeAccuracy)
        } else if creation_time < EARLIEST_FIX {
            Some(Self::UnsetClock)
        } else {
            None
        }
    }

    /// A word to count by.
    pub fn name(self) -> &'static str {
        match self {
            Self::ZeroZero => "zero_zero",
            Self::NegativeAccuracy => "negative_accuracy",
            Self::UnsetClock => "unset_clock",
        }
    }
}

/// What is wrong with a time before [`EARLIEST_FIX`].
pub(super) fn unset_clock(time: DateTime<Utc>) -> FieldError {
    let given = time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    let message = format!("must be 2000-01-01T00:00:00Z or later: before that no clock was set; got {given}");
    FieldError::new("creation_time", message)
}

/// One fix of one person, as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// Given by the store, 1 or more.
    pub id: i64,
    pub person_id: PersonId,
    pub coordinate: Coordinate,
    /// When the phone was there, UTC, whole microseconds.
    pub creation_time: DateTime<Utc>,
    /// 68 % horizontal radius in metres; `None` when the phone does not know.
    pub accuracy_m: Option<f64>,
}

/// What a caller says of a location, not checked yet.
#[derive(Clone, Debug)]
pub struct LocationInput {
    pub person_id: i64,
    pub latitude: f64,
    pub longitude: f64,
    /// `None` means now.
    pub creation_time: Option<DateTime<Utc>>,
    pub accuracy_m: Option<f64>,
}

/// What of a location could be read, and what is wrong with the rest.
///
/// Where a field cannot be read, `input` holds something valid in its place, so that errors of form and of bounds are told
/// together.
#[derive(Clone, Debug)]
pub struct LocationDraft {
    /// `None` when nothing more can be checked.
    input: Option<LocationInput>,
    errors: Vec<FieldError>,
}

impl LocationDraft {
    /// With `errors` it will be refused, after the rest of it has been checked.
    pub fn new(input: LocationInput, errors: Vec<FieldError>) -> Self {
        Self { input: Some(input), errors }
    }

    /// Checks it against the rules of [`NewLocation::new`]; the error names every field that is wrong.
    pub fn check(self, now: DateTime<Utc>, max_ahead: TimeDelta) -> Result<NewLocation, Vec<FieldError>> {
        let Self { input, mut errors } = self;
        match input.map(|input| NewLocation::new(input, now, max_ahead)) {
            Some(Ok(location)) if errors.is_empty() => Ok(location),
            Some(Err(error)) => {
                errors.extend(error.into_fields("location"));
                Err(errors)
            }
            Some(Ok(_)) | None => Err(errors),
        }
    }
}

impl LocationDraft {
    /// As [`LocationDraft::check`], of a location of this event: its time must be one that the event takes ([`Event::takes`]).
    pub fn check_at(
        mut self,
        event: &Event,
        now: DateTime<Utc>,
        max_ahead: TimeDelta,
    ) -> Result<NewLocation, Vec<FieldError>> {
        let unread = self.errors.iter().any(|error| error.field == "creation_time");
        if let Some(input) = self.input.as_mut().filter(|_| !unread) {
            let time = to_micros(input.creation_time.unwrap_or(now));
            if let Some(error) = event.takes(time).err().filter(|_| TimeRange::ALL.contains(time)) {
                self.errors.push(error);
                // The dates say more of a time that is wrong than a clock does.
                input.creation_time = Some(now);
            }
        }
        self.check(now, max_ahead)
    }
}

impl From<LocationInput> for LocationDraft {
    fn from(input: LocationInput) -> Self {
        Self::new(input, Vec::new())
    }
}

/// Of what cannot be read at all; there must be an error, or nothing would say why it is refused.
impl From<Vec<FieldError>> for LocationDraft {
    fn from(errors: Vec<FieldError>) -> Self {
        Self { input: None, errors }
    }
}

/// A valid location that has no id yet.
///
/// Its identity is who, when and where ([`NewLocation::identity`]): recorded twice, it is stored once.
#[derive(Clone, Debug, PartialEq)]
pub struct NewLocation {
    person_id: PersonId,
    coordinate: Coordinate,
    creation_time: DateTime<Utc>,
    accuracy_m: Option<f64>,
    event_id: Option<EventId>,
}

impl NewLocation {
    /// Checks an input against the rules, with every wrong field named.
    ///
    /// `now` is the server's clock; a time may be at most `max_ahead` after it (phones' clocks are wrong), and as far in the
    /// past as [`EARLIEST_FIX`] (phones come back online late). What is no fix ([`NoFix`]) is refused. Times are rounded to whole
    /// microseconds ([`to_micros`]), so that what is compared is what is stored.
    pub fn new(input: LocationInput, now: DateTime<Utc>, max_ahead: TimeDelta) -> Result<Self> {
        let mut errors = Vec::new();
        let person_id = PersonId::new(input.person_id, "person_id").map_err(|e| errors.push(e)).ok();
        let coordinate =
            Coordinate::new(input.latitude, input.longitude).map_err(|wrong| errors.append(&mut wrong.into())).ok();
        if coordinate.is_some_and(|coordinate| (coordinate.latitude(), coordinate.longitude()) == (0.0, 0.0)) {
            let message = "must not be 0 together with longitude 0: that is what devices send that have no position";
            errors.push(FieldError::new("latitude", message));
        }
        let creation_time = to_micros(input.creation_time.unwrap_or(now));
        if !TimeRange::ALL.contains(creation_time) {
            let message = format!("must be in the years 1 to 9999; got {creation_time:?}");
            errors.push(FieldError::new("creation_time", message));
        } else if creation_time < EARLIEST_FIX {
            errors.push(unset_clock(creation_time));
        } else if creation_time > now + max_ahead {
            errors.push(FieldError::new(
                "creation_time",
                format!(
                    "must be at most {} s ahead of the server's clock ({}); got {}",
                    max_ahead.num_seconds(),
                    now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                    creation_time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
                ),
            ));
        }
        if let Some(accuracy) = input.accuracy_m
            && !(accuracy.is_finite() && accuracy >= 0.0)
        {
            errors.push(FieldError::new(
                "accuracy_m",
                format!("must be a number of metres, 0 or more, or absent; got {accuracy}"),
            ));
        }
        match (person_id, coordinate) {
            (Some(person_id), Some(coordinate)) if errors.is_empty() => {
                let accuracy_m = input.accuracy_m.map(|a| a + 0.0);
                Ok(Self { person_id, coordinate, creation_time, accuracy_m, event_id: None })
            }
            _ => Err(Error::Invalid(errors)),
        }
    }

    pub fn person_id(&self) -> PersonId {
        self.person_id
    }

    pub fn coordinate(&self) -> Coordinate {
        self.coordinate
    }

    pub fn creation_time(&self) -> DateTime<Utc> {
        self.creation_time
    }

    pub fn accuracy_m(&self) -> Option<f64> {
        self.accuracy_m
    }

    /// The same, of this event.
    pub fn of_event(self, event: EventId) -> Self {
        Self { event_id: Some(event), ..self }
    }

    /// The event that whoever brought it names; `None`: its person's.
    pub fn event_id(&self) -> Option<EventId> {
        self.event_id
    }

    /// Who, when and where; equal for two inputs exactly when they are the same location.
    pub fn identity(&self) -> (i64, i64, u64, u64) {
        let (latitude, longitude) = self.coordinate.bits();
        (self.person_id.get(), self.creation_time.timestamp_micros(), latitude, longitude)
    }
}

/// What became of a location that was handed to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is stored now, under this id.
    Stored { id: i64 },
    /// It was stored before, under this id: a resend, which is a success.
    Duplicate { id: i64 },
    /// Nobody has its person's id; nothing was stored.
    UnknownPerson { person: PersonId },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> LocationInput {
        LocationInput { person_id: 1, latitude: 37.5, longitude: -122.3, creation_time: None, accuracy_m: None }
    }

    fn check(input: LocationInput) -> Result<NewLocation> {
        NewLocation::new(input, DateTime::from_timestamp(1_780_000_000, 123_456_789).unwrap(), TimeDelta::minutes(5))
    }

    #[test]
    fn a_time_is_rounded_to_microseconds_and_defaults_to_now() {
        let location = check(input()).unwrap();
        assert_eq!(location.creation_time().timestamp_subsec_nanos(), 123_457_000);
    }

    #[test]
    fn five_minutes_ahead_is_allowed_and_a_microsecond_more_is_not() {
        let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        let ahead =
            |time| NewLocation::new(LocationInput { creation_time: Some(time), ..input() }, now, TimeDelta::minutes(5));
        assert!(ahead(now + TimeDelta::minutes(5)).is_ok());
        assert!(ahead(now + TimeDelta::minutes(5) + TimeDelta::microseconds(1)).is_err());
    }

    #[test]
    fn what_is_no_fix_is_refused_by_the_field_that_says_so() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0);
        let refused = |input| match check(input) {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect::<Vec<_>>(),
            other => panic!("must be refused: {other:?}"),
        };
        for (latitude, longitude) in [(0.0, 0.0), (-0.0, 0.0), (0.0, -0.0)] {
            assert_eq!(refused(LocationInput { latitude, longitude, ..input() }), ["latitude"]);
        }
        for (latitude, longitude) in [(0.0, 1e-9), (1e-9, 0.0), (0.0, 180.0), (90.0, 0.0)] {
            assert!(check(LocationInput { latitude, longitude, ..input() }).is_ok(), "{latitude} {longitude}");
        }
        for seconds in [0, 315_964_800, 935_280_000, 946_684_799, -1] {
            assert_eq!(refused(LocationInput { creation_time: at(seconds), ..input() }), ["creation_time"]);
        }
        assert!(check(LocationInput { creation_time: at(946_684_800), ..input() }).is_ok());
        for accuracy in [-1.0, -1e-300, f64::NEG_INFINITY] {
            assert_eq!(refused(LocationInput { accuracy_m: Some(accuracy), ..input() }), ["accuracy_m"]);
        }
        assert!(check(LocationInput { accuracy_m: Some(-0.0), ..input() }).is_ok());
    }

    /// What is skipped by some doors is what others refuse.
    #[test]
    fn every_door_has_the_same_rule() {
        for (latitude, longitude, seconds, accuracy_m, no_fix) in [
            (0.0, 0.0, 1_779_000_000, None, Some(NoFix::ZeroZero)),
            (0.0, 1.0, 1_779_000_000, Some(-1.0), Some(NoFix::NegativeAccuracy)),
            (0.0, 1.0, 946_684_799, Some(0.0), Some(NoFix::UnsetClock)),
            (0.0, 1.0, 946_684_800, Some(-0.0), None),
        ] {
            let creation_time = DateTime::from_timestamp(seconds, 0).unwrap();
            let coordinate = Coordinate::new(latitude, longitude).unwrap();
            assert_eq!(NoFix::of(coordinate, creation_time, accuracy_m), no_fix);
            let creation_time = Some(creation_time);
            let checked = check(LocationInput { latitude, longitude, creation_time, accuracy_m, ..input() });
            assert_eq!(checked.is_err(), no_fix.is_some());
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let bad = LocationInput {
            person_id: 0,
            latitude: 91.0,
            longitude: f64::INFINITY,
            creation_time: Some(DateTime::from_timestamp(4_000_000_000, 0).unwrap()),
            accuracy_m: Some(-1.0),
        };
        let Err(Error::Invalid(errors)) = check(bad) else { panic!("must be refused") };
        let mut fields: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["accuracy_m", "creation_time", "latitude", "longitude", "person_id"]);
    }
}
