//! A location as a JSON object: the same in a REST request and in a Kafka record.

use super::Fields;
use crate::domain::{FieldError, LocationInput, NewLocation, parse_time};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// The names in a location's object. `id` may be there, as in an answer that is sent back; the store gives ids, so it is
/// not read.
pub const LOCATION_FIELDS: &[&str] = &["id", "person_id", "latitude", "longitude", "creation_time", "accuracy_m"];

/// Reads and checks a location; the error names every field that is wrong. `whole` names the object when it is none; `now`
/// and `max_ahead` are as in [`NewLocation::new`].
pub fn read_location(
    value: Value,
    whole: &str,
    now: DateTime<Utc>,
    max_ahead: TimeDelta,
) -> Result<NewLocation, Vec<FieldError>> {
    let mut fields = Fields::of(value, whole, LOCATION_FIELDS)?;
    // In place of what cannot be read something valid is checked, so that errors of type and of bounds come together.
    let input = LocationInput {
        person_id: fields.integer("person_id").unwrap_or(1),
        latitude: fields.number("latitude").unwrap_or(1.0),
        longitude: fields.number("longitude").unwrap_or(1.0),
        creation_time: creation_time(&mut fields),
        accuracy_m: fields.optional_number("accuracy_m"),
    };
    let checked = match NewLocation::new(input, now, max_ahead) {
        Ok(location) => Some(location),
        Err(errors) => {
            errors.into_fields(whole).into_iter().for_each(|error| fields.push(error));
            None
        }
    };
    fields.finish(checked)
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
    use serde_json::json;

    fn wrong_fields(value: Value) -> Vec<String> {
        let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        let errors = read_location(value, "body", now, TimeDelta::minutes(5)).err().unwrap_or_default();
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
