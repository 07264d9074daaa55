//! Numbers, times and positions as people and programs write them.

use super::{Bad, FileFix, Item, Options, Sink, Skip, Who};
use crate::domain::{NoFix, WrittenTime, checked_time, parse_time, read_written, to_micros};
use crate::geo::Coordinate;
use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use std::borrow::Cow;
use std::ops::ControlFlow;

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

/// Whether a mark says that a record is valid; what is no such word says nothing.
pub(super) fn says_invalid(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    matches!(text.as_str(), "false" | "f" | "0" | "no" | "n" | "v" | "void" | "invalid" | "no fix" | "nofix" | "none")
}

/// Whether a mark says that a record is an outlier.
pub(super) fn says_outlier(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "t" | "1" | "yes" | "y")
}

/// Reads degrees: a number, or degrees, minutes and seconds with their signs, with the hemisphere before or behind if it is
/// named (`37.75 N`, `W122°25'12"`). The error is a sentence without the field's name.
pub(super) fn degrees(text: &str) -> Result<f64, String> {
    let trimmed = text.trim();
    if let Ok(number) = number(trimmed) {
        return Ok(number);
    }
    let wrong =
        || format!("must be degrees such as 35.0585, or with a hemisphere such as 35.0585 N; got {:?}", shown(text));
    let side = |c: char| matches!(c.to_ascii_uppercase(), 'N' | 'S' | 'E' | 'W');
    let (body, hemisphere) = match (trimmed.strip_prefix(side), trimmed.strip_suffix(side)) {
        (Some(_), Some(_)) => return Err(wrong()),
        (Some(rest), None) => (rest, trimmed.chars().next()),
        (None, Some(rest)) => (rest, trimmed.chars().next_back()),
        (None, None) => (trimmed, None),
    };
    let mut parts =
        body.split(['°', 'º', '\'', '′', '’', '"', '″', '”']).map(str::trim).filter(|part| !part.is_empty());
    let mut next = || parts.next().map(|part| number(part).map_err(|_| wrong())).transpose();
    let (whole, minutes, seconds) = (next()?.ok_or_else(wrong)?, next()?, next()?);
    let within = |part: Option<f64>| part.is_none_or(|part| (0.0..60.0).contains(&part));
    if next()?.is_some() || !within(minutes) || !within(seconds) {
        return Err(wrong());
    }
    let size = whole.abs() + minutes.unwrap_or(0.0) / 60.0 + seconds.unwrap_or(0.0) / 3_600.0;
    let degrees = if whole.is_sign_negative() { -size } else { size };
    Ok(hemisphere.map_or(degrees, |side| in_hemisphere(degrees, side)))
}

/// Degrees with the sign of their hemisphere: S and W are negative, whatever sign is written.
pub(super) fn in_hemisphere(degrees: f64, side: char) -> f64 {
    match side.to_ascii_uppercase() {
        'S' | 'W' => -degrees.abs(),
        'N' | 'E' => degrees.abs(),
        _ => degrees,
    }
}

/// Reads a point as databases write it: WKT (`POINT (x y)`, perhaps behind `SRID=4326;`) or hexadecimal (E)WKB; longitude first.
/// Empty ones are `None`. The error is a sentence without the field's name.
pub(super) fn point(text: &str) -> Result<Option<(f64, f64)>, String> {
    let text = text.trim();
    let wrong = || {
        format!(
            "must be a point in WGS 84, as WKT such as POINT (23.76 61.48) or as hexadecimal EWKB; got {:?}",
            shown(text)
        )
    };
    let upper = text.to_ascii_uppercase();
    let (srid, body) = match upper.strip_prefix("SRID=").and_then(|rest| rest.split_once(';')) {
        Some((srid, body)) => (Some(srid.trim().to_owned()), body),
        None => (None, upper.as_str()),
    };
    if srid.is_some_and(|srid| srid != "4326") {
        return Err(wrong());
    }
    if let Some(rest) = body.trim().strip_prefix("POINT") {
        let rest = rest.trim_start().trim_start_matches(['Z', 'M']).trim_start();
        if rest == "EMPTY" {
            return Ok(None);
        }
        let inner = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
        let numbers: Vec<f64> =
            inner.split_ascii_whitespace().map(number).collect::<Result<_, _>>().map_err(|_| wrong())?;
        return match numbers.as_slice() {
            [x, y] | [x, y, _] | [x, y, _, _] => Ok(Some((*x, *y))),
            _ => Err(wrong()),
        };
    }
    let bytes: Vec<u8> = (0..body.len() / 2)
        .map(|i| body.get(2 * i..2 * i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<_>>()
        .filter(|_| body.len() % 2 == 0 && body.len() <= 100)
        .ok_or_else(wrong)?;
    ewkb(&bytes).ok_or_else(wrong).map(|(x, y)| (!x.is_nan() || !y.is_nan()).then_some((x, y)))
}

/// The x and y of a point in (E)WKB (<https://postgis.net/docs/using_postgis_dbmanagement.html#EWKB_EWKT>).
fn ewkb(bytes: &[u8]) -> Option<(f64, f64)> {
    let little = *bytes.first()? == 1;
    let word = |at: usize| {
        let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let double = |at: usize| {
        let bytes: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(if little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) })
    };
    let kind = word(1)?;
    let has_srid = kind & 0x2000_0000 != 0;
    // The lowest three digits are the kind; ISO WKB adds thousands for Z and M.
    if kind & 0x1fff_ffff & 0xffff != 1 && !matches!(kind & 0xffff, 1001 | 2001 | 3001) {
        return None;
    }
    if has_srid && word(5)? != 4326 {
        return None;
    }
    let at = if has_srid { 9 } else { 5 };
    Some((double(at)?, double(at + 8)?))
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

/// Whether these are what AIS, the ships' system, has for no position: latitude 91 and longitude 181, of which programs write one
/// with a 0 for the other.
pub(super) fn is_not_available(latitude: f64, longitude: f64) -> bool {
    matches!((latitude, longitude), (91.0, 181.0 | 0.0) | (0.0, 181.0))
}

/// A record's values as they are written, whatever format it is of.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// Where it stands, from 1.
    pub(super) line: u64,
    pub(super) latitude: Option<String>,
    pub(super) longitude: Option<String>,
    pub(super) time: Option<String>,
    pub(super) accuracy: Option<String>,
    /// Why it is no location, if that is known already.
    pub(super) skip: Option<Skip>,
}

impl Parts {
    /// What they tell of somebody: the one place that decides what is no fix at all.
    ///
    /// No position or time, AIS's mark of none ([`is_not_available`]), (0, 0), a negative radius (iOS: the position is invalid) and a
    /// clock that was never set are skipped. `how` tells what to do about a latitude and longitude that look swapped.
    pub(super) fn fix(&self, who: Who, how: &str, options: &Options) -> Result<Result<FileFix, Skip>, Bad> {
        if let Some(why) = self.skip {
            return Ok(Err(why));
        }
        let (latitude, longitude) = match (given(&self.latitude), given(&self.longitude)) {
            (None, None) => return Ok(Err(Skip::NoPosition)),
            (None, Some(_)) => return Err(Bad::new("latitude", "is missing, the longitude is not")),
            (Some(_), None) => return Err(Bad::new("longitude", "is missing, the latitude is not")),
            (Some(latitude), Some(longitude)) => (
                degrees(latitude).map_err(|message| Bad::new("latitude", message))?,
                degrees(longitude).map_err(|message| Bad::new("longitude", message))?,
            ),
        };
        if is_not_available(latitude, longitude) {
            return Ok(Err(Skip::NoPosition));
        }
        let coordinate = position(latitude, longitude, how)?;
        let Some(text) = given(&self.time) else { return Ok(Err(Skip::NoTime)) };
        let time = time(text, options)?;
        let accuracy_m = match given(&self.accuracy) {
            Some(text) => Some(number(text).map_err(|message| Bad::new("accuracy", message))?),
            None => None,
        };
        presence(FileFix { line: self.line, who, coordinate, time, accuracy_m })
    }

    /// Hands out what they tell of the person whom the caller names; the error is a sentence for when nobody is named.
    pub(super) fn put(self, how: &str, options: &Options, sink: &mut Sink<'_>) -> Result<ControlFlow<()>, String> {
        let line = self.line;
        let Some(who) = options.person.as_ref().or(options.otherwise.as_ref()) else {
            return Err("nothing says whose it is; say --person WHO".to_owned());
        };
        Ok(sink(match self.fix(who.clone(), how, options) {
            Ok(Ok(fix)) => Item::Fix(fix),
            Ok(Err(why)) => Item::Skipped { line, why },
            Err(bad) => Item::Bad { line, bad },
        }))
    }
}

/// A value, unless it says that there is none.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !is_absent(text))
}

/// The fix, unless it is none ([`NoFix`]).
pub(super) fn presence(fix: FileFix) -> Result<Result<FileFix, Skip>, Bad> {
    match (NoFix::of(fix.coordinate, fix.time, fix.accuracy_m), fix.accuracy_m) {
        (Some(why), _) => Ok(Err(Skip::NoFix(why))),
        (None, Some(metres)) if !metres.is_finite() => {
            Err(Bad::new("accuracy", format!("must be a number of metres; got {metres}")))
        }
        (None, _) => Ok(Ok(fix)),
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
pub(super) fn time(text: &str, options: &Options) -> Result<DateTime<Utc>, Bad> {
    match &options.time_format {
        Some(format) => formatted(text.trim(), format, options.timezone),
        None => read_time(text, options.timezone),
    }
    .map_err(|message| Bad::new("time", message))
}

/// Reads a time that is written as the caller says, in the notation of strftime.
fn formatted(text: &str, format: &str, zone: Option<Timezone>) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_str(text, format) {
        return Ok(to_micros(time.to_utc()));
    }
    let clock = NaiveDateTime::parse_from_str(text, format)
        .or_else(|_| NaiveDate::parse_from_str(text, format).map(|date| date.and_time(chrono::NaiveTime::MIN)))
        .map_err(|_| format!("must be a time written as --time-format {format:?} says; got {:?}", shown(text)))?;
    match zone {
        Some(zone) => local(clock, zone),
        None => Ok(clock.and_utc()),
    }
    .map(to_micros)
}

fn read_time(text: &str, zone: Option<Timezone>) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    if let Some(time) = unix_time(text) {
        return time.and_then(checked_time).ok_or_else(|| wrong_time(text));
    }
    match (read_written(text), zone) {
        (Some(WrittenTime { local: clock, offset: None }), Some(zone)) => local(clock, zone).map(to_micros),
        (Some(written), _) => written.utc().and_then(checked_time).ok_or_else(|| wrong_time(text)),
        (None, _) => parse_time(text).map_err(|_| wrong_time(text)),
    }
}

fn wrong_time(text: &str) -> String {
    format!(
        "must be a time such as 2026-06-02T10:00:00Z, 2026-06-02 10:00:00 or Unix time in seconds or milliseconds, or say \
         --time-format, e.g. '%d/%m/%Y %H:%M:%S'; got {:?}",
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
            assert_eq!(read_time(text, None), Ok(noon), "{text}");
        }
        assert_eq!(read_time("1344135654.999000072", None), Ok(utc("2012-08-05T03:00:54.999Z")));
        assert_eq!(read_time("-0.5", None), Ok(utc("1969-12-31T23:59:59.5Z")));
        assert_eq!(read_time("2016-12-31T23:59:60Z", None), Ok(utc("2017-01-01T00:00:00Z")));
        for text in [
            "",
            "noon",
            "02/06/2026 10:00",
            "01.05.2026 10:00:00",
            "2026-13-01",
            "99999999999999999999",
            "1.2.3",
            "1e9",
            "12:00",
            "+",
            "é-",
        ] {
            assert!(read_time(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_in_the_one_given() {
        let zone = Some(Timezone { zone: chrono_tz::Europe::Berlin, twice: None });
        assert_eq!(read_time("2026-06-02 14:00:00", zone), Ok(utc("2026-06-02T12:00:00Z")));
        assert_eq!(read_time("2026-01-02 13:00", zone), Ok(utc("2026-01-02T12:00:00Z")));
        assert_eq!(read_time("2026-06-02T14:00:00Z", zone), Ok(utc("2026-06-02T14:00:00Z")), "it names one");
        assert_eq!(read_time("1780401600", zone), Ok(utc("2026-06-02T12:00:00Z")), "Unix time has none");
    }

    #[test]
    fn a_wall_clocks_time_that_is_twice_or_never_is_said() {
        let at = |text: &str, zone: Tz, twice| read_time(text, Some(Timezone { zone, twice }));
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
