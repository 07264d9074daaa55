//! A JSON value a line: OwnTracks Recorder's files, and GeoJSON or OwnTracks as newline-delimited JSON or as a text sequence
//! (RFC 8142).

use super::input::Headed;
use super::weighed::RecordBudget;
use super::{Bad, Broken, Item, MAX_OBJECT, Options, Sink, Skip, document, json};
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
    let is_recorder = !matches!(text.first(), Some(b'{' | b'['));
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
    let budget = RecordBudget::new();
    // Recorder writes the line breaks of a payload as ` 0A`. As it stands if that makes sense: the same may stand in a text.
    let parsed = document::parse(text, &budget).or_else(|error| {
        budget.reset();
        without_breaks(text).and_then(|mended| document::parse(&mended, &budget).ok()).ok_or(error)
    });
    match parsed {
        // In Recorder's files there is nothing but the app's messages.
        Ok(value) if is_recorder => sink(json::own_tracks(&value, number, options)),
        Ok(value) => json::items(value, number, options, sink),
        Err((_, message)) => sink(Item::Bad { line: number, bad: Bad::new("record", message) }),
    }
}

/// A text with spaces where Recorder has written ` 0A` for the line breaks of a payload; `None` where there are none.
fn without_breaks(text: &[u8]) -> Option<Vec<u8>> {
    const BREAK: &[u8] = b" 0A";
    memchr::memmem::find(text, BREAK)?;
    let mut mended = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, BREAK) {
        mended.extend_from_slice(&rest[..at]);
        mended.push(b' ');
        rest = &rest[at + BREAK.len()..];
    }
    mended.extend_from_slice(rest);
    Some(mended)
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
