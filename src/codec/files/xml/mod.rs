//! XML of several dialects: GPX, TCX and KML. Read in pieces of one point each, so that a damaged one costs no other.

mod gpx;
mod kml;
mod pieces;
mod tcx;

use super::input::Headed;
use super::value::shown;
use super::{Bad, Broken, Item, MAX_LINE, Options, Sink};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;
use pieces::{Piece, Pieces};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;

/// How deep elements may be nested; GPX needs five levels, extensions some more.
const MAX_DEPTH: usize = 100;
/// How often the reading goes on behind what is damaged in one piece.
const MAX_RESUMED: usize = 16;
/// How many pieces may be damaged before the rest of a file is not worth looking at.
const MAX_DAMAGED: usize = 10_000;

/// What a dialect makes of elements.
trait Dialect {
    /// The names of elements that begin a record.
    const RECORDS: &'static [&'static str];

    /// An element begins. An error is one of the record that it belongs to.
    fn open(&mut self, element: &BytesStart<'_>, line: u64, options: &Options) -> Result<(), Bad>;

    /// An element ends, with the text in it.
    fn close(&mut self, text: &str, options: &Options, sink: &mut Sink<'_>) -> Result<ControlFlow<()>, String>;

    /// Whether a record is being read, of which all is kept until it ends.
    fn is_in_record(&self) -> bool;

    /// Leaves the record that is being read; where it began, if one was.
    fn abandon(&mut self) -> Option<u64>;
}

pub(super) fn read<R: Read>(
    input: Headed<R>,
    head: &[u8],
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<(), Broken> {
    let encoding = encoding(head);
    let decoded = |input| {
        let decoder = DecodeReaderBytesBuilder::new().encoding(Some(encoding)).bom_override(true).build(input);
        BufReader::with_capacity(64 << 10, decoder)
    };
    let mut pieces = Pieces::new(input.map(decoded));
    let root = pieces.root()?;
    match root.as_str() {
        "gpx" => run(gpx::Gpx::default(), pieces, options, sink),
        "TrainingCenterDatabase" => run(tcx::Tcx::default(), pieces, options, sink),
        "kml" => run(kml::Kml::default(), pieces, options, sink),
        "" => Err(Broken::at(1, "is XML without any element")),
        root if root.eq_ignore_ascii_case("html") => Err(Broken::whole(
            "is a web page and no file of locations; was a page saved in place of the download, or is a sign-in needed?",
        )),
        "worksheet" | "Workbook" => Err(Broken::whole("is an Excel file; save it as CSV")),
        "osm" => Err(Broken::whole("is OpenStreetMap data, which tell of places and not of people")),
        other => Err(Broken::whole(format!("is XML but not GPX, TCX or KML: its root is <{}>", shown(other)))),
    }
}

/// By a mark, by the zeros of UTF-16, or as the declaration says. A declaration of UTF-16 in front of single bytes is wrong.
fn encoding(head: &[u8]) -> &'static Encoding {
    match head {
        [b'<', 0, ..] => return UTF_16LE,
        [0, b'<', ..] => return UTF_16BE,
        _ => {}
    }
    let begin = &head[..head.len().min(1 << 10)];
    let Some(at) = memchr::memmem::find(begin, b"<?xml") else { return UTF_8 };
    let declaration = begin[at..].split(|&byte| byte == b'>').next().unwrap_or_default();
    let Some(at) = memchr::memmem::find(declaration, b"encoding") else { return UTF_8 };
    let label = declaration[at..].split(|byte| matches!(byte, b'"' | b'\'')).nth(1).unwrap_or_default();
    Encoding::for_label(label).filter(|encoding| encoding.is_ascii_compatible()).unwrap_or(UTF_8)
}

/// The elements that are open, by name.
#[derive(Default)]
struct Open {
    names: String,
    ends: Vec<usize>,
}

impl Open {
    fn push(&mut self, name: &str) {
        self.names.push_str(name);
        self.ends.push(self.names.len());
    }

    fn name(&self, at: usize) -> &str {
        let begin = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.names[begin..self.ends[at]]
    }

    fn pop(&mut self) {
        self.ends.pop();
        self.names.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// How many elements an end tag of this name closes: 0 when none of this name is open.
    fn closed_by(&self, name: &str) -> usize {
        (0..self.ends.len()).rev().position(|at| self.name(at) == name).map_or(0, |above| above + 1)
    }
}

/// Reads all pieces. What is damaged is one bad record; the next piece is read as if nothing were wrong.
fn run<D: Dialect>(
    mut dialect: D,
    mut pieces: Pieces<impl BufRead>,
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<(), Broken> {
    let mut parser = Parser { open: Open::default(), text: String::new(), ended: false };
    let mut damaged = 0;
    // Bytes of a record whose end has not come yet.
    let mut unended = 0;
    pieces.split_at(D::RECORDS);
    while let Some(piece) = pieces.next()? {
        let line = piece.line();
        // A record that is still open where the next one begins has lost its end.
        if piece.begins_record
            && let Some(line) = dialect.abandon()
        {
            damaged += 1;
            if sink(damage(line, "it has no end")) == ControlFlow::Break(()) {
                return Ok(());
            }
        }
        if piece.begins_record {
            unended = 0;
        }
        let mut from = 0;
        for resumed in 0..=MAX_RESUMED {
            let (at, message, end) = match parser.read(&piece, from, &mut dialect, options, sink) {
                Ok(ControlFlow::Continue(())) => break,
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(Stop::File(message)) => return Err(Broken::at(line, message)),
                Err(Stop::Record { line, message, end }) => (line, message, end),
            };
            let line = dialect.abandon().unwrap_or(at);
            // What follows from the same damage is not said again.
            if resumed == 0 {
                damaged += 1;
                if sink(damage(line, &message)) == ControlFlow::Break(()) {
                    return Ok(());
                }
            }
            // What stands behind it may be the next track's name.
            let Some(next) = memchr::memchr(b'<', piece.text.as_bytes().get(end..).unwrap_or_default()) else { break };
            from = end + next;
        }
        unended = if dialect.is_in_record() { unended + piece.text.len() } else { 0 };
        if unended > MAX_LINE {
            return Err(Broken::at(line, format!("a record has more than {MAX_LINE} bytes, which is not allowed")));
        }
        if damaged > MAX_DAMAGED {
            return Err(Broken::at(line, format!("is damaged in more than {MAX_DAMAGED} places")));
        }
    }
    if let Some(line) = dialect.abandon()
        && sink(damage(line, "it has no end")) == ControlFlow::Break(())
    {
        return Ok(());
    }
    if parser.open.ends.is_empty() {
        return Ok(());
    }
    Err(Broken::at(pieces.line(), "the file is cut off: it ends before its last element does"))
}

fn damage(line: u64, what: &str) -> Item {
    Item::Bad { line, bad: Bad::new("record", format!("is damaged: {what}")) }
}

/// Why a piece is not read to its end.
enum Stop {
    /// The record is spoilt that this line belongs to; what is damaged ends in front of this byte of the piece at the latest.
    Record { line: u64, message: String, end: usize },
    /// Nothing that follows can be understood.
    File(String),
}

/// What lasts from piece to piece.
struct Parser {
    open: Open,
    /// The text of the innermost element so far.
    text: String,
    ended: bool,
}

impl Parser {
    fn read(
        &mut self,
        piece: &Piece<'_>,
        from: usize,
        dialect: &mut impl Dialect,
        options: &Options,
        sink: &mut Sink<'_>,
    ) -> Result<ControlFlow<()>, Stop> {
        let mut lines = piece.lines();
        let mut reader = quick_xml::Reader::from_str(&piece.text[from..]);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        // Names and ampersands that are wrong in text that nobody needs must not cost a point.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        loop {
            let at = from as u64 + reader.buffer_position();
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(error) => {
                    self.text.clear();
                    return Err(Stop::Record {
                        line: lines.at(at as usize),
                        message: error.to_string(),
                        end: at as usize + 1,
                    });
                }
            };
            if self.text.len() > MAX_LINE {
                return Err(Stop::File(format!("a record has more than {MAX_LINE} bytes, which is not allowed")));
            }
            match event {
                Event::Start(element) => {
                    if self.open.ends.is_empty() && self.ended {
                        return Err(Stop::File(
                            "goes on after its last element: are these two files in one?".to_owned(),
                        ));
                    }
                    if self.open.ends.len() >= MAX_DEPTH {
                        return Err(Stop::File(format!("has elements nested more than {MAX_DEPTH} deep")));
                    }
                    self.open.push(element.name().as_ref());
                    self.text.clear();
                    let line = lines.at(at as usize);
                    dialect.open(&element, line, options).map_err(|bad| {
                        let end = from + reader.buffer_position() as usize;
                        Stop::Record { line, message: bad.message, end }
                    })?;
                }
                Event::End(element) => {
                    for _ in 0..self.open.closed_by(element.name().as_ref()) {
                        self.open.pop();
                        self.ended = self.open.ends.is_empty();
                        let text = std::mem::take(&mut self.text);
                        let flow = dialect.close(text.trim(), options, sink).map_err(Stop::File)?;
                        if flow == ControlFlow::Break(()) {
                            return Ok(flow);
                        }
                    }
                }
                Event::Text(text) => self.text.push_str(&text),
                Event::CData(text) => self.text.push_str(&text),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(character)) => self.text.push(character),
                    // An entity that is not known stands in text that nobody needs, or spoils its number by itself.
                    Ok(None) => self.text.push_str(resolve_predefined_entity(&reference).unwrap_or("&")),
                    Err(_) => self.text.push('\u{fffd}'),
                },
                Event::Eof => return Ok(ControlFlow::Continue(())),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }
}
