//! The value of a Kafka record ↔ a location.

use super::{Fields, LOCATION_FIELDS, location, misspelt, object, proto, read_location, to_timestamp};
use crate::domain::{EARLIEST_FIX, Error, EventId, FieldError, NewLocation, Result, quoted};
use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;
use serde_json::Value;
use std::ops::Range;

/// The name of the record header that says what the value is.
pub const CONTENT_TYPE: &str = "content-type";
/// What this program writes: [`proto::LocationRecorded`].
pub const PROTOBUF: &str = "application/x-protobuf";
/// What other producers may write: an object with the REST API's field names.
pub const JSON: &str = "application/json";

/// The key of a record, by which all of a person's are in one partition.
pub fn key(location: &NewLocation) -> String {
    location.person_id().to_string()
}

/// The value of a record, of type [`PROTOBUF`].
pub fn encode(location: &NewLocation) -> Vec<u8> {
    proto::LocationRecorded {
        person_id: location.person_id().get(),
        latitude: Some(location.coordinate().latitude()),
        longitude: Some(location.coordinate().longitude()),
        creation_time: Some(to_timestamp(location.creation_time())),
        accuracy_m: location.accuracy_m(),
        event_id: location.event_id().map(EventId::get),
    }
    .encode_to_vec()
}

/// Reads a record's value.
///
/// `content_type` decides how; without one, what begins with `{` is JSON, which no [`proto::LocationRecorded`] does. A location
/// without a time was made when the record was (`timestamp`; `None` when that is no time at all). The record's time is also the clock that the location's is judged
/// by, with `max_ahead` as in [`NewLocation::new`]: it is of whoever took the location and acknowledged it, however late it is
/// read and whatever the reader's clock says. The error is always [`Error::Invalid`]: the same record will never be readable.
pub fn decode(
    value: Option<&[u8]>,
    content_type: Option<&[u8]>,
    timestamp: Option<DateTime<Utc>>,
    max_ahead: TimeDelta,
) -> Result<NewLocation> {
    let value = value.ok_or_else(|| Error::invalid("value", "must be given; got a record without a value"))?;
    let clock = Clock { timestamp, max_ahead };
    match format_of(value, content_type)? {
        Format::Protobuf => from_protobuf(value, clock),
        Format::Json => from_json(value, clock),
    }
}

/// Whom a record names, as far as that can be read, whatever else is wrong with it.
pub fn person_named(value: &[u8], content_type: Option<&[u8]>) -> Option<i64> {
    let id = match format_of(value, content_type) {
        Ok(Format::Json) => serde_json::from_slice::<Named>(value).ok()?.person_id?,
        Ok(Format::Protobuf) | Err(_) => proto::LocationRecorded::decode(value).ok()?.person_id,
    };
    (id > 0).then_some(id)
}

/// What of a JSON object says whom it is about: a number, or a text as old clients write it.
#[derive(serde::Deserialize)]
struct Named {
    #[serde(default, deserialize_with = "id")]
    person_id: Option<i64>,
}

fn id<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let value = <Value as serde::Deserialize>::deserialize(from)?;
    Ok(value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()))
}

enum Format {
    Protobuf,
    Json,
}

fn format_of(value: &[u8], content_type: Option<&[u8]>) -> Result<Format> {
    match content_type {
        Some(given) if is(given, PROTOBUF) => Ok(Format::Protobuf),
        Some(given) if is(given, JSON) => Ok(Format::Json),
        Some(given) => {
            let given = quoted(&String::from_utf8_lossy(given));
            Err(Error::invalid(CONTENT_TYPE, format!("must be {PROTOBUF} or {JSON}; got {given}")))
        }
        None if value.trim_ascii_start().starts_with(b"{") => Ok(Format::Json),
        None => Ok(Format::Protobuf),
    }
}

/// When a record was written, and how far ahead of that its location may be.
#[derive(Clone, Copy)]
struct Clock {
    timestamp: Option<DateTime<Utc>>,
    max_ahead: TimeDelta,
}

/// Other producers may write any time into a record, or none (-1 ms). One outside these years says nothing: a location in such
/// a record must bring its own time, which is then judged by no clock and only must come before the end of these years.
const CREDIBLE: Range<DateTime<Utc>> = EARLIEST_FIX..DateTime::from_timestamp(4_102_444_800, 0).unwrap(); // 2100-01-01

impl Clock {
    /// The time of a location that brings none.
    fn default(self) -> Result<DateTime<Utc>> {
        if let Some(timestamp) = self.credible() {
            return Ok(timestamp);
        }
        let given = self.timestamp.map_or_else(|| "none".to_owned(), |time| format!("{time:?}"));
        let message = format!("is required, since the record's own time says nothing ({given})");
        Err(Error::invalid("creation_time", message))
    }

    /// What is taken for the clock of whoever took the location.
    fn now(self) -> DateTime<Utc> {
        self.credible().unwrap_or(CREDIBLE.end - self.max_ahead)
    }

    fn credible(self) -> Option<DateTime<Utc>> {
        self.timestamp.filter(|timestamp| CREDIBLE.contains(timestamp))
    }
}

/// Whether a header names this media type, in any case and whatever parameters follow.
fn is(header: &[u8], media_type: &str) -> bool {
    let name = header.split(|byte| *byte == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

fn from_protobuf(value: &[u8], clock: Clock) -> Result<NewLocation> {
    let message = proto::LocationRecorded::decode(value)
        .map_err(|error| Error::invalid("value", format!("must be a udaconnect.v1.LocationRecorded: {error}")))?;
    let mut input = location::parts(
        message.person_id,
        message.latitude,
        message.longitude,
        message.creation_time.as_ref(),
        message.accuracy_m,
    )?;
    if input.creation_time.is_none() {
        input.creation_time = Some(clock.default()?);
    }
    let location = NewLocation::new(input, clock.now(), clock.max_ahead);
    let event = message.event_id.map(|id| event(id.into())).transpose();
    of_event(location, event)
}

fn from_json(value: &[u8], clock: Clock) -> Result<NewLocation> {
    let known: Vec<&str> = [LOCATION_FIELDS, &[EVENT]].concat();
    let mut value =
        object(value, &known).map_err(|error| Error::invalid("value", format!("must be a JSON object: {error}")))?;
    if let Value::Object(object) = &mut value
        && object.get("creation_time").is_none_or(Value::is_null)
    {
        object.insert("creation_time".to_owned(), clock.default()?.to_rfc3339().into());
    }
    // Taken out: a location in a request has no such field, since its event is in the address.
    let given = match &mut value {
        Value::Object(object) => object.remove(EVENT).filter(|given| !given.is_null()),
        _ => None,
    };
    let wrong = match &value {
        Value::Object(object) => object.keys().find_map(|name| misspelt(name, &[EVENT])),
        _ => None,
    };
    let event = given.map(|given| {
        let mut fields = Fields::of(serde_json::json!({ EVENT: given }), "value", &[EVENT])?;
        let id = fields.integer(EVENT);
        fields.finish(id).and_then(event)
    });
    let event = match wrong {
        Some(error) => Err(vec![error]),
        None => event.transpose(),
    };
    let location = read_location(value, "value").check(clock.now(), clock.max_ahead).map_err(Error::from);
    of_event(location, event)
}

/// The field of a record that names the event.
const EVENT: &str = "event_id";

fn event(id: i64) -> Result<EventId, Vec<FieldError>> {
    match i32::try_from(id) {
        Ok(id @ 1..) => Ok(EventId::new(id)),
        _ => {
            let message = format!("must be a whole number from 1 to {}, or absent; got {id}", i32::MAX);
            Err(vec![FieldError::new(EVENT, message)])
        }
    }
}

/// Puts the two together, or what is wrong with either.
fn of_event(location: Result<NewLocation>, event: Result<Option<EventId>, Vec<FieldError>>) -> Result<NewLocation> {
    match (location, event) {
        (Ok(location), Ok(None)) => Ok(location),
        (Ok(location), Ok(Some(event))) => Ok(location.of_event(event)),
        (Err(Error::Invalid(mut errors)), Err(more)) => {
            errors.extend(more);
            Err(Error::Invalid(errors))
        }
        (Err(error), _) => Err(error),
        (Ok(_), Err(errors)) => Err(Error::Invalid(errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LocationInput;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn read(value: &[u8], content_type: Option<&str>) -> Result<NewLocation> {
        decode(Some(value), content_type.map(str::as_bytes), Some(at(1_779_999_999)), TimeDelta::minutes(5))
    }

    fn refused(value: &[u8], content_type: Option<&str>) -> Vec<String> {
        match read(value, content_type) {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
            other => panic!("must be refused: {other:?}"),
        }
    }

    #[test]
    fn json_as_old_and_new_clients_write_it() {
        let new = br#"{"person_id": 7, "latitude": 35.5, "longitude": -106.25, "creation_time": "2026-05-28T20:00:00+02:00", "accuracy_m": 4}"#;
        let old = br#" {"person_id": 7, "latitude": "35.5", "longitude": " -106.25", "id": 3, "creation_time": "2026-05-28 18:00:00"}"#;
        let location = read(new, Some("Application/JSON; charset=utf-8")).unwrap();
        assert_eq!(location.coordinate().longitude(), -106.25);
        assert_eq!(location.accuracy_m(), Some(4.0));
        assert_eq!(read(old, Some(JSON)).unwrap().identity(), location.identity());
        assert_eq!(read(old, None).unwrap().identity(), location.identity());
    }

    #[test]
    fn a_location_without_a_time_was_made_when_the_record_was() {
        let location = read(br#"{"person_id":1,"latitude":0,"longitude":1}"#, Some(JSON)).unwrap();
        assert_eq!(location.creation_time(), at(1_779_999_999));
    }

    #[test]
    fn a_time_is_the_nearest_microsecond_and_of_the_years_1_to_9999() {
        let json = |time: &str| format!(r#"{{"person_id":1,"latitude":0,"longitude":1,"creation_time":"{time}"}}"#);
        let text = |time: &str| read(json(time).as_bytes(), None).map(|location| location.creation_time());
        let message = |seconds, nanos| {
            let creation_time = Some(prost_types::Timestamp { seconds, nanos });
            let (latitude, longitude) = (Some(0.0), Some(1.0));
            proto::LocationRecorded { person_id: 1, latitude, longitude, creation_time, ..Default::default() }
                .encode_to_vec()
        };
        let expected = DateTime::from_timestamp_micros(1_779_999_006_800_000).unwrap();
        assert_eq!(text("2026-05-28T20:10:06.799999952Z").unwrap(), expected);
        assert_eq!(text("2026-05-28T20:10:06.8Z").unwrap(), expected);
        for nanos in [800_000_000, 799_999_952] {
            assert_eq!(read(&message(1_779_999_006, nanos), None).unwrap().creation_time(), expected);
        }
        for seconds in [-62_135_596_801, 253_402_300_800, i64::MIN, i64::MAX] {
            assert_eq!(refused(&message(seconds, 0), None), ["creation_time"], "{seconds}");
        }
        for time in ["0000-12-31T23:59:59Z", "-4800-01-01T00:00:00Z", "10000-01-01T00:00:00Z"] {
            assert_eq!(refused(json(time).as_bytes(), None), ["creation_time"], "{time}");
        }
    }

    #[test]
    fn the_records_time_is_the_clock_and_an_incredible_one_is_none() {
        let made = |creation_time: Option<&str>, timestamp: DateTime<Utc>| {
            let value =
                serde_json::json!({"person_id": 1, "latitude": 0, "longitude": 1, "creation_time": creation_time});
            decode(Some(value.to_string().as_bytes()), Some(JSON.as_bytes()), Some(timestamp), TimeDelta::minutes(5))
        };
        // Whenever these are read.
        for year in ["2001", "2026", "2099"] {
            let at = |time: &str| format!("{year}-06-02T{time}Z");
            let timestamp: DateTime<Utc> = at("10:00:00").parse().unwrap();
            assert!(made(Some(&at("10:05:00")), timestamp).is_ok(), "{year}");
            assert!(made(Some(&at("10:05:01")), timestamp).is_err(), "{year}");
        }
        for none in [at(-1), at(0), at(5_000_000_000), DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert!(made(Some("2026-06-02T10:00:00Z"), none).is_ok(), "{none}");
            assert!(made(Some("2100-06-02T10:00:00Z"), none).is_err(), "{none}");
            let error = made(None, none).unwrap_err().to_string();
            assert!(error.starts_with("creation_time: is required"), "{error}");
        }
    }

    #[test]
    fn of_a_record_without_a_time_the_location_must_have_one() {
        let read = |value: &[u8]| decode(Some(value), None, None, TimeDelta::minutes(5));
        let none =
            proto::LocationRecorded { person_id: 1, latitude: Some(1.0), longitude: Some(2.0), ..Default::default() };
        for value in [br#"{"person_id":1,"latitude":1,"longitude":2}"#.to_vec(), none.encode_to_vec()] {
            assert!(read(&value).unwrap_err().to_string().contains("creation_time"));
        }
        assert!(read(br#"{"person_id":1,"latitude":1,"longitude":2,"creation_time":"2026-05-01T00:00:00Z"}"#).is_ok());
    }

    #[test]
    fn whom_a_record_names_can_be_read_whatever_else_is_wrong() {
        for (value, wanted) in [
            (&br#"{"person_id": 7, "latitude": "north"}"#[..], Some(7)),
            (br#"{"person_id": " 7 "}"#, Some(7)),
            (br#"{"person_id": -7}"#, None),
            (br#"{"person_id": [7]}"#, None),
            (br#"{"person_id": 7"#, None),
            (b"[]", None),
            (b"\x08\x07", Some(7)),
            (b"\xff", None),
            (b"", None),
        ] {
            assert_eq!(person_named(value, None), wanted, "{value:?}");
        }
        assert_eq!(person_named(br#"{"person_id": 7}"#, Some(b"application/json")), Some(7));
    }

    #[test]
    fn a_record_may_name_its_event() {
        let json = |event: &str| format!(r#"{{"person_id":1,"latitude":0,"longitude":1,"event_id":{event}}}"#);
        let message = |event_id| {
            let (latitude, longitude) = (Some(0.0), Some(1.0));
            proto::LocationRecorded { person_id: 1, latitude, longitude, event_id, ..Default::default() }
                .encode_to_vec()
        };
        let event = |value: &[u8]| read(value, None).map(|location| location.event_id().map(EventId::get));
        for (text, id) in [("7", Some(7)), ("\"7\"", Some(7)), ("2147483647", Some(i32::MAX)), ("null", None)] {
            assert_eq!(event(json(text).as_bytes()).unwrap(), id, "{text}");
            assert_eq!(event(&message(id)).unwrap(), id);
        }
        for wrong in ["0", "-1", "2147483648", "1.5", "\"x\"", "[1]", "true"] {
            assert_eq!(refused(json(wrong).as_bytes(), None), ["event_id"], "{wrong}");
        }
        assert_eq!(refused(&message(Some(-1)), None), ["event_id"]);
        assert_eq!(
            refused(br#"{"person_id":0,"latitude":0,"longitude":1,"event_id":0}"#, None),
            ["person_id", "event_id"]
        );
        assert_eq!(refused(br#"{"person_id":1,"latitude":0,"longitude":1,"eventId":1}"#, None), ["eventId"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refused(b"not json", Some(JSON)), ["value"]);
        assert_eq!(refused(b"[]", Some(JSON)), ["value"]);
        assert_eq!(refused(b"", None), ["latitude", "longitude"]);
        assert_eq!(refused(b"\xff\xff", None), ["value"]);
        assert_eq!(refused(b"{}", Some("text/plain")), [CONTENT_TYPE]);
        assert_eq!(
            refused(
                br#"{"person_id":1.5,"latitude":"north","longitude":null,"creation_time":7,"accuracy_m":"x"}"#,
                Some(JSON)
            ),
            ["person_id", "latitude", "longitude", "creation_time", "accuracy_m"]
        );
        assert_eq!(refused(br#"{"person_id":1,"latitude":91,"longitude":1e400}"#, Some(JSON)), ["value"]);
        // What is no fix at all, as at every door.
        assert_eq!(refused(br#"{"person_id":1,"latitude":0,"longitude":"-0"}"#, Some(JSON)), ["latitude"]);
        let none = |seconds, accuracy_m| {
            let creation_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
            let (latitude, longitude) = (Some(35.5), Some(-106.5));
            let message = proto::LocationRecorded {
                person_id: 1,
                latitude,
                longitude,
                creation_time,
                accuracy_m,
                event_id: None,
            };
            refused(&message.encode_to_vec(), Some(PROTOBUF))
        };
        assert_eq!(none(946_684_799, None), ["creation_time"]);
        assert_eq!(none(1_779_000_000, Some(-1.0)), ["accuracy_m"]);
        assert_eq!(refused(br#"{"person_id":1,"latitude":"NaN","longitude":"1"}"#, Some(JSON)), ["latitude"]);
        assert!(decode(None, None, Some(at(1_779_999_999)), TimeDelta::zero()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            person_id in 1..i64::MAX, latitude in -90.0..=90.0, longitude in -180.0..=180.0,
            micros in 946_684_800_000_000_i64..1_779_999_999_000_000, accuracy_m in proptest::option::of(0.0..1e9),
            event in proptest::option::of(1..i32::MAX),
        ) {
            let creation_time = DateTime::from_timestamp_micros(micros);
            let input = LocationInput { person_id, latitude, longitude, creation_time, accuracy_m };
            let location = NewLocation::new(input, at(1_780_000_000), TimeDelta::zero()).unwrap();
            let location = match event {
                Some(event) => location.of_event(EventId::new(event)),
                None => location,
            };
            prop_assert_eq!(read(&encode(&location), Some(PROTOBUF)).unwrap(), location.clone());
            prop_assert_eq!(read(&encode(&location), None).unwrap(), location);
        }

        #[test]
        fn no_bytes_make_it_panic(value: Vec<u8>, json: bool) {
            let _ = read(&value, Some(if json { JSON } else { PROTOBUF }));
        }
    }
}
