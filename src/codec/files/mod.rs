//! Files with locations ↔ domain, as streams: GPX, TCX, KML, FIT, NMEA, GeoJSON, CSV, OwnTracks and Google's Timeline.
//!
//! Reading is push: [`read`] hands one [`Item`] after another to a function, and needs no more memory for a large input than
//! for a small one, however hostile: every record is bounded ([`MAX_LINE`], [`MAX_OBJECT`]), and so are nesting and the window
//! of packed input. Nothing here knows files, persons' ids or the store.

mod brackets;
mod csv;
mod document;
mod fit;
mod google;
mod input;
mod json;
#[cfg(test)]
mod kinds;
mod lines;
mod mend;
mod names;
mod nmea;
pub mod owntracks;
mod quotes;
mod sniff;
#[cfg(test)]
mod tests;
mod value;
mod weighed;
mod whose;
mod write;
mod xml;

pub use input::{Packing, unpack};
pub use names::Columns;
pub use value::{Timezone, Twice};
pub use whose::{Exported, PersonBy, Who};
pub use write::{LocationWriter, Media, MeetingWriter};

use crate::domain::NoFix;
use crate::geo::Coordinate;
use chrono::{DateTime, Utc};
use std::fmt;
use std::ops::ControlFlow;

/// The longest CSV record, OwnTracks line or stretch of GPX between two points, bytes.
pub const MAX_LINE: usize = 1 << 20;
/// The longest GeoJSON feature, bytes: a line string of some 100,000 positions with their times.
pub const MAX_OBJECT: usize = 8 << 20;
/// What a JSON object may need when it is unpacked, in bytes: a track of as many bytes as an object may have needs half of it.
const MAX_KEPT: usize = 64 << 20;

/// A format of files with locations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Gpx,
    Tcx,
    Kml,
    Fit,
    Nmea,
    #[value(name = "geojson")]
    GeoJson,
    Csv,
    #[value(name = "owntracks")]
    OwnTracks,
    #[value(name = "google")]
    Google,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpx => "GPX",
            Self::Tcx => "TCX",
            Self::Kml => "KML",
            Self::Fit => "FIT",
            Self::Nmea => "NMEA",
            Self::Google => "Google Timeline",
            Self::GeoJson => "GeoJSON",
            Self::Csv => "CSV",
            Self::OwnTracks => "OwnTracks",
        })
    }
}

/// How an input is to be understood.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// By content when absent.
    pub format: Option<Format>,
    /// Whose all the locations are; what the input itself says of it is then not looked at.
    pub person: Option<Who>,
    /// Whose a location is when its record does not say.
    pub otherwise: Option<Who>,
    /// What a person column holds; an id when absent, which is then checked against what else the record says.
    pub person_by: Option<PersonBy>,
    pub columns: Columns,
    /// The zone of times that name none; UTC when absent.
    pub timezone: Option<Timezone>,
    /// How times are written, in the notation of strftime, where that must be said.
    pub time_format: Option<String>,
    /// Whether points of routes are taken as presence.
    pub routes: bool,
    /// Whether waypoints are taken as presence.
    pub waypoints: bool,
}

/// A location as a file gives it. Not checked yet: whether its person exists, and whether its time is in the future.
#[derive(Clone, Debug, PartialEq)]
pub struct FileFix {
    /// Where in the input it stands, from 1.
    pub line: u64,
    pub who: Who,
    pub coordinate: Coordinate,
    pub time: DateTime<Utc>,
    /// 68 % horizontal radius in metres, 0 or more and finite.
    pub accuracy_m: Option<f64>,
}

/// Why a record holds no location, although nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    NoPosition,
    NoTime,
    /// What it says is no fix at all.
    NoFix(NoFix),
    /// Its source says that it is none: invalid or an outlier.
    Invalid,
    /// A point of a route, which is a plan.
    Route,
    /// A waypoint, which is a place.
    Waypoint,
    /// A kind of record that tells of something else.
    OtherKind,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPosition => "without a position",
            Self::NoTime => "without a time",
            Self::NoFix(NoFix::ZeroZero) => "at 0,0, which is no fix",
            Self::NoFix(NoFix::NegativeAccuracy) => "with a negative accuracy, which marks an invalid position",
            Self::NoFix(NoFix::UnsetClock) => "from before 2000, of a clock that was never set",
            Self::Invalid => "marked as invalid or as an outlier",
            Self::Route => "points of a route, which is a plan (--routes takes them)",
            Self::Waypoint => "waypoints, which are places (--waypoints takes them)",
            Self::OtherKind => "no location",
        })
    }
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// One of few, to count by: `latitude`, `longitude`, `time`, `person`, `accuracy`, `record`.
    pub field: &'static str,
    /// A sentence that names what was found and what is allowed.
    pub message: String,
}

impl Bad {
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// One record of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Fix(FileFix),
    Skipped { line: u64, why: Skip },
    Bad { line: u64, bad: Bad },
}

/// What takes the items; `Break` ends the reading.
pub type Sink<'a> = dyn FnMut(Item) -> ControlFlow<()> + 'a;

/// Why an input cannot be read (any further).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where, from 1; `None` when it is the input as a whole.
    pub line: Option<u64>,
    pub message: String,
}

impl Broken {
    fn whole(message: impl Into<String>) -> Self {
        Self { line: None, message: message.into() }
    }

    fn at(line: u64, message: impl Into<String>) -> Self {
        Self { line: Some(line), message: message.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Reads an unpacked input to its end, or until the sink breaks. What was handed out before an error is good.
pub fn read(input: impl std::io::Read, options: &Options, sink: &mut Sink<'_>) -> Result<(), Broken> {
    let mut input = input::Limited::new(input);
    let head = input.head().map_err(|error| input.broken(&error))?;
    let found = sniff::sniff(&head, options.format)?;
    match found {
        sniff::Syntax::Xml => xml::read(input, &head, options, sink),
        sniff::Syntax::Json => document::read(input, options, sink),
        sniff::Syntax::Lines => lines::read(input, options, sink),
        sniff::Syntax::Csv => csv::read(input, &head, options, sink),
        sniff::Syntax::Fit => fit::read(input, options, sink),
        sniff::Syntax::Nmea => nmea::read(input, options, sink),
    }
}
