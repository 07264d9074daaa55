//! JSON values of a bounded number: eight megabytes of `[0,0,…]` would take some hundred as a [`Value`].

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// The most values in one record: a line of some 150,000 positions with their times.
const MOST: usize = 600_000;

/// Reads one value, and counts what is in it.
pub(super) struct Bounded<'a> {
    left: &'a Cell<usize>,
}

/// Reads a value of at most [`MOST`] values in all, itself included.
pub(super) fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let left = Cell::new(MOST);
    Bounded { left: &left }.deserialize(deserializer)
}

/// Reads one from bytes that hold nothing else.
pub(super) fn from_slice(bytes: &[u8]) -> serde_json::Result<Value> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = value(&mut json)?;
    json.end()?;
    Ok(value)
}

impl Bounded<'_> {
    fn again(&self) -> Self {
        Bounded { left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => {
                let message = format!("a record has more than {MOST} values, which is not allowed");
                return Err(D::Error::custom(message));
            }
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.again())? {
            values.push(value);
        }
        // Positions are many, and a list grows to four at first.
        values.shrink_to_fit();
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key()? {
            members.insert(name, object.next_value_seed(self.again())?);
        }
        Ok(Value::Object(members))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_they_are_until_there_are_too_many() {
        let text = r#"{"a": [1, -2, 3.5, "x", null, true, {"b": []}]}"#;
        assert_eq!(from_slice(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        let many = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
        assert!(from_slice(many(MOST).as_bytes()).is_ok());
        assert!(from_slice(many(MOST + 1).as_bytes()).unwrap_err().to_string().contains("more than"));
        assert!(from_slice(b"1 2").is_err());
    }
}
