//! Google's location history in its four forms: Records.json, Semantic Location History, and the Timeline of Android and of iOS.
//!
//! What Google keeps as an observation (a record, a raw signal, a point of a path, where an activity began and ended) is a location;
//! a visit is a conclusion about a place and is left out. Google documents none of them; the forms are described at
//! <https://locationhistoryformat.com>.

use super::json::{plain, put};
use super::value::Parts;
use super::{Item, Options, Sink, Skip};
use crate::domain::parse_time;
use chrono::TimeDelta;
use serde_json::{Map, Value};
use std::ops::ControlFlow::{self, Continue};

type Object = Map<String, Value>;

/// Reads an object if it is one of Google's; `None` when it is not.
pub(super) fn items(object: &Object, line: u64, options: &Options, sink: &mut Sink<'_>) -> Option<ControlFlow<()>> {
    let inner = |name: &str| object.get(name).and_then(Value::as_object);
    if object.contains_key("latitudeE7") || object.contains_key("longitudeE7") {
        return Some(put(record(object, line), options, sink));
    }
    if let Some(Value::Array(points)) = object.get("timelinePath") {
        let start = object.get("startTime").and_then(Value::as_str);
        return Some(points.iter().try_for_each(|point| put(path_point(point, start, line), options, sink)));
    }
    if let Some(position) = inner("position") {
        let (latitude, longitude) = pair(position.get("LatLng").or_else(|| position.get("latLng")));
        let parts = Parts {
            line,
            latitude,
            longitude,
            time: position.get("timestamp").map(plain),
            accuracy: position.get("accuracyMeters").map(plain),
            skip: None,
        };
        return Some(put(parts, options, sink));
    }
    if let Some(activity) =
        inner("activity").filter(|activity| activity.contains_key("start") || activity.contains_key("end"))
    {
        let ends = [("start", "startTime"), ("end", "endTime")];
        return Some(ends.into_iter().try_for_each(|(place, time)| {
            let place = activity.get(place).map(|place| place.get("latLng").unwrap_or(place));
            let (latitude, longitude) = pair(place);
            put(
                Parts { line, latitude, longitude, time: object.get(time).map(plain), ..Parts::default() },
                options,
                sink,
            )
        }));
    }
    if let Some(segment) = inner("activitySegment") {
        return Some(semantic(segment, line, options, sink));
    }
    const CONCLUSIONS: &[&str] =
        &["visit", "placeVisit", "timelineMemory", "activityRecord", "wifiScan", "timelinePath"];
    CONCLUSIONS
        .iter()
        .any(|name| object.contains_key(*name))
        .then(|| sink(Item::Skipped { line, why: Skip::OtherKind }))
}

/// A record of Records.json, or a place of the Semantic Location History.
fn record(object: &Object, line: u64) -> Parts {
    let degrees = |name: &str| object.get(name).and_then(e7);
    let time = ["timestamp", "timestampMs"].iter().find_map(|name| object.get(*name));
    Parts {
        line,
        latitude: degrees("latitudeE7"),
        longitude: degrees("longitudeE7"),
        time: time.map(plain),
        accuracy: object.get("accuracy").map(plain),
        skip: None,
    }
}

/// Ten-millionths of a degree as degrees, exactly. Older exports hold negative ones as if they were unsigned.
fn e7(value: &Value) -> Option<String> {
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    let number = if number > 1_800_000_000 { number - (1 << 32) } else { number };
    let (sign, size) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    Some(format!("{sign}{}.{:07}", size / 10_000_000, size % 10_000_000))
}

/// `61.4801°, 23.7601°` of Android and `geo:61.4801,23.7601` of iOS.
fn pair(value: Option<&Value>) -> (Option<String>, Option<String>) {
    let Some(text) = value.and_then(Value::as_str) else { return (None, None) };
    let text = text.strip_prefix("geo:").unwrap_or(text);
    match text.split_once(',') {
        Some((latitude, longitude)) => (Some(latitude.to_owned()), Some(longitude.to_owned())),
        None => (Some(text.to_owned()), None),
    }
}

/// A point of a path, at a time of its own, or so many minutes after the path's start.
fn path_point(point: &Value, start: Option<&str>, line: u64) -> Parts {
    let (latitude, longitude) = pair(point.get("point"));
    let after = || {
        let minutes = plain(point.get("durationMinutesOffsetFromStartTime")?).parse::<f64>().ok()?;
        let minutes = Some(minutes).filter(|minutes| (0.0..=1e6).contains(minutes))?;
        let time = parse_time(start?).ok()?.checked_add_signed(TimeDelta::milliseconds((minutes * 60_000.0) as i64))?;
        Some(time.to_rfc3339())
    };
    Parts { line, latitude, longitude, time: point.get("time").map(plain).or_else(after), ..Parts::default() }
}

/// An activity of the Semantic Location History: where it began and ended, and the points between that have times.
fn semantic(segment: &Object, line: u64, options: &Options, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let time = |name: &str| {
        let duration = segment.get("duration")?;
        duration.get(name).or_else(|| duration.get(format!("{name}Ms"))).map(plain)
    };
    let end = |place: &str, at: &str, sink: &mut Sink<'_>| match segment.get(place).and_then(Value::as_object) {
        Some(object) if object.contains_key("latitudeE7") => {
            let parts = Parts { time: time(at), accuracy: None, ..record(object, line) };
            put(parts, options, sink)
        }
        _ => Continue(()),
    };
    end("startLocation", "startTimestamp", sink)?;
    let points = segment.get("simplifiedRawPath").and_then(|path| path.get("points")).and_then(Value::as_array);
    points.into_iter().flatten().try_for_each(|point| {
        let parts = Parts {
            line,
            latitude: point.get("latE7").and_then(e7),
            longitude: point.get("lngE7").and_then(e7),
            time: point.get("timestamp").or_else(|| point.get("timestampMs")).map(plain),
            accuracy: point.get("accuracyMeters").map(plain),
            skip: None,
        };
        put(parts, options, sink)
    })?;
    end("endLocation", "endTimestamp", sink)
}
