//! CSV quotes that are never closed. Left alone, one would take all rows up to the next quote with it.

use super::MAX_LINE;
use std::io::{BufRead, Read};

/// How far the end of a field over several lines is looked for, bytes.
const FARTHEST: usize = 32 << 10;

/// CSV whose lines end with a newline, in which a quote that opens no field of its row is an apostrophe.
///
/// A row over several lines stays as it is when it has as many fields as the header. What else opens a quote is damaged, and only its own line is.
pub(super) struct Quotes<R> {
    input: R,
    delimiter: u8,
    /// How many fields a row has; the header's when absent.
    fields: Option<usize>,
    /// Lines that are whole, and perhaps the beginning of one.
    lines: Vec<u8>,
    /// What of them is looked through and handed out next.
    ready: usize,
    taken: usize,
    ended: bool,
}

impl<R: BufRead> Quotes<R> {
    pub(super) fn new(input: R, delimiter: u8, fields: Option<usize>) -> Self {
        Self { input, delimiter, fields, lines: Vec::new(), ready: 0, taken: 0, ended: false }
    }

    /// Reads more; `false` at the end.
    fn more(&mut self) -> std::io::Result<bool> {
        let bytes = self.input.fill_buf()?;
        let length = bytes.len();
        self.lines.extend_from_slice(bytes);
        self.input.consume(length);
        self.ended |= length == 0;
        Ok(length > 0)
    }

    /// Makes all rows ready that are there as a whole, at least one, unless this is the end.
    fn look(&mut self) -> std::io::Result<()> {
        self.lines.drain(..self.taken);
        (self.ready, self.taken) = (0, 0);
        loop {
            let rest = &self.lines[self.ready..];
            let quote = memchr::memchr(b'"', rest).unwrap_or(rest.len());
            let plain = self.fields.and_then(|_| memchr::memrchr(b'\n', &rest[..quote]));
            if let Some(end) = plain {
                // Nothing that could open.
                self.ready += end + 1;
            } else if !rest.is_empty() && (self.ended || rest.len() > MAX_LINE || memchr::memchr(b'\n', rest).is_some())
            {
                self.row()?;
            } else if self.ready > 0 || (!self.more()? && self.lines.is_empty()) {
                return Ok(());
            }
        }
    }

    /// Makes the next row ready.
    fn row(&mut self) -> std::io::Result<()> {
        let begin = self.ready;
        let (mut at, mut fields, mut open, mut clean) = (begin, 1, false, true);
        loop {
            let line_end = memchr::memchr(b'\n', &self.lines[at..]).map(|end| at + end + 1);
            let end = match line_end {
                Some(end) => end,
                None if at - begin < FARTHEST && self.lines.len() - begin <= MAX_LINE && self.more()? => continue,
                None => self.lines.len(),
            };
            fields += delimiters(&self.lines[at..end], self.delimiter, &mut open, &mut clean);
            at = end;
            if !open || at - begin >= FARTHEST || line_end.is_none() {
                break;
            }
        }
        let first = memchr::memchr(b'\n', &self.lines[begin..]).map_or(self.lines.len(), |end| begin + end + 1);
        let is_header = self.fields.is_none();
        let expected = *self.fields.get_or_insert(fields);
        if !open && (at == first || is_header || (clean && fields == expected)) {
            self.ready = at;
        } else {
            self.ready = first;
            self.lines[begin..first].iter_mut().filter(|byte| **byte == b'"').for_each(|byte| *byte = b'\'');
        }
        Ok(())
    }
}

/// How many delimiters of a line stand outside of quotes; `open` says whether one was open before and is behind it, `clean` is
/// false when anything but a field's end follows a quote that closes one.
fn delimiters(line: &[u8], delimiter: u8, open: &mut bool, clean: &mut bool) -> usize {
    let (mut count, mut at, mut begins) = (0, 0, true);
    while let Some(&byte) = line.get(at) {
        if *open {
            match (byte, line.get(at + 1)) {
                (b'"', Some(b'"')) => at += 1,
                (b'"', next) => {
                    *open = false;
                    *clean &= next.is_none_or(|next| *next == delimiter || next.is_ascii_whitespace());
                }
                _ => {}
            }
            begins = false;
        } else if byte == delimiter {
            count += 1;
            begins = true;
        } else {
            *open = begins && byte == b'"';
            begins = false;
        }
        at += 1;
    }
    count
}

impl<R: BufRead> BufRead for Quotes<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.taken == self.ready {
            self.look()?;
        }
        Ok(&self.lines[self.taken..self.ready])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
    }
}

impl<R: BufRead> Read for Quotes<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(out.len());
        out[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{BufReader, Cursor};

    fn read(text: &str, size: usize) -> String {
        let mut out = String::new();
        let input = BufReader::with_capacity(size, Cursor::new(text.as_bytes()));
        Quotes::new(input, b',', None).read_to_string(&mut out).unwrap();
        out
    }

    #[test]
    fn a_quote_without_an_end_is_its_lines_own() {
        for (text, same) in [
            ("a,b\n\"1\n2\",3\n", None),
            ("a,b\n\"1,\"\"2\n\n\",3\n\"4\",5\n", None),
            ("a,b\n5\" pipe,1\n6\" pipe,2\n", None),
            ("\"a\nb\",c\n1,2\n", None),
            ("a,b\n\"1,2\n3,4\n5,6\n", Some("a,b\n'1,2\n3,4\n5,6\n")),
            ("a,b\n1,\"2\n3,\"4\"\n", Some("a,b\n1,'2\n3,\"4\"\n")),
            ("a,b\n1,2\n3,\"4", Some("a,b\n1,2\n3,'4")),
        ] {
            for size in [1, 2, 3, 7, 100] {
                assert_eq!(read(text, size), same.unwrap_or(text), "{text:?} {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_well_formed_stays(rows in proptest::collection::vec(["[a\",\n]{0,8}", "[a\",\n]{0,8}"], 1..8), size in 1..40_usize) {
            let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::Any(b'\n')).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(read(&text, size), text);
        }

        #[test]
        fn whatever_stands_there_its_lines_stay(text in "[a\",\n]{0,60}", size in 1..20_usize) {
            prop_assert_eq!(read(&text, size).replace('\'', "\""), text);
        }
    }
}
