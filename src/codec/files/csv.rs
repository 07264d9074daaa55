//! CSV with a header, by whatever program wrote it.

use super::input::{Headed, Limited};
use super::names::{FoundColumns, listed};
use super::quotes::Quotes;
use super::value::{self, is_absent, shown};
use super::whose::Claim;
use super::{Bad, Broken, Columns, FileFix, Item, MAX_LINE, Options, PersonBy, Sink, Skip, Who};
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;

/// The delimiters that are looked for.
const DELIMITERS: &[u8] = b",;\t|";
/// What GeoLife's PLT files begin with, and the columns that follow its six lines without naming them.
const PLT: &[u8] = b"Geolife trajectory";
const PLT_COLUMNS: &[&str] = &["latitude", "longitude", "0", "altitude", "days", "date", "time"];

pub(super) fn read<R: Read>(
    input: Headed<R>,
    head: &[u8],
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<(), Broken> {
    if let Some((encoding, _)) =
        encoding_rs::Encoding::for_bom(head).filter(|(encoding, _)| *encoding != encoding_rs::UTF_8)
    {
        // A table that Excel saved as "Unicode text".
        let (head, _, _) = encoding.decode(head);
        let decoder = |input| encoding_rs_io::DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(input);
        let lines = input.map(|input| BufReader::new(Newlines { input: decoder(input), last: b'\n' }));
        return read_lines(lines, head.as_bytes(), options, sink);
    }
    read_lines(input.map(|input| BufReader::new(Newlines { input, last: b'\n' })), head, options, sink)
}

/// Whatever ends lines as one newline, so that they can be counted: CR LF, the CR alone of the old Macintosh, and the end of the
/// input.
struct Newlines<R> {
    input: R,
    /// What was read last; at first as if a line had just ended.
    last: u8,
}

impl<R: Read> Read for Newlines<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let length = self.input.read(out)?;
            let Some(&last) = out[..length].last() else {
                let open = !matches!(self.last, b'\n' | b'\r') && !out.is_empty();
                if open {
                    self.last = b'\n';
                    out[0] = b'\n';
                }
                return Ok(usize::from(open));
            };
            let before = std::mem::replace(&mut self.last, last);
            if before != b'\r' && memchr::memchr(b'\r', &out[..length]).is_none() {
                return Ok(length);
            }
            let (mut kept, mut before) = (0, before);
            for i in 0..length {
                let byte = out[i];
                if !(byte == b'\n' && before == b'\r') {
                    out[kept] = if byte == b'\r' { b'\n' } else { byte };
                    kept += 1;
                }
                before = byte;
            }
            // Nothing at all would mean the end.
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

fn read_lines<R: BufRead>(
    mut input: Limited<R>,
    head: &[u8],
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<(), Broken> {
    let place = input.place();
    place.limit(MAX_LINE);
    let plt = head.trim_ascii_start().starts_with(PLT);
    let mut delimiter = options.columns.delimiter;
    if plt {
        skip_lines(&mut input, 6)?;
    } else if let Some(given) = separator_line(head) {
        // What Excel writes, and wants, before the header.
        skip_lines(&mut input, 1)?;
        delimiter = delimiter.or(Some(given));
    }
    let skipped = place.line() - 1;
    let delimiter = match delimiter {
        Some(delimiter) => delimiter,
        None if plt => b',',
        None => sniff(head, &options.columns),
    };
    let count = if plt { Some(PLT_COLUMNS.len()) } else { options.columns.names.as_ref().map(Vec::len) };
    let input = input.map(|input| Quotes::new(input, delimiter, count));
    let place = input.place();
    place.limit(MAX_LINE);
    // Blank lines are no records to the parser; everything else is, however many fields it has.
    let mut reader = builder(delimiter).from_reader(input);
    let mut record = ::csv::ByteRecord::new();
    let header: Vec<String> = if plt {
        PLT_COLUMNS.iter().map(|&name| name.to_owned()).collect()
    } else if let Some(names) = &options.columns.names {
        names.clone()
    } else {
        reader.read_byte_record(&mut record).map_err(|error| broken(&error, skipped + 1))?;
        place.mark();
        fields(&record)
    };
    let columns = columns(&header, options).map_err(|message| {
        let message = match no_header(&header) {
            true => {
                "has no header; say what its columns are, in order, such as --columns person_id,time,longitude,latitude"
                    .to_owned()
            }
            false => message,
        };
        Broken::at(skipped + 1, message)
    })?;
    let mut last = Last::default();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => place.mark(),
            Ok(false) => return Ok(()),
            Err(error) => return Err(broken(&error, skipped + reader.position().line())),
        }
        let line = skipped + first_line(&reader, &record);
        let item = match fix(&record, &header, columns, options, line, &mut last) {
            Ok(Ok(fix)) => Item::Fix(fix),
            Ok(Err(why)) => Item::Skipped { line, why },
            Err(bad) => Item::Bad { line, bad },
        };
        if sink(item) == ControlFlow::Break(()) {
            return Ok(());
        }
    }
}

/// The line of the input on which the record that was just read begins. The parser's own idea of it is where the one before ended,
/// in front of blank lines.
fn first_line<R: Read>(reader: &::csv::Reader<R>, record: &::csv::ByteRecord) -> u64 {
    let within = memchr::memchr_iter(b'\n', record.as_slice()).count() as u64;
    reader.position().line().saturating_sub(within + 1)
}

fn builder(delimiter: u8) -> ::csv::ReaderBuilder {
    let mut builder = ::csv::ReaderBuilder::new();
    builder.delimiter(delimiter).has_headers(false).flexible(true).trim(::csv::Trim::All).buffer_capacity(64 << 10);
    builder
}

/// Columns by number; what must be there is.
#[derive(Clone, Copy)]
struct Needed {
    position: PositionAt,
    time: usize,
    found: FoundColumns,
}

/// Where a position stands.
#[derive(Clone, Copy)]
enum PositionAt {
    Columns {
        latitude: usize,
        longitude: usize,
    },
    /// A point in one column, as databases write it.
    Geometry(usize),
}

/// Whether a first line looks like data: no name begins as a number does.
fn no_header(header: &[String]) -> bool {
    !header.is_empty()
        && header.iter().any(|field| value::number(field).is_ok())
        && !header.iter().any(|field| is_name(field))
}

fn is_name(field: &str) -> bool {
    field.chars().next().is_some_and(char::is_alphabetic)
}

fn columns(header: &[String], options: &Options) -> Result<Needed, String> {
    let found = options.columns.find(header)?;
    let need = |at: Option<usize>, what: &str, option: &str| {
        at.ok_or_else(|| {
            format!("no column is known to hold the {what}; say {option} NAME, one of: {}", listed(header))
        })
    };
    let position = match (found.latitude, found.longitude, found.geometry) {
        (None, None, Some(geometry)) => PositionAt::Geometry(geometry),
        (latitude, longitude, _) => PositionAt::Columns {
            latitude: need(latitude, "latitude", "--latitude-column")?,
            longitude: need(longitude, "longitude", "--longitude-column")?,
        },
    };
    let time = need(found.time, "time", "--time-column")?;
    let by_own = match options.person_by {
        _ if options.columns.person.is_some() => false,
        Some(PersonBy::Key) => found.own.key.is_some(),
        Some(PersonBy::Name) => found.own.first_name.is_some() && found.own.last_name.is_some(),
        Some(PersonBy::Id) | None => false,
    };
    if options.person.is_none() && options.otherwise.is_none() && !by_own {
        need(found.person, "person", "--person WHO, or --person-column")?;
    }
    Ok(Needed { position, time, found })
}

/// The person of the row before and the fields that said so, since most rows have the same.
#[derive(Default)]
struct Last {
    fields: Vec<u8>,
    who: Option<Who>,
}

/// Reads a row.
fn fix(
    record: &::csv::ByteRecord,
    header: &[String],
    columns: Needed,
    options: &Options,
    line: u64,
    last: &mut Last,
) -> Result<Result<FileFix, Skip>, Bad> {
    if record.len() < header.len() || record.iter().skip(header.len()).any(|extra| !extra.is_empty()) {
        return Err(Bad::new("record", format!("has {} fields; the header has {}", record.len(), header.len())));
    }
    let found = columns.found;
    if found.valid.is_some_and(|at| value::says_invalid(&text(record, at)))
        || found.outliers.iter().flatten().any(|&at| value::says_outlier(&text(record, at)))
    {
        return Ok(Err(Skip::Invalid));
    }
    let Some((latitude, longitude)) = position(record, columns)? else { return Ok(Err(Skip::NoPosition)) };
    let coordinate = value::position(latitude, longitude, "name them by --latitude-column and --longitude-column")?;
    let time = text(record, columns.time);
    if is_absent(&time) {
        return Ok(Err(Skip::NoTime));
    }
    let time = match columns.found.date {
        Some(date) => format!("{} {time}", text(record, date)).into(),
        None => time,
    };
    let time = value::time(&time, options)?;
    let accuracy_m = match columns.found.accuracy.map(|at| text(record, at)).filter(|text| !is_absent(text)) {
        Some(text) => Some(value::number(&text).map_err(|message| Bad::new("accuracy", message))?),
        None => None,
    };
    let who = who(record, &columns.found, options, last)?;
    value::presence(FileFix { line, who, coordinate, time, accuracy_m })
}

/// Latitude and longitude of a row; `None` where it says that there are none.
fn position(record: &::csv::ByteRecord, columns: Needed) -> Result<Option<(f64, f64)>, Bad> {
    let found = columns.found;
    let (latitude_at, longitude_at) = match columns.position {
        PositionAt::Columns { latitude, longitude } => (latitude, longitude),
        PositionAt::Geometry(at) => {
            let text = text(record, at);
            if is_absent(&text) {
                return Ok(None);
            }
            let point = value::point(&text).map_err(|message| Bad::new("record", message))?;
            return Ok(point.map(|(longitude, latitude)| (latitude, longitude)));
        }
    };
    let (latitude, longitude) = (text(record, latitude_at), text(record, longitude_at));
    let (latitude, longitude) = match (is_absent(&latitude), is_absent(&longitude)) {
        (true, true) => return Ok(None),
        (true, false) => return Err(Bad::new("latitude", "is empty, the longitude is not")),
        (false, true) => return Err(Bad::new("longitude", "is empty, the latitude is not")),
        (false, false) => (
            value::degrees(&latitude).map_err(|message| Bad::new("latitude", message))?,
            value::degrees(&longitude).map_err(|message| Bad::new("longitude", message))?,
        ),
    };
    if value::is_not_available(latitude, longitude) {
        return Ok(None);
    }
    let scale = if found.e7 { 1e7 } else { 1.0 };
    let side = |degrees: f64, at: Option<usize>| {
        let side = at.and_then(|at| text(record, at).chars().next());
        side.map_or(degrees, |side| value::in_hemisphere(degrees, side))
    };
    Ok(Some((side(latitude / scale, found.north_south), side(longitude / scale, found.east_west))))
}

fn who(record: &::csv::ByteRecord, found: &FoundColumns, options: &Options, last: &mut Last) -> Result<Who, Bad> {
    if let Some(who) = &options.person {
        return Ok(who.clone());
    }
    let own = &found.own;
    let places = [found.person, own.id, own.key, own.first_name, own.last_name, own.company_name];
    let fields = places.map(|at| at.and_then(|at| record.get(at)).unwrap_or_default());
    if let Some(who) = &last.who
        && same(&last.fields, &fields)
    {
        return Ok(who.clone());
    }
    std::str::from_utf8(fields[0]).map_err(|_| {
        Bad::new("person", format!("must be UTF-8 text; got {:?}", shown(&String::from_utf8_lossy(fields[0]))))
    })?;
    let texts = fields.map(String::from_utf8_lossy);
    let texts = texts.each_ref().map(|text| value::from_cell(text));
    let [text, id, key, first_name, last_name, company_name] = texts.map(Some);
    let claim = Claim { text, id, key, first_name, last_name, full_name: None, company_name, ours: own.ours() };
    let who = claim.who(options)?.ok_or_else(|| Bad::new("person", "must not be empty"))?;
    last.fields.clear();
    for field in fields {
        last.fields.extend_from_slice(&(field.len() as u32).to_le_bytes());
        last.fields.extend_from_slice(field);
    }
    last.who = Some(who.clone());
    Ok(who)
}

/// Whether these are the fields that were kept, each behind its length.
fn same(kept: &[u8], fields: &[&[u8]]) -> bool {
    let mut rest = kept;
    fields.iter().all(|field| {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { return false };
        rest = after.get(field.len()..).unwrap_or_default();
        u32::from_le_bytes(*length) as usize == field.len() && after.starts_with(field)
    })
}

/// A field as text. What is no UTF-8 is no number and no time either, so that a replacement character is as good.
fn text(record: &::csv::ByteRecord, at: usize) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(record.get(at).unwrap_or_default())
}

fn fields(record: &::csv::ByteRecord) -> Vec<String> {
    let mut fields: Vec<String> = record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    // A delimiter at the end of every line names a column without a name.
    while fields.last().is_some_and(String::is_empty) {
        fields.pop();
    }
    fields
}

/// The delimiter that a line `sep=;` names.
fn separator_line(head: &[u8]) -> Option<u8> {
    let line = head.split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    match line {
        [b's', b'e', b'p', b'=', delimiter] => Some(*delimiter),
        _ => None,
    }
}

/// The delimiter under which most columns of the header are known; of equal ones that which makes more columns.
fn sniff(head: &[u8], columns: &Columns) -> u8 {
    let head = if separator_line(head).is_some() { &head[6..] } else { head };
    let known = |delimiter: u8| {
        let mut record = ::csv::ByteRecord::new();
        let read = builder(delimiter).from_reader(head).read_byte_record(&mut record);
        let header = if read.is_ok() { fields(&record) } else { Vec::new() };
        // A name that was asked for and is not there will be an error under any delimiter.
        (columns.find(&header).map_or(0, |found| found.count()), header.len())
    };
    DELIMITERS.iter().copied().rev().max_by_key(|&delimiter| known(delimiter)).unwrap_or(b',')
}

fn skip_lines<R: BufRead>(input: &mut Limited<R>, count: u64) -> Result<(), Broken> {
    let place = input.place();
    while place.line() <= count {
        let bytes = input.fill_buf().map_err(|error| Broken::at(place.line(), error.to_string()))?;
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            let length = bytes.len();
            if length == 0 {
                return Ok(());
            }
            input.consume(length);
            continue;
        };
        input.consume(end + 1);
    }
    place.mark();
    Ok(())
}

/// `line` is where the record begins that could not be read.
fn broken(error: &::csv::Error, line: u64) -> Broken {
    let text = match error.kind() {
        ::csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    };
    let quote = if text.contains("a record has more") { "; is a quotation mark not closed?" } else { "" };
    Broken::at(line, text + quote)
}
