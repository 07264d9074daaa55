//! TCX, Garmin's Training Center XML (<https://www8.garmin.com/xmlschemas/TrainingCenterDatabasev2.xsd>): the points of
//! activities' tracks. Planned courses are no presence.

use super::super::value::Parts;
use super::super::{Bad, Options, Sink, Skip};
use super::Dialect;
use quick_xml::events::BytesStart;
use std::ops::ControlFlow::{self, Continue};

#[derive(Default)]
pub(super) struct Tcx {
    point: Option<Parts>,
    open: Vec<bool>,
    /// How many of the open elements are courses.
    courses: usize,
    name: Vec<Field>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Point,
    Time,
    Latitude,
    Longitude,
    Other,
}

impl Dialect for Tcx {
    const RECORDS: &'static [&'static str] = &["Trackpoint"];

    fn open(&mut self, element: &BytesStart<'_>, line: u64, _: &Options) -> Result<(), Bad> {
        let name = element.local_name();
        let name: &str = name.as_ref();
        let course = matches!(name, "Course" | "CoursePoint");
        self.courses += usize::from(course);
        self.open.push(course);
        let in_point = self.point.is_some();
        let field = match name {
            "Trackpoint" if !in_point => Field::Point,
            "Time" if self.name.last() == Some(&Field::Point) => Field::Time,
            "LatitudeDegrees" if in_point => Field::Latitude,
            "LongitudeDegrees" if in_point => Field::Longitude,
            _ => Field::Other,
        };
        if field == Field::Point {
            let plan = (self.courses > 0).then_some(Skip::Route);
            self.point = Some(Parts { line, skip: plan, ..Parts::default() });
        }
        self.name.push(field);
        Ok(())
    }

    fn close(&mut self, text: &str, options: &Options, sink: &mut Sink<'_>) -> Result<ControlFlow<()>, String> {
        self.courses -= usize::from(self.open.pop() == Some(true));
        let field = self.name.pop().unwrap_or(Field::Other);
        if field == Field::Point {
            return self.point.take().map_or(Ok(Continue(())), |point| point.put("correct the file", options, sink));
        }
        if let Some(point) = &mut self.point {
            match field {
                Field::Time => point.time = Some(text.to_owned()),
                Field::Latitude => point.latitude = Some(text.to_owned()),
                Field::Longitude => point.longitude = Some(text.to_owned()),
                Field::Point | Field::Other => {}
            }
        }
        Ok(Continue(()))
    }

    fn is_in_record(&self) -> bool {
        self.point.is_some()
    }

    fn abandon(&mut self) -> Option<u64> {
        self.point.take().map(|point| point.line)
    }
}
