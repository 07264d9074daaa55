//! The value of a Kafka record ↔ a location.

use super::{location, proto, to_timestamp};
use crate::domain::{Error, FieldError, LocationInput, NewLocation, Result, parse_time};
use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;
use serde_json::Value;

/// The name of the record header that says what the value is.
pub const CONTENT_TYPE: &str = "content-type";
/// What this program writes: [`proto::LocationRecorded`].
pub const PROTOBUF: &str = "application/x-protobuf";
/// What other producers may write: an object with the REST API's field names.
pub const JSON: &str = "application/json";

/// The value of a record, of type [`PROTOBUF`].
pub fn encode(location: &NewLocation) -> Vec<u8> {
    proto::LocationRecorded {
        person_id: location.person_id().get(),
        latitude: Some(location.coordinate().latitude()),
        longitude: Some(location.coordinate().longitude()),
        creation_time: Some(to_timestamp(location.creation_time())),
        accuracy_m: location.accuracy_m(),
    }
    .encode_to_vec()
}

/// Reads a record's value.
///
/// `content_type` decides how; without one, what begins with `{` is JSON, which no [`proto::LocationRecorded`] does. A location
/// without a time was made when the record was (`timestamp`). `now` and `max_ahead` are those of [`NewLocation::new`]. The
/// error is always [`Error::Invalid`]: the same record will never be readable.
pub fn decode(
    value: Option<&[u8]>,
    content_type: Option<&[u8]>,
    timestamp: DateTime<Utc>,
    now: DateTime<Utc>,
    max_ahead: TimeDelta,
) -> Result<NewLocation> {
    let value = value.ok_or_else(|| Error::invalid("value", "must be given; got a record without a value"))?;
    let mut input = match content_type {
        Some(given) if is(given, PROTOBUF) => from_protobuf(value)?,
        Some(given) if is(given, JSON) => from_json(value)?,
        Some(given) => {
            let shown: String = String::from_utf8_lossy(given).chars().take(60).collect();
            return Err(Error::invalid(CONTENT_TYPE, format!("must be {PROTOBUF} or {JSON}; got {shown:?}")));
        }
        None if value.trim_ascii_start().starts_with(b"{") => from_json(value)?,
        None => from_protobuf(value)?,
    };
    input.creation_time = Some(input.creation_time.unwrap_or(timestamp));
    NewLocation::new(input, now, max_ahead)
}

/// Whether a header names this media type, in any case and whatever parameters follow.
fn is(header: &[u8], media_type: &str) -> bool {
    let name = header.split(|byte| *byte == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

fn from_protobuf(value: &[u8]) -> Result<LocationInput> {
    let message = proto::LocationRecorded::decode(value)
        .map_err(|error| Error::invalid("value", format!("must be a udaconnect.v1.LocationRecorded: {error}")))?;
    Ok(location::parts(
        message.person_id,
        message.latitude,
        message.longitude,
        message.creation_time.as_ref(),
        message.accuracy_m,
    )?)
}

fn from_json(value: &[u8]) -> Result<LocationInput> {
    let object: serde_json::Map<String, Value> = serde_json::from_slice(value)
        .map_err(|error| Error::invalid("value", format!("must be a JSON object: {error}")))?;
    let mut errors = Vec::new();
    let mut field =
        |name: &str, allowed: &str, read: &dyn Fn(&Value) -> Option<f64>, required: bool| match object.get(name) {
            None | Some(Value::Null) => {
                if required {
                    errors.push(FieldError::new(name, "must be given"));
                }
                None
            }
            Some(given) => read(given).or_else(|| {
                errors.push(FieldError::new(name, format!("must be {allowed}; got {}", shown(given))));
                None
            }),
        };
    // Old clients send coordinates as text.
    let coordinate = |given: &Value| match given {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    let latitude = field("latitude", "a number from -90 to 90", &coordinate, true);
    let longitude = field("longitude", "a number from -180 to 180", &coordinate, true);
    let accuracy_m = field("accuracy_m", "a number of metres, 0 or more, or absent", &Value::as_f64, false);

    let person_id = match object.get("person_id") {
        None | Some(Value::Null) => Err(FieldError::new("person_id", "must be given")),
        Some(given) => given.as_i64().ok_or_else(|| {
            FieldError::new("person_id", format!("must be a whole number of 1 or more; got {}", shown(given)))
        }),
    };
    let creation_time = match object.get("creation_time") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            parse_time(text).map(Some).map_err(|message| FieldError::new("creation_time", message))
        }
        Some(given) => Err(FieldError::new(
            "creation_time",
            format!("must be a time such as \"2026-06-02T10:00:00Z\"; got {}", shown(given)),
        )),
    };
    match (person_id, latitude, longitude, creation_time) {
        (Ok(person_id), Some(latitude), Some(longitude), Ok(creation_time)) if errors.is_empty() => {
            Ok(LocationInput { person_id, latitude, longitude, creation_time, accuracy_m })
        }
        (person_id, _, _, creation_time) => {
            errors.extend(person_id.err());
            errors.extend(creation_time.err());
            Err(Error::Invalid(errors))
        }
    }
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn read(value: &[u8], content_type: Option<&str>) -> Result<NewLocation> {
        let now = at(1_780_000_000);
        decode(Some(value), content_type.map(str::as_bytes), at(1_779_999_999), now, TimeDelta::minutes(5))
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
        let location = read(br#"{"person_id":1,"latitude":0,"longitude":0}"#, Some(JSON)).unwrap();
        assert_eq!(location.creation_time(), at(1_779_999_999));
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
            ["latitude", "longitude", "accuracy_m", "person_id", "creation_time"]
        );
        assert_eq!(refused(br#"{"person_id":1,"latitude":91,"longitude":1e400}"#, Some(JSON)), ["value"]);
        assert_eq!(refused(br#"{"person_id":1,"latitude":"NaN","longitude":"1"}"#, Some(JSON)), ["latitude"]);
        assert!(decode(None, None, at(0), at(0), TimeDelta::zero()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            person_id in 1..i64::MAX, latitude in -90.0..=90.0, longitude in -180.0..=180.0,
            micros in 0..1_780_000_000_000_000_i64, accuracy_m in proptest::option::of(0.0..1e9),
        ) {
            let creation_time = DateTime::from_timestamp_micros(micros);
            let input = LocationInput { person_id, latitude, longitude, creation_time, accuracy_m };
            let location = NewLocation::new(input, at(1_780_000_000), TimeDelta::zero()).unwrap();
            prop_assert_eq!(read(&encode(&location), Some(PROTOBUF)).unwrap(), location.clone());
            prop_assert_eq!(read(&encode(&location), None).unwrap(), location);
        }

        #[test]
        fn no_bytes_make_it_panic(value: Vec<u8>, json: bool) {
            let _ = read(&value, Some(if json { JSON } else { PROTOBUF }));
        }
    }
}
