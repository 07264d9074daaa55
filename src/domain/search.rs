//! What somebody types to find persons.

use crate::domain::quoted;
use crate::domain::{FieldError, Result};

/// Words to find persons by: each must occur in a name or the company. At most [`Search::MAX_CHARS`] characters and
/// [`Search::MAX_WORDS`] words, none with a control character; without words everybody is found.
///
/// What counts as the same letter is the store's business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    words: Vec<String>,
}

impl Search {
    /// The longest text, in characters; a person has 600 at the most.
    pub const MAX_CHARS: usize = 200;
    /// Each word is a condition that the database must check.
    pub const MAX_WORDS: usize = 20;

    /// Reads what somebody typed: words stand apart by spaces, commas or semicolons ("Khan, Thomas"). `field` is what the
    /// caller calls this text, for the error.
    pub fn new(field: &str, text: &str) -> Result<Self, FieldError> {
        // No more is looked at than may be there.
        let chars = text.chars().take(Self::MAX_CHARS + 1).count();
        if chars > Self::MAX_CHARS {
            let message = format!("must have at most {} characters; got {}", Self::MAX_CHARS, quoted(text));
            return Err(FieldError::new(field, message));
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            let message = format!("must not contain control characters; got U+{:04X}", u32::from(c));
            return Err(FieldError::new(field, message));
        }
        let separates = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '،' | '、' | '，' | '；');
        let words: Vec<String> = text.split(separates).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        if words.len() > Self::MAX_WORDS {
            let message = format!("must have at most {} words; got {}", Self::MAX_WORDS, words.len());
            return Err(FieldError::new(field, message));
        }
        Ok(Self { words })
    }

    pub fn words(&self) -> &[String] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_stand_apart_by_spaces_and_commas() {
        assert_eq!(Search::new("q", " Khan,Thomas ;\u{3000}O'Brien ").unwrap().words(), ["Khan", "Thomas", "O'Brien"]);
        for nothing in ["", "  ", ","] {
            assert_eq!(Search::new("q", nothing), Ok(Search::default()), "{nothing:?}");
        }
    }

    #[test]
    fn bounds_are_kept_and_named() {
        let wrong = |text: &str| Search::new("q", text).unwrap_err().message;
        assert!(Search::new("q", &"é".repeat(200)).is_ok());
        assert!(wrong(&"é".repeat(201)).contains("at most 200 characters"));
        assert!(Search::new("q", &"a ".repeat(20)).is_ok());
        assert!(wrong(&"a ".repeat(21)).contains("at most 20 words; got 21"));
        for (text, number) in [("a\0b", "U+0000"), ("a\nb", "U+000A"), ("\u{9b}", "U+009B")] {
            assert!(wrong(text).ends_with(number), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_within_bounds_or_refused(text: String) {
            if let Ok(search) = Search::new("q", &text) {
                prop_assert!(search.words().len() <= Search::MAX_WORDS);
                prop_assert!(search.words().iter().all(|word| !word.is_empty() && !word.contains('\0')));
            }
        }
    }
}
