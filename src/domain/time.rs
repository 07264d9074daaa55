use super::{Error, FieldError, Result};
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};

/// A half-open stretch of time, `[from, to)`, in UTC. Invariant: `from < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl TimeRange {
    /// Everything that can be written with a four-digit year, and so everything that can be stored.
    pub const ALL: Self = Self {
        from: DateTime::from_timestamp(-62_167_219_200, 0).unwrap(), // 0000-01-01
        to: DateTime::from_timestamp(253_402_300_800, 0).unwrap(),   // 10000-01-01
    };

    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Self> {
        if from < to {
            Ok(Self { from, to })
        } else {
            Err(Error::invalid("end_date", format!("must be after start_date ({from:?}); got {to:?}")))
        }
    }

    /// Reads the two ends as callers write them; a missing one leaves that side open.
    ///
    /// Each is a time ([`parse_time`]) or a date, which stands for its whole day: as an end it includes that day.
    pub fn parse(start_date: Option<&str>, end_date: Option<&str>) -> Result<Self> {
        let mut errors = Vec::new();
        let mut end = |field: &str, text: Option<&str>, open, whole_day: fn(NaiveDate) -> Option<DateTime<Utc>>| {
            let Some(text) = text else { return open };
            let read = match parse_date(text) {
                Some(date) => {
                    whole_day(date).ok_or_else(|| FieldError::new(field, format!("is out of range: {text:?}")))
                }
                None => parse_time(text).map_err(|message| FieldError::new(field, message)),
            };
            read.unwrap_or_else(|error| {
                errors.push(error);
                open
            })
        };
        let midnight = |date: NaiveDate| Some(date.and_time(chrono::NaiveTime::MIN).and_utc());
        let from = end("start_date", start_date, Self::ALL.from, midnight);
        let to = end("end_date", end_date, Self::ALL.to, |date| {
            date.checked_add_days(Days::new(1)).map(|next| next.and_time(chrono::NaiveTime::MIN).and_utc())
        });
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        if from < to {
            Ok(Self { from, to })
        } else {
            Err(Error::invalid(
                "end_date",
                format!(
                    "must be after start_date {:?}; got {:?}",
                    start_date.unwrap_or_default(),
                    end_date.unwrap_or_default()
                ),
            ))
        }
    }

    /// The first instant in the range.
    pub fn from(self) -> DateTime<Utc> {
        self.from
    }

    /// The first instant after the range.
    pub fn to(self) -> DateTime<Utc> {
        self.to
    }

    pub fn contains(self, time: DateTime<Utc>) -> bool {
        self.from <= time && time < self.to
    }
}

/// Cuts a time to whole microseconds, PostgreSQL's resolution. A leap second (`23:59:60`) becomes the second after it,
/// as in POSIX time, which has no place for it.
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    let leap = time.nanosecond() >= 1_000_000_000;
    let time = time.with_nanosecond(time.nanosecond() % 1_000_000_000 / 1_000 * 1_000).unwrap_or(time);
    if leap { time + TimeDelta::seconds(1) } else { time }
}

fn parse_date(text: &str) -> Option<NaiveDate> {
    (text.len() == 10 && begins_with_date(text)).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}

/// Whether the text begins `dddd-dd-dd`: chrono's formats alone also take signs and other lengths.
fn begins_with_date(text: &str) -> bool {
    text.len() >= 10
        && text.is_ascii()
        && text
            .bytes()
            .take(10)
            .enumerate()
            .all(|(i, c)| if matches!(i, 4 | 7) { c == b'-' } else { c.is_ascii_digit() })
}

/// Reads a time: RFC 3339 with an offset, which is converted, or without one, which is UTC.
///
/// `T` or a space may stand between date and time, seconds and fractions may be absent. A space where the `+` of an offset
/// belongs is read as that `+`: it is what an unescaped `+` in a URL turns into. The error is a sentence that quotes the
/// text and shows what is allowed.
///
/// ```
/// use udaconnect::domain::parse_time;
/// let utc = parse_time("2026-06-02T10:00:00Z").unwrap();
/// assert_eq!(parse_time("2026-06-02T12:00:00+02:00").unwrap(), utc);
/// assert_eq!(parse_time("2026-06-02 10:00").unwrap(), utc);
/// assert!(parse_time("2020-02-30T00:00:00Z").is_err());
/// ```
pub fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    let wrong = || {
        let shown: String = text.chars().take(60).collect();
        format!("must be a time such as 2026-06-02T10:00:00Z or a date such as 2026-06-02; got {shown:?}")
    };
    let mut text = text.trim().to_owned();
    if !begins_with_date(&text) {
        return Err(wrong());
    }
    if matches!(text.as_bytes().get(10), Some(b' ' | b't')) {
        text.replace_range(10..11, "T");
    }
    if let Some(at) = text.rfind(' ') {
        text.replace_range(at..=at, "+");
    }
    let parsed = DateTime::parse_from_rfc3339(&text)
        .or_else(|_| DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M%:z"))
        .map(|time| time.to_utc())
        .or_else(|_| {
            let local = text.strip_suffix(['Z', 'z']).unwrap_or(&text);
            ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
                .iter()
                .find_map(|format| NaiveDateTime::parse_from_str(local, format).ok())
                .or_else(|| parse_date(local).map(|date| date.and_time(chrono::NaiveTime::MIN)))
                .map(|time| time.and_utc())
                .ok_or(())
        });
    match parsed {
        Ok(time) if (0..=9999).contains(&time.year()) => Ok(to_micros(time)),
        _ => Err(wrong()),
    }
}

/// Reads a length of time: plain seconds (`300`, `0.5`) or an ISO 8601 duration of weeks, days, hours, minutes and seconds
/// (`PT5M`, `P1DT12H`). Years and months have no fixed length and are refused. Never negative.
///
/// ```
/// use udaconnect::domain::parse_duration;
/// assert_eq!(parse_duration("PT5M").unwrap(), parse_duration("300").unwrap());
/// assert!(parse_duration("-1").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<TimeDelta, String> {
    let wrong = || {
        let shown: String = text.chars().take(60).collect();
        format!("must be a number of seconds such as 300 or an ISO 8601 duration such as PT5M; got {shown:?}")
    };
    let seconds = match text.strip_prefix(['P', 'p']) {
        Some(rest) => iso_seconds(rest),
        None => plain_number(text),
    };
    match seconds {
        // 100 years: more than any bound that follows, less than any overflow.
        Some(seconds) if seconds <= 3_155_760_000.0 => Ok(TimeDelta::microseconds((seconds * 1e6).round() as i64)),
        _ => Err(wrong()),
    }
}

/// Digits with at most one point: no sign, no exponent, no `inf`.
fn plain_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'.') && text.bytes().any(|c| c.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn iso_seconds(text: &str) -> Option<f64> {
    let text = text.to_ascii_uppercase();
    let (date, time) = match text.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return None,
        None => (text.as_str(), ""),
    };
    let parts = |mut text: &str, units: &[(char, f64)]| -> Option<f64> {
        let mut units = units.iter();
        let mut seconds = 0.0;
        while !text.is_empty() {
            let at = text.find(|c: char| c.is_ascii_alphabetic())?;
            let unit = text[at..].chars().next()?;
            // Each unit once, in order: the iterator only moves forward.
            let (_, factor) = units.find(|(name, _)| *name == unit)?;
            seconds += plain_number(&text[..at])? * factor;
            text = &text[at + 1..];
        }
        Some(seconds)
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let days = parts(date, &[('W', 604_800.0), ('D', 86_400.0)])?;
    Some(days + parts(time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        parse_time(text).unwrap()
    }

    #[test]
    fn times_as_people_write_them() {
        let noon = time("2026-06-02T12:00:00Z");
        for text in [
            "2026-06-02T14:00:00+02:00",
            "2026-06-02T14:00:00 02:00",
            "2026-06-02 12:00:00",
            "2026-06-02 12:00:00Z",
            "2026-06-02T12:00",
            "2026-06-02T12:00Z",
            "2026-06-02T14:00+02:00",
            "2026-06-02t12:00:00.000000z",
        ] {
            assert_eq!(time(text), noon, "{text}");
        }
        assert_eq!(time("2016-12-31T23:59:60Z"), time("2017-01-01T00:00:00Z"));
        for text in
            ["", "noon", "2026-06-02T25:00:00Z", "2020-02-30", "2026-6-2T1:00", "+12026-01-01T00:00:00Z", "٢٠٢٦-٠٦-٠٢"]
        {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_end_date_includes_its_day() {
        let range = TimeRange::parse(Some("2026-06-01"), Some("2026-06-03")).unwrap();
        assert!(range.contains(time("2026-06-03T23:59:59.999999Z")));
        assert!(!range.contains(time("2026-06-04T00:00:00Z")));
        let day = TimeRange::parse(Some("2026-06-01"), Some("2026-06-01")).unwrap();
        assert_eq!(day.to() - day.from(), TimeDelta::days(1));
    }

    #[test]
    fn an_end_time_is_exclusive_and_must_come_after_the_start() {
        let range = TimeRange::parse(Some("2026-06-01T00:00:00Z"), Some("2026-06-03T10:00:00Z")).unwrap();
        assert!(!range.contains(time("2026-06-03T10:00:00Z")));
        assert!(TimeRange::parse(Some("2026-06-03T10:00:00Z"), Some("2026-06-03T10:00:00Z")).is_err());
        assert!(TimeRange::parse(Some("2026-06-02"), Some("2026-06-01")).is_err());
    }

    #[test]
    fn durations() {
        for (text, seconds) in
            [("0", 0), ("300", 300), ("PT5M", 300), ("P1DT1H", 90_000), ("P2W", 1_209_600), ("pt1h30m5s", 5_405)]
        {
            assert_eq!(parse_duration(text).unwrap(), TimeDelta::seconds(seconds), "{text}");
        }
        assert_eq!(parse_duration("PT0.5S").unwrap(), TimeDelta::milliseconds(500));
        for text in
            ["", "P", "PT", "PT5", "P5M", "PT5M5M", "PT1S1M", "-1", "1e3", "inf", "NaN", "five", ".", "99999999999"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
