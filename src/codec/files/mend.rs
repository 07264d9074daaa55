//! Mends JSON that is malformed in ways that leave no doubt about what is meant.

/// The text with what is no JSON mended; `None` where there is nothing to mend.
///
/// `NaN` and `Infinity` (as Python writes them) are null; a comma behind the last element goes; in texts, a half of a surrogate
/// pair and bytes that are no UTF-8 become U+FFFD, a control character a space, and a backslash before what needs none goes.
pub(super) fn mended(raw: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(raw);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut in_text) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let taken = match byte {
            b'\\' if in_text => escape(rest, &mut out),
            b'"' => {
                in_text = !in_text;
                out.push(byte);
                1
            }
            _ if byte < 0x20 => {
                // A line's end outside of texts stays, so that lines can be counted.
                out.push(if byte == b'\n' && !in_text { byte } else { b' ' });
                1
            }
            b']' | b'}' if !in_text => {
                let end = out.trim_ascii_end();
                if end.ends_with(b",") {
                    let comma = end.len() - 1;
                    out[comma] = b' ';
                }
                out.push(byte);
                1
            }
            _ if !in_text => {
                match ["NaN", "-Infinity", "Infinity"].iter().find(|word| rest.starts_with(word.as_bytes())) {
                    Some(word) => {
                        out.extend_from_slice(b"null");
                        word.len()
                    }
                    None => {
                        out.push(byte);
                        1
                    }
                }
            }
            _ => {
                out.push(byte);
                1
            }
        };
        at += taken;
    }
    (out != raw).then_some(out)
}

/// Writes what is meant by the escape that these bytes begin with; how many bytes it has.
fn escape(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    match bytes.get(1) {
        Some(b'u') => match (unit(bytes), unit(bytes.get(6..).unwrap_or_default())) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => {
                out.extend_from_slice(&bytes[..12]);
                12
            }
            (Some(0xd800..0xe000), _) => {
                out.extend_from_slice(b"\\ufffd");
                6
            }
            (Some(_), _) => {
                out.extend_from_slice(&bytes[..6]);
                6
            }
            // No four digits: the letter alone.
            (None, _) => 1,
        },
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
            out.extend_from_slice(&bytes[..2]);
            2
        }
        _ => 1,
    }
}

/// The number of a `\u` escape.
fn unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(text: impl AsRef<[u8]>) -> Value {
        let mended = mended(text.as_ref()).unwrap();
        serde_json::from_slice(&mended).unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&mended)))
    }

    #[test]
    fn what_is_meant_is_read() {
        assert_eq!(
            read(r#"{"a":NaN,"b":[-Infinity,Infinity],"c":"NaN"}"#),
            json!({"a":null,"b":[null,null],"c":"NaN"})
        );
        assert_eq!(read(r#"{"a":[1,2,],"b":",]",}"#), json!({"a":[1,2],"b":",]"}));
        assert_eq!(
            read(r#"["\ud83d","\ude00\ud83d x","\ud83d\ude00"]"#),
            json!(["\u{fffd}", "\u{fffd}\u{fffd} x", "😀"])
        );
        assert_eq!(read("[\"a\tb\u{1}\\'\\x\\uZ\"]"), json!(["a b 'xuZ"]));
        assert_eq!(read(b"[\"Caf\xe9\"]"), json!(["Caf\u{fffd}"]));
        assert_eq!(mended(b"{\"a\": [1, 2]}"), None);
    }

    proptest! {
        #[test]
        fn what_is_json_stays_as_it_is(text in "\\PC{0,30}", number: f64) {
            let value = json!({"a": [text, number], "b": {}});
            prop_assert_eq!(mended(value.to_string().as_bytes()), None);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = mended(&bytes);
        }
    }
}
