//! Texts that callers write: which characters a name may have, and how a foreign text is shown.

use crate::domain::FieldError;
use std::fmt::Write;

/// The most characters of a foreign text that a message, a log line or a table shows.
pub const SHOWN_CHARS: usize = 60;

/// A foreign text as messages, log lines and terminals show it: on one line, without anything that moves, hides or reorders
/// what stands beside it, and at most [`SHOWN_CHARS`] characters of it, the rest being `…`.
///
/// Control characters, line separators, bidirectional controls and invisible characters are written as `\u{202e}`; tab and
/// line breaks as `\t`, `\n` and `\r`. Letters of every script stay as they are.
///
/// ```
/// use udaconnect::domain::shown;
/// assert_eq!(shown("Zoë O’Brien"), "Zoë O’Brien");
/// assert_eq!(shown("gpj.\u{202e}exe\n"), r"gpj.\u{202e}exe\n");
/// assert_eq!(shown(&"x".repeat(100)).chars().count(), 61);
/// ```
pub fn shown(text: &str) -> String {
    escaped(text, SHOWN_CHARS, false)
}

/// As [`shown`], with at most `chars` characters of the text.
pub fn shown_at_most(text: &str, chars: usize) -> String {
    escaped(text, chars, false)
}

/// As [`shown`], between double quotes; those inside, and backslashes, are escaped, so that the end can be seen.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text, SHOWN_CHARS, true))
}

fn escaped(text: &str, chars: usize, quotes: bool) -> String {
    let mut result = String::new();
    let mut rest = text.chars();
    let mut before = None;
    for c in rest.by_ref().take(chars) {
        match c {
            '\t' => result.push_str("\\t"),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '"' | '\\' if quotes => result.extend(['\\', c]),
            c if fault(c, before).is_some() => {
                // A String takes all that is written.
                let _ = write!(result, "\\u{{{:x}}}", u32::from(c));
            }
            c => result.push(c),
        }
        before = Some(c);
    }
    if rest.next().is_some() {
        result.push('…');
    }
    result
}

/// Checks a name that people are shown and trims it: 1 to `most` characters.
///
/// Refused are control characters (PostgreSQL cannot store NUL, and a line break in a name breaks every list it is in),
/// bidirectional controls (they reorder what stands beside the name) and characters that nobody can see (two names that look
/// alike must be alike). A joiner (ZWJ, ZWNJ) may follow what it joins in the scripts that need it and in emoji, a variation
/// selector its character, a tag a flag. The error names the character as U+XXXX.
pub fn name(field: &str, text: &str, most: usize) -> Result<String, FieldError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(FieldError::new(field, "must not be empty"));
    }
    let chars = text.chars().count();
    if chars > most {
        return Err(FieldError::new(field, format!("must have at most {most} characters; got {chars}")));
    }
    let (mut before, mut marks) = (None, 0);
    for c in text.chars() {
        marks = if is_stacking(c) { marks + 1 } else { 0 };
        let what = match fault(c, before) {
            Some(what) => what,
            None if marks > 0 && before.is_none_or(char::is_whitespace) => "combining marks without a letter",
            None if marks > MOST_MARKS => "so many combining marks on one letter",
            None => {
                before = Some(c);
                continue;
            }
        };
        return Err(FieldError::new(field, format!("must not contain {what}; got U+{:04X}", u32::from(c))));
    }
    Ok(text.to_owned())
}

/// The most combining marks on one letter; a Hebrew letter with points and an accent has four.
const MOST_MARKS: usize = 8;

/// Why a character cannot be shown as it is after the one before it; `None` when it can.
fn fault(c: char, before: Option<char>) -> Option<&'static str> {
    const INVISIBLE: &str = "invisible characters";
    match c {
        c if c.is_control() => Some("control characters"),
        '\u{2028}' | '\u{2029}' => Some("line separators"),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some("bidirectional controls")
        }
        // They join letters of Indic, Arabic and other scripts, and emoji; after a Latin letter they can only hide.
        '\u{200c}' | '\u{200d}' => (!before.is_some_and(joins)).then_some(INVISIBLE),
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => {
            let selects = before.is_some_and(|before| !before.is_whitespace() && !before.is_ascii_alphabetic());
            (!selects).then_some(INVISIBLE)
        }
        // The flags of Scotland, Wales and others: a black flag and tags.
        '\u{e0020}'..='\u{e007f}' => {
            let flag = before.is_some_and(|before| matches!(before, '\u{1f3f4}' | '\u{e0020}'..='\u{e007e}'));
            (!flag).then_some(INVISIBLE)
        }
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffc}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e001f}'
        | '\u{e0080}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{e0fff}' => Some(INVISIBLE),
        c if u32::from(c) & 0xfffe == 0xfffe || matches!(c, '\u{fdd0}'..='\u{fdef}') => {
            Some("code points without a character")
        }
        _ => None,
    }
}

/// Whether a joiner after this character can do something: it is of a script that joins, or an emoji.
fn joins(before: char) -> bool {
    before >= '\u{590}' && !before.is_whitespace() && !matches!(before, '\u{1e00}'..='\u{206f}')
}

/// Marks that stack on the letter before them in Latin, Greek, Cyrillic and Hebrew.
fn is_stacking(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_all_languages_pass() {
        for text in [
            "O’Brien",
            "O'Brien",
            "Jean-Luc",
            "Nguyễn Thị Minh Khai",
            "Nguye\u{302}\u{303}n",
            "Łukasz Þórsson",
            "Ødegård",
            "عبد الرحمن",
            "علی\u{200c}رضا",
            "שָׁלוֹם",
            "राम\u{94d}\u{200d}या",
            "രാജന\u{d4d}\u{200d}",
            "ක\u{dca}\u{200d}ෂ",
            "李小龍",
            "葛\u{e0100}城",
            "김철수",
            "ジャン・リュック",
            "Ελένη Παπαδοπούλου",
            "Иван Ёлкин",
            "ნინო",
            "สมชาย",
            "👩\u{200d}🔬 Lab",
            "❤\u{fe0f}\u{200d}🔥",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "–",
            "100% Pure_Data & Co. (R\\D) \"x\"",
            "Ju\u{303}ŋe\u{301}",
        ] {
            assert_eq!(name("first_name", &format!("  {text} "), 200), Ok(text.to_owned()), "{text:?}");
            assert_eq!(shown(text), text, "{text:?}");
        }
    }

    #[test]
    fn what_hides_or_reorders_is_refused_by_its_number() {
        for (text, number) in [
            ("a\0b", "U+0000"),
            ("a\tb", "U+0009"),
            ("a\u{1b}[31mb", "U+001B"),
            ("a\u{85}b", "U+0085"),
            ("\u{202e}gpj.exe", "U+202E"),
            ("a\u{2066}b\u{2069}", "U+2066"),
            ("a\u{200f}", "U+200F"),
            ("a\u{61c}b", "U+061C"),
            ("\u{200b}", "U+200B"),
            ("Ada\u{200b}", "U+200B"),
            ("Ada\u{200d}", "U+200D"),
            ("A\u{200c}da", "U+200C"),
            ("\u{200d}Ada", "U+200D"),
            ("علی\u{200c}\u{200c}رضا", "U+200C"),
            ("\u{feff}Ada", "U+FEFF"),
            ("Ad\u{ad}a", "U+00AD"),
            ("\u{3164}", "U+3164"),
            ("\u{2800}\u{2800}", "U+2800"),
            ("Ada\u{2028}", "U+2028"),
            ("A\u{fe0f}da", "U+FE0F"),
            ("\u{e0041}", "U+E0041"),
            ("a\u{2060}b", "U+2060"),
            ("\u{301}", "U+0301"),
            ("a \u{301}", "U+0301"),
            ("a\u{ffff}", "U+FFFF"),
        ] {
            // What trim takes away is not there: the end of a line is no part of a name.
            let found = name("first_name", &format!("{text}."), 200);
            let error = found.expect_err(text);
            assert!(error.message.ends_with(number), "{text:?}: {}", error.message);
        }
        for (text, message) in [("", "must not be empty"), (" \u{3000}\t", "must not be empty")] {
            assert_eq!(name("first_name", text, 200).unwrap_err().message, message, "{text:?}");
        }
        assert!(name("first_name", &"x".repeat(200), 200).is_ok());
        assert!(name("first_name", &"x".repeat(201), 200).unwrap_err().message.contains("got 201"));
        assert!(name("first_name", &format!("a{}", "\u{301}".repeat(50)), 200).is_err());
    }

    #[test]
    fn foreign_texts_are_shown_on_one_line_and_not_endlessly() {
        assert_eq!(shown("a\u{1b}[2J\r\n\tb"), "a\\u{1b}[2J\\r\\n\\tb");
        assert_eq!(quoted("say \"x\\y\""), r#""say \"x\\y\"""#);
        assert_eq!(shown_at_most("abcdef", 3), "abc…");
        assert_eq!(shown_at_most("abc", 3), "abc");
    }

    proptest! {
        #[test]
        fn nothing_shown_moves_or_hides_anything(text: String) {
            let shown = shown_at_most(&text, 1_000);
            let mut before = None;
            for c in shown.chars() {
                prop_assert!(fault(c, before).is_none(), "{c:?} in {shown:?}");
                before = Some(c);
            }
            if let Ok(name) = name("name", &text, 1_000) {
                prop_assert_eq!(shown_at_most(&name, 1_000), name);
            }
        }
    }
}
