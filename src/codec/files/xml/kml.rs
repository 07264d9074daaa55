//! KML 2.2 and 2.3 (<https://docs.ogc.org/is/12-007r2/12-007r2.html>): tracks, and placemarks of a point with the time at which
//! it was. What has no time, and areas and lines, tell of places.

use super::super::value::{self, Parts};
use super::super::{Bad, Options, Sink, Skip};
use super::Dialect;
use quick_xml::events::BytesStart;
use std::collections::VecDeque;
use std::ops::ControlFlow::{self, Continue};

/// How many times of a track may wait for their positions: four weeks with one each five seconds. With what memory needs beside
/// them these are some 50 MB.
const MOST_WAITING: usize = 500_000;
/// How much of a time or position is kept, bytes.
const LONGEST: usize = 128;

#[derive(Default)]
pub(super) struct Kml {
    open: Vec<Tag>,
    /// The times of the open track that have no position yet, each with its line.
    times: VecDeque<(u64, Box<str>)>,
    /// Positions that came before their times.
    positions: VecDeque<(u64, Box<str>)>,
    in_track: bool,
    placemark: Option<Placemark>,
}

#[derive(Default)]
struct Placemark {
    line: u64,
    when: Option<String>,
    coordinates: Option<String>,
    has_track: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Placemark,
    Track,
    When(u64),
    TrackCoordinate(u64),
    TimeStamp,
    Point,
    Coordinates,
    Other,
}

impl Dialect for Kml {
    const RECORDS: &'static [&'static str] = &["Placemark"];

    fn open(&mut self, element: &BytesStart<'_>, line: u64, _: &Options) -> Result<(), Bad> {
        let name = element.local_name();
        let name: &str = name.as_ref();
        let parent = self.open.last().copied();
        let tag = match name {
            "Placemark" => Tag::Placemark,
            "Track" => Tag::Track,
            "when" if self.in_track || parent == Some(Tag::TimeStamp) => Tag::When(line),
            "coord" if self.in_track => Tag::TrackCoordinate(line),
            "TimeStamp" => Tag::TimeStamp,
            "Point" => Tag::Point,
            "coordinates" if parent == Some(Tag::Point) => Tag::Coordinates,
            _ => Tag::Other,
        };
        match tag {
            Tag::Placemark => self.placemark = Some(Placemark { line, ..Placemark::default() }),
            Tag::Track => {
                self.in_track = true;
                self.times.clear();
                self.positions.clear();
                if let Some(placemark) = &mut self.placemark {
                    placemark.has_track = true;
                }
            }
            _ => {}
        }
        self.open.push(tag);
        Ok(())
    }

    fn close(&mut self, text: &str, options: &Options, sink: &mut Sink<'_>) -> Result<ControlFlow<()>, String> {
        match self.open.pop() {
            Some(Tag::When(line)) if self.in_track => {
                self.times.push_back((line, cut(text).into()));
                return self.pair(options, sink);
            }
            Some(Tag::When(_)) => {
                if let Some(placemark) = &mut self.placemark {
                    placemark.when = Some(cut(text).to_owned());
                }
            }
            Some(Tag::TrackCoordinate(line)) => {
                self.positions.push_back((line, cut(text).into()));
                return self.pair(options, sink);
            }
            Some(Tag::Coordinates) => {
                if let Some(placemark) = &mut self.placemark {
                    placemark.coordinates = Some(cut(text).to_owned());
                }
            }
            Some(Tag::Track) => {
                self.in_track = false;
                let left = self.times.len().max(self.positions.len());
                if let Some((line, _)) = self.times.pop_front().or_else(|| self.positions.pop_front()) {
                    self.times.clear();
                    self.positions.clear();
                    let message = format!("a track has {left} times or positions more than it has of the other");
                    return Ok(sink(super::super::Item::Bad { line, bad: Bad::new("record", message) }));
                }
            }
            Some(Tag::Placemark) => {
                if let Some(Placemark { line, when, coordinates: Some(coordinates), has_track: false }) =
                    self.placemark.take()
                {
                    return parts(line, &coordinates, ',', when).put("write longitude,latitude", options, sink);
                }
            }
            Some(Tag::TimeStamp | Tag::Point | Tag::Other) | None => {}
        }
        Ok(Continue(()))
    }

    /// A track may be as long as it likes: what waits of it is counted.
    fn is_in_record(&self) -> bool {
        false
    }

    fn abandon(&mut self) -> Option<u64> {
        self.times.clear();
        self.positions.clear();
        self.in_track = false;
        self.placemark.take().map(|placemark| placemark.line)
    }
}

impl Kml {
    /// Hands out what has both a time and a position; the first time belongs to the first position.
    fn pair(&mut self, options: &Options, sink: &mut Sink<'_>) -> Result<ControlFlow<()>, String> {
        if self.times.len().max(self.positions.len()) > MOST_WAITING {
            return Err(format!(
                "has a track with more than {MOST_WAITING} times before its positions, which is not allowed"
            ));
        }
        if self.times.is_empty() || self.positions.is_empty() {
            return Ok(Continue(()));
        }
        let (Some((_, time)), Some((line, position))) = (self.times.pop_front(), self.positions.pop_front()) else {
            return Ok(Continue(()));
        };
        parts(line, &position, ' ', Some(time.into())).put("write longitude latitude", options, sink)
    }
}

/// As much of a text as can make sense.
fn cut(text: &str) -> &str {
    text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end])
}

/// KML's positions are longitude, latitude and perhaps altitude.
fn parts(line: u64, position: &str, between: char, time: Option<String>) -> Parts {
    let mut numbers = position.split(between).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let (longitude, latitude) = (numbers.next(), numbers.next());
    let skip = (longitude.is_none() && latitude.is_none()).then_some(Skip::NoPosition);
    // A date alone is no instant at which somebody was anywhere.
    let time = time.filter(|text| !value::is_absent(text));
    Parts { line, latitude, longitude, time, skip, ..Parts::default() }
}
