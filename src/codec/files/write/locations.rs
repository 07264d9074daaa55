//! Writes persons' locations in every format that is exported.

use super::{GEOJSON_HEAD, GEOJSON_TAIL, GPX_HEAD, GPX_TAIL, Media, cell, full_name, utc};
use crate::domain::{Location, Person};
use quick_xml::escape::escape;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// The names of CSV columns and GeoJSON properties are those of the REST API, which [`read`](crate::codec::files::read) knows.
const CSV_HEADER: &str = "person_id,latitude,longitude,creation_time,accuracy_m,\
                          external_key,first_name,last_name,company_name\r\n";

/// Writes locations: [`begin`](Self::begin), for each person [`person`](Self::person) and their locations, and
/// [`end`](Self::end). Coordinates and times come back from [`read`](crate::codec::files::read) exactly as they were.
#[derive(Debug)]
pub struct LocationWriter {
    media: Media,
    /// Whether a location stands before the next one.
    some: bool,
    in_track: bool,
    /// What each location's record says of its person: the end of a row, or properties.
    row: String,
    properties: Map<String, Value>,
}

impl LocationWriter {
    pub fn new(media: Media) -> Self {
        Self { media, some: false, in_track: false, row: String::new(), properties: Map::new() }
    }

    pub fn begin(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(match self.media {
            Media::Csv => CSV_HEADER.as_bytes(),
            Media::GeoJson => GEOJSON_HEAD.as_bytes(),
            Media::Gpx => GPX_HEAD.as_bytes(),
        })
    }

    /// Whose the following locations are. Names, and the key where another system has one for the person, go along: in
    /// another database the id is somebody else's.
    pub fn person(&mut self, out: &mut impl Write, person: &Person, key: Option<&str>) -> io::Result<()> {
        let Person { id, first_name, last_name, company_name } = person;
        match self.media {
            Media::Csv => {
                let cells = [key.unwrap_or_default(), first_name, last_name, company_name].map(|text| cell(text));
                self.row = format!(",{}\r\n", cells.join(","));
                Ok(())
            }
            Media::GeoJson => {
                let texts = [("first_name", first_name), ("last_name", last_name), ("company_name", company_name)];
                self.properties =
                    texts.map(|(name, text)| (name.to_owned(), text.as_str().into())).into_iter().collect();
                self.properties.insert("external_key".to_owned(), key.into());
                Ok(())
            }
            Media::Gpx => {
                self.end_track(out)?;
                self.in_track = true;
                write!(
                    out,
                    "<trk><name>{}</name><desc>{}</desc><extensions><uc:person_id>{id}</uc:person_id>",
                    escape(full_name(person)),
                    escape(company_name.as_str()),
                )?;
                if let Some(key) = key {
                    write!(out, "<uc:external_key>{}</uc:external_key>", escape(key))?;
                }
                writeln!(
                    out,
                    "<uc:first_name>{}</uc:first_name><uc:last_name>{}</uc:last_name>\
                     <uc:company_name>{}</uc:company_name></extensions><trkseg>",
                    escape(first_name.as_str()),
                    escape(last_name.as_str()),
                    escape(company_name.as_str()),
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
                out.write_all(self.row.as_bytes())
            }
            Media::GeoJson => {
                out.write_all(if again { b",\n" } else { b"\n" })?;
                let mut properties = self.properties.clone();
                properties.insert("person_id".to_owned(), location.person_id.get().into());
                properties.insert("creation_time".to_owned(), time.into());
                properties.insert("accuracy_m".to_owned(), location.accuracy_m.into());
                let feature = json!({
                    "type": "Feature",
                    "id": location.id,
                    "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
                    "properties": properties,
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
