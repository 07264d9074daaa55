//! Locations out.

use super::{GEOJSON_HEAD, GEOJSON_TAIL, GPX_HEAD, GPX_TAIL, Media, full_name, utc};
use crate::domain::{Location, Person};
use serde_json::json;
use std::io::{self, Write};

/// The names of CSV columns and GeoJSON properties are those of the REST API, which [`read`](crate::formats::read) knows.
const CSV_HEADER: &str = "person_id,latitude,longitude,creation_time,accuracy_m\r\n";

/// Writes locations: [`begin`](Self::begin), for each person [`person`](Self::person) and their locations, and
/// [`end`](Self::end). Coordinates and times come back from [`read`](crate::formats::read) exactly as they were.
#[derive(Debug)]
pub struct LocationWriter {
    media: Media,
    /// Whether a location stands before the next one.
    some: bool,
    in_track: bool,
}

impl LocationWriter {
    pub fn new(media: Media) -> Self {
        Self { media, some: false, in_track: false }
    }

    pub fn begin(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(match self.media {
            Media::Csv => CSV_HEADER.as_bytes(),
            Media::GeoJson => GEOJSON_HEAD.as_bytes(),
            Media::Gpx => GPX_HEAD.as_bytes(),
        })
    }

    /// Whose the following locations are.
    pub fn person(&mut self, out: &mut impl Write, person: &Person) -> io::Result<()> {
        match self.media {
            Media::Csv | Media::GeoJson => Ok(()),
            Media::Gpx => {
                self.end_track(out)?;
                self.in_track = true;
                let name = full_name(person);
                writeln!(
                    out,
                    "<trk><name>{}</name><desc>{}</desc><extensions><uc:person_id>{}</uc:person_id></extensions><trkseg>",
                    quick_xml::escape::escape(&name),
                    quick_xml::escape::escape(&person.company_name),
                    person.id
                )
            }
        }
    }

    pub fn location(&mut self, out: &mut impl Write, location: &Location) -> io::Result<()> {
        let (latitude, longitude) = (location.coordinate.latitude(), location.coordinate.longitude());
        let time = utc(location.creation_time);
        let again = std::mem::replace(&mut self.some, true);
        match self.media {
            Media::Csv => {
                write!(out, "{},{latitude},{longitude},{time},", location.person_id)?;
                if let Some(metres) = location.accuracy_m {
                    write!(out, "{metres}")?;
                }
                out.write_all(b"\r\n")
            }
            Media::GeoJson => {
                out.write_all(if again { b",\n" } else { b"\n" })?;
                let feature = json!({
                    "type": "Feature",
                    "id": location.id,
                    "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
                    "properties": {
                        "person_id": location.person_id.get(),
                        "creation_time": time,
                        "accuracy_m": location.accuracy_m,
                    },
                });
                Ok(serde_json::to_writer(out, &feature)?)
            }
            Media::Gpx => {
                write!(out, "<trkpt lat=\"{latitude}\" lon=\"{longitude}\"><time>{time}</time>")?;
                if let Some(metres) = location.accuracy_m {
                    write!(out, "<extensions><uc:accuracy_m>{metres}</uc:accuracy_m></extensions>")?;
                }
                out.write_all(b"</trkpt>\n")
            }
        }
    }

    pub fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        match self.media {
            Media::Csv => Ok(()),
            Media::GeoJson => out.write_all(GEOJSON_TAIL.as_bytes()),
            Media::Gpx => {
                self.end_track(out)?;
                out.write_all(GPX_TAIL.as_bytes())
            }
        }
    }

    fn end_track(&mut self, out: &mut impl Write) -> io::Result<()> {
        if std::mem::take(&mut self.in_track) { out.write_all(b"</trkseg></trk>\n") } else { Ok(()) }
    }
}
