//! An event as a JSON object, and as a message of gRPC.

use super::{Fields, from_duration, from_timestamp, proto, to_duration, to_timestamp};
use crate::domain::{
    Access, Event, EventChange, EventSettings, FieldError, MeetingRule, Moment, TimeRange, parse_duration, quoted,
};
use chrono::TimeDelta;
use serde_json::Value;

/// The names in an event's object. `id` may be there, as in an answer that is sent back; the store gives ids, so it is not read.
pub const EVENT_FIELDS: &[&str] = &[
    "id",
    "slug",
    "name",
    "time_zone",
    "begins",
    "ends",
    "access",
    "distance_m",
    "within",
    "gap",
    "retention_days",
    "k",
];

/// What an object says of an event: its slug, if it names one, and the rest. What cannot be read is absent from both, and among
/// the errors: so that what can be read is checked all the same, and everything that is wrong is named at once.
pub fn read_event(value: Value, whole: &str) -> (Option<String>, EventChange, Vec<FieldError>) {
    let mut fields = match Fields::of(value, whole, EVENT_FIELDS) {
        Ok(fields) => fields,
        Err(errors) => return (None, EventChange::default(), errors),
    };
    let slug = fields.given(SLUG).and_then(|value| text(&mut fields, SLUG, value));
    let name = fields.given("name").and_then(|value| text(&mut fields, "name", value));
    let time_zone = fields.given("time_zone").and_then(|value| text(&mut fields, "time_zone", value));
    let access = fields.given("access").and_then(|value| text(&mut fields, "access", value));
    let change = EventChange {
        name,
        time_zone,
        begins: moment(&mut fields, "begins"),
        ends: moment(&mut fields, "ends"),
        access: access.and_then(|text| fields.keep(Access::parse("access", &text))),
        distance_m: fields.given("distance_m").and_then(|value| fields.as_number("distance_m", value)),
        within: length(&mut fields, "within"),
        gap: length(&mut fields, "gap"),
        retention_days: match fields.nullable("retention_days") {
            Some(Some(value)) => fields.as_integer("retention_days", value).map(Some),
            Some(None) => Some(None),
            None => None,
        },
        k: fields.given("k").and_then(|value| fields.as_integer("k", value)),
    };
    (slug, change, fields.errors())
}

const SLUG: &str = "slug";

fn text(fields: &mut Fields, name: &str, value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        other => fields.wrong(name, "a text", &other),
    }
}

/// A date or a time, or null.
fn moment(fields: &mut Fields, name: &str) -> Option<Option<Moment>> {
    let Some(value) = fields.nullable(name)? else { return Some(None) };
    let read = match value {
        Value::String(text) => Moment::parse(&text).map_err(|message| FieldError::new(name, message)),
        other => {
            let got = super::fields::kind(&other);
            Err(FieldError::new(name, format!("must be a text such as \"2026-06-02\" or null; got {got}")))
        }
    };
    fields.keep(read).map(Some)
}

/// A length of time: seconds, as a number or a text, or ISO 8601.
fn length(fields: &mut Fields, name: &str) -> Option<TimeDelta> {
    let text = match fields.given(name)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        other => return fields.wrong(name, "a number of seconds, or a text such as \"PT5M\"", &other),
    };
    fields.keep(parse_duration(&text).map_err(|message| FieldError::new(name, message)))
}

/// What could not be read, and what is wrong with the rest. Of a field that could not be read nothing more is said, nor of one that
/// is judged by it.
pub fn all_wrong(unread: Vec<FieldError>, wrong: Vec<FieldError>) -> Vec<FieldError> {
    let judged_by = |field: &str| match field {
        "gap" => &["within"][..],
        "rule.gap" => &["rule.within"],
        "begins" | "ends" => &["begins", "ends", "time_zone"],
        _ => &[],
    };
    let mut all = unread;
    let unread: Vec<String> = all.iter().map(|error| error.field.clone()).collect();
    let is_unread = |field: &str| unread.iter().any(|unread| unread == field);
    let news =
        |error: &FieldError| !is_unread(&error.field) && !judged_by(&error.field).iter().any(|other| is_unread(other));
    all.extend(wrong.into_iter().filter(news));
    all
}

/// An event as gRPC shows it.
pub fn event(event: &Event) -> proto::Event {
    let EventSettings { name, time_zone, dates, access, rule, retention_days, k } = &event.settings;
    let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    proto::Event {
        id: event.id.get(),
        slug: event.slug.to_string(),
        name: name.clone(),
        time_zone: time_zone.name().to_owned(),
        begins: dates.map(|dates: TimeRange| to_timestamp(dates.from())),
        ends: dates.map(|dates: TimeRange| to_timestamp(dates.to())),
        access: match access {
            Access::Open => proto::Access::Open,
            Access::Members => proto::Access::Members,
        }
        .into(),
        rule: Some(proto::EncounterRule {
            distance_m: Some(rule.distance_m()),
            within: Some(to_duration(rule.within())),
            gap: Some(to_duration(rule.gap())),
        }),
        retention_days: retention_days.map(whole),
        k: whole(*k),
    }
}

/// The names that may be changed by `UpdateEvent`.
pub const EVENT_PATHS: &[&str] = &[
    "name",
    "time_zone",
    "begins",
    "ends",
    "access",
    "rule",
    "rule.distance_m",
    "rule.within",
    "rule.gap",
    "retention_days",
    "k",
];

/// What a message says of an event, of which `names` tells what is meant; what is meant and absent is taken away, or takes its
/// default. Errors are as in [`read_event`].
pub fn event_change(event: &proto::Event, names: impl Fn(&str) -> bool) -> (EventChange, Vec<FieldError>) {
    let mut errors = Vec::new();
    let rule = event.rule.unwrap_or_default();
    let defaults = MeetingRule::default();
    let time = |given: Option<&prost_types::Timestamp>, field| {
        given.map(|time| from_timestamp(time, field).map(Moment::Time)).transpose()
    };
    let length = |given: Option<&prost_types::Duration>, default, field| {
        given.map_or(Ok(default), |length| from_duration(length, field))
    };
    let ruled = |name| names("rule") || names(name);
    let access = match proto::Access::try_from(event.access) {
        Ok(proto::Access::Unspecified | proto::Access::Open) => Ok(Access::Open),
        Ok(proto::Access::Members) => Ok(Access::Members),
        Err(_) => {
            Err(FieldError::new("access", format!("must be ACCESS_OPEN or ACCESS_MEMBERS; got {}", event.access)))
        }
    };
    fn keep<T>(errors: &mut Vec<FieldError>, result: Result<T, FieldError>) -> Option<T> {
        result.map_err(|error| errors.push(error)).ok()
    }
    let zone = match event.time_zone.as_str() {
        "" => "UTC".to_owned(),
        zone => zone.to_owned(),
    };
    let change = EventChange {
        name: names("name").then(|| event.name.clone()),
        time_zone: names("time_zone").then_some(zone),
        begins: names("begins").then(|| keep(&mut errors, time(event.begins.as_ref(), "begins"))).flatten(),
        ends: names("ends").then(|| keep(&mut errors, time(event.ends.as_ref(), "ends"))).flatten(),
        access: names("access").then(|| keep(&mut errors, access)).flatten(),
        distance_m: ruled("rule.distance_m").then(|| rule.distance_m.unwrap_or(defaults.distance_m())),
        within: ruled("rule.within")
            .then(|| keep(&mut errors, length(rule.within.as_ref(), defaults.within(), "rule.within")))
            .flatten(),
        gap: ruled("rule.gap")
            .then(|| {
                let default = defaults
                    .gap()
                    .max(rule.within.and_then(|within| from_duration(&within, "").ok()).unwrap_or_default());
                keep(&mut errors, length(rule.gap.as_ref(), default, "rule.gap"))
            })
            .flatten(),
        retention_days: names("retention_days").then(|| event.retention_days.map(i64::from)),
        k: names("k").then(|| if event.k == 0 { i64::from(EventSettings::DEFAULT_K) } else { i64::from(event.k) }),
    };
    (change, errors)
}

/// The names that a mask must not have.
pub fn wrong_paths(paths: &[String]) -> Vec<FieldError> {
    if paths.is_empty() {
        return vec![FieldError::new("update_mask", "must name what is to be changed")];
    }
    let wrong = |path: &&String| !EVENT_PATHS.contains(&path.as_str());
    let message = |path: &String| {
        FieldError::new("update_mask", format!("must be of {}; got {}", EVENT_PATHS.join(", "), quoted(path)))
    };
    // A few tell enough.
    paths.iter().filter(wrong).take(5).map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong_fields(value: Value) -> Vec<String> {
        read_event(value, "body").2.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn everything_that_cannot_be_read_is_named_at_once() {
        let wrong = json!({"slug": 1, "name": null, "time_zone": [], "begins": 1, "ends": "soon", "access": "secret",
            "distance_m": "far", "within": "PT", "gap": {}, "retention_days": 1.5, "k": null});
        let mut fields = wrong_fields(wrong);
        fields.sort_unstable();
        let mut all: Vec<&str> = EVENT_FIELDS.iter().copied().filter(|name| *name != "id").collect();
        all.sort_unstable();
        assert_eq!(fields, all);
        assert_eq!(wrong_fields(json!([])), ["body"]);
        assert_eq!(wrong_fields(json!({"timezone": "UTC"})), ["timezone"]);
    }

    #[test]
    fn what_is_absent_is_left_and_null_takes_away() {
        let (slug, change, errors) =
            read_event(json!({"begins": null, "within": 0.5, "gap": "PT5M", "k": "7"}), "body");
        assert!(slug.is_none() && errors.is_empty());
        assert_eq!((change.begins, change.ends), (Some(None), None));
        assert_eq!((change.within, change.gap), (Some(TimeDelta::milliseconds(500)), Some(TimeDelta::minutes(5))));
        assert_eq!((change.k, change.retention_days), (Some(7), None));
    }
}
