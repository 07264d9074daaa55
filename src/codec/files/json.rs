//! JSON values → locations: GeoJSON (RFC 7946), OwnTracks messages, and objects of other programs.

use super::google;
use super::names::Properties;
use super::owntracks::{self, Message};
use super::value::{self, Parts, is_absent, shown};
use super::whose::Claim;
use super::{Bad, FileFix, Item, Options, Sink, Skip, Who};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use std::ops::ControlFlow;

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
    if let Some(name) = object.get("crs").and_then(foreign_crs) {
        return sink(bad(line, "record", crs_message(&name)));
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
        Some("MovingPoint") => moving(&object, &object, line, options, sink),
        _ => match google::items(&object, line, options, sink) {
            Some(flow) => flow,
            None => record(object, line, options, sink),
        },
    }
}

/// An object of a program's own: a position and a time by their usual names, perhaps inside `location` and `coords`, as
/// Transistor's background geolocation sends them.
fn record(mut object: Map<String, Value>, line: u64, options: &Options, sink: &mut Sink<'_>) -> ControlFlow<()> {
    match object.remove("location") {
        Some(inner @ (Value::Object(_) | Value::Array(_))) => return items(inner, line, options, sink),
        Some(other) => {
            object.insert("location".to_owned(), other);
        }
        None => {}
    }
    let coords = match object.remove("coords") {
        Some(Value::Object(coords)) => coords,
        _ => Map::new(),
    };
    let (outer, inner) = (options.columns.of(&object), options.columns.of(&coords));
    let (latitude, longitude) = (outer.latitude.or(inner.latitude), outer.longitude.or(inner.longitude));
    if latitude.is_none() && longitude.is_none() {
        let message = "must be GeoJSON, with a type, an OwnTracks message, with a _type, or an object with a latitude and a longitude";
        let found =
            object.get("type").or_else(|| object.keys().next().map(|_| &Value::Null)).filter(|value| !value.is_null());
        let found = found.map(|found| format!("; got the type {}", shown(&found.to_string()))).unwrap_or_default();
        return sink(bad(line, "record", format!("{message}{found}")));
    }
    let parts = Parts {
        line,
        latitude: latitude.map(plain),
        longitude: longitude.map(plain),
        time: outer.time.or(inner.time).map(plain),
        accuracy: outer.accuracy.or(inner.accuracy).map(plain),
        skip: marked(&outer).or_else(|| marked(&inner)),
    };
    put_of(parts, outer.person.or(inner.person), &object, options, sink)
}

/// Whether properties mark a record as none.
fn marked(named: &Properties<'_>) -> Option<Skip> {
    let invalid = named.valid.is_some_and(|value| value::says_invalid(&plain(value)));
    let outlier = named.outlier.is_some_and(|value| value::says_outlier(&plain(value)));
    (invalid || outlier).then_some(Skip::Invalid)
}

/// Hands out what the parts tell of the person that the caller or the record names.
pub(super) fn put(parts: Parts, options: &Options, sink: &mut Sink<'_>) -> ControlFlow<()> {
    put_of(parts, None, &Map::new(), options, sink)
}

fn put_of(
    parts: Parts,
    person: Option<&Value>,
    properties: &Map<String, Value>,
    options: &Options,
    sink: &mut Sink<'_>,
) -> ControlFlow<()> {
    let line = parts.line;
    let read = who(person, properties, options)
        .and_then(|who| parts.fix(who, "name them by --latitude-column and --longitude-column", options));
    sink(match read {
        Ok(Ok(fix)) => Item::Fix(fix),
        Ok(Err(why)) => Item::Skipped { line, why },
        Err(bad) => Item::Bad { line, bad },
    })
}

/// Whose a record with these properties is; `person` is what its person column holds.
fn who(person: Option<&Value>, properties: &Map<String, Value>, options: &Options) -> Result<Who, Bad> {
    let text = person.map(plain);
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
    claim.who(options)?.ok_or_else(|| {
        Bad::new("person", "no property says whose it is; say --person WHO, or name it by --person-column")
    })
}

/// A moving point of OGC's Moving Features JSON (<https://docs.ogc.org/is/19-045r3/19-045r3.html>): positions, and when.
fn moving(
    object: &Map<String, Value>,
    geometry: &Map<String, Value>,
    line: u64,
    options: &Options,
    sink: &mut Sink<'_>,
) -> ControlFlow<()> {
    let none = Map::new();
    let properties = object.get("properties").and_then(Value::as_object).unwrap_or(&none);
    match (geometry.get("coordinates"), shared(properties, options)) {
        (_, Err(bad)) => sink(Item::Bad { line, bad }),
        (Some(Value::Array(positions)), Ok(shared)) => {
            of_line(positions, geometry.get("datetimes"), &Feature { properties, shared, line, options }, sink)
        }
        (_, Ok(_)) => sink(bad(line, "record", "a MovingPoint must have coordinates and datetimes, two lists")),
    }
}

/// The name of a coordinate reference system that is not WGS 84 in degrees. RFC 7946 knows no other; older files name one.
pub(super) fn foreign_crs(crs: &Value) -> Option<String> {
    let name = match crs {
        Value::String(name) => name.as_str(),
        _ => crs.get("properties")?.get("name")?.as_str()?,
    };
    let code = name.rsplit([':', '/']).next().unwrap_or(name).trim();
    let known = matches!(code.to_ascii_uppercase().as_str(), "4326" | "CRS84" | "CRS84H" | "4979" | "WGS84" | "WGS 84");
    (!known).then(|| name.to_owned())
}

pub(super) fn crs_message(name: &str) -> String {
    let code = name.rsplit_once("EPSG").map(|(_, code)| code.trim_matches([':', '/']));
    let name =
        code.map_or_else(|| shown(name), |code| format!("EPSG:{}", shown(code.rsplit(':').next().unwrap_or(code))));
    format!("its CRS is {name}, not WGS 84; convert it first, for example with ogr2ogr -t_srs EPSG:4326")
}

fn bad(line: u64, field: &'static str, message: impl Into<String>) -> Item {
    Item::Bad { line, bad: Bad::new(field, message) }
}

pub(super) fn own_tracks(value: &Value, line: u64, options: &Options) -> Item {
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
        value::presence(FileFix { line, who, coordinate, time: report.time, accuracy_m: report.accuracy_m })
    };
    match owntracks::read(value) {
        Ok(Message::Location(report)) => match fix(report) {
            Ok(Ok(fix)) => Item::Fix(fix),
            Ok(Err(why)) => Item::Skipped { line, why },
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
    if let Some(Value::Object(moving_point)) = object.get("temporalGeometry") {
        return moving(object, moving_point, line, options, sink);
    }
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
    /// Why none of them is a location.
    skip: Option<Skip>,
}

fn shared(properties: &Map<String, Value>, options: &Options) -> Result<Shared, Bad> {
    let named = options.columns.of(properties);
    let who = who(named.person, properties, options)?;
    let time = match named.time {
        Some(Value::Array(_)) | None => None,
        Some(value) => Some(time(value, options)?),
    };
    let accuracy_m = match named.accuracy.map(plain).filter(|text| !is_absent(text)) {
        Some(text) => Some(value::number(&text).map_err(|message| Bad::new("accuracy", message))?),
        None => None,
    };
    Ok(Shared { who, time, accuracy_m, skip: marked(&named) })
}

fn of_geometry(geometry: &Map<String, Value>, feature: &Feature<'_>, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let line = feature.line;
    let coordinates = geometry.get("coordinates");
    // Some programs put the times beside the positions.
    let beside = ["times", "coordTimes", "timestamps"].iter().find_map(|name| geometry.get(*name));
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
            Some(Value::Array(positions)) => of_line(positions, times(feature.properties).or(beside), feature, sink),
            _ => sink(wrong()),
        },
        Some("MultiLineString") => {
            let Some(Value::Array(lines)) = coordinates else { return sink(wrong()) };
            let times = times(feature.properties).or(beside).and_then(Value::as_array);
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
    let line = feature.line;
    let fix = || {
        let number = |i: usize| {
            let value = position.get(i)?;
            value.as_f64().or_else(|| value::number(value.as_str()?).ok())
        };
        let (Some(longitude), Some(latitude)) = (number(0), number(1)) else {
            let message = format!("must be a position, [longitude, latitude]; got {}", shown(&position.to_string()));
            return Err(Bad::new("record", message));
        };
        let coordinate = value::position(latitude, longitude, "GeoJSON positions are [longitude, latitude]")?;
        let Shared { who, accuracy_m, skip, .. } = &feature.shared;
        match skip {
            Some(why) => Ok(Err(*why)),
            None => {
                value::presence(FileFix { line, who: who.clone(), coordinate, time: time?, accuracy_m: *accuracy_m })
            }
        }
    };
    match fix() {
        Ok(Ok(fix)) => Item::Fix(fix),
        Ok(Err(why)) => Item::Skipped { line, why },
        Err(bad) => Item::Bad { line, bad },
    }
}

fn time(value: &Value, options: &Options) -> Result<DateTime<Utc>, Bad> {
    value::time(&plain(value), options)
}

/// A text or a number as text.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}
