//! Numbers, times and positions as people and programs write them.

use super::Bad;
use crate::domain::{checked_time, parse_time};
use crate::geo::Coordinate;
use chrono::{DateTime, LocalResult, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use std::borrow::Cow;

/// A text as messages quote it: not endlessly.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Whether a field says that there is no value: empty, or one of the words that statistics programs write.
pub(super) fn is_absent(text: &str) -> bool {
    matches!(text, "" | "NA" | "N/A" | "NaN" | "nan" | "null" | "NULL" | "None" | "\\N")
}

/// Reads a number; a decimal comma is a point. The error is a sentence without the field's name.
pub(super) fn number(text: &str) -> Result<f64, String> {
    let wrong = || format!("must be a number such as 35.0585; got {:?}", shown(text));
    let trimmed = text.trim();
    // Only what a number is written with: Rust's own parser also knows `inf` and `nan`.
    if !trimmed.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'.' | b',' | b'-' | b'+' | b'e' | b'E')) {
        return Err(wrong());
    }
    match (trimmed.contains('.'), trimmed.matches(',').count()) {
        (_, 0) => trimmed.parse().map_err(|_| wrong()),
        (false, 1) => trimmed.replace(',', ".").parse().map_err(|_| wrong()),
        _ => Err(format!("{}, with one decimal point or comma and nothing between thousands", wrong())),
    }
}

/// Checks a position. Where both numbers would do the other way round, that is said; `how` tells what to do about it.
pub(super) fn position(latitude: f64, longitude: f64, how: &str) -> Result<Coordinate, Bad> {
    Coordinate::new(latitude, longitude).map_err(|wrong| {
        let mut errors: Vec<crate::domain::FieldError> = wrong.into();
        let error = errors.swap_remove(0);
        let field = if error.field == "latitude" { "latitude" } else { "longitude" };
        let swapped = if Coordinate::new(longitude, latitude).is_ok() {
            format!("; {longitude}, {latitude} would do: latitude and longitude look swapped, {how}")
        } else {
            String::new()
        };
        Bad::new(field, format!("{}{swapped}", error.message))
    })
}

/// Checks a radius in metres. A negative one is how iOS says that it does not know.
pub(super) fn accuracy(metres: f64) -> Result<Option<f64>, Bad> {
    match metres {
        metres if metres.is_finite() && metres >= 0.0 => Ok(Some(metres)),
        metres if metres.is_finite() => Ok(None),
        _ => Err(Bad::new("accuracy", format!("must be a number of metres; got {metres}"))),
    }
}

/// The zone of times that name none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timezone {
    pub zone: Tz,
    /// Which is meant of two times that a clock there showed; absent: neither, they are bad.
    pub twice: Option<Twice>,
}

/// One of two times that a wall clock shows in the night when it is set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Twice {
    /// Before the clock is set back
    Earlier,
    /// After it
    Later,
}

/// Reads a time: Unix time, or a date with a time of day ([`parse_time`] and its usual variants). One without a zone is in
/// `zone`, or UTC.
///
/// Unix time may have decimals, and be in seconds, milliseconds, microseconds or nanoseconds: up to 10¹¹ it is seconds (the
/// year 5138), and each next unit begins where the one before it ends. The error is a sentence without the field's name.
pub(super) fn time(text: &str, zone: Option<Timezone>) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    if let Some(time) = unix_time(text) {
        return time.and_then(checked_time).ok_or_else(|| wrong_time(text));
    }
    let (text, named) = usual(text);
    let time = parse_time(&text).map_err(|_| wrong_time(&text))?;
    match zone {
        Some(zone) if !named => local(time.naive_utc(), zone),
        _ => Ok(time),
    }
}

fn wrong_time(text: &str) -> String {
    format!(
        "must be a time such as 2026-06-02T10:00:00Z, 2026-06-02 10:00:00 or Unix time in seconds or milliseconds; got {:?}",
        shown(text)
    )
}

/// A wall clock's time in a zone; the error says when there is no such time, or which two it may be.
fn local(time: NaiveDateTime, Timezone { zone, twice }: Timezone) -> Result<DateTime<Utc>, String> {
    match (zone.from_local_datetime(&time), twice) {
        (LocalResult::Single(time), _) | (LocalResult::Ambiguous(time, _), Some(Twice::Earlier)) => Ok(time.to_utc()),
        (LocalResult::Ambiguous(_, time), Some(Twice::Later)) => Ok(time.to_utc()),
        (LocalResult::Ambiguous(earlier, later), None) => {
            let [earlier, later] =
                [earlier, later].map(|time| time.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true));
            Err(format!(
                "{time} happened twice in {zone}, at {earlier} and at {later}: clocks were set back; \
                 say which by --ambiguous-time earlier or later"
            ))
        }
        (LocalResult::None, _) => {
            Err(format!("{time} did not happen in {zone}: clocks were set forward past it; is it another --timezone?"))
        }
    }
}

/// Whether a spreadsheet takes a text for a formula; the full-width forms are among it.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}

/// A text as a cell of CSV holds it: what a spreadsheet would take for a formula has a `'` in front, and so has what looks like
/// that already, so that [`from_cell`] brings every text back.
pub(super) fn to_cell(text: &str) -> Cow<'_, str> {
    if is_formula(text.trim_start_matches('\'')) { format!("'{text}").into() } else { text.into() }
}

/// The text of a cell that [`to_cell`] or a program like it wrote.
pub(super) fn from_cell(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(text) if is_formula(text.trim_start_matches('\'')) => text,
        _ => cell,
    }
}

/// Unix time, exactly: digits with a sign and one point (or comma) at most. `None` when the text is not of this form.
fn unix_time(text: &str) -> Option<Option<DateTime<Utc>>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once(['.', ',']).unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    // 20 digits fit no unit, and eight could be a date.
    if whole.len() > 19 {
        return Some(None);
    }
    let whole: i128 = whole.parse().ok()?;
    let unit: i128 = match whole {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let mut nanos = whole * unit;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        nanos += i128::from(digit - b'0') * place;
    }
    let nanos = if negative { -nanos } else { nanos };
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    Some(DateTime::from_timestamp(seconds, nanos.rem_euclid(1_000_000_000) as u32))
}

/// Rewrites what other programs write into what [`parse_time`] reads, and tells whether a zone is named: slashes in the date,
/// a comma before the fraction, `UTC`, `+02` and `+0200`.
fn usual(text: &str) -> (String, bool) {
    let mut text = text.to_owned();
    if !text.is_ascii() {
        return (text, false);
    }
    if text.len() >= 10 && text.as_bytes()[4] == b'/' && text.as_bytes()[7] == b'/' {
        text.replace_range(4..5, "-");
        text.replace_range(7..8, "-");
    }
    for name in [" UTC", " GMT", "UTC", "GMT"] {
        if let Some(before) = text.strip_suffix(name) {
            return (format!("{before}Z"), true);
        }
    }
    let rest = text.get(10..).unwrap_or_default();
    if rest.ends_with(['Z', 'z']) {
        return (text.replacen(',', ".", 1), true);
    }
    let Some(sign) = rest.rfind(['+', '-']).map(|at| at + 10) else {
        return (text.replacen(',', ".", 1), false);
    };
    let (before, offset) = text.split_at(sign);
    let before = before.trim_end().replacen(',', ".", 1);
    let offset = match offset.len() {
        3 => format!("{offset}:00"),
        5 => format!("{}:{}", &offset[..3], &offset[3..]),
        _ => offset.to_owned(),
    };
    (before + &offset, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        parse_time(text).unwrap()
    }

    #[test]
    fn numbers() {
        for (text, value) in [("35.0585", 35.0585), (" -106,5 ", -106.5), ("+1e2", 100.0), ("0,350900900", 0.3509009)] {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        for text in ["", "x", "inf", "NaN", "1.234,5", "1,234,567", "1 2", "0x10", "٣"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_of_all_kinds() {
        let noon = utc("2026-06-02T12:00:00Z");
        for text in [
            "1780401600",
            "1780401600000",
            "1780401600000000",
            "1780401600000000000",
            "1780401600.0",
            "2026-06-02T12:00:00Z",
            "2026/06/02 12:00:00",
            "2026-06-02 12:00:00 UTC",
            "2026-06-02 12:00:00,000",
            "2026-06-02 14:00:00+02",
            "2026-06-02 14:00:00 +0200",
            "2026-06-02T14:00:00.000+02:00",
            "2026-06-02T07:00:00-0500",
        ] {
            assert_eq!(time(text, None), Ok(noon), "{text}");
        }
        assert_eq!(time("1344135654.999000072", None), Ok(utc("2012-08-05T03:00:54.999Z")));
        assert_eq!(time("-0.5", None), Ok(utc("1969-12-31T23:59:59.5Z")));
        assert_eq!(time("2016-12-31T23:59:60Z", None), Ok(utc("2017-01-01T00:00:00Z")));
        for text in
            ["", "noon", "02/06/2026 10:00", "2026-13-01", "99999999999999999999", "1.2.3", "1e9", "12:00", "+", "é-"]
        {
            assert!(time(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_in_the_one_given() {
        let zone = Some(Timezone { zone: chrono_tz::Europe::Berlin, twice: None });
        assert_eq!(time("2026-06-02 14:00:00", zone), Ok(utc("2026-06-02T12:00:00Z")));
        assert_eq!(time("2026-01-02 13:00", zone), Ok(utc("2026-01-02T12:00:00Z")));
        assert_eq!(time("2026-06-02T14:00:00Z", zone), Ok(utc("2026-06-02T14:00:00Z")), "it names one");
        assert_eq!(time("1780401600", zone), Ok(utc("2026-06-02T12:00:00Z")), "Unix time has none");
    }

    #[test]
    fn a_wall_clocks_time_that_is_twice_or_never_is_said() {
        let at = |text: &str, zone: Tz, twice| time(text, Some(Timezone { zone, twice }));
        for (text, zone, never) in [
            ("2026-03-29 02:30:00", chrono_tz::Europe::Berlin, true),
            ("2026-03-29 02:00:00", chrono_tz::Europe::Berlin, true),
            ("2026-03-29 03:00:00", chrono_tz::Europe::Berlin, false),
            ("2026-10-04 02:15:00", chrono_tz::Australia::Lord_Howe, true),
            ("2011-12-30 12:00:00", chrono_tz::Pacific::Apia, true),
        ] {
            for twice in [None, Some(Twice::Earlier), Some(Twice::Later)] {
                assert_eq!(at(text, zone, twice).is_err_and(|why| why.contains("did not happen")), never, "{text}");
            }
        }
        for (text, zone, earlier, later) in [
            ("2026-10-25 02:30:00.25", chrono_tz::Europe::Berlin, "2026-10-25T00:30:00.25Z", "2026-10-25T01:30:00.25Z"),
            ("2026-11-01 01:59", chrono_tz::America::Denver, "2026-11-01T07:59:00Z", "2026-11-01T08:59:00Z"),
            ("2026-04-05 01:45", chrono_tz::Australia::Lord_Howe, "2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"),
        ] {
            let said = at(text, zone, None).unwrap_err();
            let shown = |time: &str| utc(time).to_rfc3339_opts(SecondsFormat::AutoSi, true);
            assert!(said.contains(&shown(earlier)) && said.contains(&shown(later)), "{said}");
            assert!(said.contains("--ambiguous-time"), "{said}");
            assert_eq!(at(text, zone, Some(Twice::Earlier)), Ok(utc(earlier)));
            assert_eq!(at(text, zone, Some(Twice::Later)), Ok(utc(later)));
            // What names its zone is not in doubt.
            assert_eq!(at(earlier, zone, None), Ok(utc(earlier)));
            assert_eq!(at(later, zone, None), Ok(utc(later)));
        }
        assert!(at("2026-10-25 03:00:00", chrono_tz::Europe::Berlin, None).is_ok(), "once again");
    }

    #[test]
    fn cells_are_no_formulas_and_come_back() {
        for (text, cell) in [
            ("Ada", "Ada"),
            ("", ""),
            ("'", "'"),
            ("O'Brien", "O'Brien"),
            ("'t Hooft", "'t Hooft"),
            ("=1+1", "'=1+1"),
            ("+49", "'+49"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("＝1", "'＝1"),
            ("'=1", "''=1"),
            ("''=1", "'''=1"),
        ] {
            assert_eq!((to_cell(text).as_ref(), from_cell(cell)), (cell, text));
        }
    }

    #[test]
    fn a_swap_is_seen_when_it_can_be() {
        let bad = position(-122.29, 37.55, "name the columns").unwrap_err();
        assert_eq!(bad.field, "latitude");
        assert!(bad.message.contains("swapped, name the columns"), "{}", bad.message);
        assert!(!position(95.0, 200.0, "").unwrap_err().message.contains("swapped"));
    }
}
