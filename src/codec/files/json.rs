//! GeoJSON (RFC 7946) and OwnTracks messages: JSON documents of any length, a feature at a time.

use super::input::{Headed, Place};
use super::owntracks::{self, Message};
use super::value::{self, is_absent, shown};
use super::weighed::{Room, TOO_MANY_PARTS, Weighed};
use super::whose::Claim;
use super::{Bad, Broken, Fix, Item, MAX_OBJECT, Options, Sink, Skip, Who};
use chrono::{DateTime, Utc};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::io::Read;
use std::ops::ControlFlow::{self, Break, Continue};

/// The members of a document that may hold a long list: GeoJSON's, and what OwnTracks Recorder's API answers.
const LISTS: &[&str] = &["features", "data", "locations"];

pub(super) fn read<R: Read>(input: Headed<R>, options: &Options, sink: &mut Sink<'_>) -> Result<(), Broken> {
    let place = input.place();
    place.limit(MAX_OBJECT);
    let mut out = Out { place: place.clone(), room: Room::new(), options, sink, stopped: false };
    let mut json = serde_json::Deserializer::from_reader(input);
    loop {
        let read = Document(&mut out).deserialize(&mut json);
        if out.stopped {
            return Ok(());
        }
        if out.room.is_exceeded() {
            return Err(Broken::at(place.line(), format!("a record {TOO_MANY_PARTS}")));
        }
        read.map_err(|error| broken(&error, &place))?;
        out.room.reset();
        // Several documents may follow each other.
        match json.end() {
            Ok(()) => return Ok(()),
            Err(error) if error.is_io() => return Err(broken(&error, &place)),
            Err(_) => place.mark(),
        }
    }
}

fn broken(error: &serde_json::Error, place: &Place) -> Broken {
    if error.is_io() {
        let text = error.to_string();
        return Broken::at(place.line(), text);
    }
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    let cut = if error.is_eof() { ": the file is cut off" } else { "" };
    Broken::at(error.line() as u64, format!("is not valid JSON at column {}: {what}{cut}", error.column()))
}

/// Where the items of a document go.
struct Out<'a, 's> {
    place: Place,
    room: Room,
    options: &'a Options,
    sink: &'a mut Sink<'s>,
    /// The sink wants no more; the parser is then left by an error that is none.
    stopped: bool,
}

impl Out<'_, '_> {
    fn put<E: serde::de::Error>(&mut self, value: Value, line: u64) -> Result<(), E> {
        self.place.mark();
        self.room.reset();
        match items(value, line, self.options, self.sink) {
            Continue(()) => Ok(()),
            Break(()) => {
                self.stopped = true;
                Err(E::custom("stopped"))
            }
        }
    }
}

/// One document, whose long list is not kept.
struct Document<'o, 'a, 's>(&'o mut Out<'a, 's>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GeoJSON or an OwnTracks message: an object or an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        Elements(self.0).visit_seq(list).map(|_| ())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let line = self.0.place.line();
        let mut members = Map::new();
        let mut listed = false;
        while let Some(name) = object.next_key::<String>()? {
            if LISTS.contains(&name.as_str()) {
                match object.next_value_seed(Elements(self.0))? {
                    None => {
                        listed = true;
                        members.clear();
                    }
                    Some(value) => {
                        members.insert(name, value);
                    }
                }
            } else if listed {
                // What stands beside a list says nothing of its items.
                object.next_value::<IgnoredAny>()?;
                self.0.place.mark();
            } else {
                members.insert(name, object.next_value_seed(Weighed(&self.0.room))?);
            }
        }
        if listed { Ok(()) } else { self.0.put(Value::Object(members), line) }
    }
}

/// The elements of a list, one after the other; what is no list comes back.
struct Elements<'o, 'a, 's>(&'o mut Out<'a, 's>);

impl<'de> DeserializeSeed<'de> for Elements<'_, '_, '_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_, '_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        self.0.place.mark();
        while let Some((value, line)) = list.next_element_seed(Element(self.0))? {
            self.0.put(value, line)?;
        }
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        Weighed(&self.0.room).visit_map(object).map(Some)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Value::Null))
    }
}

/// One element, with the line it begins in.
struct Element<'o, 'a, 's>(&'o Out<'a, 's>);

impl<'de> DeserializeSeed<'de> for Element<'_, '_, '_> {
    type Value = (Value, u64);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let line = self.0.place.line();
        Ok((Weighed(&self.0.room).deserialize(deserializer)?, line))
    }
}

/// Hands out what one JSON value tells: none, one or many locations.
pub(super) fn items(value: Value, line: u64, options: &Options, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let mut object = match value {
        Value::Array(values) => {
            return values.into_iter().try_for_each(|value| items(value, line, options, sink));
        }
        Value::Object(object) => object,
        other => return sink(bad(line, "record", format!("must be a JSON object; got {}", shown(&other.to_string())))),
    };
    if object.contains_key("_type") {
        return sink(own_tracks(&Value::Object(object), line, options));
    }
    match object.get("type").and_then(Value::as_str) {
        Some("FeatureCollection") => match object.remove("features") {
            Some(Value::Array(features)) => items(Value::Array(features), line, options, sink),
            _ => sink(bad(line, "record", "a FeatureCollection must have features, a list")),
        },
        Some("Feature") => feature(&object, line, options, sink),
        Some("Point" | "MultiPoint" | "LineString" | "MultiLineString" | "GeometryCollection") => {
            sink(Item::Skipped { line, why: Skip::NoTime })
        }
        Some("Polygon" | "MultiPolygon" | "Topology") => sink(Item::Skipped { line, why: Skip::OtherKind }),
        Some(other) => sink(bad(
            line,
            "record",
            format!("must be GeoJSON or an OwnTracks message; got the type {:?}", shown(other)),
        )),
        None => sink(bad(line, "record", "must be GeoJSON, with a type, or an OwnTracks message, with a _type")),
    }
}

fn bad(line: u64, field: &'static str, message: impl Into<String>) -> Item {
    Item::Bad { line, bad: Bad::new(field, message) }
}

fn own_tracks(value: &Value, line: u64, options: &Options) -> Item {
    let fix = |report: owntracks::Report| {
        let coordinate = value::position(report.latitude, report.longitude, "correct lat and lon")?;
        // What a topic names is a key, whatever columns of other formats hold.
        let asked = options.columns.person.as_ref().and_then(|name| value.get(name.trim())).map(plain);
        let who = match (&options.person, &options.columns.person, report.user_and_device()) {
            (None, None, Some((user, device))) => Some(Who::Key(owntracks::key(user, device).into())),
            _ => Claim { text: asked.as_deref(), ..Claim::default() }.who(options)?,
        };
        let Some(who) = who else {
            return Err(Bad::new("person", "neither topic nor path say whose it is; say --person WHO"));
        };
        Ok(Fix { line, who, coordinate, time: report.time, accuracy_m: report.accuracy_m })
    };
    match owntracks::read(value) {
        Ok(Message::Location(report)) => match fix(report) {
            Ok(fix) => Item::Fix(fix),
            Err(bad) => Item::Bad { line, bad },
        },
        Ok(Message::Other) => Item::Skipped { line, why: Skip::OtherKind },
        Err(errors) => {
            let field = match errors.first().map(|error| error.field.as_str()) {
                Some("lat") => "latitude",
                Some("lon") => "longitude",
                Some("tst") => "time",
                Some("acc") => "accuracy",
                _ => "record",
            };
            let texts: Vec<String> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
            bad(line, field, texts.join("; "))
        }
    }
}

fn feature(object: &Map<String, Value>, line: u64, options: &Options, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let none = Map::new();
    let properties = match object.get("properties") {
        Some(Value::Object(properties)) => properties,
        Some(Value::Null) | None => &none,
        Some(_) => return sink(bad(line, "record", "the properties of a Feature must be an object or null")),
    };
    match object.get("geometry") {
        Some(Value::Object(geometry)) => match shared(properties, options) {
            Ok(shared) => of_geometry(geometry, &Feature { properties, shared, line, options }, sink),
            Err(bad) => sink(Item::Bad { line, bad }),
        },
        Some(Value::Null) | None => sink(Item::Skipped { line, why: Skip::NoPosition }),
        Some(_) => sink(bad(line, "record", "the geometry of a Feature must be an object or null")),
    }
}

/// A feature while its positions are read.
struct Feature<'a> {
    properties: &'a Map<String, Value>,
    shared: Shared,
    line: u64,
    options: &'a Options,
}

/// What all positions of a feature have in common.
struct Shared {
    who: Who,
    time: Option<DateTime<Utc>>,
    accuracy_m: Option<f64>,
}

fn shared(properties: &Map<String, Value>, options: &Options) -> Result<Shared, Bad> {
    let named = options.columns.of(properties);
    let text = named.person.map(plain);
    let own = |name: &str| properties.get(name).filter(|value| !value.is_null()).map(plain);
    let [id, key] = ["person_id", "external_key"].map(own);
    let [first_name, last_name, company_name] = ["first_name", "last_name", "company_name"].map(own);
    let claim = Claim {
        text: text.as_deref(),
        id: id.as_deref(),
        key: key.as_deref(),
        first_name: first_name.as_deref(),
        last_name: last_name.as_deref(),
        full_name: None,
        company_name: company_name.as_deref(),
        ours: properties.contains_key("external_key") || (id.is_some() && first_name.is_some() && last_name.is_some()),
    };
    let Some(who) = claim.who(options)? else {
        let message = "no property says whose it is; say --person WHO, or name it by --person-column";
        return Err(Bad::new("person", message));
    };
    let time = match named.time {
        Some(Value::Array(_)) | None => None,
        Some(value) => Some(time(value, options)?),
    };
    let accuracy_m = match named.accuracy.map(plain).filter(|text| !is_absent(text)) {
        Some(text) => value::accuracy(value::number(&text).map_err(|message| Bad::new("accuracy", message))?)?,
        None => None,
    };
    Ok(Shared { who, time, accuracy_m })
}

fn of_geometry(geometry: &Map<String, Value>, feature: &Feature<'_>, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let line = feature.line;
    let coordinates = geometry.get("coordinates");
    let wrong = || bad(line, "record", "the coordinates are not as the type of the geometry wants them");
    match geometry.get("type").and_then(Value::as_str) {
        Some("Point") => match (coordinates, feature.shared.time) {
            (Some(Value::Array(position)), _) if position.is_empty() => {
                sink(Item::Skipped { line, why: Skip::NoPosition })
            }
            (Some(_), None) => sink(Item::Skipped { line, why: Skip::NoTime }),
            (Some(position), Some(time)) => sink(item(position, Ok(time), feature)),
            (None, _) => sink(wrong()),
        },
        Some("MultiPoint" | "LineString") => match coordinates {
            Some(Value::Array(positions)) => of_line(positions, times(feature.properties), feature, sink),
            _ => sink(wrong()),
        },
        Some("MultiLineString") => {
            let Some(Value::Array(lines)) = coordinates else { return sink(wrong()) };
            let times = times(feature.properties).and_then(Value::as_array);
            lines.iter().enumerate().try_for_each(|(i, positions)| match positions {
                Value::Array(positions) => of_line(positions, times.and_then(|times| times.get(i)), feature, sink),
                _ => sink(wrong()),
            })
        }
        Some("GeometryCollection") => match geometry.get("geometries") {
            Some(Value::Array(geometries)) => geometries.iter().try_for_each(|geometry| match geometry {
                Value::Object(geometry) => of_geometry(geometry, feature, sink),
                _ => sink(wrong()),
            }),
            _ => sink(wrong()),
        },
        Some("Polygon" | "MultiPolygon") => sink(Item::Skipped { line, why: Skip::OtherKind }),
        _ => sink(bad(line, "record", "the geometry must have a type, one of GeoJSON's")),
    }
}

/// The times of a line's positions, where converters from GPX put them.
fn times(properties: &Map<String, Value>) -> Option<&Value> {
    let nested = || properties.get("coordinateProperties")?.get("times");
    properties.get("coordTimes").or_else(|| properties.get("times")).or_else(nested)
}

fn of_line(positions: &[Value], times: Option<&Value>, feature: &Feature<'_>, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let line = feature.line;
    let Some(Value::Array(times)) = times else { return sink(Item::Skipped { line, why: Skip::NoTime }) };
    if times.len() != positions.len() {
        let message = format!("there are {} positions and {} coordTimes", positions.len(), times.len());
        return sink(bad(line, "time", message));
    }
    positions.iter().zip(times).try_for_each(|(position, at)| match at {
        Value::Null => sink(Item::Skipped { line, why: Skip::NoTime }),
        at => sink(item(position, time(at, feature.options), feature)),
    })
}

fn item(position: &Value, time: Result<DateTime<Utc>, Bad>, feature: &Feature<'_>) -> Item {
    let fix = || {
        let number = |i: usize| position.get(i).and_then(Value::as_f64);
        let (Some(longitude), Some(latitude)) = (number(0), number(1)) else {
            let message = format!("must be a position, [longitude, latitude]; got {}", shown(&position.to_string()));
            return Err(Bad::new("record", message));
        };
        let coordinate = value::position(latitude, longitude, "GeoJSON positions are [longitude, latitude]")?;
        let Shared { who, accuracy_m, .. } = &feature.shared;
        Ok(Fix { line: feature.line, who: who.clone(), coordinate, time: time?, accuracy_m: *accuracy_m })
    };
    match fix() {
        Ok(fix) => Item::Fix(fix),
        Err(bad) => Item::Bad { line: feature.line, bad },
    }
}

fn time(value: &Value, options: &Options) -> Result<DateTime<Utc>, Bad> {
    value::time(&plain(value), options.timezone).map_err(|message| Bad::new("time", message))
}

/// A text or a number as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}
