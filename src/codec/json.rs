//! A location as a JSON object: the same in a REST request and in a Kafka record.

use super::Fields;
use crate::domain::{FieldError, LocationDraft, LocationInput, parse_time};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// The names in a location's object. `id` may be there, as in an answer that is sent back; the store gives ids, so it is
/// not read.
pub const LOCATION_FIELDS: &[&str] = &["id", "person_id", "latitude", "longitude", "creation_time", "accuracy_m"];

/// Reads a location; `whole` names the object when it is none.
pub fn read_location(value: Value, whole: &str) -> LocationDraft {
    let mut fields = match Fields::of(value, whole, LOCATION_FIELDS) {
        Ok(fields) => fields,
        Err(errors) => return errors.into(),
    };
    let input = LocationInput {
        person_id: fields.integer("person_id").unwrap_or(1),
        latitude: fields.number("latitude").unwrap_or(1.0),
        longitude: fields.number("longitude").unwrap_or(1.0),
        creation_time: creation_time(&mut fields),
        accuracy_m: fields.optional_number("accuracy_m"),
    };
    LocationDraft::new(input, fields.errors())
}

fn creation_time(fields: &mut Fields) -> Option<DateTime<Utc>> {
    let error = match fields.optional("creation_time")? {
        Value::String(text) => match parse_time(&text) {
            Ok(time) => return Some(time),
            Err(error) => error,
        },
        other => format!("must be a text such as \"2026-06-02T10:00:00Z\"; got {}", super::fields::kind(&other)),
    };
    fields.push(FieldError::new("creation_time", error));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use serde_json::json;

    fn wrong_fields(value: Value) -> Vec<String> {
        let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        let errors = read_location(value, "body").check(now, TimeDelta::minutes(5)).err().unwrap_or_default();
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn numbers_may_be_texts() {
        assert!(wrong_fields(json!({"person_id": 1, "latitude": "35.0", "longitude": "-106.5"})).is_empty());
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let wrong = json!({"person_id": true, "latitude": 95, "longitude": "NaN", "creation_time": "2020-02-30", "accuracy_m": -1});
        assert_eq!(wrong_fields(wrong), ["person_id", "creation_time", "latitude", "longitude", "accuracy_m"]);
        assert_eq!(wrong_fields(json!([])), ["body"]);
        assert_eq!(wrong_fields(json!({})), ["person_id", "latitude", "longitude"]);
    }
}
