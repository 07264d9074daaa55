//! What reaches standard error: one line an event, bounded in length and in number, of characters that change nothing but the line.
//!
//! Whoever logs need not think of it, and neither does a library.

use super::telemetry::LogFormat;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The longest line, bytes.
const LONGEST: usize = 8 << 10;
/// The longest text in a field of a line that would be too long, characters.
const FIELD: usize = 1_000;
/// How many warnings, or errors, one place in the program may log in a [`WINDOW`]; further ones are counted.
const MOST: u32 = 50;
const WINDOW: Duration = Duration::from_secs(10);

/// Writes lines to standard error.
pub struct Lines {
    format: LogFormat,
    /// Whether the formatter colours its lines.
    ansi: bool,
    places: Mutex<HashMap<Identifier, Place>>,
}

/// What a place in the program has logged.
struct Place {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Lines {
    pub fn new(format: LogFormat, ansi: bool) -> Self {
        Self { format, ansi, places: Mutex::default() }
    }

    /// How many lines of this place were left out before this one, which may be written; `None` if it is left out, too.
    fn admit(&self, place: Identifier, now: Instant) -> Option<u64> {
        let mut places = self.places.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let place = places.entry(place).or_insert(Place { since: now, lines: 0, left_out: 0 });
        if now.saturating_duration_since(place.since) >= WINDOW {
            (place.since, place.lines) = (now, 0);
        }
        place.lines += 1;
        if place.lines > MOST {
            place.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut place.left_out))
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, left_out: Some(0) }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        let left_out =
            if *event.level() <= Level::WARN { self.admit(event.callsite(), Instant::now()) } else { Some(0) };
        Line { lines: self, left_out }
    }
}

/// Writes one line, which is given to it as a whole.
pub struct Line<'a> {
    lines: &'a Lines,
    left_out: Option<u64>,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(left_out) = self.left_out {
            let text = String::from_utf8_lossy(line);
            let text = match self.lines.format {
                LogFormat::Text => plain(&text, self.lines.ansi, left_out),
                LogFormat::Json => json(&text, left_out),
            };
            io::stderr().lock().write_all(text.as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a character does something to the line other than to be in it: control characters, and the marks that turn the
/// direction of writing or are not seen.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

fn plain(line: &str, ansi: bool, left_out: u64) -> String {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let mut text = String::with_capacity(line.len() + 1);
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if text.len() > LONGEST {
            let _ = write!(text, "… ({} bytes in all)", line.len());
            break;
        }
        let colour = if ansi { colour(rest) } else { 0 };
        let length = colour.max(c.len_utf8());
        if colour == 0 && acts(c) {
            text.extend(c.escape_default());
        } else {
            text.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    if left_out > 0 {
        let _ = write!(text, " ({left_out} such lines were left out before)");
    }
    text.push('\n');
    text
}

/// The length of the sequence that sets a colour at the beginning of a text, or 0. The formatter sets them, and escapes what
/// values hold.
fn colour(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
    if rest.as_bytes().get(digits) == Some(&b'm') { 2 + digits + 1 } else { 0 }
}

fn json(line: &str, left_out: u64) -> String {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let mut text = String::new();
    let mut shortened = None;
    if line.len() > LONGEST || left_out > 0 {
        shortened = serde_json::from_str::<Value>(line).ok().map(|mut value| {
            if line.len() > LONGEST {
                shorten(&mut value, FIELD);
                if value.to_string().len() > LONGEST {
                    // Of very many fields, what every line has.
                    shorten(&mut value, 100);
                    if let Value::Object(fields) = &mut value {
                        fields.retain(|name, _| matches!(name.as_str(), "timestamp" | "level" | "message" | "target"));
                    }
                }
            }
            if left_out > 0 {
                value["left_out_before"] = left_out.into();
            }
            value.to_string()
        });
    }
    for c in shortened.as_deref().unwrap_or(line).chars() {
        // Stands in a string, where else it would be no JSON.
        if acts(c) {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    text
}

fn shorten(value: &mut Value, most: usize) {
    match value {
        Value::String(text) => {
            if let Some((at, _)) = text.char_indices().nth(most) {
                let length = text.len();
                text.truncate(at);
                let _ = write!(text, "… ({length} bytes in all)");
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| shorten(value, most)),
        Value::Object(fields) => fields.values_mut().for_each(|value| shorten(value, most)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tracing::Callsite;

    #[test]
    fn a_line_stays_one_line_and_does_nothing_to_a_terminal() {
        let line = plain("a\nb\u{1b}[2Jc\u{9b}31m\u{202e}d\r\0\u{7f}\n", false, 0);
        assert_eq!(line, "a\\nb\\u{1b}[2Jc\\u{9b}31m\\u{202e}d\\r\\u{0}\\u{7f}\n");
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m\u{1b}[2J\n", true, 0), "\u{1b}[31mred\u{1b}[0m\\u{1b}[2J\n");
        assert_eq!(json("{\"a\":\"\u{9b}\u{202e}é\"}\n", 0), "{\"a\":\"\\u009b\\u202eé\"}\n");
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = plain(&format!("{}\n", "é".repeat(1 << 20)), false, 0);
        assert!(long.len() < LONGEST + 100 && long.ends_with("(2097152 bytes in all)\n"), "{}", long.len());
        let line = serde_json::json!({"level": "WARN", "message": "m", "error": "x".repeat(1 << 20), "n": 1});
        let cut = json(&format!("{line}\n"), 3);
        assert!(cut.len() < LONGEST);
        let cut: Value = serde_json::from_str(&cut).unwrap();
        assert_eq!((&cut["n"], &cut["left_out_before"]), (&1.into(), &3.into()));
        assert!(cut["error"].as_str().unwrap().ends_with("(1048576 bytes in all)"));
    }

    #[test]
    fn what_comes_endlessly_is_counted() {
        struct Site;
        impl Callsite for Site {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}
            fn metadata(&self) -> &Metadata<'_> {
                unreachable!("nobody asks")
            }
        }
        static SITE: Site = Site;
        let (lines, site, begin) = (Lines::new(LogFormat::Text, false), Identifier(&SITE), Instant::now());
        let written = (0..1_000).filter(|_| lines.admit(site.clone(), begin).is_some()).count();
        assert_eq!(written, MOST as usize);
        assert_eq!(lines.admit(site.clone(), begin + WINDOW), Some(950));
        assert_eq!(lines.admit(site, begin + WINDOW), Some(0));
    }

    proptest! {
        #[test]
        fn any_text_is_one_harmless_line(text in any::<String>(), ansi in any::<bool>()) {
            let line = plain(&text, ansi, 0);
            let body = line.strip_suffix('\n').unwrap();
            prop_assert!(!body.contains('\n'));
            prop_assert!(ansi || !body.chars().any(acts));
            let line = json(&serde_json::json!({ "a": text }).to_string(), 0);
            let read: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(read["a"].as_str().unwrap(), text.as_str());
        }
    }
}
