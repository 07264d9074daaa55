//! JSON values whose cost is counted while they are read: `[],` is three bytes of a file and forty times as many of memory.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// What a list costs when it has its first element, which makes room for four, in bytes.
const LIST: usize = 4 * size_of::<Value>() + 16;
/// What an object costs when it has its first member, which makes room for eleven.
const OBJECT: usize = 11 * (size_of::<Value>() + size_of::<String>()) + 32;
/// What a value costs in a list or an object: its place, and what growing needs beside it.
const PLACE: usize = 2 * size_of::<Value>();

/// What is said of a record that is given up.
pub(super) const TOO_MANY_PARTS: &str = "has too many parts; split it, for example a track by hours";

/// How much one record may still cost, in bytes.
#[derive(Debug)]
pub(super) struct RecordBudget {
    left: Cell<usize>,
    exceeded: Cell<bool>,
}

impl RecordBudget {
    pub(super) fn new() -> Self {
        Self { left: Cell::new(super::MAX_KEPT), exceeded: Cell::new(false) }
    }

    /// The next record begins.
    pub(super) fn reset(&self) {
        self.left.set(super::MAX_KEPT);
        self.exceeded.set(false);
    }

    /// Counts the name of an object's member; whether the budget allows it.
    pub(super) fn has_for_member(&self, name: &str) -> bool {
        self.take::<serde::de::value::Error>(name.len() + PLACE + size_of::<String>()).is_ok()
    }

    /// Whether a record was given up since it would have cost too much.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded.get()
    }

    fn take<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.unwrap_or_default());
        self.exceeded.set(left.is_none());
        left.map(|_| ()).ok_or_else(|| E::custom("too many parts"))
    }
}

/// Reads a value as far as the budget allows.
#[derive(Clone, Copy)]
pub(super) struct Weighed<'r>(pub &'r RecordBudget);

impl<'de> DeserializeSeed<'de> for Weighed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Weighed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            self.0.take(if values.is_empty() { LIST } else { PLACE })?;
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            self.0.take(name.len() + if members.is_empty() { OBJECT } else { PLACE + size_of::<String>() })?;
            let value = object.next_value_seed(self)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.0.take(text.len())?;
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
    use proptest::prelude::*;

    fn read(text: &str, budget: &RecordBudget) -> serde_json::Result<Value> {
        Weighed(budget).deserialize(&mut serde_json::Deserializer::from_str(text))
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()).prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_is_what_it_would_be_otherwise(value in any_json()) {
            let text = value.to_string();
            prop_assert_eq!(read(&text, &RecordBudget::new()).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
        }
    }

    #[test]
    fn what_would_cost_too_much_is_given_up() {
        for part in ["[1],", "{\"a\":1},", "[[[[1]]]],", "[1,2],"] {
            let budget = RecordBudget::new();
            let text = format!("[{}0]", part.repeat(super::super::MAX_OBJECT / part.len()));
            assert!(read(&text, &budget).is_err() && budget.is_exceeded(), "{part}");
            assert!(read("[1]", &budget).is_err(), "nothing more until the next record");
            budget.reset();
            assert!(read("[1]", &budget).is_ok());
        }
        // As large as a track is in one feature.
        let track = format!("[{}0]", "[-106.581912,35.058512,1600.5],\"2026-06-02T10:00:00Z\",".repeat(150_000));
        assert!(track.len() <= super::super::MAX_OBJECT);
        assert!(read(&track, &RecordBudget::new()).is_ok());
    }
}
