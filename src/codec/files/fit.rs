//! FIT, Garmin's binary format (<https://developer.garmin.com/fit/protocol/>): the position records of activities.
//!
//! Read here and not by a library: those there are hold a whole file and carry every message that a device may send, a hundred
//! thousand lines, of which four fields are wanted.

use super::value::Parts;
use super::{Bad, Broken, Item, Options, Sink, Skip};
use std::io::{BufRead, Read};
use std::ops::ControlFlow;

/// Seconds from 1970 to 1989-12-31, where FIT's time begins.
const EPOCH: i64 = 631_065_600;
/// The global number of the message that holds a position.
const RECORD: u16 = 20;
/// The global number of the message that says what kind of file it is, and the kinds that are plans.
const FILE_ID: u16 = 0;
const COURSES: &[u8] = &[5, 6];

/// How messages of one local type are laid out.
#[derive(Clone, Default)]
struct Layout {
    message: u16,
    big_endian: bool,
    /// Number and size of each field; developers' own are one field without a number.
    fields: Vec<(Option<u8>, usize)>,
}

/// The bytes of one file in the input, which may hold several, counted and summed.
struct File<'a, R> {
    input: &'a mut R,
    left: u64,
    sum: u16,
}

impl<R: Read> File<'_, R> {
    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, String> {
        if count as u64 > self.left {
            return Err("is damaged: a message goes past the end that the header names".to_owned());
        }
        let mut bytes = vec![0; count];
        self.input.read_exact(&mut bytes).map_err(|error| cut_off(&error))?;
        self.left -= count as u64;
        self.sum = checksum(self.sum, &bytes);
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.bytes(1)?[0])
    }
}

fn cut_off(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the file is cut off".to_owned(),
        _ => error.to_string(),
    }
}

/// Reads all files of the input. Places are counted in records, since there are no lines.
pub(super) fn read(mut input: impl BufRead, options: &Options, sink: &mut Sink<'_>) -> Result<(), Broken> {
    let mut number = 0;
    loop {
        let more = input.fill_buf().map_err(|error| Broken::whole(error.to_string()))?;
        if more.is_empty() {
            return Ok(());
        }
        match one(&mut input, &mut number, options, sink) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(()),
            Err(message) => return Err(Broken { line: (number > 0).then_some(number), message }),
        }
    }
}

fn one(
    input: &mut impl BufRead,
    number: &mut u64,
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<ControlFlow<()>, String> {
    let mut header = [0; 12];
    input.read_exact(&mut header).map_err(|error| cut_off(&error))?;
    if &header[8..] != b".FIT" || header[0] < 12 {
        return Err("is no FIT file from here on".to_owned());
    }
    let mut rest = vec![0; usize::from(header[0]) - 12];
    input.read_exact(&mut rest).map_err(|error| cut_off(&error))?;
    let left = u32::from_le_bytes([header[4], header[5], header[6], header[7]]).into();
    let sum = checksum(checksum(0, &header), &rest);
    let mut file = File { input, left, sum };
    let mut layouts: Vec<Layout> = vec![Layout::default(); 16];
    // Of the last message with a whole one; compressed ones count on from it.
    let mut clock: u32 = 0;
    let mut plan = false;
    while file.left > 0 {
        let head = file.byte()?;
        let compressed = head & 0x80 != 0;
        if !compressed && head & 0x40 != 0 {
            layouts[usize::from(head & 0x0f)] = layout(&mut file, head & 0x20 != 0)?;
            continue;
        }
        let local = if compressed { head >> 5 & 0x03 } else { head & 0x0f };
        let layout = &layouts[usize::from(local)];
        if layout.fields.is_empty() {
            return Err("is damaged: a message comes before its definition".to_owned());
        }
        if compressed {
            let offset = u32::from(head & 0x1f);
            clock = clock.wrapping_add(offset.wrapping_sub(clock) & 0x1f);
        }
        let (mut latitude, mut longitude, mut accuracy) = (None, None, None);
        for &(field, size) in &layout.fields {
            let bytes = file.bytes(size)?;
            let word = || {
                let bytes: [u8; 4] = bytes.as_slice().try_into().ok()?;
                Some(if layout.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
            };
            match (layout.message, field) {
                (_, Some(253)) => clock = word().unwrap_or(clock),
                (RECORD, Some(0)) => latitude = word().and_then(degrees),
                (RECORD, Some(1)) => longitude = word().and_then(degrees),
                (RECORD, Some(31)) => accuracy = bytes.first().copied().filter(|&metres| metres != 0xff),
                (FILE_ID, Some(0)) => plan = bytes.first().is_some_and(|kind| COURSES.contains(kind)),
                _ => {}
            }
        }
        if layout.message != RECORD {
            continue;
        }
        *number += 1;
        let parts = Parts {
            line: *number,
            latitude: latitude.map(|degrees| degrees.to_string()),
            longitude: longitude.map(|degrees| degrees.to_string()),
            time: Some((i64::from(clock) + EPOCH).to_string()),
            accuracy: accuracy.map(|metres| metres.to_string()),
            skip: plan.then_some(Skip::Route),
        };
        let flow = parts.put("correct the file", options, sink)?;
        if flow == ControlFlow::Break(()) {
            return Ok(flow);
        }
    }
    let sum = file.sum;
    let mut given = [0; 2];
    input.read_exact(&mut given).map_err(|error| cut_off(&error))?;
    if sum != u16::from_le_bytes(given) {
        let bad = Bad::new("record", "the file's checksum is wrong: some of its records may be damaged");
        return Ok(sink(Item::Bad { line: *number, bad }));
    }
    Ok(ControlFlow::Continue(()))
}

fn layout<R: Read>(file: &mut File<'_, R>, developers: bool) -> Result<Layout, String> {
    let head = file.bytes(5)?;
    let big_endian = head[1] == 1;
    let message =
        if big_endian { u16::from_be_bytes([head[2], head[3]]) } else { u16::from_le_bytes([head[2], head[3]]) };
    let mut fields = Vec::new();
    for field in file.bytes(usize::from(head[4]) * 3)?.chunks(3) {
        fields.push((Some(field[0]), usize::from(field[1])));
    }
    if developers {
        let count = usize::from(file.byte()?);
        for field in file.bytes(count * 3)?.chunks(3) {
            fields.push((None, usize::from(field[1])));
        }
    }
    Ok(Layout { message, big_endian, fields })
}

/// Semicircles, 2³¹ of which are 180 degrees; `None` where there is no position.
fn degrees(semicircles: u32) -> Option<f64> {
    (semicircles != 0x7fff_ffff).then(|| f64::from(semicircles as i32) * (180.0 / 2_147_483_648.0))
}

/// The protocol's checksum, four bits at a time.
pub(super) fn checksum(sum: u16, bytes: &[u8]) -> u16 {
    const TABLE: [u16; 16] = [
        0x0000, 0xcc01, 0xd801, 0x1400, 0xf001, 0x3c00, 0x2800, 0xe401, 0xa001, 0x6c00, 0x7800, 0xb401, 0x5000, 0x9c01,
        0x8801, 0x4400,
    ];
    bytes.iter().fold(sum, |sum, byte| {
        [byte & 0x0f, byte >> 4]
            .into_iter()
            .fold(sum, |sum, nibble| (sum >> 4) ^ TABLE[usize::from(sum & 0x0f)] ^ TABLE[usize::from(nibble)])
    })
}
