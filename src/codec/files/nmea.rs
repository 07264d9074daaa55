//! NMEA 0183, the sentences of GPS receivers. RMC is read, the only one that holds position, time and date.

use super::input::{Headed, Limited};
use super::value::{Parts, shown};
use super::{Bad, Broken, Item, MAX_LINE, Options, Sink, Skip};
use ::nmea::ParseResult;
use ::nmea::sentences::rmc::RmcStatusOfFix;
use std::io::{BufRead, Read};
use std::ops::ControlFlow;

/// Whether a line is a sentence of position.
pub(super) fn is_sentence(line: &[u8]) -> bool {
    line.len() > 7 && line[0] == b'$' && line[1..6].iter().all(u8::is_ascii_uppercase) && line[6] == b','
}

pub(super) fn read<R: Read>(mut input: Headed<R>, options: &Options, sink: &mut Sink<'_>) -> Result<(), Broken> {
    let place = input.place();
    place.limit(MAX_LINE);
    let mut line = Vec::new();
    let mut found = false;
    loop {
        let number = place.line();
        line.clear();
        read_line(&mut input, &mut line).map_err(|error| Broken::at(number, error.to_string()))?;
        place.mark();
        if line.is_empty() && found {
            return Ok(());
        }
        if line.is_empty() {
            return Err(Broken::whole(
                "is NMEA without an RMC sentence, the only one with position, time and date; have the receiver write those, too",
            ));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.get(3..6) != Some("RMC") {
            // Satellites, headings and heights tell no position at a time of its own.
            continue;
        }
        found = true;
        let flow = match ::nmea::parse_str(text) {
            Ok(ParseResult::RMC(rmc)) => {
                let time =
                    rmc.fix_date.zip(rmc.fix_time).map(|(date, time)| date.and_time(time).and_utc().to_rfc3339());
                let valid = rmc.status_of_fix != RmcStatusOfFix::Invalid;
                let parts = Parts {
                    line: number,
                    latitude: rmc.lat.map(|degrees| degrees.to_string()),
                    longitude: rmc.lon.map(|degrees| degrees.to_string()),
                    time,
                    accuracy: None,
                    skip: (!valid).then_some(Skip::Invalid),
                };
                parts.put("correct the file", options, sink).map_err(|message| Broken::at(number, message))?
            }
            Ok(_) => ControlFlow::Continue(()),
            Err(_) => {
                let bad = Bad::new("record", format!("is a damaged NMEA sentence: {}", shown(text)));
                sink(Item::Bad { line: number, bad })
            }
        };
        if flow == ControlFlow::Break(()) {
            return Ok(());
        }
    }
}

fn read_line<R: BufRead>(input: &mut Limited<R>, line: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
        let length = end.unwrap_or(bytes.len());
        line.extend_from_slice(&bytes[..length]);
        input.consume(length);
        if end.is_some() || length == 0 {
            return Ok(());
        }
    }
}
