//! Writes connections, encounters and nearby locations: each is a point with its time and what is known of it.

use super::{GEOJSON_HEAD, GEOJSON_TAIL, GPX_HEAD, GPX_TAIL, Media, cell, full_name, utc};
use crate::domain::{Location, Person};
use crate::geo::Coordinate;
use crate::meeting::{Closest, Connection, Encounter};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use std::io::{self, Write};

const PERSON: &[&str] = &["person_id", "first_name", "last_name", "company_name"];
const CONNECTION: &[&str] = &["encounters", "total_duration", "first_met", "last_met", "closest_m", "closest_time"];
const ENCOUNTER: &[&str] = &["start", "end", "duration", "closest_m", "closest_time"];
const NEARBY: &[&str] = &["location_id", "creation_time", "accuracy_m"];

/// Writes one kind of points: [`begin`](Self::begin), the points, and [`end`](Self::end). The names of columns and properties
/// are those of the REST API; a connection or an encounter is where and when the two were closest.
#[derive(Debug)]
pub struct MeetingWriter {
    media: Media,
    columns: &'static [&'static str],
    /// Whether a point stands before the next one.
    some: bool,
}

impl MeetingWriter {
    pub fn connections(media: Media) -> Self {
        Self { media, columns: CONNECTION, some: false }
    }

    pub fn encounters(media: Media) -> Self {
        Self { media, columns: ENCOUNTER, some: false }
    }

    /// For locations of others.
    pub fn nearby(media: Media) -> Self {
        Self { media, columns: NEARBY, some: false }
    }

    pub fn begin(&mut self, out: &mut impl Write) -> io::Result<()> {
        match self.media {
            Media::Csv => {
                let names: Vec<&str> = [PERSON, self.columns, &["latitude", "longitude"]].concat();
                write!(out, "{}\r\n", names.join(","))
            }
            Media::GeoJson => out.write_all(GEOJSON_HEAD.as_bytes()),
            Media::Gpx => out.write_all(GPX_HEAD.as_bytes()),
        }
    }

    /// `person` is whom it is a connection to.
    pub fn connection(&mut self, out: &mut impl Write, connection: &Connection, person: &Person) -> io::Result<()> {
        let Closest { distance_m, time, coordinate } = connection.closest;
        let values = [
            connection.encounters.into(),
            connection.total_duration.as_seconds_f64().into(),
            utc(connection.first_met).into(),
            utc(connection.last_met).into(),
            distance_m.into(),
            utc(time).into(),
        ];
        self.point(out, person, coordinate, time, &values)
    }

    /// `person` is with whom it was.
    pub fn encounter(&mut self, out: &mut impl Write, encounter: &Encounter, person: &Person) -> io::Result<()> {
        let Closest { distance_m, time, coordinate } = encounter.closest;
        let values = [
            utc(encounter.start).into(),
            utc(encounter.end).into(),
            encounter.duration().as_seconds_f64().into(),
            distance_m.into(),
            utc(time).into(),
        ];
        self.point(out, person, coordinate, time, &values)
    }

    /// `person` is whose location it is.
    pub fn location(&mut self, out: &mut impl Write, location: &Location, person: &Person) -> io::Result<()> {
        let values = [location.id.into(), utc(location.creation_time).into(), location.accuracy_m.into()];
        self.point(out, person, location.coordinate, location.creation_time, &values)
    }

    pub fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        match self.media {
            Media::Csv => Ok(()),
            Media::GeoJson => out.write_all(GEOJSON_TAIL.as_bytes()),
            Media::Gpx => out.write_all(GPX_TAIL.as_bytes()),
        }
    }

    /// `values` are those of the columns, in their order.
    fn point(
        &mut self,
        out: &mut impl Write,
        person: &Person,
        coordinate: Coordinate,
        time: DateTime<Utc>,
        values: &[Value],
    ) -> io::Result<()> {
        debug_assert_eq!(values.len(), self.columns.len());
        let again = std::mem::replace(&mut self.some, true);
        let (latitude, longitude) = (coordinate.latitude(), coordinate.longitude());
        match self.media {
            Media::Csv => {
                write!(out, "{}", person.id)?;
                for text in [&person.first_name, &person.last_name, &person.company_name] {
                    write!(out, ",{}", cell(text))?;
                }
                for value in values {
                    match value {
                        Value::Null => write!(out, ",")?,
                        Value::String(text) => write!(out, ",{}", cell(text))?,
                        other => write!(out, ",{other}")?,
                    }
                }
                write!(out, ",{latitude},{longitude}\r\n")
            }
            Media::GeoJson => {
                out.write_all(if again { b",\n" } else { b"\n" })?;
                let mut properties = Map::new();
                properties.insert("person_id".to_owned(), person.id.get().into());
                properties.insert("first_name".to_owned(), person.first_name.as_str().into());
                properties.insert("last_name".to_owned(), person.last_name.as_str().into());
                properties.insert("company_name".to_owned(), person.company_name.as_str().into());
                properties
                    .extend(self.columns.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.clone())));
                let feature = serde_json::json!({
                    "type": "Feature",
                    "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
                    "properties": properties,
                });
                Ok(serde_json::to_writer(out, &feature)?)
            }
            Media::Gpx => {
                let told: Vec<String> = self
                    .columns
                    .iter()
                    .zip(values)
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| format!("{name}: {}", value.as_str().map_or(value.to_string(), str::to_owned)))
                    .collect();
                writeln!(
                    out,
                    "<wpt lat=\"{latitude}\" lon=\"{longitude}\"><time>{}</time><name>{}</name><desc>{}</desc>\
                     <extensions><uc:person_id>{}</uc:person_id></extensions></wpt>",
                    utc(time),
                    quick_xml::escape::escape(full_name(person)),
                    quick_xml::escape::escape(format!("{}; {}", person.company_name, told.join(", "))),
                    person.id
                )
            }
        }
    }
}
