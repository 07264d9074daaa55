//! Reads times as programs and people write them, without guessing what they leave open.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use std::borrow::Cow;

/// A time as it was written: a wall clock's, and how far that clock is from UTC if the text says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenTime {
    pub local: NaiveDateTime,
    pub offset: Option<FixedOffset>,
}

impl WrittenTime {
    /// The instant, of a clock in UTC where the text names no offset; `None` where it is out of range.
    pub fn utc(self) -> Option<DateTime<Utc>> {
        let offset = self.offset.map_or(0, |offset| offset.local_minus_utc());
        Some(self.local.checked_sub_signed(TimeDelta::seconds(offset.into()))?.and_utc())
    }
}

/// The longest text that is looked at; the longest known way of writing a time has some 80 characters.
const LONGEST: usize = 128;

/// Reads a date with a time of day; `None` when the text is none, or does not say which number is the day and which the month.
///
/// Known are ISO 8601 in its extended and basic form, also without leading zeros, with spaces, slashes, a decimal comma or
/// 12 hours (`PM`); RFC 1123 and 2822; and what Go, Java, JavaScript and the C library write. Digits may be those of other
/// scripts. `24:00:00` is the end of its day, a leap second (`23:59:60`) the second after it, as in POSIX time.
pub fn read_written(text: &str) -> Option<WrittenTime> {
    if text.len() > LONGEST {
        return None;
    }
    if let Some(time) = usual(text.as_bytes()) {
        return Some(time);
    }
    let text = plain(text);
    let text = without_remarks(&text);
    if !text.is_ascii() {
        return None;
    }
    numeric(text).or_else(|| basic(text)).or_else(|| worded(text))
}

/// `2026-05-01T10:00:00.5Z`, as most programs write it and files have it a million times.
fn usual(text: &[u8]) -> Option<WrittenTime> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    if [4, 7, 10, 13, 16].map(|at| head[at]) != *b"--T::" {
        return None;
    }
    let read = |digits: &[u8]| {
        let digit = |number: u32, digit: &u8| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'));
        digits.iter().try_fold(0, digit)
    };
    let nanos = match rest {
        b"Z" => 0,
        [b'.', decimals @ .., b'Z'] if (1..=9).contains(&decimals.len()) => {
            read(decimals)? * 10_u32.pow(9 - decimals.len() as u32)
        }
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(read(&head[..4])? as i32, read(&head[5..7])?, read(&head[8..10])?)?;
    let local = date.and_hms_nano_opt(read(&head[11..13])?, read(&head[14..16])?, read(&head[17..])?, nanos)?;
    Some(WrittenTime { local, offset: FixedOffset::east_opt(0) })
}

/// ASCII digits, spaces and signs in place of those of other scripts.
fn plain(text: &str) -> Cow<'_, str> {
    // Where the ten digits of a script begin: Arabic-Indic, Persian, Devanagari, Bengali, Thai, full width.
    const ZEROS: [u32; 6] = [0x660, 0x6f0, 0x966, 0x9e6, 0xe50, 0xff10];
    let text = text.trim();
    if text.is_ascii() && !text.bytes().any(|c| matches!(c, b'\t'..=b'\r')) {
        return text.into();
    }
    text.chars()
        .map(|c| match c {
            '\u{2212}' => '-',
            c if c.is_whitespace() => ' ',
            c => ZEROS
                .iter()
                .find_map(|zero| char::from_digit(u32::from(c).checked_sub(*zero).filter(|d| *d < 10)?, 10))
                .unwrap_or(c),
        })
        .collect::<String>()
        .into()
}

/// Without what repeats an offset in words: `[Europe/Berlin]` of Java, `(Central European Summer Time)` of JavaScript, and
/// the clock's own reading `m=+0.01` of Go.
fn without_remarks(text: &str) -> &str {
    let mut text = text;
    if let Some((before, _)) = text.split_once(" m=") {
        text = before;
    }
    for (open, close) in [('[', ']'), ('(', ')')] {
        if let Some(inner) = text.strip_suffix(close)
            && let Some((before, _)) = inner.rsplit_once(open)
            // A zone in words alone would have to be looked up.
            && ends_with_offset(before.trim_end())
        {
            text = before.trim_end();
        }
    }
    text
}

fn ends_with_offset(text: &str) -> bool {
    text.ends_with(['Z', 'z'])
        || text.len() > 5 && zone(&text[text.rfind(['+', '-']).unwrap_or(0)..]).flatten().is_some()
}

/// Digits at the start, `least` to `most` of them, and the rest.
fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    if count < least || count > most {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

/// `2026-05-01T10:00:00.5+02:00` and its relatives: the year first, so that nothing is left open.
fn numeric(text: &str) -> Option<WrittenTime> {
    let (year, rest) = digits(text, 4, 4)?;
    let separator = rest.chars().next().filter(|c| matches!(c, '-' | '/' | '.'))?;
    let (month, rest) = digits(&rest[1..], 1, 2)?;
    let (day, rest) = digits(rest.strip_prefix(separator)?, 1, 2)?;
    let date = NaiveDate::from_ymd_opt(year as i32, month, day)?;
    let rest = rest.strip_prefix(['T', 't', ',', ' ', '_']).map(str::trim_start)?;
    with_time(date, rest)
}

/// `20260501T100000Z` and `20260501100000`: all digits in their places.
fn basic(text: &str) -> Option<WrittenTime> {
    let (ymd, rest) = text.split_at_checked(8)?;
    let number = |text: &str| digits(text, text.len(), text.len()).map(|(number, _)| number);
    let date = NaiveDate::from_ymd_opt(number(&ymd[..4])? as i32, number(&ymd[4..6])?, number(&ymd[6..])?)?;
    let rest = rest.strip_prefix(['T', 't', ' ', '_', '-']).unwrap_or(rest);
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (hms, rest) = rest.split_at(count);
    let (hour, minute, second) = match count {
        4 => (number(&hms[..2])?, number(&hms[2..])?, 0),
        6 => (number(&hms[..2])?, number(&hms[2..4])?, number(&hms[4..])?),
        _ => return None,
    };
    let (nanos, rest) = fraction(rest)?;
    written(date, (hour, minute, second, nanos), rest)
}

/// The time of day and the zone behind a date.
fn with_time(date: NaiveDate, text: &str) -> Option<WrittenTime> {
    let (hour, rest) = digits(text, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 1, 2)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => digits(rest, 1, 2)?,
        None => (0, rest),
    };
    let (nanos, rest) = fraction(rest)?;
    let (half, rest) = half(rest.trim_start());
    let hour = match half {
        None => hour,
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some(Half::Morning) => hour % 12,
        Some(Half::Afternoon) => hour % 12 + 12,
    };
    written(date, (hour, minute, second, nanos), rest)
}

fn written(
    date: NaiveDate,
    (hour, minute, second, nanos): (u32, u32, u32, u32),
    zone_text: &str,
) -> Option<WrittenTime> {
    let offset = zone(zone_text.trim())?;
    let (hour, midnight) = match (hour, minute, second, nanos) {
        (24, 0, 0, 0) => (0, TimeDelta::days(1)),
        _ => (hour, TimeDelta::zero()),
    };
    let (second, leap) = match second {
        60 if minute == 59 => (59, TimeDelta::seconds(1)),
        second => (second, TimeDelta::zero()),
    };
    let local = date.and_hms_nano_opt(hour, minute, second, nanos)?.checked_add_signed(midnight + leap)?;
    Some(WrittenTime { local, offset })
}

/// Decimals of a second behind a point or comma, in nanoseconds; further ones say nothing that is stored.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix(['.', ',']) else { return Some((0, text)) };
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 {
        return None;
    }
    let nanos = rest.bytes().take(count.min(9)).fold(0_u32, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    Some((nanos * 10_u32.pow(9 - count.min(9) as u32), &rest[count..]))
}

enum Half {
    Morning,
    Afternoon,
}

fn half(text: &str) -> (Option<Half>, &str) {
    let begins = |word: &str| text.get(..word.len()).filter(|begin| begin.eq_ignore_ascii_case(word));
    for (word, half) in
        [("a.m.", Half::Morning), ("p.m.", Half::Afternoon), ("am", Half::Morning), ("pm", Half::Afternoon)]
    {
        if begins(word).is_some() {
            return (Some(half), &text[word.len()..]);
        }
    }
    (None, text)
}

/// The offset that a text names; `Some(None)` for none at all, `None` for what is no zone.
fn zone(text: &str) -> Option<Option<FixedOffset>> {
    let utc = FixedOffset::east_opt(0);
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    if ["z", "utc", "gmt", "ut"].iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Some(utc);
    }
    // RFC 2822 gives these and no other names an offset.
    const NAMED: [(&str, i32); 8] =
        [("EST", -5), ("EDT", -4), ("CST", -6), ("CDT", -5), ("MST", -7), ("MDT", -6), ("PST", -8), ("PDT", -7)];
    if let Some((_, hours)) = NAMED.iter().find(|(name, _)| text == *name) {
        return Some(FixedOffset::east_opt(hours * 3_600));
    }
    let signed = ["GMT", "UTC"].iter().find_map(|name| text.strip_prefix(name)).unwrap_or(text);
    let (sign, rest) = match signed.as_bytes().first()? {
        b'+' => (1, &signed[1..]),
        b'-' => (-1, &signed[1..]),
        _ => return None,
    };
    let (count, colon) = (rest.bytes().take_while(u8::is_ascii_digit).count(), rest.as_bytes().get(2) == Some(&b':'));
    let (hours, minutes, behind) = match (count, colon) {
        (2, true) => (rest[..2].parse::<i32>().ok()?, digits(&rest[3..], 2, 2)?.0 as i32, &rest[5..]),
        (1 | 2, _) => (rest[..count].parse::<i32>().ok()?, 0, &rest[count..]),
        (4, _) => (rest[..2].parse::<i32>().ok()?, rest[2..4].parse().ok()?, &rest[4..]),
        _ => return None,
    };
    // Go writes the zone's name behind its offset, or the offset once more.
    let remark = behind.trim();
    if !remark.bytes().all(|c| c.is_ascii_alphabetic() || matches!(c, b'+' | b'-') || c.is_ascii_digit())
        || behind.len() > 9
    {
        return None;
    }
    if hours > 18 || minutes > 59 || (!behind.is_empty() && !behind.starts_with(' ')) {
        return None;
    }
    FixedOffset::east_opt(sign * (hours * 3_600 + minutes * 60)).map(Some)
}

/// Texts with a month's name, in any order that leaves nothing open: `Fri, 01 May 2026 10:00:20 GMT`,
/// `Fri May 01 2026 10:00:25 GMT+0200`, `Fri May  1 10:00:00 UTC 2026`, `May 1, 2026, 10:00:00 AM`.
fn worded(text: &str) -> Option<WrittenTime> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    // English names, whole or by their first three letters.
    const WHOLE: [&str; 19] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let (mut year, mut month, mut day, mut clock, mut zone_text) = (None, None, None, None, String::new());
    let mut half_text = "";
    // A date in one word, `01-May-2026`, is three.
    let words = text.split([' ', ',']).flat_map(|word| {
        let dated = word.split('-').count() == 3 && word.bytes().any(|c| c.is_ascii_alphabetic());
        word.split(move |c| dated && c == '-').collect::<Vec<_>>()
    });
    for word in words.filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        let lower = lower.trim_end_matches('.');
        let short = lower.get(..3).filter(|_| lower.len() == 3 || lower == "sept" || WHOLE.contains(&lower));
        if let Some(number) = short.and_then(|short| MONTHS.iter().position(|name| *name == short)) {
            month.replace(number as u32 + 1).is_none().then_some(())?;
        } else if short.is_some_and(|short| DAYS.contains(&short)) {
            // What weekday it was follows from the date.
        } else if clock.is_none() && word.contains(':') && word.starts_with(|c: char| c.is_ascii_digit()) {
            clock = Some(word);
        } else if let Some((number, "")) = digits(word, 4, 4) {
            year.replace(number).is_none().then_some(())?;
        } else if let Some((number, "")) = digits(word, 1, 2) {
            day.replace(number).is_none().then_some(())?;
        } else if clock.is_some() && half(word).0.is_some() && half(word).1.is_empty() {
            half_text = word;
        } else if clock.is_some() {
            if !zone_text.is_empty() {
                zone_text.push(' ');
            }
            zone_text.push_str(word);
        } else if lower != "at" {
            return None;
        }
    }
    let date = NaiveDate::from_ymd_opt(year? as i32, month?, day?)?;
    with_time(date, &format!("{} {half_text} {zone_text}", clock?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<DateTime<Utc>> {
        read_written(text)?.utc()
    }

    #[test]
    fn the_same_instant_in_many_hands() {
        let instant = DateTime::parse_from_rfc3339("2026-05-01T10:00:05Z").unwrap().to_utc();
        for text in [
            "2026-05-01T10:00:05Z",
            "2026-05-01 10:00:05",
            "2026-5-1T10:0:5Z",
            "2026/05/01 10:00:05+00",
            "2026.05.01 10:00:05",
            "2026-05-01T12:00:05+0200",
            "2026-05-01T12:00:05 +02:00",
            "2026-05-01T03:00:05-0700",
            "2026-05-01 10:00:05 +0000 UTC",
            "2026-05-01 12:00:05 +0200 CEST m=+0.000012",
            "2026-05-01 12:00:05 +0200 +0200",
            "2026-05-01T12:00:05+02:00[Europe/Berlin]",
            "2026-05-01T10:00:05Z[UTC]",
            "2026-05-01T10:00:05 Z",
            "20260501T100005Z",
            "20260501T120005+0200",
            "20260501100005",
            "2026-05-01 10:00:05 AM",
            "2026-05-01T10:00:05 a.m.Z",
            "Fri, 01 May 2026 10:00:05 GMT",
            "01 May 2026 12:00:05 +0200",
            "Friday, 01-May-2026 10:00:05 UTC",
            "Fri May 01 2026 12:00:05 GMT+0200 (Central European Summer Time)",
            "Fri May  1 10:00:05 2026",
            "Fri May  1 10:00:05 UTC 2026",
            "Fri May  1 05:00:05 CDT 2026",
            "May 1, 2026, 10:00:05\u{202f}AM",
            "1 May 2026 at 10:00:05",
            "۲۰۲۶-۰۵-۰۱ ۱۰:۰۰:۰۵",
            "٢٠٢٦-٠٥-٠١T١٠:٠٠:٠٥Z",
        ] {
            assert_eq!(utc(text), Some(instant), "{text}");
        }
    }

    #[test]
    fn halves_of_a_day_and_its_end() {
        for (text, same) in [
            ("2026-05-01T02:37:21 PMZ", "2026-05-01T14:37:21Z"),
            ("2026-05-01T6:43:25.139 PMZ", "2026-05-01T18:43:25.139Z"),
            ("2026-05-01T2:51:30 PM", "2026-05-01T14:51:30Z"),
            ("2026-05-01 12:00 AM", "2026-05-01T00:00:00Z"),
            ("2026-05-01 12:00 pm", "2026-05-01T12:00:00Z"),
            ("2026-05-01T24:00:00Z", "2026-05-02T00:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("2026-05-01T10:00:00,5Z", "2026-05-01T10:00:00.5Z"),
        ] {
            assert_eq!(utc(text), utc(same), "{text}");
            assert!(utc(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_open_or_no_time_is_not_read() {
        for text in [
            "",
            "noon",
            "01/05/2026 10:00",
            "1.5.2026 10:00",
            "05-01-2026 10:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-05-01T25:00:00Z",
            "2026-05-01T13:00 PM",
            "2026-05-01",
            "2026-05-01T10",
            "00:53.0",
            "2026-05-01T10:00:00 CEST",
            "2026-05-01T10:00:00[Europe/Berlin]",
            "2026-05-01T10:00:00+99:00",
            "Fri May 2026 10:00:00",
            "1 2 May 2026 10:00:00",
            "Fri May 01 2026 10:00:00 BRT",
            "+12026-01-01T00:00:00Z",
            "2026-05-01T10:00:00.Z",
            "é-",
            "2026-05-01T10:00:00Zx",
        ] {
            assert_eq!(read_written(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}", tail in "[-+0-9:. TZapmAPM,/]{0,40}") {
            let _ = read_written(&text);
            let _ = read_written(&tail);
            let _ = read_written(&format!("2026-05-01T10:00:00{tail}"));
            let _ = read_written(&format!("Fri May 01 {tail}{text}"));
        }
    }
}
