//! OwnTracks JSON, as the app sends it and its Recorder keeps it: of its several `_type`s, `location` is read.

use crate::domain::{FieldError, NoFix, unix_seconds};
use crate::geo::Coordinate;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// The members that are read of a message.
pub const FIELDS: &[&str] = &["_type", "lat", "lon", "acc", "tst", "topic"];

/// A message of the app.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    Location(Report),
    /// Of a kind that tells no location of its own: `lwt`, `transition`, `waypoint`, `card`, …
    Other,
}

/// Where the phone is.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub latitude: f64,
    pub longitude: f64,
    /// When the phone was there, not when it said so.
    pub time: DateTime<Utc>,
    /// Metres; absent when the phone does not know, negative when iOS says that the position is invalid.
    pub accuracy_m: Option<f64>,
    /// `owntracks/USER/DEVICE`, where the sender says it.
    pub topic: Option<String>,
}

impl Report {
    /// User and device as the topic names them.
    pub fn user_and_device(&self) -> Option<(&str, &str)> {
        let mut parts = self.topic.as_deref()?.split('/').skip(1);
        let (user, device) = (parts.next()?, parts.next()?);
        (!user.is_empty() && !device.is_empty()).then_some((user, device))
    }
}

impl Report {
    /// Why it is no fix at all, where that is so.
    pub fn no_fix(&self) -> Option<NoFix> {
        let coordinate = Coordinate::new(self.latitude, self.longitude).ok()?;
        NoFix::of(coordinate, self.time, self.accuracy_m)
    }
}

/// The key of another system's under which a phone's person is stored.
pub fn key(user: &str, device: &str) -> String {
    format!("owntracks:{user}/{device}")
}

/// Reads a message; the errors name every field that is wrong. Numbers are checked by type only: their bounds are the
/// domain's.
pub fn read(value: &Value) -> Result<Message, Vec<FieldError>> {
    let Value::Object(object) = value else {
        return Err(vec![FieldError::new("body", "must be a JSON object with a _type, as the OwnTracks app sends it")]);
    };
    match object.get("_type") {
        Some(Value::String(kind)) if kind == "location" => {}
        Some(Value::String(kind)) if kind == "encrypted" => {
            let message = "must not be encrypted: nobody but the phone has the key; remove the app's encryption key";
            return Err(vec![FieldError::new("_type", message)]);
        }
        Some(Value::String(kind)) if kind.is_empty() => {
            return Err(vec![FieldError::new("_type", "must not be empty")]);
        }
        Some(Value::String(_)) => return Ok(Message::Other),
        Some(other) => return Err(vec![FieldError::new("_type", format!("must be a text; got {}", short(other)))]),
        None => {
            return Err(vec![FieldError::new(
                "_type",
                "is required: there is no _type, so it is no message of the app",
            )]);
        }
    }
    let mut errors = Vec::new();
    let mut number = |name: &str, required: bool| match object.get(name) {
        Some(Value::Number(number)) => number.as_f64(),
        // Recorder and bridges write numbers as texts.
        Some(Value::String(text)) if super::value::number(text).is_ok() => super::value::number(text).ok(),
        Some(Value::Null) | None => {
            if required {
                errors.push(FieldError::new(name, "is required"));
            }
            None
        }
        Some(other) => {
            errors.push(FieldError::new(name, format!("must be a number; got {}", short(other))));
            None
        }
    };
    let (latitude, longitude) = (number("lat", true), number("lon", true));
    let accuracy_m = number("acc", false);
    let seconds = number("tst", true);
    let time = seconds.and_then(|seconds| {
        let time = unix_seconds(seconds);
        if time.is_none() {
            errors.push(FieldError::new("tst", format!("must be Unix time in seconds; got {seconds}")));
        }
        time
    });
    let topic = object.get("topic").and_then(Value::as_str).map(str::to_owned);
    match (latitude, longitude, time) {
        (Some(latitude), Some(longitude), Some(time)) if errors.is_empty() => {
            Ok(Message::Location(Report { latitude, longitude, time, accuracy_m, topic }))
        }
        _ => Err(errors),
    }
}

/// A value as error texts show it.
fn short(value: &Value) -> String {
    super::value::shown(&value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_location_as_the_app_sends_it() {
        let sent = json!({"_type": "location", "tid": "AD", "lat": 35.0585, "lon": -106.5819, "tst": 1780401600, "acc": 12,
            "batt": 80, "conn": "w", "topic": "owntracks/ada/phone", "_id": "1f2e"});
        let Ok(Message::Location(report)) = read(&sent) else { panic!("must be a location") };
        assert_eq!(report.user_and_device(), Some(("ada", "phone")));
        assert_eq!(report.time.to_rfc3339(), "2026-06-02T12:00:00+00:00");
        assert_eq!((report.latitude, report.longitude, report.accuracy_m), (35.0585, -106.5819, Some(12.0)));
    }

    #[test]
    fn others_are_ignored_and_bad_ones_say_what_is_wrong() {
        assert_eq!(read(&json!({"_type": "lwt", "tst": 1})), Ok(Message::Other));
        let fields = |value| read(&value).unwrap_err().into_iter().map(|error| error.field).collect::<Vec<_>>();
        assert_eq!(fields(json!({"_type": "location", "lat": "x", "tst": 1e300})), ["lat", "lon", "tst"]);
        assert_eq!(fields(json!({"lat": 1})), ["_type"]);
        assert_eq!(fields(json!({"_type": ""})), ["_type"]);
        assert_eq!(fields(json!({"_type": "encrypted", "data": ""})), ["_type"]);
        assert_eq!(fields(json!([])), ["body"]);
    }
}
