//! GPX 1.0 and 1.1: points of tracks, routes and waypoints that have a time.

use super::input::Headed;
use super::value;
use super::whose::Claim;
use super::{Bad, Broken, Fix, Item, MAX_LINE, Options, Sink, Skip, Who};
use quick_xml::encoding::DecodingReader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use std::io::{BufRead, Read};
use std::ops::ControlFlow;

/// How deep elements may be nested; GPX needs five levels, extensions some more.
const MAX_DEPTH: usize = 100;

/// What an element means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    /// `trk` and `rte`.
    Track,
    /// `trkpt`, `rtept` and `wpt`.
    Point,
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

/// A point while it is read.
#[derive(Default)]
struct Point {
    line: u64,
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
struct State {
    open: Vec<Tag>,
    /// The text of the innermost element so far.
    text: String,
    track: Whose,
    /// Whose the track is, as soon as a point has asked.
    owner: Option<Who>,
    point: Option<Point>,
    ended: bool,
}

pub(super) fn read<R: Read>(
    input: Headed<R>,
    head: &[u8],
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<(), Broken> {
    let input = input.map(|input| decoded(input, head));
    let place = input.place();
    place.limit(MAX_LINE);
    let mut reader = quick_xml::Reader::from_reader(input);
    reader.config_mut().expand_empty_elements = true;
    let mut state = State::default();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let begin = place.line();
        let event = reader.read_event_into(&mut buffer).map_err(|error| match error {
            quick_xml::Error::Io(error) => Broken::at(place.line(), error.to_string()),
            other => Broken::at(place.line(), format!("is not valid XML: {other}")),
        })?;
        let at = |message: String| Broken::at(begin, message);
        match event {
            Event::Start(element) => start(&mut state, &element, begin, options).map_err(at)?,
            Event::End(_) => {
                place.mark();
                if let Some(point) = end(&mut state) {
                    let Some(item) = item(point, &state.track, &mut state.owner, options) else {
                        return Err(at(
                            "nothing says whose track it is; say --person WHO, or --person-column name if \
                             the names of tracks are persons"
                                .to_owned(),
                        ));
                    };
                    if sink(item) == ControlFlow::Break(()) {
                        return Ok(());
                    }
                }
            }
            Event::Text(text) => state.text.push_str(&text),
            Event::CData(text) => state.text.push_str(&text),
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref() {
                    Ok(Some(character)) => Some(character.to_string()),
                    Ok(None) => resolve_predefined_entity(&reference).map(str::to_owned),
                    Err(_) => None,
                };
                let unknown = || at(format!("the entity &{}; is not known", value::shown(&reference)));
                state.text.push_str(&resolved.ok_or_else(unknown)?);
            }
            Event::DocType(_) => {
                return Err(at("has a DOCTYPE, which GPX has not: it could define entities without bounds".to_owned()));
            }
            Event::Eof => {
                return match state.open.len() {
                    0 if state.ended => Ok(()),
                    0 => Err(at("is XML without any element".to_owned())),
                    _ => Err(at("the file is cut off: it ends before its last element does".to_owned())),
                };
            }
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

/// UTF-8, UTF-16 by its mark, or the encoding that the declaration names.
fn decoded<R: BufRead>(input: R, head: &[u8]) -> DecodingReader<R> {
    let mut decoded = DecodingReader::new(input);
    let (begin, mut buffer) = (&head[..head.len().min(1 << 10)], Vec::new());
    if let Ok(Event::Decl(declaration)) = quick_xml::Reader::from_reader(begin).read_event_into(&mut buffer)
        && let Some(encoding) = declaration.encoder().filter(|encoding| encoding.is_ascii_compatible())
    {
        decoded.set_encoding(encoding);
    }
    decoded
}

fn start(state: &mut State, element: &BytesStart<'_>, line: u64, options: &Options) -> Result<(), String> {
    let name = element.local_name();
    let name: &str = name.as_ref();
    if state.open.is_empty() {
        if state.ended {
            return Err("goes on after its last element: are these two files in one?".to_owned());
        }
        if name != "gpx" {
            return Err(format!("is XML but not GPX: its root is <{}>", value::shown(name)));
        }
    }
    if state.open.len() >= MAX_DEPTH {
        return Err(format!("has elements nested more than {MAX_DEPTH} deep"));
    }
    let in_point = state.point.is_some();
    let tag = match name {
        "trkpt" | "rtept" | "wpt" if !in_point => Tag::Point,
        "trk" | "rte" if !in_point => Tag::Track,
        // Not those of extensions, which may be anything's.
        "time" if state.open.last() == Some(&Tag::Point) => Tag::Time,
        "accuracy_m" | "accuracy" if in_point => Tag::Accuracy,
        "person_id" => Tag::Own(Own::Id),
        "external_key" => Tag::Own(Own::Key),
        "first_name" => Tag::Own(Own::FirstName),
        "last_name" => Tag::Own(Own::LastName),
        "company_name" => Tag::Own(Own::Company),
        name if options.columns.person.as_deref() == Some(name)
            && matches!(state.open.last(), Some(Tag::Track | Tag::Point)) =>
        {
            Tag::Person
        }
        "name" if matches!(state.open.last(), Some(Tag::Track | Tag::Point)) => Tag::Name,
        _ => Tag::Other,
    };
    match tag {
        Tag::Point => {
            let mut point = Point { line, ..Point::default() };
            for attribute in element.attributes() {
                let attribute = attribute.map_err(|error| format!("is not valid XML: {error}"))?;
                match attribute.key.as_ref() {
                    "lat" => point.latitude = Some(attribute.value.into_owned()),
                    "lon" => point.longitude = Some(attribute.value.into_owned()),
                    _ => {}
                }
            }
            state.point = Some(point);
        }
        Tag::Track => (state.track, state.owner) = (Whose::default(), None),
        Tag::Time | Tag::Accuracy | Tag::Own(_) | Tag::Name | Tag::Person | Tag::Other => {}
    }
    state.open.push(tag);
    state.text.clear();
    Ok(())
}

/// Closes an element; a point that is complete comes back.
fn end(state: &mut State) -> Option<Point> {
    let tag = state.open.pop()?;
    state.ended = state.open.is_empty();
    let text = std::mem::take(&mut state.text);
    let text = text.trim().to_owned();
    match tag {
        Tag::Point => return state.point.take(),
        Tag::Track => (state.track, state.owner) = (Whose::default(), None),
        Tag::Time => {
            if let Some(point) = &mut state.point {
                point.time = Some(text);
            }
        }
        Tag::Accuracy => {
            if let Some(point) = &mut state.point {
                point.accuracy = Some(text);
            }
        }
        Tag::Own(_) | Tag::Name | Tag::Person => {
            let whose = match &mut state.point {
                Some(point) => &mut point.whose,
                None => {
                    state.owner = None;
                    &mut state.track
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
            *field = Some(text);
        }
        Tag::Other => {}
    }
    None
}

/// What a point tells; `None` when nothing says whose it is.
fn item(point: Point, track: &Whose, owner: &mut Option<Who>, options: &Options) -> Option<Item> {
    let line = point.line;
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

fn fix(point: Point, who: Who, options: &Options) -> Result<Result<Fix, Skip>, Bad> {
    let number = |field, text: Option<String>| match text {
        Some(text) => value::number(&text).map_err(|message| Bad::new(field, message)),
        None => Err(Bad::new(field, "is required: a point has the attributes lat and lon")),
    };
    let (latitude, longitude) = (number("latitude", point.latitude)?, number("longitude", point.longitude)?);
    let coordinate = value::position(latitude, longitude, "correct lat and lon")?;
    let Some(time) = point.time.filter(|text| !text.is_empty()) else { return Ok(Err(Skip::NoTime)) };
    let time = value::time(&time, options.timezone).map_err(|message| Bad::new("time", message))?;
    let accuracy_m = match point.accuracy.filter(|text| !value::is_absent(text)) {
        Some(text) => value::accuracy(value::number(&text).map_err(|message| Bad::new("accuracy", message))?)?,
        None => None,
    };
    Ok(Ok(Fix { line: point.line, who, coordinate, time, accuracy_m }))
}
