use super::Response;
use super::extract::{Query, path_person};
use super::files::{self, internal};
use super::json::{ConnectionJson, DayJson, EncounterJson, NearbyJson};
use super::negotiate::{Form, form};
use super::problem::ProblemJson;
use super::server::{link, tagged, tagged_body};
use crate::codec::Listed;
use crate::codec::files::MeetingWriter;
use crate::domain::{Error, FieldError, Location, Person, TimeRange, parse_duration, quoted};
use crate::meeting::{ContactRule, EncounterRule};
use crate::service::AtEvent;
use crate::service::meetings::{ConnectionPosition, MAX_LISTED_ENCOUNTERS, MeetingQuery, Met, Nearby, Part};
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, VARY};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use chrono::TimeDelta;
use chrono_tz::Tz;
use futures_util::stream;
use std::sync::Arc;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// The distance of the proof of concept.
const NEARBY_DISTANCE_M: f64 = 5.0;

/// The days on which a person has locations
///
/// Days of the time zone `tz`, oldest first: what a page offers to choose from.
#[utoipa::path(
    get,
    path = "/api/persons/{id}/days",
    operation_id = "list_days",
    tag = "connections",
    params(
        ("id" = i64, Path, description = "The person's id", minimum = 1, example = 1),
        ("tz" = Option<String>, Query, description = "The time zone that days are counted in, by its IANA name; UTC when absent, below an event the event's", example = "America/Denver"),
    ),
    responses(
        (status = 200, description = "Days, oldest first", body = [DayJson]),
        (status = 304, description = "As in the answer that If-None-Match names"),
        (status = 400, description = "The id is no id, or the time zone none", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "Nobody has this id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn days(request: HttpRequest, at: AtEvent) -> Response {
    let person = path_person(&request, "id")?;
    let zone = Query::of(&request, &["tz"])?.zone(at.zone())?;
    let days = at.days(person, zone.name()).await?;
    Ok(tagged(&request, HttpResponse::Ok(), days.into_iter().map(DayJson::from)))
}

/// Whom a person met, strongest connection first
///
/// Two people met while their locations were at most `distance` metres and `within` seconds apart; an encounter ends where for
/// longer than `gap` there was no such location. The `Link` header holds the address of the next page while there is one.
#[utoipa::path(
    get,
    path = "/api/persons/{id}/connections",
    operation_id = "list_connections",
    tag = "connections",
    params(
        ("id" = i64, Path, description = "The person's id", minimum = 1, example = 1),
        ("start_date" = Option<String>, Query, description = "From this time on, or from the beginning of this day", example = "2026-06-01"),
        ("end_date" = Option<String>, Query, description = "Before this time, or to the end of this day", example = "2026-06-01"),
        ("tz" = Option<String>, Query, description = "The time zone whose days are meant, by its IANA name; UTC when absent, below an event the event's", example = "America/Denver"),
        ("distance" = Option<f64>, Query, description = "Metres on the WGS 84 spheroid, more than 0; 10 when absent, below an event the event's", maximum = 1000),
        ("within" = Option<String>, Query, description = "How far two locations may be apart in time: seconds, or as ISO 8601 (PT5M), up to 24 hours; 5 minutes when absent, below an event the event's"),
        ("gap" = Option<String>, Query, description = "The longest pause in an encounter: from `within` to 24 hours; 10 minutes when absent, below an event the event's (or `within`, if that is more)"),
        ("min_duration" = Option<String>, Query, description = "Only persons met for so long in all"),
        ("limit" = Option<u32>, Query, description = "The most persons in this page; 100 when absent", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "Where the page begins; from the Link header of the page before"),
        ("include" = Option<String>, Query, description = "`encounters`: each connection lists its encounters in `met` (in JSON only). A page then ends earlier than at its limit where it would hold more than 10,000 of them"),
    ),
    responses(
        (status = 200, description = "Connections: longest total duration first, then by person",
            content(
                ([ConnectionJson] = "application/json"), (Value = "application/geo+json"), (String = "text/csv"), (String = "application/gpx+xml"),
            ),
            headers(
                ("Link" = String, description = "The next page, with rel=\"next\"; absent on the last one"),
                ("ETag" = String, description = "For If-None-Match"))),
        (status = 304, description = "As in the answer that If-None-Match names"),
        (status = 400, description = "A parameter is wrong, or asks for too much at once", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "Nobody has this id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 406, description = "The Accept header allows none of the forms", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away, or the question takes too long", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn list(request: HttpRequest, at: AtEvent) -> Response {
    let names =
        ["start_date", "end_date", "tz", "distance", "within", "gap", "min_duration", "limit", "cursor", "include"];
    let query = Query::of(&request, &names)?;
    let asked = meeting_query(&at, &request, &query)?;
    let min_duration = Parameters::of(&query).duration("min_duration").unwrap_or_default();
    let limit = query.limit(DEFAULT_PAGE, MAX_PAGE)?;
    let form = form(&request)?;
    let with_encounters = include(&query, form)?;
    let (contact, gap) = (asked.rule.contact(), asked.rule.gap());
    let times = [contact.within().unwrap_or_default(), gap, min_duration];
    let listed = Listed::connections(asked.person, asked.range, contact.distance_m(), times);
    let after = query.get("cursor").map(|text| listed.connection("cursor", text)).transpose().map_err(Error::from)?;
    let after = after.map(|(total_duration, person)| ConnectionPosition { total_duration, person });
    let encounters = with_encounters.then_some(MAX_LISTED_ENCOUNTERS);
    let part = Part { min_duration, after, limit, encounters };
    let page = at.connections(asked, part).await?;
    let next = page.next.map(|next| listed.after_connection(next.total_duration, next.person));
    let mut response = HttpResponse::Ok();
    link(&request, &mut response, next);
    match form {
        Form::Json => {
            response.insert_header((VARY, "Accept"));
            Ok(tagged(&request, response, page.items.into_iter().map(ConnectionJson::from)))
        }
        Form::File(media) => {
            files::begin(&mut response, media, &format!("connections-{}", asked.person));
            let (mut bytes, mut writer) = (Vec::new(), MeetingWriter::connections(media));
            writer.begin(&mut bytes).map_err(internal)?;
            for Met { connection, person, .. } in &page.items {
                writer.connection(&mut bytes, connection, person).map_err(internal)?;
            }
            writer.end(&mut bytes).map_err(internal)?;
            Ok(tagged_body(&request, response, bytes))
        }
    }
}

/// The encounters of two persons, oldest first
///
/// The same from both sides.
#[utoipa::path(
    get,
    path = "/api/persons/{id}/connections/{other_id}",
    operation_id = "list_encounters",
    tag = "connections",
    params(
        ("id" = i64, Path, description = "The person's id", minimum = 1, example = 1),
        ("other_id" = i64, Path, description = "The other person's id", minimum = 1, example = 2),
        ("start_date" = Option<String>, Query, description = "From this time on, or from the beginning of this day", example = "2026-06-01"),
        ("end_date" = Option<String>, Query, description = "Before this time, or to the end of this day", example = "2026-06-01"),
        ("tz" = Option<String>, Query, description = "The time zone whose days are meant, by its IANA name; UTC when absent, below an event the event's", example = "America/Denver"),
        ("distance" = Option<f64>, Query, description = "Metres on the WGS 84 spheroid, more than 0; 10 when absent, below an event the event's", maximum = 1000),
        ("within" = Option<String>, Query, description = "How far two locations may be apart in time: seconds, or as ISO 8601 (PT5M), up to 24 hours; 5 minutes when absent, below an event the event's"),
        ("gap" = Option<String>, Query, description = "The longest pause in an encounter: from `within` to 24 hours; 10 minutes when absent, below an event the event's (or `within`, if that is more)"),
    ),
    responses(
        (status = 200, description = "Encounters, oldest first",
            content(
                ([EncounterJson] = "application/json"), (Value = "application/geo+json"), (String = "text/csv"), (String = "application/gpx+xml"),
            ),
            headers(("ETag" = String, description = "For If-None-Match"))),
        (status = 304, description = "As in the answer that If-None-Match names"),
        (status = 400, description = "A parameter is wrong, or asks for too much at once", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "Nobody has this id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 406, description = "The Accept header allows none of the forms", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away, or the question takes too long", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn between(request: HttpRequest, at: AtEvent) -> Response {
    let query = Query::of(&request, &["start_date", "end_date", "tz", "distance", "within", "gap"])?;
    let asked = meeting_query(&at, &request, &query)?;
    let other = path_person(&request, "other_id")?;
    let form = form(&request)?;
    let encounters = at.encounters(asked, other).await?;
    let mut response = HttpResponse::Ok();
    match form {
        Form::Json => {
            response.insert_header((VARY, "Accept"));
            Ok(tagged(&request, response, encounters.into_iter().map(EncounterJson::from)))
        }
        Form::File(media) => {
            let other = at.person(other).await?;
            files::begin(&mut response, media, &format!("encounters-{}-{}", asked.person, other.id));
            let (mut bytes, mut writer) = (Vec::new(), MeetingWriter::encounters(media));
            writer.begin(&mut bytes).map_err(internal)?;
            for encounter in &encounters {
                writer.encounter(&mut bytes, encounter, &other).map_err(internal)?;
            }
            writer.end(&mut bytes).map_err(internal)?;
            Ok(tagged_body(&request, response, bytes))
        }
    }
}

/// The locations of others near a person's own
///
/// The proof of concept's question: whose locations were at most `distance` metres from one of the person's own, in the same
/// range of dates but not necessarily at the same time (give `within` for that). Each location once, ordered by time and then
/// id, all of them unless `limit` is given; sent as it is found.
#[utoipa::path(
    get,
    path = "/api/persons/{id}/connection",
    operation_id = "list_nearby",
    tag = "connections",
    params(
        ("id" = i64, Path, description = "The person's id", minimum = 1, example = 1),
        ("start_date" = String, Query, description = "From this time on, or from the beginning of this day", example = "2026-06-01"),
        ("end_date" = String, Query, description = "Before this time, or to the end of this day", example = "2026-06-01"),
        ("tz" = Option<String>, Query, description = "The time zone whose days are meant, by its IANA name; UTC when absent, below an event the event's", example = "America/Denver"),
        ("distance" = Option<f64>, Query, description = "Metres on the WGS 84 spheroid, more than 0; 5 when absent", maximum = 1000),
        ("within" = Option<String>, Query, description = "How far two locations may be apart in time: seconds, or as ISO 8601 (PT5M), up to 24 hours; unlimited when absent"),
        ("limit" = Option<u32>, Query, description = "The most locations; unlimited when absent", minimum = 1),
    ),
    responses(
        (status = 200, description = "Locations with their persons, oldest first",
            content(
                ([NearbyJson] = "application/json"), (Value = "application/geo+json"), (String = "text/csv"), (String = "application/gpx+xml"),
            )),
        (status = 400, description = "A parameter is wrong, or asks for too much at once", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "Nobody has this id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 406, description = "The Accept header allows none of the forms", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away, or the question takes too long", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn nearby(request: HttpRequest, at: AtEvent) -> Response {
    let person = path_person(&request, "id")?;
    let query = Query::of(&request, &["start_date", "end_date", "tz", "distance", "within", "limit"])?;
    let mut parameters = Parameters::of(&query);
    parameters.require("start_date");
    parameters.require("end_date");
    let range = parameters.range(at.zone());
    let (distance, within) = (parameters.distance(), parameters.duration("within"));
    let rule = parameters.check(ContactRule::new(distance.unwrap_or(NEARBY_DISTANCE_M), within));
    let (range, rule) = parameters.finish(range.zip(rule))?;
    let limit = query.limit(usize::MAX, u32::MAX as usize)?;
    let form = form(&request)?;
    let mut nearby = at.nearby(person, range, rule).await?;
    // The first part before the status: by then it shows whether the question can be answered.
    let part = nearby.next().await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, "private, no-cache"));
    let writer = match form {
        Form::Json => {
            response.content_type("application/json").insert_header((VARY, "Accept"));
            None
        }
        Form::File(media) => {
            files::begin(&mut response, media, &format!("nearby-{person}"));
            Some(MeetingWriter::nearby(media))
        }
    };
    if request.method() == Method::HEAD {
        return Ok(response.finish());
    }
    let listing =
        Listing { writer, more: part.is_some(), nearby, part, left: limit, opened: false, begun: false, ended: false };
    Ok(response.streaming(stream::try_unfold(listing, |mut listing| async move {
        match listing.next().await {
            Ok(bytes) => Ok(bytes.map(|bytes| (bytes, listing))),
            Err(error) => {
                // Too late for a status: the broken-off body has to tell.
                tracing::warn!(%error, "a list of nearby locations was broken off");
                Err(error)
            }
        }
    })))
}

/// A long list that is written part by part: in a file's format, or as a JSON array.
struct Listing {
    writer: Option<MeetingWriter>,
    nearby: Nearby,
    part: Option<Vec<(Location, Arc<Person>)>>,
    more: bool,
    /// How many items may still come.
    left: usize,
    opened: bool,
    /// Whether an item stands before the next one.
    begun: bool,
    ended: bool,
}

impl Listing {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.ended {
            return Ok(None);
        }
        if self.part.is_none() && self.more && self.left > 0 {
            self.part = self.nearby.next().await?;
        }
        let mut bytes = Vec::new();
        if !std::mem::replace(&mut self.opened, true) {
            match &mut self.writer {
                Some(writer) => writer.begin(&mut bytes).map_err(internal)?,
                None => bytes.push(b'['),
            }
        }
        match self.part.take() {
            Some(part) => {
                for (location, person) in part.into_iter().take(self.left) {
                    self.left -= 1;
                    if let Some(writer) = &mut self.writer {
                        writer.location(&mut bytes, &location, &person).map_err(internal)?;
                        continue;
                    }
                    if std::mem::replace(&mut self.begun, true) {
                        bytes.push(b',');
                    }
                    serde_json::to_writer(&mut bytes, &NearbyJson::of(location, &person))
                        .map_err(|error| Error::Internal(error.to_string()))?;
                }
            }
            None => self.more = false,
        }
        if !self.more || self.left == 0 {
            match &mut self.writer {
                Some(writer) => writer.end(&mut bytes).map_err(internal)?,
                None => bytes.push(b']'),
            }
            self.ended = true;
        }
        Ok(Some(bytes.into()))
    }
}

/// What whom-did-I-meet questions have in common; the errors name every wrong parameter.
fn meeting_query(at: &AtEvent, request: &HttpRequest, query: &Query) -> Result<MeetingQuery, Error> {
    let person = path_person(request, "id")?;
    let mut parameters = Parameters::of(query);
    let range = parameters.range(at.zone());
    let distance = parameters.distance();
    let (within, gap) = (parameters.duration("within"), parameters.duration("gap"));
    let rule = parameters.check(EncounterRule::with_defaults(at.rule(), distance, within, gap));
    parameters.duration("min_duration");
    let (range, rule) = parameters.finish(range.zip(rule))?;
    Ok(MeetingQuery { person, range, rule })
}

/// Query parameters, read one by one; what is wrong with any is collected.
struct Parameters<'a> {
    query: &'a Query,
    errors: Vec<FieldError>,
}

impl<'a> Parameters<'a> {
    fn of(query: &'a Query) -> Self {
        Self { query, errors: Vec::new() }
    }

    fn require(&mut self, name: &str) {
        if self.query.get(name).is_none() {
            let message = "must be given: a date such as 2026-06-02 or a time such as 2026-06-02T10:00:00Z";
            self.errors.push(FieldError::new(name, message));
        }
    }

    /// `zone` is whose days are meant where the query does not say.
    fn range(&mut self, zone: Tz) -> Option<TimeRange> {
        let zone = self.check(self.query.zone(zone))?;
        self.check(TimeRange::parse_in(self.query.get("start_date"), self.query.get("end_date"), zone))
    }

    /// A distance in metres, if it is a number; the rule knows its bounds.
    fn distance(&mut self) -> Option<f64> {
        let name = "distance";
        let text = self.query.get(name)?;
        let wrong = |_| {
            let most = ContactRule::MAX_DISTANCE_M;
            let message = format!("must be a number of metres, more than 0 and at most {most}; got {}", quoted(text));
            Error::invalid(name, message)
        };
        self.check(text.trim().parse().map_err(wrong))
    }

    fn duration(&mut self, name: &str) -> Option<TimeDelta> {
        let text = self.query.get(name)?;
        self.check(parse_duration(text).map_err(|message| Error::invalid(name, message)))
    }

    fn check<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.errors.extend(error.into_fields("query"))).ok()
    }

    fn finish<T>(self, value: Option<T>) -> Result<T, Error> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(Error::Invalid(self.errors)),
        }
    }
}

/// Whether connections are to come with their encounters.
fn include(query: &Query, form: Form) -> Result<bool, Error> {
    match (query.get("include"), form) {
        (None, _) => Ok(false),
        (Some("encounters"), Form::Json) => Ok(true),
        (Some("encounters"), Form::File(media)) => {
            let message =
                format!("is for application/json only; {} has a line for each connection", media.content_type());
            Err(Error::invalid("include", message))
        }
        (Some(other), _) => Err(Error::invalid("include", format!("must be encounters; got {}", quoted(other)))),
    }
}
