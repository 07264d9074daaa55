//! JSON objects as far as somebody reads them: what is large and of no use is never built.
//!
//! `{"a": [0, 0, …]}` of some megabytes would take a hundred as a [`Value`]. Of an object, the members that are known are kept,
//! and the names of a few others, to find misspelt ones; an array or an object in a member is kept as an empty one, which is
//! enough to say that it is one. Nesting costs neither stack nor memory.

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// How many members that are not known are kept of an object, without their values.
const UNKNOWN: usize = 16;
/// The longest name of such a member that is kept, bytes; a longer one is no misspelt one.
const LONGEST: usize = 64;

/// Reads one JSON value, of which an object keeps these members.
pub fn object(bytes: &[u8], known: &[&str]) -> serde_json::Result<Value> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = Shallow { known, members: true }.deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// Reads a JSON array and hands its items over, one by one, as [`object`] would read them. `each` returns false to end the
/// reading, which then is no error. `None` when the value is no array.
pub fn list(bytes: &[u8], known: &[&str], each: impl FnMut(Value) -> bool) -> serde_json::Result<Option<()>> {
    if bytes.trim_ascii_start().first() != Some(&b'[') {
        return serde_json::from_slice::<IgnoredAny>(bytes).map(|_| None);
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut ended = false;
    match (Items { known, each, ended: &mut ended }).deserialize(&mut json) {
        Err(_) if ended => Ok(Some(())),
        Err(error) => Err(error),
        Ok(()) => json.end().map(Some),
    }
}

struct Items<'a, F> {
    known: &'a [&'a str],
    each: F,
    ended: &'a mut bool,
}

impl<'de, F: FnMut(Value) -> bool> DeserializeSeed<'de> for Items<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Value) -> bool> Visitor<'de> for Items<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element_seed(Shallow { known: self.known, members: true })? {
            if !(self.each)(item) {
                *self.ended = true;
                return Err(A::Error::custom("enough"));
            }
        }
        Ok(())
    }
}

/// One value; an object keeps its `members` only at the top.
struct Shallow<'a> {
    known: &'a [&'a str],
    members: bool,
}

impl<'de> DeserializeSeed<'de> for Shallow<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shallow<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        let mut unknown = 0;
        while let Some(name) = object.next_key_seed(Name)? {
            if !self.members {
                object.next_value::<IgnoredAny>()?;
            } else if self.known.contains(&&*name) {
                let value = object.next_value_seed(Shallow { members: false, ..self })?;
                members.insert(name.into_owned(), value);
            } else {
                object.next_value::<IgnoredAny>()?;
                if unknown < UNKNOWN && name.len() <= LONGEST {
                    unknown += 1;
                    members.insert(name.into_owned(), Value::Null);
                }
            }
        }
        Ok(Value::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
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

/// The name of a member, copied only when it is written with escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_nobody_reads_is_not_built() {
        let text = br#"{"a": [1, {"b": 2}], "b": {"a": 1}, "\u0063": "x", "d": {"a": 7}, "a": 2.5}"#;
        assert_eq!(object(text, &["a", "b", "c"]).unwrap(), json!({"a": 2.5, "b": {}, "c": "x", "d": null}));
        let many = format!("{{{}\"a\": 1}}", (0..1_000).map(|i| format!("\"x{i}\": [[]], ")).collect::<String>());
        let Value::Object(kept) = object(many.as_bytes(), &["a"]).unwrap() else { panic!("an object") };
        assert_eq!((kept.len(), &kept["a"]), (UNKNOWN + 1, &json!(1)));
        for wrong in ["", "{", "{\"a\": NaN}", "{} x", "[1,]", "{\"a\": [}"] {
            assert!(object(wrong.as_bytes(), &["a"]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn depth_costs_nothing() {
        let deep = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert_eq!(object(&deep(1_000_000), &[]).unwrap(), json!([]));
        let mut items = Vec::new();
        let member = [b"[{\"a\": ".as_slice(), &deep(1_000_000), b"}]"].concat();
        list(&member, &["a"], |item| {
            items.push(item);
            true
        })
        .unwrap();
        assert_eq!(items, [json!({"a": []})]);
    }

    #[test]
    fn a_list_is_read_as_far_as_it_is_wanted() {
        let mut seen = 0;
        let read = list(b"[1, 2, 3, 4, nonsense", &[], |_| {
            seen += 1;
            seen < 3
        });
        assert_eq!((read.unwrap(), seen), (Some(()), 3));
        assert_eq!(list(b" {\"a\": 1}", &[], |_| true).unwrap(), None);
        for wrong in ["", "[1, 2", "[1] 2", "{", "[1 2]"] {
            assert!(list(wrong.as_bytes(), &[], |_| true).is_err(), "{wrong}");
        }
    }

    proptest! {
        /// What is known and no list or object is as any reader would read it.
        #[test]
        fn known_members_are_as_they_are(
            a in prop_oneof![any::<f64>().prop_map(|x| json!(x)), any::<i64>().prop_map(|x| json!(x)), ".*".prop_map(|x| json!(x)), Just(json!(null)), any::<bool>().prop_map(|x| json!(x))],
        ) {
            let text = json!({"a": a, "other": [a]}).to_string();
            let whole: Value = serde_json::from_str(&text).unwrap();
            let kept = object(text.as_bytes(), &["a"]).unwrap();
            prop_assert_eq!(&kept["a"], &whole["a"]);
        }
    }
}
