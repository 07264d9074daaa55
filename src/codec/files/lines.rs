//! A JSON value a line: OwnTracks Recorder's files, and GeoJSON or OwnTracks as newline-delimited JSON or as a text sequence
//! (RFC 8142).

use super::input::Headed;
use super::weighed::{Room, TOO_MANY_PARTS, Weighed};
use super::{Bad, Broken, Item, MAX_OBJECT, Options, Sink, Skip, json};
use serde::de::DeserializeSeed;
use std::io::{BufRead, Read};
use std::ops::ControlFlow;

pub(super) fn read<R: Read>(mut input: Headed<R>, options: &Options, sink: &mut Sink<'_>) -> Result<(), Broken> {
    let place = input.place();
    let mut line = Vec::new();
    loop {
        let number = place.line();
        line.clear();
        let whole = read_line(&mut input, &mut line).map_err(|error| Broken::at(number, error.to_string()))?;
        if line.is_empty() {
            return Ok(());
        }
        let flow = if whole {
            read_one(&line, number, options, sink)
        } else {
            let message = format!("has more than {MAX_OBJECT} bytes, which is not allowed");
            sink(Item::Bad { line: number, bad: Bad::new("record", message) })
        };
        if flow == ControlFlow::Break(()) {
            return Ok(());
        }
    }
}

fn read_one(line: &[u8], number: u64, options: &Options, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let text = line.strip_prefix(b"\x1e").unwrap_or(line).trim_ascii();
    if text.is_empty() {
        return ControlFlow::Continue(());
    }
    let text = match text.first() {
        Some(b'{' | b'[') => text,
        // Recorder: time, kind and payload, between tabs. The time is when it was received, not when it was.
        _ => match text.splitn(3, |&byte| byte == b'\t').nth(2).map(<[u8]>::trim_ascii_start) {
            Some(payload) if payload.starts_with(b"{") => payload,
            // A payload that is no JSON: what another program published beside the phone.
            Some(_) => return sink(Item::Skipped { line: number, why: Skip::OtherKind }),
            None => text,
        },
    };
    let room = Room::new();
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = Weighed(&room).deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    match read {
        Ok(value) => json::items(value, number, options, sink),
        Err(_) if room.is_exceeded() => sink(Item::Bad { line: number, bad: Bad::new("record", TOO_MANY_PARTS) }),
        Err(error) => {
            let message = format!("is not valid JSON: {error}").replace(" at line 1 column", " at column");
            sink(Item::Bad { line: number, bad: Bad::new("record", message) })
        }
    }
}

/// Reads a line with its end; `false` when it is too long, then the rest of it is skipped.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut whole = true;
    loop {
        let bytes = input.fill_buf()?;
        let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
        let length = end.unwrap_or(bytes.len());
        if line.len() + length > MAX_OBJECT {
            whole = false;
        } else {
            line.extend_from_slice(&bytes[..length]);
        }
        input.consume(length);
        if end.is_some() || length == 0 {
            return Ok(whole);
        }
    }
}
