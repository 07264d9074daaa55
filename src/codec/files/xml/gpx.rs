//! GPX 1.0 and 1.1: points of tracks that have a time; those of routes and waypoints, which are plans, when they are asked for.

use super::super::value::Parts;
use super::super::whose::Claim;
use super::super::{Bad, FileFix, Item, Options, Sink, Skip, Who};
use super::Dialect;
use quick_xml::events::BytesStart;
use std::ops::ControlFlow;

/// What an element means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    /// `trk` and `rte`.
    Track,
    Point(Kind),
    Time,
    Accuracy,
    /// What our own exports say of the person.
    Own(Own),
    /// The name of a track or point.
    Name,
    /// The element that the caller says tells whose it is.
    Person,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Id,
    Key,
    FirstName,
    LastName,
    Company,
}

/// Which of GPX's points it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Track,
    Route,
    Waypoint,
}

/// A point while it is read.
#[derive(Default)]
struct Point {
    line: u64,
    kind: Kind,
    latitude: Option<String>,
    longitude: Option<String>,
    time: Option<String>,
    accuracy: Option<String>,
    whose: Whose,
}

/// What a point or track says of its person.
#[derive(Default)]
struct Whose {
    /// Of the element that the caller named.
    text: Option<String>,
    name: Option<String>,
    id: Option<String>,
    key: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    company_name: Option<String>,
}

/// Where the reading is.
#[derive(Default)]
pub(super) struct Gpx {
    open: Vec<Tag>,
    track: Whose,
    /// Whose the track is, as soon as a point has asked.
    owner: Option<Who>,
    point: Option<Point>,
}

impl Dialect for Gpx {
    const RECORDS: &'static [&'static str] = &["trkpt", "rtept", "wpt"];

    fn open(&mut self, element: &BytesStart<'_>, line: u64, options: &Options) -> Result<(), Bad> {
        let name = element.local_name();
        let name: &str = name.as_ref();
        let in_point = self.point.is_some();
        let tag = match name {
            "trkpt" if !in_point => Tag::Point(Kind::Track),
            "rtept" if !in_point => Tag::Point(Kind::Route),
            "wpt" if !in_point => Tag::Point(Kind::Waypoint),
            "trk" | "rte" if !in_point => Tag::Track,
            // Not those of extensions, which may be anything's.
            "time" if matches!(self.open.last(), Some(Tag::Point(_))) => Tag::Time,
            "accuracy_m" | "accuracy" if in_point => Tag::Accuracy,
            "person_id" => Tag::Own(Own::Id),
            "external_key" => Tag::Own(Own::Key),
            "first_name" => Tag::Own(Own::FirstName),
            "last_name" => Tag::Own(Own::LastName),
            "company_name" => Tag::Own(Own::Company),
            name if options.columns.person.as_deref() == Some(name)
                && matches!(self.open.last(), Some(Tag::Track | Tag::Point(_))) =>
            {
                Tag::Person
            }
            "name" if matches!(self.open.last(), Some(Tag::Track | Tag::Point(_))) => Tag::Name,
            _ => Tag::Other,
        };
        self.open.push(tag);
        match tag {
            Tag::Point(kind) => {
                let mut point = Point { line, kind, ..Point::default() };
                for attribute in element.attributes() {
                    let attribute = attribute.map_err(|error| Bad::new("record", error.to_string()));
                    let attribute = attribute.inspect_err(|_| self.point = Some(Point { line, ..Point::default() }))?;
                    match attribute.key.as_ref() {
                        "lat" => point.latitude = Some(attribute.value.into_owned()),
                        "lon" => point.longitude = Some(attribute.value.into_owned()),
                        _ => {}
                    }
                }
                self.point = Some(point);
            }
            Tag::Track => (self.track, self.owner) = (Whose::default(), None),
            Tag::Time | Tag::Accuracy | Tag::Own(_) | Tag::Name | Tag::Person | Tag::Other => {}
        }
        Ok(())
    }

    fn close(&mut self, text: &str, options: &Options, sink: &mut Sink<'_>) -> Result<ControlFlow<()>, String> {
        let text = || text.to_owned();
        match self.open.pop() {
            Some(Tag::Point(_)) => {
                let Some(point) = self.point.take() else { return Ok(ControlFlow::Continue(())) };
                if let Some(item) = item(point, &self.track, &mut self.owner, options) {
                    return Ok(sink(item));
                }
                return Err("nothing says whose track it is; say --person WHO, or --person-column name if the names of tracks are \
                            persons"
                    .to_owned());
            }
            Some(Tag::Track) => (self.track, self.owner) = (Whose::default(), None),
            Some(Tag::Time) => {
                if let Some(point) = &mut self.point {
                    point.time = Some(text());
                }
            }
            Some(Tag::Accuracy) => {
                if let Some(point) = &mut self.point {
                    point.accuracy = Some(text());
                }
            }
            Some(tag @ (Tag::Own(_) | Tag::Name | Tag::Person)) => {
                let whose = match &mut self.point {
                    Some(point) => &mut point.whose,
                    None => {
                        self.owner = None;
                        &mut self.track
                    }
                };
                let field = match tag {
                    Tag::Own(Own::Id) => &mut whose.id,
                    Tag::Own(Own::Key) => &mut whose.key,
                    Tag::Own(Own::FirstName) => &mut whose.first_name,
                    Tag::Own(Own::LastName) => &mut whose.last_name,
                    Tag::Own(Own::Company) => &mut whose.company_name,
                    Tag::Name => &mut whose.name,
                    _ => &mut whose.text,
                };
                *field = Some(text());
            }
            Some(Tag::Other) | None => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn is_in_record(&self) -> bool {
        self.point.is_some()
    }

    fn abandon(&mut self) -> Option<u64> {
        self.point.take().map(|point| point.line)
    }
}

/// What a point tells; `None` when nothing says whose it is.
fn item(point: Point, track: &Whose, owner: &mut Option<Who>, options: &Options) -> Option<Item> {
    let line = point.line;
    match point.kind {
        Kind::Route if !options.routes => return Some(Item::Skipped { line, why: Skip::Route }),
        Kind::Waypoint if !options.waypoints => return Some(Item::Skipped { line, why: Skip::Waypoint }),
        Kind::Track | Kind::Route | Kind::Waypoint => {}
    }
    let who = match who(&point.whose, track, owner, options) {
        Ok(who) => who?,
        Err(bad) => return Some(Item::Bad { line, bad }),
    };
    Some(match fix(point, who, options) {
        Ok(Ok(fix)) => Item::Fix(fix),
        Ok(Err(why)) => Item::Skipped { line, why },
        Err(bad) => Item::Bad { line, bad },
    })
}

/// A point that says whose it is does so by itself; the others are their track's, whose owner is found once.
fn who(point: &Whose, track: &Whose, owner: &mut Option<Who>, options: &Options) -> Result<Option<Who>, Bad> {
    let asked = options.columns.person.as_deref();
    if point.id.is_some() || point.key.is_some() || point.text.is_some() {
        return point.claim(asked).who(options);
    }
    if owner.is_none() {
        *owner = track.claim(asked).who(options)?;
    }
    Ok(owner.clone())
}

impl Whose {
    fn claim(&self, asked: Option<&str>) -> Claim<'_> {
        // The names of other programs' tracks are no persons.
        let ours = self.id.is_some();
        let name = if asked == Some("name") { &self.text } else { &self.name };
        Claim {
            text: if asked.is_some() { self.text.as_deref() } else { self.id.as_deref() },
            id: self.id.as_deref(),
            key: self.key.as_deref(),
            first_name: self.first_name.as_deref(),
            last_name: self.last_name.as_deref(),
            full_name: name.as_deref().filter(|_| ours),
            company_name: self.company_name.as_deref(),
            ours,
        }
    }
}

fn fix(point: Point, who: Who, options: &Options) -> Result<Result<FileFix, Skip>, Bad> {
    for (field, text) in [("latitude", &point.latitude), ("longitude", &point.longitude)] {
        if text.is_none() {
            return Err(Bad::new(field, "is required: a point has the attributes lat and lon"));
        }
    }
    let Point { line, latitude, longitude, time, accuracy, .. } = point;
    Parts { line, latitude, longitude, time, accuracy, skip: None }.fix(who, "correct lat and lon", options)
}
