//! XML in pieces that begin with a record, so that what is wrong in one does not reach the next.

use super::super::input::Limited;
use super::super::{Broken, MAX_LINE};
use std::io::BufRead;

/// Without the begin of a record, a piece ends behind a tag when it has grown to this, bytes.
const ENOUGH: usize = 256 << 10;

/// Some XML, from a boundary between tags to another.
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    /// Whether its first tag begins a record.
    pub(super) begins_record: bool,
    newlines: u64,
}

impl Piece<'_> {
    /// The line that it begins in, from 1.
    pub(super) fn line(&self) -> u64 {
        self.newlines + 1
    }

    /// The lines of its bytes, to be asked from the front.
    pub(super) fn lines(&self) -> Lines<'_> {
        Lines { bytes: self.text.as_bytes(), at: 0, line: self.line() }
    }
}

/// Counts the lines of a piece once.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of a byte, which is none before one that was asked for.
    pub(super) fn at(&mut self, byte: usize) -> u64 {
        let between = self.bytes.get(self.at..byte).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', between).count() as u64;
        self.at = self.at.max(byte);
        self.line
    }
}

/// The pieces of an input.
pub(super) struct Pieces<R> {
    input: Limited<R>,
    /// What was read and is not handed out yet begins at `begin`.
    buffer: Vec<u8>,
    begin: usize,
    /// The end of the piece that was handed out last.
    end: usize,
    newlines: u64,
    records: Vec<String>,
    ended: bool,
}

impl<R: BufRead> Pieces<R> {
    pub(super) fn new(input: Limited<R>) -> Self {
        // Bounded here, by pieces.
        input.place().limit(usize::MAX);
        Self { input, buffer: Vec::new(), begin: 0, end: 0, newlines: 0, records: Vec::new(), ended: false }
    }

    /// The line that is being read.
    pub(super) fn line(&self) -> u64 {
        self.newlines + 1
    }

    /// The name of the first element, without its prefix; empty where there is none.
    pub(super) fn root(&mut self) -> Result<String, Broken> {
        while !self.ended && self.buffer.len() < (64 << 10) {
            self.fill()?;
        }
        Ok(self.root_name().rsplit(':').next().unwrap_or_default().to_owned())
    }

    fn root_name(&self) -> String {
        let mut text = self.buffer.as_slice();
        loop {
            let Some(at) = memchr::memchr(b'<', text) else { return String::new() };
            text = &text[at..];
            let end = match text {
                [b'<', b'!', b'-', b'-', ..] => memchr::memmem::find(text, b"-->"),
                [b'<', b'!' | b'?', ..] => memchr::memchr(b'>', text),
                _ => {
                    let name =
                        text[1..].split(|&byte| !(byte.is_ascii_alphanumeric() || b":_-.".contains(&byte))).next();
                    return String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
                }
            };
            let Some(end) = end else { return String::new() };
            text = &text[end..];
        }
    }

    /// From now on pieces begin with these elements, which have the prefix of the root.
    pub(super) fn split_at(&mut self, records: &[&str]) {
        let root = self.root_name();
        let prefix = root.rsplit_once(':').map(|(prefix, _)| format!("{prefix}:")).unwrap_or_default();
        self.records = records.iter().map(|name| format!("<{prefix}{name}")).collect();
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Piece<'_>>, Broken> {
        self.newlines += memchr::memchr_iter(b'\n', &self.buffer[self.begin..self.end]).count() as u64;
        self.begin = self.end;
        // Behind the tag that the piece begins with.
        let mut seen = self.begin + 1;
        let mut hidden = Hidden { at: self.begin, until: None };
        let end = loop {
            let rest = self.buffer.get(seen..).unwrap_or_default();
            // A name must be there as a whole to be known.
            let found = memchr::memchr_iter(b'<', rest)
                .map(|at| seen + at)
                .find(|&at| self.is_record(at) && !hidden.is_open(&self.buffer, at));
            if let Some(end) = found {
                break end;
            }
            let length = self.buffer.len() - self.begin;
            if self.ended {
                break self.buffer.len();
            }
            if length >= ENOUGH {
                let behind = memchr::memrchr(b'>', &self.buffer[self.begin..]).map(|at| self.begin + at + 1);
                if let Some(end) = behind.filter(|&end| !hidden.is_open(&self.buffer, end)) {
                    break end;
                }
                if length > MAX_LINE {
                    let message = format!("a record has more than {MAX_LINE} bytes, which is not allowed");
                    return Err(Broken::at(self.line(), message));
                }
            }
            let longest = self.records.iter().map(String::len).max().unwrap_or(0);
            seen = seen.max(self.buffer.len().saturating_sub(longest + 1));
            let moved = self.begin;
            self.fill()?;
            if self.begin < moved {
                seen -= moved - self.begin;
                hidden.at -= moved - self.begin;
            }
        };
        self.end = end;
        if self.begin == end {
            return Ok(None);
        }
        let begins_record = self.is_record(self.begin);
        let text = std::str::from_utf8(&self.buffer[self.begin..end])
            .map_err(|error| Broken::at(self.newlines + 1, format!("is no text: {error}")))?;
        Ok(Some(Piece { text, begins_record, newlines: self.newlines }))
    }

    /// Whether a tag that begins a record stands there.
    fn is_record(&self, at: usize) -> bool {
        let rest = &self.buffer[at..];
        self.records.iter().any(|name| {
            rest.starts_with(name.as_bytes())
                && rest.get(name.len()).is_some_and(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))
        })
    }

    fn fill(&mut self) -> Result<(), Broken> {
        if self.begin > ENOUGH {
            self.buffer.drain(..self.begin);
            self.end -= self.begin;
            self.begin = 0;
        }
        loop {
            let line = self.line();
            match self.input.fill_buf() {
                Ok(bytes) => {
                    let length = bytes.len();
                    self.buffer.extend_from_slice(bytes);
                    self.input.consume(length);
                    self.ended = length == 0;
                    return Ok(());
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::at(line, error.to_string())),
            }
        }
    }
}

/// Where comments and CDATA sections are: what stands in them is no tag. Looked for once, from the front.
#[derive(Default)]
struct Hidden {
    /// Up to here is looked through.
    at: usize,
    /// What ends the one that is open.
    until: Option<&'static [u8]>,
}

impl Hidden {
    /// Whether one is open at this place.
    fn is_open(&mut self, text: &[u8], to: usize) -> bool {
        while let Some(between) = text.get(self.at..to) {
            let Some(end) = self.until else {
                let Some(begin) = memchr::memmem::find(between, b"<!").map(|at| self.at + at) else { break };
                let kinds: [(&[u8], &[u8]); 2] = [(b"<!--", b"-->"), (b"<![CDATA[", b"]]>")];
                match kinds.into_iter().find(|(head, _)| text[begin..].starts_with(head)) {
                    Some((head, end)) => (self.at, self.until) = (begin + head.len(), Some(end)),
                    None => self.at = begin + 2,
                }
                continue;
            };
            match memchr::memmem::find(between, end) {
                Some(found) => (self.at, self.until) = (self.at + found + end.len(), None),
                None => {
                    // Its first bytes may be there.
                    self.at = self.at.max(to.saturating_sub(end.len() - 1));
                    break;
                }
            }
        }
        self.until.is_some()
    }
}
