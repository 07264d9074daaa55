//! A record batch as Kafka keeps it (format 2, since Kafka 0.11), read one record after the other.
//!
//! rskafka would unpack a batch and build all of its records at once, whatever they become. Here everything is bounded: what is
//! unpacked, a record, its key, its headers. <https://kafka.apache.org/documentation/#recordbatch> says what stands where.

use super::Compression;
use super::unpack;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::io::{self, BufRead, Read};
use std::ops::Range;

/// The largest record that is read: key, value and headers. As much as Kafka itself takes by default, unpacked here.
pub(super) const RECORD_MOST: usize = 1 << 20;
/// The most that is unpacked of a batch.
pub(super) const BATCH_MOST: u64 = 64 << 20;
/// The most records of a batch.
pub(super) const RECORDS_MOST: i32 = 1_000_000;
/// The largest key.
pub(super) const KEY_MOST: usize = 16 << 10;
/// The most headers of a record.
pub(super) const HEADERS_MOST: i32 = 200;

/// Before these there is no telling where a batch ends and of what format it is.
const PREFIX: usize = 17;
/// What stands before a batch's length, and that length.
const LENGTH_END: usize = 12;
const HEADER: usize = 61;
/// Where the checksum's bytes begin.
const CHECKED: usize = 21;
/// What is skipped at once of a record that is too large.
const SKIP: u64 = 1 << 20;

/// What is said of a batch at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) base: i64,
    /// The offset of its last record, even where compaction has removed that.
    pub(super) last: i64,
    pub(super) compression: Compression,
    pub(super) transactional: bool,
    /// Written by Kafka itself, to end a transaction.
    pub(super) control: bool,
    pub(super) producer: i64,
    pub(super) records: i32,
    /// The time of all records, when the broker has set it; else each has its own, counted from `first_time`. Milliseconds.
    append_time: Option<i64>,
    first_time: i64,
}

/// What comes next of what a broker sent.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing whole any more.
    End,
    /// A batch; the bytes are its records, packed.
    Batch(Header, Bytes),
    /// Something that cannot be read, with the offset of its last record.
    Unreadable { last: i64, reason: String },
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut number = [0; N];
    if let Some(found) = bytes.get(at..at + N) {
        number.copy_from_slice(found);
    }
    number
}

/// The offset of the last record of the batch at the beginning of `data`, if that much is there.
pub(super) fn last_offset(data: &[u8]) -> Option<i64> {
    if data.len() < HEADER {
        return None;
    }
    let base = i64::from_be_bytes(number(data, 0));
    // Before format 2 there are single records.
    let more = if data[16] < 2 { 0 } else { i32::from_be_bytes(number(data, 23)).max(0) };
    base.checked_add(i64::from(more))
}

/// Whether `data` begins with a batch that is not whole.
pub(super) fn is_partial(data: &[u8]) -> bool {
    !data.is_empty()
        && (data.len() < PREFIX
            || usize::try_from(i32::from_be_bytes(number(data, 8)))
                .is_ok_and(|length| data.len() - LENGTH_END < length))
}

/// Takes the next batch from the front of `data`.
pub(super) fn next(data: &mut Bytes) -> Next {
    if data.len() < PREFIX {
        return Next::End;
    }
    let base = i64::from_be_bytes(number(data, 0));
    let unreadable = |last: i64, reason: String| Next::Unreadable { last: last.max(base), reason };
    let Ok(length) = usize::try_from(i32::from_be_bytes(number(data, 8))) else {
        data.clear();
        return unreadable(base, "its length is negative".to_owned());
    };
    if data.len() - LENGTH_END < length {
        return Next::End;
    }
    let batch = data.split_to(LENGTH_END + length);
    let format = batch.get(16).copied().unwrap_or(u8::MAX);
    if format < 2 {
        return unreadable(
            base,
            format!("it has the message format {format} of Kafka before 0.11; formats from 2 on are read"),
        );
    }
    if format > 2 || batch.len() < HEADER {
        let last = last_offset(&batch).unwrap_or(base);
        return unreadable(last, format!("it has a format that this program does not know ({format})"));
    }
    let delta = i32::from_be_bytes(number(&batch, 23));
    let attributes = i16::from_be_bytes(number(&batch, CHECKED));
    let last = base.saturating_add(i64::from(delta));
    if u32::from_be_bytes(number(&batch, 17)) != crc32c::crc32c(&batch[CHECKED..]) {
        return unreadable(last, "its checksum is wrong".to_owned());
    }
    let compression = match attributes & 7 {
        0 => Compression::None,
        1 => Compression::Gzip,
        2 => Compression::Snappy,
        3 => Compression::Lz4,
        4 => Compression::Zstd,
        other => return unreadable(last, format!("its compression is one that this program does not know ({other})")),
    };
    let records = i32::from_be_bytes(number(&batch, 57));
    if delta < 0 || records < 0 || i64::from(records) > i64::from(delta) + 1 {
        return unreadable(last, format!("it claims {records} records at {} offsets", i64::from(delta) + 1));
    }
    if records > RECORDS_MOST {
        return unreadable(last, format!("it has {records} records, at most {RECORDS_MOST} are read"));
    }
    let header = Header {
        base,
        last,
        compression,
        transactional: attributes & 1 << 4 != 0,
        control: attributes & 1 << 5 != 0,
        producer: i64::from_be_bytes(number(&batch, 43)),
        records,
        append_time: (attributes & 1 << 3 != 0).then(|| i64::from_be_bytes(number(&batch, 35))),
        first_time: i64::from_be_bytes(number(&batch, 27)),
    };
    Next::Batch(header, batch.slice(HEADER..))
}

/// A record, in the bytes that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: i64,
    /// When it was written; `None` when it does not say so, or says a year beyond our calendar.
    pub timestamp: Option<DateTime<Utc>>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Well-formed headers, one after the other.
    headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// Names and values; a name may come more than once, a value may be null.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut rest = self.headers;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let name = field(&mut rest)??;
            Some((name, field(&mut rest)?))
        })
    }
}

/// Where the parts of a record are among its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) offset: i64,
    time: i64,
    pub(super) key: Option<Range<usize>>,
    pub(super) value: Option<Range<usize>>,
    headers: Range<usize>,
}

impl Parts {
    pub(super) fn of<'a>(&self, bytes: &'a [u8]) -> Record<'a> {
        Record {
            offset: self.offset,
            timestamp: time(self.time),
            key: self.key.clone().and_then(|range| bytes.get(range)),
            value: self.value.clone().and_then(|range| bytes.get(range)),
            headers: bytes.get(self.headers.clone()).unwrap_or_default(),
        }
    }
}

/// Producers may write anything; -1 stands for no time, and what is far from it is none either.
fn time(millis: i64) -> Option<DateTime<Utc>> {
    const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;
    DateTime::from_timestamp_millis(millis).filter(|_| millis != -1 && YEARS.contains(&millis))
}

/// The next step in reading a batch.
#[derive(Debug)]
pub(super) enum Step {
    Record(Parts),
    /// A record that is not read, for this reason; of its parts those are given that can be kept.
    Refused(Parts, String),
    /// A piece of a record that is not read was skipped: there is more of it.
    Skipped,
    End,
    /// The rest cannot be read.
    Broken(String),
}

/// The records of a batch.
pub(super) struct RecordBatch {
    header: Header,
    source: Box<dyn BufRead + Send>,
    left: i32,
    /// How much may still be unpacked.
    room: u64,
    /// How much is left of a record that is not read.
    skip: u64,
    /// The offset of the record before.
    last: i64,
}

impl RecordBatch {
    pub(super) fn open(header: Header, packed: Bytes) -> io::Result<Self> {
        let source = unpack::open(header.compression, packed)?;
        let (left, last) = (header.records, header.base - 1);
        Ok(Self { header, source, left, room: BATCH_MOST, skip: 0, last })
    }

    pub(super) fn last_offset(&self) -> i64 {
        self.header.last
    }

    /// Whether nothing comes any more.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0 && self.skip == 0
    }

    /// Takes a step: reads a record into `bytes`, which its [`Parts`] then refer to.
    pub(super) fn step(&mut self, bytes: &mut Vec<u8>) -> Step {
        if self.skip > 0 {
            return self.skip_on().map_or_else(|error| self.broken(&error), |()| Step::Skipped);
        }
        if self.left == 0 {
            return Step::End;
        }
        // What a large one has left behind.
        if bytes.capacity() > 2 * KEY_MOST {
            *bytes = Vec::new();
        }
        let step = match self.record(bytes) {
            Ok(step) => step,
            Err(error) => return self.broken(&error),
        };
        if let Step::Record(parts) | Step::Refused(parts, _) = &step {
            if parts.offset <= self.last || parts.offset > self.header.last {
                return Step::Broken("its offsets are not in order".to_owned());
            }
            self.last = parts.offset;
            self.left -= 1;
            // Behind the last one nothing is wanted.
            if self.left == 0 {
                self.skip = 0;
            }
        }
        step
    }

    fn broken(&self, error: &io::Error) -> Step {
        Step::Broken(match error.kind() {
            io::ErrorKind::UnexpectedEof if self.room == 0 => format!("it becomes more than {BATCH_MOST} bytes"),
            io::ErrorKind::UnexpectedEof => format!("it ends {} records too early", self.left),
            _ => error.to_string(),
        })
    }

    fn record(&mut self, bytes: &mut Vec<u8>) -> io::Result<Step> {
        let length = self.length()?;
        let whole = length <= RECORD_MOST;
        // Of one that is too large, the key at least.
        let read = if whole { length } else { 2 * KEY_MOST };
        bytes.clear();
        bytes.resize(read, 0);
        self.take(read)?;
        self.source.read_exact(bytes)?;
        let mut rest = &bytes[..];
        let Some(mut parts) = self.begin(&mut rest) else { return Ok(malformed()) };
        let at = |rest: &[u8]| bytes.len() - rest.len();
        let Some(key_length) = integer(&mut rest) else { return Ok(malformed()) };
        let key_length = usize::try_from(key_length).ok();
        if key_length.is_none_or(|length| length <= KEY_MOST) && key_length.is_none_or(|length| length <= rest.len()) {
            parts.key = key_length.map(|length| at(rest)..at(rest) + length);
        }
        if !whole {
            self.skip = (length - read) as u64;
            return Ok(Step::Refused(parts, format!("it takes {length} bytes, at most {RECORD_MOST} are read")));
        }
        let Some(after) = rest.get(key_length.unwrap_or_default()..) else { return Ok(malformed()) };
        rest = after;
        let Some(value) = field(&mut rest) else { return Ok(malformed()) };
        let end = at(rest);
        parts.value = value.map(|value| end - value.len()..end);
        if let Some(length @ KEY_MOST..) = key_length
            && length > KEY_MOST
        {
            return Ok(Step::Refused(parts, format!("its key takes {length} bytes, at most {KEY_MOST} are read")));
        }
        let Some(count) = integer(&mut rest) else { return Ok(malformed()) };
        if count > HEADERS_MOST {
            return Ok(Step::Refused(parts, format!("it has {count} headers, at most {HEADERS_MOST} are read")));
        }
        let begin = at(rest);
        for _ in 0..count {
            let (Some(Some(_name)), Some(_value)) = (field(&mut rest), field(&mut rest)) else {
                return Ok(malformed());
            };
        }
        parts.headers = begin..at(rest);
        Ok(Step::Record(parts))
    }

    /// What stands before the key: attributes, time, offset.
    fn begin(&self, rest: &mut &[u8]) -> Option<Parts> {
        let (_attributes, after) = rest.split_first()?;
        *rest = after;
        let (time, offset) = (long(rest)?, integer(rest)?);
        let time = self.header.append_time.unwrap_or_else(|| self.header.first_time.saturating_add(time));
        Some(Parts { offset: self.header.base.saturating_add(offset.into()), time, ..Parts::default() })
    }

    fn length(&mut self) -> io::Result<usize> {
        let mut number = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let mut byte = [0];
            self.take(1)?;
            self.source.read_exact(&mut byte)?;
            number |= u32::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                let length = (number >> 1) as i32 ^ -((number & 1) as i32);
                return usize::try_from(length).map_err(|_| wrong("a record's length is negative"));
            }
        }
        Err(wrong("a record's length is no number"))
    }

    /// Takes from what may be unpacked.
    fn take(&mut self, bytes: usize) -> io::Result<()> {
        let left = self.room.checked_sub(bytes as u64);
        self.room = left.unwrap_or(0);
        left.map(|_| ()).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn skip_on(&mut self) -> io::Result<()> {
        let piece = self.skip.min(SKIP);
        self.take(piece as usize)?;
        let skipped = io::copy(&mut (&mut self.source).take(piece), &mut io::sink())?;
        self.skip -= skipped;
        if skipped == piece { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn malformed() -> Step {
    Step::Broken("a record in it is not one of Kafka's".to_owned())
}

/// A number as protobuf's sint64 writes it.
fn long(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

fn integer(bytes: &mut &[u8]) -> Option<i32> {
    long(bytes)?.try_into().ok()
}

/// Bytes after their length; the inner `None` is null. The outer one: they are not there.
#[allow(clippy::option_option)]
fn field<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(length) = usize::try_from(integer(bytes)?) else { return Some(None) };
    let (field, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Some(field))
}

/// Whether a control batch says that its transaction was aborted; `None` when it says something else than how one ended.
pub(super) fn aborts(header: Header, packed: Bytes) -> Option<bool> {
    let (mut batch, mut bytes) = (RecordBatch::open(header, packed).ok()?, Vec::new());
    let Step::Record(parts) = batch.step(&mut bytes) else { return None };
    match parts.of(&bytes).key? {
        [_, _, 0, 0, ..] => Some(true),
        [_, _, 0, 1, ..] => Some(false),
        _ => None,
    }
}
