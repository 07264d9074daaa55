//! JSON documents of any length, an element of a long list at a time; what is damaged in one costs no other.
//!
//! A document is cut into elements by its brackets and quotes alone, and each element is parsed by itself.

use super::brackets::Cut;
use super::input::{Headed, Limited, Place};
use super::json;
use super::mend::mended;
use super::value::shown;
use super::weighed::{RecordBudget, TOO_MANY_PARTS, Weighed};
use super::{Bad, Broken, Item, MAX_OBJECT, Options, Sink};
use encoding_rs::UTF_8;
use encoding_rs_io::DecodeReaderBytesBuilder;
use memchr::memmem;
use serde::de::DeserializeSeed;
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::ops::ControlFlow::{self, Break, Continue};

/// The members of a document that may hold a long list: GeoJSON's, what OwnTracks Recorder's API answers, and Google's.
const LISTS: &[&str] = &["features", "data", "locations", "semanticSegments", "rawSignals", "timelineObjects"];

pub(super) fn read<R: Read>(input: Headed<R>, options: &Options, sink: &mut Sink<'_>) -> Result<(), Broken> {
    // Bytes of another encoding stand in texts that nobody needs; UTF-16 is known by its mark.
    let decoded = |input| {
        let decoder = DecodeReaderBytesBuilder::new().encoding(Some(UTF_8)).bom_override(true).build(input);
        BufReader::with_capacity(64 << 10, decoder)
    };
    let input = input.map(decoded);
    let place = input.place();
    place.limit(MAX_OBJECT);
    let mut reader = Reader {
        input,
        place: place.clone(),
        line: 1,
        again: Vec::new(),
        again_at: 0,
        may_read_again: AGAIN,
        budget: RecordBudget::new(),
        raw: Vec::new(),
        raw_line: 1,
        damaged: false,
        beginning: Vec::new(),
        options,
        sink,
    };
    let mut begun = false;
    // Several documents may follow each other.
    while let Some(byte) = reader.peek()? {
        let flow = match byte {
            b'{' => reader.object()?,
            b'[' => {
                reader.skip();
                reader.list()?
            }
            // Between documents, or behind one that a damaged record has ended too early.
            b',' => {
                reader.skip();
                Continue(())
            }
            // What is left of a document that a damaged record has ended too early.
            _ if begun => reader.element()?,
            _ => return Err(reader.not_valid("an object or a list")),
        };
        if flow == Break(()) {
            return Ok(());
        }
        begun = true;
        place.mark();
        reader.budget.reset();
    }
    Ok(())
}

/// How much of an input may be read once more behind the beginnings of damaged records, bytes: so much, and so many times what was
/// read. It keeps the time linear in the input, however hostile it is.
const AGAIN: usize = 64 << 20;
const AGAIN_TIMES: usize = 8;
/// How far a record is read, bytes, behind what looks like the beginning of the next one, before that is believed.
const AHEAD: usize = 256 << 10;
/// The longest beginning of a record that is kept to know others by, bytes.
const MAX_BEGINNING: usize = 128;

/// Parses one value, as it stands or else with what may be mended. The error is a sentence, with its line, from 1.
pub(super) fn parse(raw: &[u8], budget: &RecordBudget) -> Result<Value, (u64, String)> {
    let attempt = |raw: &[u8]| {
        let mut json = serde_json::Deserializer::from_slice(raw);
        Weighed(budget).deserialize(&mut json).and_then(|value| json.end().map(|()| value))
    };
    let error = match attempt(raw) {
        Ok(value) => return Ok(value),
        Err(_) if budget.is_exceeded() => return Err((1, TOO_MANY_PARTS.to_owned())),
        Err(error) => error,
    };
    if let Some(mended) = mended(raw) {
        budget.reset();
        if let Ok(value) = attempt(&mended) {
            return Ok(value);
        }
        if budget.is_exceeded() {
            return Err((1, TOO_MANY_PARTS.to_owned()));
        }
    }
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    Err((error.line().max(1) as u64, format!("is not valid JSON: {what}")))
}

/// How a record begins: as far as behind its first name, so that others are known by it; nothing when it is no object with names.
fn beginning(raw: &[u8]) -> &[u8] {
    let head = &raw[..raw.len().min(MAX_BEGINNING)];
    match memchr::memchr(b':', head) {
        Some(colon) if head.starts_with(b"{") && head[..colon].contains(&b'"') => &head[..=colon],
        _ => &[],
    }
}

/// The first place from `from` on where, behind a comma, a record begins as others do: that of the comma.
fn next_record(raw: &[u8], from: usize, beginning: &[u8]) -> Option<usize> {
    if beginning.is_empty() {
        return None;
    }
    memmem::find_iter(raw.get(from..)?, beginning).find_map(|at| {
        let before = raw[..from + at].trim_ascii_end();
        before.ends_with(b",").then(|| before.len() - 1)
    })
}

/// Where the reading is, and where its items go.
struct Reader<'a, 's, R> {
    input: Limited<R>,
    place: Place,
    /// The line, from 1.
    line: u64,
    /// What is read once more, from `again_at` on, before the input goes on.
    again: Vec<u8>,
    again_at: usize,
    may_read_again: usize,
    budget: RecordBudget,
    /// The value that was cut out last, and the line it began in; empty when nothing else can stand in it.
    raw: Vec<u8>,
    raw_line: u64,
    /// Whether the last record was damaged.
    damaged: bool,
    /// How good records begin here, such as `{"type":`.
    beginning: Vec<u8>,
    options: &'a Options,
    sink: &'a mut Sink<'s>,
}

impl<R: BufRead> Reader<'_, '_, R> {
    fn fill(&mut self) -> Result<&[u8], Broken> {
        let line = self.line;
        if self.again_at < self.again.len() {
            return Ok(&self.again[self.again_at..]);
        }
        while let Err(error) = self.input.fill_buf() {
            if error.kind() != ErrorKind::Interrupted {
                return Err(Broken::at(line, error.to_string()));
            }
        }
        // What is there is there without a further error.
        self.input.fill_buf().map_err(|error| Broken::at(line, error.to_string()))
    }

    /// Takes these bytes, which begin what is there.
    fn consume(&mut self, count: usize) -> Result<(), Broken> {
        let newlines = memchr::memchr_iter(b'\n', &self.fill()?[..count]).count() as u64;
        self.line += newlines;
        if self.again_at < self.again.len() {
            self.taken_again(count);
        } else {
            self.input.consume(count);
            self.may_read_again = self.may_read_again.saturating_add(count.saturating_mul(AGAIN_TIMES));
        }
        Ok(())
    }

    /// Notes what was taken of what is read once more; whatever is behind it is of the input.
    fn taken_again(&mut self, count: usize) {
        self.again_at += count;
        if self.again_at == self.again.len() {
            self.again.clear();
            self.again_at = 0;
        }
    }

    /// The next byte that is no space; `None` at the end.
    fn peek(&mut self) -> Result<Option<u8>, Broken> {
        loop {
            let bytes = self.fill()?;
            // A record of a text sequence (RFC 8142) begins with 0x1e.
            let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x1e).count();
            let (next, ended) = (bytes.get(blank).copied(), bytes.is_empty());
            self.consume(blank)?;
            if next.is_some() || ended {
                return Ok(next);
            }
        }
    }

    /// Takes the byte that was peeked at.
    fn skip(&mut self) {
        if self.again_at < self.again.len() {
            self.taken_again(1);
        } else {
            self.input.consume(1);
        }
    }

    fn cut_off(&self) -> Broken {
        Broken::at(self.line, "is not valid JSON: the file is cut off")
    }

    fn not_valid(&self, expected: &str) -> Broken {
        Broken::at(self.line, format!("is not valid JSON: there must be {expected}"))
    }

    /// Cuts out the value that begins at the next byte.
    fn value(&mut self) -> Result<(), Broken> {
        self.cut(false)
    }

    /// The same; a record is given up when another has begun [`AHEAD`] before.
    fn cut(&mut self, is_record: bool) -> Result<(), Broken> {
        self.raw.clear();
        self.raw_line = self.line;
        let mut cut = Cut::default();
        let mut looked_at = 1;
        loop {
            let mut raw = std::mem::take(&mut self.raw);
            let filled = self.fill().map(|bytes| {
                let (length, ended) = cut.next(bytes);
                raw.extend_from_slice(&bytes[..length]);
                (length, ended, bytes.is_empty())
            });
            self.raw = raw;
            let (length, ended, at_end) = filled?;
            if at_end {
                return Err(self.cut_off());
            }
            self.consume(length)?;
            // What is read once more does not count as input.
            if self.raw.len() > MAX_OBJECT {
                let message = format!("a record has more than {MAX_OBJECT} bytes, which is not allowed");
                return Err(Broken::at(self.line, message));
            }
            if ended {
                return Ok(());
            }
            if is_record && self.raw.len() > AHEAD {
                let next = next_record(&self.raw, looked_at, &self.beginning);
                if next.is_some_and(|at| self.raw.len() - at > AHEAD) {
                    return Err(Broken::at(self.line, "is not valid JSON: a record has no end of its own"));
                }
                looked_at = next.unwrap_or(self.raw.len() - 2 * MAX_BEGINNING);
            }
        }
    }

    /// The value that was cut out last, which began in this line; else what is wrong with it.
    fn parsed(&self, line: u64) -> Result<Value, Item> {
        parse(&self.raw, &self.budget)
            .map_err(|(at, message)| Item::Bad { line: line + at - 1, bad: Bad::new("record", message) })
    }

    /// The elements of a list, one after the other, behind its bracket.
    fn list(&mut self) -> Result<ControlFlow<()>, Broken> {
        self.place.mark();
        loop {
            match self.peek()? {
                // A record without an end of its own may have taken the list's, and so all that follows it.
                None if self.go_back(self.raw_line) => {
                    let bad = Bad::new("record", "is not valid JSON: it has no end of its own");
                    if (self.sink)(Item::Bad { line: self.raw_line, bad }) == Break(()) {
                        return Ok(Break(()));
                    }
                }
                None => return Err(self.cut_off()),
                Some(b']') => {
                    self.skip();
                    return Ok(Continue(()));
                }
                Some(b',') => self.skip(),
                Some(_) => {
                    if self.element()? == Break(()) {
                        return Ok(Break(()));
                    }
                }
            }
        }
    }

    /// One element of a list.
    fn element(&mut self) -> Result<ControlFlow<()>, Broken> {
        let line = self.line;
        let cut = self.cut(true);
        self.place.mark();
        self.budget.reset();
        // What is left of a damaged record is not said again.
        let is_scrap = self.damaged && !self.raw.starts_with(b"{");
        let item = match cut {
            Ok(()) => match self.parsed(line) {
                Ok(value @ (Value::Object(_) | Value::Array(_))) => {
                    self.damaged = false;
                    return Ok(self.items(value, line));
                }
                Ok(other) => {
                    self.go_back(line);
                    let other = shown(&other.to_string());
                    Item::Bad { line, bad: Bad::new("record", format!("must be a JSON object; got {other}")) }
                }
                Err(bad) => {
                    self.go_back(line);
                    bad
                }
            },
            // One bracket too many in a record would take all that follows with it.
            Err(_) if self.go_back(line) => {
                Item::Bad { line, bad: Bad::new("record", "is not valid JSON: it has no end of its own") }
            }
            Err(broken) => return Err(broken),
        };
        self.damaged = true;
        if is_scrap { Ok(Continue(())) } else { Ok((self.sink)(item)) }
    }

    /// Hands on what an element tells, which was cut out last.
    fn items(&mut self, value: Value, line: u64) -> ControlFlow<()> {
        let mut good = false;
        let sink = &mut *self.sink;
        let flow = json::items(value, line, self.options, &mut |item| {
            good |= matches!(item, Item::Fix(_));
            sink(item)
        });
        if good {
            if self.beginning.is_empty() || !self.raw.starts_with(&self.beginning) {
                self.beginning = beginning(&self.raw).to_vec();
            }
            self.raw.clear();
        }
        flow
    }

    /// Goes back in what was cut out last to where the next record seems to begin, so that it is read once more from there;
    /// `false` when there is none.
    fn go_back(&mut self, line: u64) -> bool {
        let own = if self.beginning.is_empty() { beginning(&self.raw) } else { &self.beginning };
        let begins = |at: &usize| self.raw[at + 1..].iter().find(|byte| !b" \t\r".contains(byte)) == Some(&b'{');
        // A text is no record, and a quote too many makes one of what stands between two.
        let in_text = self.raw.starts_with(b"\"").then(|| memchr::memchr(b'{', &self.raw)).flatten();
        let line_end = memchr::memchr_iter(b'\n', &self.raw).find(begins);
        let in_line = next_record(&self.raw[..line_end.unwrap_or(self.raw.len())], 1, own);
        let Some(at) = in_text.or(in_line).or(line_end) else { return false };
        let back = self.raw.len() - at;
        let Some(left) = self.may_read_again.checked_sub(back) else { return false };
        self.may_read_again = left;
        self.line = line + memchr::memchr_iter(b'\n', &self.raw[..at]).count() as u64;
        if self.again_at >= back {
            self.again_at -= back;
        } else {
            // At least its end is of the input, so that nothing is left to be read once more.
            self.again = self.raw.split_off(at);
            self.again_at = 0;
        }
        self.raw.clear();
        true
    }

    /// Says that a list has ended in front of what looks like one more element.
    fn ended_too_early(&mut self) -> ControlFlow<()> {
        let bad = Bad::new("record", "is not valid JSON: a list ends in front of it");
        (self.sink)(Item::Bad { line: self.line, bad })
    }

    /// A document's object, whose long lists are not kept.
    fn object(&mut self) -> Result<ControlFlow<()>, Broken> {
        let line = self.line;
        self.skip();
        let mut members = Map::new();
        let mut listed = false;
        let mut wrong = None;
        loop {
            match self.peek()? {
                None => return Err(self.cut_off()),
                Some(b'}') => break self.skip(),
                Some(b',') => {
                    self.skip();
                    continue;
                }
                Some(b'"') => self.value()?,
                // A damaged record has ended its list too early.
                Some(_) if listed => {
                    if self.ended_too_early() == Break(()) || self.list()? == Break(()) {
                        return Ok(Break(()));
                    }
                    continue;
                }
                Some(_) => return Err(self.not_valid("the name of a member")),
            }
            let name = match parse(&self.raw, &self.budget) {
                Ok(Value::String(name)) => name,
                _ => String::from_utf8_lossy(&self.raw).into_owned(),
            };
            match self.peek()? {
                None => return Err(self.cut_off()),
                Some(b':') => self.skip(),
                Some(_) if listed => {
                    if self.ended_too_early() == Break(()) {
                        return Ok(Break(()));
                    }
                    continue;
                }
                Some(_) => return Err(self.not_valid("a colon behind the name of a member")),
            }
            if self.peek()? == Some(b'[') && LISTS.contains(&name.as_str()) {
                self.skip();
                listed = true;
                members.clear();
                if self.list()? == Break(()) {
                    return Ok(Break(()));
                }
                continue;
            }
            let begin = self.line;
            self.value()?;
            if listed && name != "crs" {
                // What stands beside a list says nothing of its items.
                self.place.mark();
                continue;
            }
            if !self.budget.has_for_member(&name) {
                wrong = wrong.or(Some(Item::Bad { line, bad: Bad::new("record", TOO_MANY_PARTS) }));
                members.clear();
                continue;
            }
            match self.parsed(begin) {
                Ok(value) => {
                    if name == "crs"
                        && let Some(foreign) = json::foreign_crs(&value)
                    {
                        return Err(Broken::at(begin, json::crs_message(&foreign)));
                    }
                    members.insert(name, value);
                }
                Err(bad) => wrong = wrong.or(Some(bad)),
            }
        }
        Ok(match wrong {
            _ if listed => Continue(()),
            Some(bad) => (self.sink)(bad),
            None => json::items(Value::Object(members), line, self.options, self.sink),
        })
    }
}
