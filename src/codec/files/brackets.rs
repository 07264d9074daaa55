//! Finds where a JSON value ends, by its brackets and quotes alone.

/// Finds where a value ends, in pieces of any size, by brackets and quotes.
#[derive(Default)]
pub(super) struct Cut {
    begun: bool,
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Cut {
    /// How many of these bytes belong to the value, and whether it ends with them.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            if self.escaped {
                self.escaped = false;
                at += 1;
                continue;
            }
            if self.in_text {
                let Some(next) = memchr::memchr3(b'"', b'\\', b'\n', &bytes[at..]) else { return (bytes.len(), false) };
                at += next + 1;
                match bytes[at - 1] {
                    b'\\' => self.escaped = true,
                    // A text never goes over a line's end: one without its end must not take the next record with it.
                    _ => self.in_text = false,
                }
                if !self.in_text && self.depth == 0 {
                    return (at, true);
                }
                continue;
            }
            let byte = bytes[at];
            match byte {
                b'"' if self.depth > 0 || !self.begun => self.in_text = true,
                b'{' | b'[' if self.depth > 0 || !self.begun => self.depth += 1,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                // A number or a word ends in front of what cannot belong to it.
                _ if self.depth == 0 && self.begun && (byte.is_ascii_whitespace() || b",]}{[\":".contains(&byte)) => {
                    return (at, true);
                }
                _ => {}
            }
            self.begun = true;
            at += 1;
        }
        (at, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(text: &[u8], size: usize) -> Vec<u8> {
        let (mut cut, mut found) = (Cut::default(), Vec::new());
        for piece in text.chunks(size) {
            let (length, ended) = cut.next(piece);
            found.extend_from_slice(&piece[..length]);
            if ended {
                break;
            }
        }
        found
    }

    #[test]
    fn a_value_ends_where_its_brackets_do() {
        for (value, rest) in [
            (r#"{"a":["]}\"",{}]}"#, ","),
            (r#""a\\""#, "]"),
            ("-1.5e3", "}"),
            ("null", " ,"),
            ("[]", "]"),
            ("}", ","),
            (r#"{"a":"no end"#.to_owned().as_str(), ""),
        ] {
            for size in 1..8 {
                assert_eq!(cut(format!("{value}{rest}").as_bytes(), size), value.as_bytes(), "{value}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_value_is_cut_out_whole(text in "\\PC{0,20}", number: i64, size in 1..9_usize) {
            let value = serde_json::json!({"a": [text, number, {"b": text}], "c": null});
            for value in [&value, &value["a"], &value["a"][0], &value["a"][1]] {
                let text = value.to_string();
                prop_assert_eq!(cut(format!("{text},{{}}]").as_bytes(), size), text.into_bytes());
            }
        }
    }
}
