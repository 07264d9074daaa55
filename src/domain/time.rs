//! Time ranges, and times and durations as callers write them.

use crate::domain::{Error, FieldError, Result, quoted, read_written};
use chrono::{DateTime, Datelike, Days, MappedLocalTime, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// A half-open stretch of time, `[from, to)`, in UTC. Invariant: `from < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl TimeRange {
    /// The years 1 to 9999: all that RFC 3339 and google.protobuf.Timestamp can write, and so all that is stored and asked for.
    pub const ALL: Self = Self {
        from: DateTime::from_timestamp(-62_135_596_800, 0).unwrap(), // 0001-01-01
        to: DateTime::from_timestamp(253_402_300_800, 0).unwrap(),   // 10000-01-01
    };

    /// Both ends must be in [`TimeRange::ALL`], and `from` before `to`. The error names `start_date` or `end_date`.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Self> {
        let outside = |time| !(Self::ALL.from..=Self::ALL.to).contains(&time);
        let ends = [("start_date", from), ("end_date", to)];
        let errors: Vec<FieldError> = ends
            .into_iter()
            .filter(|(_, time)| outside(*time))
            .map(|(field, time)| FieldError::new(field, format!("must be in the years 1 to 9999; got {time:?}")))
            .collect();
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        if from < to {
            Ok(Self { from, to })
        } else {
            Err(Error::invalid("end_date", format!("must be after start_date ({from:?}); got {to:?}")))
        }
    }

    /// [`TimeRange::parse_in`] with days of UTC.
    pub fn parse(start_date: Option<&str>, end_date: Option<&str>) -> Result<Self> {
        Self::parse_in(start_date, end_date, Tz::UTC)
    }

    /// Reads the two ends as callers write them; a missing one leaves that side open.
    ///
    /// Each is a time ([`parse_time`]) or a date, which stands for its whole day in `zone`: as an end it includes that day.
    pub fn parse_in(start_date: Option<&str>, end_date: Option<&str>, zone: Tz) -> Result<Self> {
        let mut errors = Vec::new();
        let mut end = |field: &str, text: Option<&str>, open, edge: fn(Moment, Tz) -> DateTime<Utc>| {
            let Some(text) = text else { return open };
            match Moment::parse(text) {
                Ok(moment) => edge(moment, zone),
                Err(message) => {
                    errors.push(FieldError::new(field, message));
                    open
                }
            }
        };
        let from = end("start_date", start_date, Self::ALL.from, Moment::beginning);
        let to = end("end_date", end_date, Self::ALL.to, Moment::end);
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        if from < to {
            Ok(Self { from, to })
        } else {
            Err(Error::invalid(
                "end_date",
                format!(
                    "must be after start_date {}; got {}",
                    quoted(start_date.unwrap_or_default()),
                    quoted(end_date.unwrap_or_default())
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

/// An end of a range as callers write it: an instant, or a day that is all in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// In [`TimeRange::ALL`].
    Time(DateTime<Utc>),
    /// A day of the years 1 to 9999, of a zone that is named elsewhere.
    Day(NaiveDate),
}

impl Moment {
    /// Reads a date or a time ([`parse_time`]); the error is a sentence that quotes the text and shows what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        match parse_date(text) {
            Some(date) => Ok(Self::Day(date)),
            None => parse_time(text).map(Self::Time),
        }
    }

    /// The instant that a range from here begins with, in [`TimeRange::ALL`].
    pub fn beginning(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::Time(time) => time,
            Self::Day(date) => midnight(date, zone),
        }
    }

    /// The first instant after a range that ends here: a day is all in it. In [`TimeRange::ALL`] or its end.
    pub fn end(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::Time(time) => time,
            Self::Day(date) => {
                date.checked_add_days(Days::new(1)).map_or(TimeRange::ALL.to, |next| midnight(next, zone))
            }
        }
    }
}

/// The first instant of a day in a zone; of two midnights the earlier, and where the clock was set forward over midnight, that
/// instant. Never outside [`TimeRange::ALL`] and its end.
fn midnight(date: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let local = date.and_time(chrono::NaiveTime::MIN);
    let instant = match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => time.to_utc(),
        MappedLocalTime::None => {
            // Clocks in a zone only jump forward here, so that what they show grows with time: search for the jump, to the second.
            let shows = |second: i64| {
                DateTime::from_timestamp(second, 0).is_none_or(|time| time.with_timezone(&zone).naive_local() >= local)
            };
            let guess = local.and_utc().timestamp();
            let (mut before, mut from) = (guess - 2 * 86_400, guess + 2 * 86_400);
            while from - before > 1 {
                let middle = before + (from - before) / 2;
                if shows(middle) { from = middle } else { before = middle }
            }
            DateTime::from_timestamp(from, 0).unwrap_or(TimeRange::ALL.to)
        }
    };
    instant.clamp(TimeRange::ALL.from, TimeRange::ALL.to)
}

/// The whole microsecond that is nearest to a time, PostgreSQL's resolution; of two the later. The one rule for all that comes
/// in: `…6.8` as a double is 6.799999952… and means the same instant as the text.
///
/// A leap second (`23:59:60`) becomes the second after it, as in POSIX time, which has no place for it.
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    // Of a leap second there are more than 10⁹ nanoseconds, so the sum is in the second after it.
    let micros = i128::from(time.timestamp()) * 1_000_000 + (i128::from(time.timestamp_subsec_nanos()) + 500) / 1_000;
    i64::try_from(micros).ok().and_then(DateTime::from_timestamp_micros).unwrap_or(time)
}

/// [`to_micros`], unless the result is outside [`TimeRange::ALL`].
pub fn checked_time(time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    Some(to_micros(time)).filter(|time| TimeRange::ALL.contains(*time))
}

/// The time that is so many seconds after 1970, by the rule of [`to_micros`]; `None` when it is outside [`TimeRange::ALL`].
pub fn unix_seconds(seconds: f64) -> Option<DateTime<Utc>> {
    let whole = seconds.floor();
    // A double that has a fraction is far below 10¹², so that both parts are exact.
    let nanos = ((seconds - whole) * 1e9).floor();
    if whole.is_nan() || whole.abs() > 1e12 {
        return None;
    }
    let time = DateTime::from_timestamp(whole as i64, (nanos as u32).min(999_999_999))?;
    checked_time(time)
}

/// A date of the years 1 to 9999.
fn parse_date(text: &str) -> Option<NaiveDate> {
    let date = (text.len() == 10 && begins_with_date(text)).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d"));
    date?.ok().filter(|date| date.year() >= 1)
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

/// Reads a time, in whatever way it is written that leaves nothing open ([`read_written`]); without an offset it is UTC.
///
/// The nearest microsecond in the years 1 to 9999 ([`checked_time`]). `T` or a space may stand between date and time, seconds and
/// fractions may be absent. A space where the `+` of an offset
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
    let trimmed = text.trim();
    let read = parse_date(trimmed).map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc()).or_else(|| {
        let unescaped = || {
            let at = trimmed.rfind(' ')?;
            read_written(&format!("{}+{}", &trimmed[..at], &trimmed[at + 1..]))
        };
        read_written(trimmed).or_else(unescaped)?.utc()
    });
    read.and_then(checked_time).ok_or_else(|| wrong_time(text))
}

fn wrong_time(text: &str) -> String {
    format!(
        "must be a time such as 2026-06-02T10:00:00Z or a date such as 2026-06-02, in the years 1 to 9999; got {}",
        quoted(text)
    )
}

/// Reads a length of time: plain seconds (`300`, `0.5`) or an ISO 8601 duration of weeks, days, hours, minutes and seconds
/// (`PT5M`, `P1DT12H`). Years and months have no fixed length and are refused. Never negative, at most 100 years.
///
/// Read exactly: what is no whole number of microseconds is refused, since rounding would make 300 s of `299.9999999`.
///
/// ```
/// use udaconnect::domain::parse_duration;
/// assert_eq!(parse_duration("PT5M").unwrap(), parse_duration("300").unwrap());
/// assert!(parse_duration("-1").is_err());
/// assert!(parse_duration("299.9999999").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<TimeDelta, String> {
    /// 100 years: more than any bound that follows, less than any overflow.
    const MOST: i128 = 3_155_760_000 * SECOND;
    let micros = match text.strip_prefix(['P', 'p']) {
        Some(rest) => iso_micros(rest),
        None => number_of(text, SECOND),
    };
    match micros {
        Ok(micros) if micros <= MOST => Ok(TimeDelta::microseconds(micros as i64)),
        Err(Unreadable::TooFine) => {
            Err(format!("must be whole microseconds, six decimals of a second at most; got {}", quoted(text)))
        }
        Ok(_) | Err(Unreadable::NoDuration) => Err(format!(
            "must be a number of seconds such as 300 or an ISO 8601 duration such as PT5M; got {}",
            quoted(text)
        )),
    }
}

enum Unreadable {
    NoDuration,
    /// It is a length of time, but no whole number of microseconds.
    TooFine,
}

/// In microseconds.
const SECOND: i128 = 1_000_000;

/// So many units of so many microseconds: digits with at most one point, no sign, no exponent, no `inf`.
fn number_of(text: &str, unit: i128) -> Result<i128, Unreadable> {
    /// More fit no bound, and 10¹⁸ of the longest unit are far from any overflow.
    const DIGITS: usize = 18;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
        return Err(Unreadable::NoDuration);
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if whole.len() > DIGITS {
        return Err(Unreadable::NoDuration);
    }
    if fraction.len() > DIGITS {
        return Err(Unreadable::TooFine);
    }
    let value = |digits: &str| digits.bytes().fold(0, |sum: i128, digit| sum * 10 + i128::from(digit - b'0'));
    let (parts, of) = (value(fraction) * unit, 10_i128.pow(fraction.len() as u32));
    if parts % of == 0 { Ok(value(whole) * unit + parts / of) } else { Err(Unreadable::TooFine) }
}

fn iso_micros(text: &str) -> Result<i128, Unreadable> {
    let text = text.to_ascii_uppercase();
    let (date, time) = match text.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return Err(Unreadable::NoDuration),
        None => (text.as_str(), ""),
    };
    let parts = |mut text: &str, units: &[(char, i128)]| {
        let mut units = units.iter();
        let mut micros = 0;
        while !text.is_empty() {
            let at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or(Unreadable::NoDuration)?;
            // Each unit once, in order: the iterator only moves forward.
            let unit = units.find(|(name, _)| text[at..].starts_with(*name));
            let (_, seconds) = unit.ok_or(Unreadable::NoDuration)?;
            micros += number_of(&text[..at], seconds * SECOND)?;
            text = &text[at + 1..];
        }
        Ok(micros)
    };
    if date.is_empty() && time.is_empty() {
        return Err(Unreadable::NoDuration);
    }
    Ok(parts(date, &[('W', 604_800), ('D', 86_400)])? + parts(time, &[('H', 3_600), ('M', 60), ('S', 1)])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        for text in ["", "noon", "2026-06-02T25:00:00Z", "2020-02-30", "+12026-01-01T00:00:00Z", "٢٠٢٦-٠٦-٠٢"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_the_nearest_microsecond_however_it_is_written() {
        let expected = time("2026-05-28T20:26:46.8Z");
        let seconds = 1_780_000_006.8_f64;
        assert_eq!(unix_seconds(seconds), Some(expected));
        assert_eq!("1780000006.799999952".parse().ok().and_then(unix_seconds), Some(expected), "the same double");
        for text in
            ["2026-05-28T20:26:46.799999952Z", "2026-05-28 20:26:46.80000004", "2026-05-28T20:26:46.7999999999999Z"]
        {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(to_micros(DateTime::from_timestamp(0, 499).unwrap()).timestamp_micros(), 0);
        assert_eq!(to_micros(DateTime::from_timestamp(0, 500).unwrap()).timestamp_micros(), 1);
        assert_eq!(to_micros(DateTime::from_timestamp(-1, 999_999_500).unwrap()).timestamp_micros(), 0);
        assert_eq!(time("2016-12-31T23:59:60.9999996Z"), time("2017-01-01T00:00:01Z"), "a leap second");
        for wrong in [f64::NAN, f64::INFINITY, -f64::INFINITY, 1e300, -62_135_596_801.0, 253_402_300_800.0] {
            assert_eq!(unix_seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_in_the_years_1_to_9999() {
        for text in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01", "9999-12-31"] {
            assert!(parse_time(text).is_ok(), "{text}");
        }
        for text in [
            "0000-12-31T23:59:59Z",
            "0000-06-01",
            "0001-01-01T00:30:00+01:00",
            "9999-12-31T23:30:00-01:00",
            "9999-12-31T23:59:59.9999995Z",
            "-4800-01-01T00:00:00Z",
        ] {
            assert!(parse_time(text).unwrap_err().contains("1 to 9999"), "{text}");
            assert!(TimeRange::parse(Some(text), None).is_err(), "{text}");
            assert!(TimeRange::parse(None, Some(text)).is_err(), "{text}");
        }
        assert_eq!(TimeRange::parse(Some("0001-01-01"), Some("9999-12-31")).unwrap(), TimeRange::ALL);
        let far = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        for (from, to) in [(-300_000_000_000, 0), (0, 300_000_000_000), (-8_000_000_000_000, 8_000_000_000_000)] {
            assert!(TimeRange::new(far(from), far(to)).is_err(), "{from} {to}");
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
        for (text, micros) in [
            ("PT0.5S", 500_000),
            ("299.999999", 299_999_999),
            ("299.9999990000000000000000000", 299_999_999),
            (".5", 500_000),
            ("5.", 5_000_000),
            ("PT0.00000005M", 3),
            ("P0.5W", 302_400_000_000),
            ("0000000000000000000000000000007", 7_000_000),
        ] {
            assert_eq!(parse_duration(text).unwrap(), TimeDelta::microseconds(micros), "{text}");
        }
        for text in ["299.9999999", "PT299.9999999S", "0.0000001", "PT0.00000001M", "0.3333333333333333333333"] {
            assert!(parse_duration(text).unwrap_err().contains("microseconds"), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "PT5",
            "P5M",
            "PT5M5M",
            "PT1S1M",
            "-1",
            "1e3",
            "inf",
            "NaN",
            "five",
            ".",
            "99999999999",
            "1.2.3",
            "P1",
            "PTS",
            "P9999999999999999999W",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_double_of_a_microsecond_are_one_instant(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let expected = DateTime::from_timestamp_micros(micros).unwrap();
            prop_assert_eq!(parse_time(&expected.to_rfc3339()), Ok(expected));
            prop_assert_eq!(to_micros(expected), expected);
            // From the year 2112 on a double of seconds is coarser than a microsecond.
            if micros.abs() < 4_000_000_000_000_000 {
                prop_assert_eq!(unix_seconds(micros as f64 / 1e6), Some(expected));
            }
        }

        #[test]
        fn a_duration_is_read_exactly_or_refused(micros in 0..3_155_760_000_000_000_i64, more in "[0-9]{0,4}") {
            let text = format!("{}.{:06}{more}", micros / 1_000_000, micros % 1_000_000);
            let exact = more.bytes().all(|digit| digit == b'0');
            prop_assert_eq!(parse_duration(&text).ok(), exact.then(|| TimeDelta::microseconds(micros)));
            prop_assert_eq!(parse_duration(&format!("PT{text}S")).ok(), exact.then(|| TimeDelta::microseconds(micros)));
        }

        #[test]
        fn no_text_makes_them_panic(text: String) {
            let _ = (parse_time(&text), parse_duration(&text), parse_duration(&format!("P{text}")));
            let _ = TimeRange::parse(Some(&text), Some(&text));
        }
    }
}
