//! Events: their identity, settings, dates, and changes to them.

use super::location::unset_clock;
use crate::domain::{EARLIEST_FIX, Error, FieldError, Moment, Result, TimeRange, quoted, text};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use std::fmt;
use std::str::FromStr;

/// Which event a row belongs to: from 1 up. Existing data are those of event 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(i32);

impl EventId {
    /// The event that everything belonged to before there were several. Migrations make it.
    pub const FIRST: Self = Self(1);

    /// `id` as the database has it.
    pub fn new(id: i32) -> Self {
        Self(id)
    }

    /// The number that the database has.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event's name in addresses: 1 to 64 of `a` to `z`, `0` to `9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug(String);

impl Slug {
    /// The longest, in characters.
    pub const MAX_CHARS: usize = 64;

    /// `field` is what the caller calls it, for the error.
    pub fn new(field: &str, text: &str) -> Result<Self, FieldError> {
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
        if (1..=Self::MAX_CHARS).contains(&text.len()) && text.chars().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        let most = Self::MAX_CHARS;
        Err(FieldError::new(field, format!("must be 1 to {most} of a to z, 0 to 9 and -; got {}", quoted(text))))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Slug {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new("event", text).map_err(|error| error.message)
    }
}

/// Who may see an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// Those who belong to it.
    Members,
}

impl Access {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Members => "members",
        }
    }

    /// `field` is what the caller calls it, for the error.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        [Self::Open, Self::Members]
            .into_iter()
            .find(|access| access.as_str() == text)
            .ok_or_else(|| FieldError::new(field, format!("must be open or members; got {}", quoted(text))))
    }
}

/// The rule by which two have met, within its bounds: at most `distance_m` metres and `within` apart is a contact, and after a
/// pause of more than `gap` they meet anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeetingRule {
    distance_m: f64,
    within: TimeDelta,
    gap: TimeDelta,
}

impl MeetingRule {
    /// The largest distance, metres.
    pub const MAX_DISTANCE_M: f64 = 1_000.0;
    /// The largest time that two locations in contact may be apart.
    pub const MAX_WITHIN: TimeDelta = TimeDelta::hours(24);
    pub const MAX_GAP: TimeDelta = TimeDelta::hours(24);

    /// `distance_m` is more than 0 and at most [`Self::MAX_DISTANCE_M`], `within` 0 to [`Self::MAX_WITHIN`], `gap` `within` to
    /// [`Self::MAX_GAP`]. The error names every wrong field of `distance`, `within` and `gap`.
    pub fn new(distance_m: f64, within: TimeDelta, gap: TimeDelta) -> Result<Self> {
        let mut errors = Self::wrong_contact(distance_m, Some(within));
        let least = within.clamp(TimeDelta::zero(), Self::MAX_WITHIN);
        if gap < least || gap > Self::MAX_GAP {
            let [least, most, got] = [least, Self::MAX_GAP, gap].map(TimeDelta::as_seconds_f64);
            let message = format!("must be from {least} s (within) to {most} s (24 hours); got {got} s");
            errors.push(FieldError::new("gap", message));
        }
        if errors.is_empty() { Ok(Self { distance_m, within, gap }) } else { Err(Error::Invalid(errors)) }
    }

    /// What is wrong with the `distance` and the `within` of a contact; `None` is unlimited.
    pub fn wrong_contact(distance_m: f64, within: Option<TimeDelta>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        // A NaN fails the comparisons, too.
        if !(distance_m > 0.0 && distance_m <= Self::MAX_DISTANCE_M) {
            let most = Self::MAX_DISTANCE_M;
            let message = format!("must be a number of metres, more than 0 and at most {most}; got {distance_m}");
            errors.push(FieldError::new("distance", message));
        }
        if let Some(within) = within
            && (within < TimeDelta::zero() || within > Self::MAX_WITHIN)
        {
            let [most, got] = [Self::MAX_WITHIN, within].map(TimeDelta::as_seconds_f64);
            errors.push(FieldError::new("within", format!("must be from 0 to {most} s (24 hours); got {got} s")));
        }
        errors
    }

    pub fn distance_m(self) -> f64 {
        self.distance_m
    }

    pub fn within(self) -> TimeDelta {
        self.within
    }

    pub fn gap(self) -> TimeDelta {
        self.gap
    }
}

impl Default for MeetingRule {
    fn default() -> Self {
        Self { distance_m: 10.0, within: TimeDelta::minutes(5), gap: TimeDelta::minutes(10) }
    }
}

/// A conference; everything else belongs to exactly one.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: EventId,
    pub slug: Slug,
    pub settings: EventSettings,
}

impl Event {
    /// How long before it begins and after it ends an event's locations may be.
    pub const MARGIN: TimeDelta = TimeDelta::days(1);

    /// The times that its locations may have: from a day before it begins to a day after it ends, and all when it has no dates;
    /// never before [`EARLIEST_FIX`]. `None` when there are none: it was over by then.
    pub fn times(&self) -> Option<TimeRange> {
        let (from, to) = match self.settings.dates {
            Some(dates) => (dates.from() - Self::MARGIN, dates.to() + Self::MARGIN),
            None => (EARLIEST_FIX, TimeRange::ALL.to()),
        };
        // Dates of the year 9999 have no day after them.
        TimeRange::new(from.max(EARLIEST_FIX), to.min(TimeRange::ALL.to())).ok()
    }

    /// Until when its locations are kept: so many days of 24 hours after it ends. `None`: until somebody deletes them, since it has no
    /// dates or no retention.
    pub fn kept_until(&self) -> Option<DateTime<Utc>> {
        let days = TimeDelta::days(self.settings.retention_days?.into());
        self.settings.dates?.to().checked_add_signed(days)
    }

    /// Whether a location of this event may be of this time; the error is of the field `creation_time`, and names the event's
    /// dates where it is they that refuse.
    pub fn takes(&self, time: DateTime<Utc>) -> Result<(), FieldError> {
        let times = self.times();
        if times.is_some_and(|times| times.contains(time)) {
            return Ok(());
        }
        let (Some(dates), Some(times)) = (self.settings.dates, times) else {
            return Err(unset_clock(time));
        };
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let message = format!(
            "must be from a day before the event {} begins ({}) to a day after it ends ({}), so from {} to before {}; got {}",
            self.slug,
            text(dates.from()),
            text(dates.to()),
            text(times.from()),
            text(times.to()),
            text(time),
        );
        Err(FieldError::new("creation_time", message))
    }
}

/// What can be changed of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct EventSettings {
    /// A [`text::name`] of at most [`EventSettings::MAX_CHARS`] characters.
    pub name: String,
    /// Whose days the event's are.
    pub time_zone: Tz,
    /// From its beginning to before its end.
    pub dates: Option<TimeRange>,
    pub access: Access,
    pub rule: MeetingRule,
    /// How many days locations are kept after the event, 1 to [`EventSettings::MAX_RETENTION_DAYS`]; `None`: until somebody deletes
    /// them. See [`Event::kept_until`].
    pub retention_days: Option<u32>,
    /// A count of fewer people than this is not shown; 1 to [`EventSettings::MAX_K`].
    pub k: u32,
}

/// What is to be changed of an event, not checked yet: what is absent stays. Of the inner options, `None` takes away.
#[derive(Clone, Debug, Default)]
pub struct EventChange {
    pub name: Option<String>,
    pub time_zone: Option<String>,
    pub begins: Option<Option<Moment>>,
    pub ends: Option<Option<Moment>>,
    pub access: Option<Access>,
    pub distance_m: Option<f64>,
    pub within: Option<TimeDelta>,
    pub gap: Option<TimeDelta>,
    pub retention_days: Option<Option<i64>>,
    pub k: Option<i64>,
}

impl EventSettings {
    /// The longest name taken, in characters.
    pub const MAX_CHARS: usize = 200;
    pub const MAX_RETENTION_DAYS: u32 = 36_500;
    pub const MAX_K: u32 = 1_000;
    pub const DEFAULT_K: u32 = 5;

    /// The settings with the changes. A day that the event begins or ends with is one of its zone, as it is after the change. The
    /// error names every wrong field: `name`, `time_zone`, `begins`, `ends`, `distance_m`, `within`, `gap`, `retention_days`, `k`.
    pub fn changed(self, change: EventChange) -> Result<Self> {
        let mut errors = Vec::new();
        let mut keep = |error: FieldError| errors.push(error);
        let name = match change.name {
            Some(name) => text::name("name", &name, Self::MAX_CHARS).map_err(&mut keep).unwrap_or_default(),
            None => self.name,
        };
        let time_zone = match change.time_zone {
            Some(text) => zone("time_zone", &text).map_err(&mut keep).unwrap_or(self.time_zone),
            None => self.time_zone,
        };
        let begins = match change.begins {
            Some(given) => given.map(|moment| moment.beginning(time_zone)),
            None => self.dates.map(TimeRange::from),
        };
        let ends = match change.ends {
            Some(given) => given.map(|moment| moment.end(time_zone)),
            None => self.dates.map(TimeRange::to),
        };
        let dates = dates(begins, ends).map_err(&mut keep).unwrap_or(self.dates);
        let distance_m = change.distance_m.unwrap_or(self.rule.distance_m);
        let (within, gap) = (change.within.unwrap_or(self.rule.within), change.gap.unwrap_or(self.rule.gap));
        let rule = match MeetingRule::new(distance_m, within, gap) {
            Ok(rule) => rule,
            Err(error) => {
                for mut error in error.into_fields("rule") {
                    if error.field == "distance" {
                        error.field = "distance_m".to_owned();
                    }
                    keep(error);
                }
                self.rule
            }
        };
        let retention_days = match change.retention_days {
            Some(Some(days)) => whole("retention_days", days, Self::MAX_RETENTION_DAYS).map_err(&mut keep).ok(),
            Some(None) => None,
            None => self.retention_days,
        };
        let k = match change.k {
            Some(k) => whole("k", k, Self::MAX_K).map_err(&mut keep).unwrap_or(self.k),
            None => self.k,
        };
        let access = change.access.unwrap_or(self.access);
        if errors.is_empty() {
            Ok(Self { name, time_zone, dates, access, rule, retention_days, k })
        } else {
            Err(Error::Invalid(errors))
        }
    }
}

/// An event that is not stored yet.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub slug: Slug,
    pub settings: EventSettings,
}

impl NewEvent {
    /// What is absent takes its default: UTC, no dates, open, 10 m, 5 and 10 minutes, kept for ever, counts of 5 and more. A name
    /// must be given. The error names every wrong field, `slug` among them.
    pub fn new(slug: &str, about: EventChange) -> Result<Self> {
        let mut errors = Vec::new();
        let slug = Slug::new("slug", slug).map_err(|error| errors.push(error)).ok();
        if about.name.is_none() {
            errors.push(FieldError::new("name", "is required"));
        }
        let plain = EventSettings {
            name: String::new(),
            time_zone: Tz::UTC,
            dates: None,
            access: Access::default(),
            rule: MeetingRule::default(),
            retention_days: None,
            k: EventSettings::DEFAULT_K,
        };
        let settings = plain.changed(about).map_err(|error| errors.extend(error.into_fields("event"))).ok();
        match (slug, settings) {
            (Some(slug), Some(settings)) if errors.is_empty() => Ok(Self { slug, settings }),
            _ => Err(Error::Invalid(errors)),
        }
    }
}

/// The time zone of this IANA name; `field` is what the caller calls it, for the error.
pub fn zone(field: &str, text: &str) -> Result<Tz, FieldError> {
    text.parse().map_err(|_| {
        let message = format!("must be a time zone's name such as America/Denver or UTC; got {}", quoted(text));
        FieldError::new(field, message)
    })
}

fn dates(begins: Option<DateTime<Utc>>, ends: Option<DateTime<Utc>>) -> Result<Option<TimeRange>, FieldError> {
    match (begins, ends) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(FieldError::new("ends", "must be given with begins, or neither of the two")),
        (None, Some(_)) => Err(FieldError::new("begins", "must be given with ends, or neither of the two")),
        (Some(begins), Some(ends)) => match TimeRange::new(begins, ends) {
            Ok(dates) => Ok(Some(dates)),
            Err(_) => {
                let [begins, ends] = [begins, ends].map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
                Err(FieldError::new("ends", format!("must be after begins ({begins}); got {ends}")))
            }
        },
    }
}

fn whole(field: &str, number: i64, most: u32) -> Result<u32, FieldError> {
    u32::try_from(number)
        .ok()
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| FieldError::new(field, format!("must be a whole number from 1 to {most}; got {number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(begins: Option<&str>, ends: Option<&str>, zone: &str) -> Event {
        let moment = |text: &str| Moment::parse(text).unwrap();
        let about = EventChange {
            name: Some("Conference".into()),
            time_zone: Some(zone.into()),
            begins: Some(begins.map(moment)),
            ends: Some(ends.map(moment)),
            ..EventChange::default()
        };
        let NewEvent { slug, settings } = NewEvent::new("conf", about).unwrap();
        Event { id: EventId::new(2), slug, settings }
    }

    fn time(text: &str) -> DateTime<Utc> {
        crate::domain::parse_time(text).unwrap()
    }

    fn fields<T: fmt::Debug>(result: Result<T>) -> Vec<String> {
        result.unwrap_err().into_fields("whole").into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn locations_are_taken_from_a_day_before_to_a_day_after() {
        let event = event(Some("2026-06-01"), Some("2026-06-03"), "America/Denver");
        assert_eq!(event.settings.dates.unwrap().from(), time("2026-06-01T06:00:00Z"), "days are the zone's");
        assert_eq!(event.settings.dates.unwrap().to(), time("2026-06-04T06:00:00Z"), "the last day is in it");
        for taken in ["2026-05-31T06:00:00Z", "2026-06-02T12:00:00Z", "2026-06-05T05:59:59.999999Z"] {
            assert_eq!(event.takes(time(taken)), Ok(()), "{taken}");
        }
        for refused in
            ["1970-01-01T00:00:00Z", "2026-05-31T05:59:59.999999Z", "2026-06-05T06:00:00Z", "2036-02-07T06:28:16Z"]
        {
            let message = event.takes(time(refused)).unwrap_err().message;
            for part in ["conf", "2026-06-01T06:00:00Z", "2026-06-04T06:00:00Z", refused] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn locations_are_kept_for_days_after_the_end() {
        let keep = |days: Option<i64>, dates: Option<(&str, &str)>| {
            let mut event = event(dates.map(|dates| dates.0), dates.map(|dates| dates.1), "America/Denver");
            let change = EventChange { retention_days: Some(days), ..EventChange::default() };
            event.settings = event.settings.changed(change).unwrap();
            event.kept_until()
        };
        let june = Some(("2026-06-01", "2026-06-03"));
        assert_eq!(keep(Some(1), june), Some(time("2026-06-05T06:00:00Z")));
        assert_eq!(keep(Some(200), june), Some(time("2026-12-21T06:00:00Z")), "a day has 24 hours, whatever clocks do");
        assert_eq!(keep(None, june), None);
        assert_eq!(keep(Some(1), None), None);
        let longest = EventSettings::MAX_RETENTION_DAYS.into();
        assert!(
            keep(Some(longest), Some(("9999-01-01", "9999-12-31"))).is_some_and(|until| until > time("9999-12-31"))
        );
    }

    /// Also where the dates would have it otherwise.
    #[test]
    fn no_event_takes_times_before_2000() {
        let (first, last) = (time("2000-01-01T00:00:00Z"), time("9999-12-31T23:59:59Z"));
        let before = time("1999-12-31T23:59:59.999999Z");
        for (begins, ends) in [
            (None, None),
            (Some("0001-01-01"), Some("9999-12-31")),
            (Some("1999-06-01"), Some("9999-12-31")),
            (Some("2000-01-01"), Some("9999-12-31")),
        ] {
            let event = event(begins, ends, "Asia/Tokyo");
            assert!(event.takes(first).is_ok() && event.takes(last).is_ok(), "{begins:?}");
            for refused in [before, TimeRange::ALL.from()] {
                let message = event.takes(refused).unwrap_err().message;
                assert!(message.contains("2000"), "{begins:?}: {message}");
            }
        }
        for (begins, ends) in [("0001-01-01", "0001-01-01"), ("1998-06-01", "1998-06-03"), ("1999-12-29", "1999-12-30")]
        {
            let event = event(Some(begins), Some(ends), "UTC");
            assert_eq!(event.times(), None, "{begins}");
            let noon = time(&format!("{begins}T12:00:00Z"));
            assert!(event.takes(noon).unwrap_err().message.contains("2000"), "{begins}");
            assert!(event.takes(first).is_err(), "{begins}");
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let wrong = EventChange {
            name: Some("a\u{202e}b".into()),
            time_zone: Some("Mars/Olympus".into()),
            begins: Some(Some(Moment::parse("2026-06-02").unwrap())),
            ends: Some(None),
            distance_m: Some(f64::NAN),
            within: Some(TimeDelta::hours(25)),
            gap: Some(TimeDelta::seconds(-1)),
            retention_days: Some(Some(0)),
            k: Some(i64::MAX),
            access: None,
        };
        let all = ["name", "time_zone", "ends", "distance_m", "within", "gap", "retention_days", "k"];
        assert_eq!(fields(NewEvent::new("Conf 26", wrong)), [&["slug"][..], &all].concat());
        assert_eq!(fields(NewEvent::new("conf", EventChange::default())), ["name"]);
    }

    #[test]
    fn a_change_leaves_the_rest_and_null_takes_away() {
        let settings = event(Some("2026-06-01"), Some("2026-06-03"), "America/Denver").settings;
        let renamed =
            settings.clone().changed(EventChange { name: Some(" New ".into()), ..EventChange::default() }).unwrap();
        assert_eq!(renamed, EventSettings { name: "New".into(), ..settings.clone() });
        let bare = EventChange { begins: Some(None), ends: Some(None), ..EventChange::default() };
        assert_eq!(settings.clone().changed(bare).unwrap().dates, None);
        let backwards =
            EventChange { ends: Some(Some(Moment::parse("2026-05-01").unwrap())), ..EventChange::default() };
        assert_eq!(fields(settings.clone().changed(backwards)), ["ends"]);
        let wider = EventChange { within: Some(TimeDelta::minutes(11)), ..EventChange::default() };
        assert_eq!(fields(settings.changed(wider)), ["gap"], "a gap is no smaller than within");
    }

    #[test]
    fn slugs() {
        for good in ["a", "demo", "conf-2026", "-", "0", &"x".repeat(64)] {
            assert!(Slug::new("slug", good).is_ok(), "{good}");
        }
        for bad in ["", "Demo", "a b", "a_b", "ä", "a/b", "a\n", &"x".repeat(65)] {
            assert!(Slug::new("slug", bad).is_err(), "{bad}");
        }
    }
}
