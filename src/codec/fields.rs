//! Reads a JSON object field by field, so that everything that is wrong with it is named at once.

use crate::domain::{FieldError, quoted, shown};
use serde_json::{Map, Value};

/// The fields of one JSON object, each read once; errors are collected.
///
/// A field that is not known is ignored, as a newer client may send more than an older server knows, unless it looks like a
/// misspelt name of one that is: ignoring that would lose what was meant.
pub struct Fields {
    object: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// How many misspelt names an error tells of.
const MISSPELT: usize = 5;

impl Fields {
    /// `known` are all the names that may be read. A value that is no object is one error, of the field `whole`.
    pub fn of(value: Value, whole: &str, known: &[&str]) -> Result<Self, Vec<FieldError>> {
        let Value::Object(object) = value else {
            return Err(vec![FieldError::new(whole, format!("must be a JSON object; got {}", kind(&value)))]);
        };
        let errors = object.keys().filter_map(|name| misspelt(name, known)).take(MISSPELT).collect();
        Ok(Self { object, errors })
    }

    /// The fields, or everything that was wrong with them.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(self.errors),
        }
    }

    /// Everything that was wrong with them so far.
    pub fn errors(self) -> Vec<FieldError> {
        self.errors
    }

    pub fn push(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    /// A text that must be there.
    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.required(name)? {
            Value::String(text) => Some(text),
            other => self.wrong(name, "a text", &other),
        }
    }

    /// A whole number that must be there.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        let value = self.required(name)?;
        self.as_integer(name, value)
    }

    /// A whole number, or a text that holds one.
    pub(super) fn as_integer(&mut self, name: &str, value: Value) -> Option<i64> {
        let number = match &value {
            // 7.0 is a whole number to whoever writes JSON from a language with one kind of number.
            Value::Number(n) => n.as_i64().or_else(|| n.as_f64().and_then(whole)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => Some(number),
            None => self.wrong(name, "a whole number from 1 to 9223372036854775807", &value),
        }
    }

    /// A number, or a text that holds one, that must be there. Whether it is in bounds is for the domain to say.
    pub fn number(&mut self, name: &str) -> Option<f64> {
        let value = self.required(name)?;
        self.as_number(name, value)
    }

    /// As [`Fields::number`], but may be absent or null.
    pub fn optional_number(&mut self, name: &str) -> Option<f64> {
        let value = self.optional(name)?;
        self.as_number(name, value)
    }

    /// Takes a value that may be absent or null.
    pub fn optional(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a value that may be null; `None` when it is absent.
    pub fn nullable(&mut self, name: &str) -> Option<Option<Value>> {
        self.object.remove(name).map(|value| Some(value).filter(|value| !value.is_null()))
    }

    /// Takes a value that may be absent, but not null.
    pub fn given(&mut self, name: &str) -> Option<Value> {
        let value = self.nullable(name)?;
        if value.is_none() {
            self.errors.push(FieldError::new(name, "must not be null"));
        }
        value
    }

    /// The value, or its error among the others.
    pub fn keep<T>(&mut self, result: Result<T, FieldError>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    fn required(&mut self, name: &str) -> Option<Value> {
        let value = self.object.remove(name);
        if value.as_ref().is_none_or(Value::is_null) {
            self.errors.push(FieldError::new(name, "is required"));
            return None;
        }
        value
    }

    /// A number, or a text that holds one.
    pub(super) fn as_number(&mut self, name: &str, value: Value) -> Option<f64> {
        let number = match &value {
            Value::Number(n) => n.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => Some(number),
            None => self.wrong(name, "a number", &value),
        }
    }

    pub(super) fn wrong<T>(&mut self, name: &str, allowed: &str, got: &Value) -> Option<T> {
        self.errors.push(FieldError::new(name, format!("must be {allowed}; got {}", kind(got))));
        None
    }
}

/// The error for a name that is not known but looks like one that is.
pub fn misspelt(name: &str, known: &[&str]) -> Option<FieldError> {
    /// Letters to change; more would find likeness where there is none.
    const NEAR: usize = 2;
    /// Bytes beyond which a name is none of ours, however it is spelt: comparing costs the product of both lengths.
    const LONGEST: usize = 64;
    if name.len() > LONGEST || known.contains(&name) {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
    let written = plain(name);
    let meant = known.iter().find(|candidate| {
        let candidate = plain(candidate);
        // A short name is near to everything.
        candidate == written
            || candidate.len() >= 4 && written.len() >= 4 && strsim::osa_distance(&candidate, &written) <= NEAR
    })?;
    Some(FieldError::new(shown(name), format!("is not known; did you mean {meant}?")))
}

fn whole(number: f64) -> Option<i64> {
    // 2^53: beyond it not every whole number is a double, so the one that was meant is not known.
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

/// A value as error texts show it.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_misspelt_name_is_named_and_others_are_ignored() {
        let known = ["person_id", "latitude", "q"];
        for name in ["personId", "Latitude", "lattitude", "latitud", "person-id"] {
            assert!(misspelt(name, &known).is_some(), "{name}");
        }
        for name in ["person_id", "device", "battery", "x", "p", ""] {
            assert!(misspelt(name, &known).is_none(), "{name}");
        }
    }

    #[test]
    fn whole_numbers() {
        let read = |value| Fields::of(json!({ "n": value }), "body", &["n"]).unwrap().integer("n");
        assert_eq!(read(json!(7)), Some(7));
        assert_eq!(read(json!(7.0)), Some(7));
        assert_eq!(read(json!("7")), Some(7));
        for wrong in [json!(7.5), json!(1e30), json!("seven"), json!(true), json!([7]), json!(18446744073709551615u64)]
        {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }
}
