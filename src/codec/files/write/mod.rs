//! Writers of files, piece by piece: a writer keeps no more than one piece in memory.

mod locations;
mod meetings;

pub use locations::LocationWriter;
pub use meetings::MeetingWriter;

use crate::domain::Person;
use chrono::{DateTime, SecondsFormat, Utc};

/// A format to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Media {
    Csv,
    #[value(name = "geojson")]
    GeoJson,
    Gpx,
}

impl Media {
    /// As HTTP names it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::GeoJson => "application/geo+json",
            Self::Gpx => "application/gpx+xml",
        }
    }

    /// What files of this format end with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::GeoJson => "geojson",
            Self::Gpx => "gpx",
        }
    }
}

const GEOJSON_HEAD: &str = "{\"type\":\"FeatureCollection\",\"features\":[";
const GEOJSON_TAIL: &str = "\n]}\n";
const GPX_HEAD: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
    "<gpx version=\"1.1\" creator=\"UdaConnect\" xmlns=\"http://www.topografix.com/GPX/1/1\" ",
    "xmlns:uc=\"urn:udaconnect:gpx:1\">\n"
);
const GPX_TAIL: &str = "</gpx>\n";

/// RFC 3339 with `Z`, with as many decimals as are needed.
fn utc(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn full_name(person: &Person) -> String {
    format!("{} {}", person.first_name, person.last_name)
}

/// A text as a field of CSV: no formula to a spreadsheet, and in quotation marks where it must be (RFC 4180).
fn cell(text: &str) -> std::borrow::Cow<'_, str> {
    let text = super::value::to_cell(text);
    if text.contains([',', '"', '\r', '\n', '\t']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text
    }
}
