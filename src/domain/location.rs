use crate::domain::{Error, Event, EventId, FieldError, PersonId, Result, TimeRange, to_micros};
use crate::geo::Coordinate;
use chrono::{DateTime, TimeDelta, Utc};

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
    /// past as one likes (phones come back online late). Times are rounded to whole microseconds ([`to_micros`]), so that
    /// what is compared is what is stored.
    pub fn new(input: LocationInput, now: DateTime<Utc>, max_ahead: TimeDelta) -> Result<Self> {
        let mut errors = Vec::new();
        let person_id = PersonId::new(input.person_id, "person_id").map_err(|e| errors.push(e)).ok();
        let coordinate =
            Coordinate::new(input.latitude, input.longitude).map_err(|wrong| errors.append(&mut wrong.into())).ok();
        let creation_time = to_micros(input.creation_time.unwrap_or(now));
        if !TimeRange::ALL.contains(creation_time) {
            let message = format!("must be in the years 1 to 9999; got {creation_time:?}");
            errors.push(FieldError::new("creation_time", message));
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
