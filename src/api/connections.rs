//! REST: whom a person met, the encounters of two persons, locations near a person's own, and the days that have any.

use super::Response;
use super::extract::path_person;
use super::files::{self, internal};
use super::json::{ConnectionJson, DayJson, EncounterJson, NearbyJson};
use super::negotiate::{Form, form};
use super::query::{Limit, Metres, Query, parameters};
use super::routes::operations;
use super::server::{link, tagged, tagged_body};
use crate::codec::Listed;
use crate::codec::files::MeetingWriter;
use crate::domain::{Error, Location, Person, TimeRange, quoted};
use crate::meeting::{ContactRule, EncounterRule};
use crate::service::AtEvent;
use crate::service::meetings::{ConnectionPosition, MAX_LISTED_ENCOUNTERS, MeetingQuery, Met, Nearby, Part};
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, VARY};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::stream;
use std::sync::Arc;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: u32 = 1_000;
/// The distance of the proof of concept.
const NEARBY_DISTANCE_M: f64 = 5.0;

operations!(days, list, between, nearby);

parameters! {
    /// How days are counted.
    pub struct DaysQuery {
        /// The time zone that days are counted in, by its IANA name; UTC when absent, below an event the event's
        #[param(value_type = Option<String>, example = "America/Denver")]
        tz: chrono_tz::Tz,
    }
}

parameters! {
    /// When two persons met.
    pub struct EncountersQuery {
        /// From this time on, or from the beginning of this day
        #[param(example = "2026-06-01")]
        start_date: String,
        /// Before this time, or to the end of this day
        #[param(example = "2026-06-01")]
        end_date: String,
        /// The time zone whose days are meant, by its IANA name; UTC when absent, below an event the event's
        #[param(value_type = Option<String>, example = "America/Denver")]
        tz: chrono_tz::Tz,
        /// Metres on the WGS 84 spheroid, more than 0; 10 when absent, below an event the event's
        #[param(value_type = Option<f64>, maximum = 1000)]
        distance: Metres,
        /// How far two locations may be apart in time: seconds, or as ISO 8601 (PT5M), up to 24 hours; 5 minutes when absent,
        /// below an event the event's
        #[param(value_type = Option<String>)]
        within: TimeDelta,
        /// The longest pause in an encounter: from `within` to 24 hours; 10 minutes when absent, below an event the event's
        /// (or `within`, if that is more)
        #[param(value_type = Option<String>)]
        gap: TimeDelta,
    }
}

parameters! {
    /// Which connections a list holds.
    pub struct ConnectionsQuery {
        /// Only persons met for so long in all
        #[param(value_type = Option<String>)]
        min_duration: TimeDelta,
        /// The most persons in this page; 100 when absent
        #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
        limit: Limit<MAX_PAGE>,
        /// Where the page begins; from the Link header of the page before
        cursor: String,
        /// `encounters`: each connection lists its encounters in `met` (in JSON only). A page then ends earlier than at its
        /// limit where it would hold more than 10,000 of them
        include: String,
    }
}

parameters! {
    /// Whose locations were near.
    pub struct NearbyQuery {
        /// From this time on, or from the beginning of this day
        #[param(required = true, value_type = String, example = "2026-06-01")]
        start_date: String,
        /// Before this time, or to the end of this day
        #[param(required = true, value_type = String, example = "2026-06-01")]
        end_date: String,
        /// The time zone whose days are meant, by its IANA name; UTC when absent, below an event the event's
        #[param(value_type = Option<String>, example = "America/Denver")]
        tz: chrono_tz::Tz,
        /// Metres on the WGS 84 spheroid, more than 0; 5 when absent
        #[param(value_type = Option<f64>, maximum = 1000)]
        distance: Metres,
        /// How far two locations may be apart in time: seconds, or as ISO 8601 (PT5M), up to 24 hours; unlimited when absent
        #[param(value_type = Option<String>)]
        within: TimeDelta,
        /// The most locations; unlimited when absent
        #[param(value_type = Option<u32>, minimum = 1)]
        limit: Limit<{ u32::MAX }>,
    }
}

/// The days on which a person has locations
///
/// Days of the time zone `tz`, oldest first: what a page offers to choose from.
#[utoipa::path(
    get,
    path = "/persons/{id}/days",
    operation_id = "list_days",
    tag = "connections",
    params(("id" = i64, Path, description = "The person's id", minimum = 1, example = 1), DaysQuery),
    responses(
        (status = 200, description = "Days, oldest first", body = [DayJson]),
        (status = 304, description = "As in the answer that If-None-Match names"),
        (status = 400, description = "The id is no id, or the time zone none"),
        (status = 404, description = "Nobody has this id"),
    )
)]
pub async fn days(request: HttpRequest, at: AtEvent) -> Response {
    let person = path_person(&request, "id")?;
    let zone = Query::<DaysQuery>::of(&request)?.valid()?.tz.unwrap_or(at.zone());
    let days = at.days(person, zone.name()).await?;
    Ok(tagged(&request, HttpResponse::Ok(), days.into_iter().map(DayJson::from)))
}

/// Whom a person met, strongest connection first
///
/// Two people met while their locations were at most `distance` metres and `within` seconds apart; an encounter ends where for
/// longer than `gap` there was no such location. The `Link` header holds the address of the next page while there is one.
#[utoipa::path(
    get,
    path = "/persons/{id}/connections",
    operation_id = "list_connections",
    tag = "connections",
    params(("id" = i64, Path, description = "The person's id", minimum = 1, example = 1), EncountersQuery, ConnectionsQuery),
    responses(
        (status = 200, description = "Connections: longest total duration first, then by person",
            content(
                ([ConnectionJson] = "application/json"), (Value = "application/geo+json"), (String = "text/csv"), (String = "application/gpx+xml"),
            ),
            headers(
                ("Link" = String, description = "The next page, with rel=\"next\"; absent on the last one"),
                ("ETag" = String, description = "For If-None-Match"))),
        (status = 304, description = "As in the answer that If-None-Match names"),
        (status = 400, description = "A parameter is wrong, or asks for too much at once"),
        (status = 404, description = "Nobody has this id"),
        (status = 406, description = "The Accept header allows none of the forms"),
        (status = 503, description = "The database is away, or the question takes too long"),
    )
)]
pub async fn list(request: HttpRequest, at: AtEvent) -> Response {
    let person = path_person(&request, "id")?;
    let mut query = Query::<(EncountersQuery, ConnectionsQuery)>::of(&request)?;
    let (range, rule) = (query.check_range(query.given.0.range(&at)), query.check(query.given.0.rule(&at)));
    let ((_, given), (range, rule)) = query.finish(range.zip(rule))?;
    let asked = MeetingQuery { person, range, rule };
    let min_duration = given.min_duration.unwrap_or_default();
    let limit = given.limit.map_or(DEFAULT_PAGE, Limit::get);
    let form = form(&request)?;
    let with_encounters = include(given.include.as_deref(), form)?;
    let (contact, gap) = (asked.rule.contact(), asked.rule.gap());
    let times = [contact.within().unwrap_or_default(), gap, min_duration];
    let listed = Listed::connections(asked.person, asked.range, contact.distance_m(), times);
    let after = given.cursor.map(|text| listed.connection("cursor", &text)).transpose().map_err(Error::from)?;
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
    path = "/persons/{id}/connections/{other_id}",
    operation_id = "list_encounters",
    tag = "connections",
    params(
        ("id" = i64, Path, description = "The person's id", minimum = 1, example = 1),
        ("other_id" = i64, Path, description = "The other person's id", minimum = 1, example = 2),
        EncountersQuery,
    ),
    responses(
        (status = 200, description = "Encounters, oldest first",
            content(
                ([EncounterJson] = "application/json"), (Value = "application/geo+json"), (String = "text/csv"), (String = "application/gpx+xml"),
            ),
            headers(("ETag" = String, description = "For If-None-Match"))),
        (status = 304, description = "As in the answer that If-None-Match names"),
        (status = 400, description = "A parameter is wrong, or asks for too much at once"),
        (status = 404, description = "Nobody has this id"),
        (status = 406, description = "The Accept header allows none of the forms"),
        (status = 503, description = "The database is away, or the question takes too long"),
    )
)]
pub async fn between(request: HttpRequest, at: AtEvent) -> Response {
    let person = path_person(&request, "id")?;
    let mut query = Query::<EncountersQuery>::of(&request)?;
    let (range, rule) = (query.check_range(query.given.range(&at)), query.check(query.given.rule(&at)));
    let (_, (range, rule)) = query.finish(range.zip(rule))?;
    let asked = MeetingQuery { person, range, rule };
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
    path = "/persons/{id}/connection",
    operation_id = "list_nearby",
    tag = "connections",
    params(("id" = i64, Path, description = "The person's id", minimum = 1, example = 1), NearbyQuery),
    responses(
        (status = 200, description = "Locations with their persons, oldest first",
            content(
                ([NearbyJson] = "application/json"), (Value = "application/geo+json"), (String = "text/csv"), (String = "application/gpx+xml"),
            )),
        (status = 400, description = "A parameter is wrong, or asks for too much at once"),
        (status = 404, description = "Nobody has this id"),
        (status = 406, description = "The Accept header allows none of the forms"),
        (status = 503, description = "The database is away, or the question takes too long"),
    )
)]
pub async fn nearby(request: HttpRequest, at: AtEvent) -> Response {
    let person = path_person(&request, "id")?;
    let mut query = Query::<NearbyQuery>::of(&request)?;
    query.require_date("start_date", query.given.start_date.is_some());
    query.require_date("end_date", query.given.end_date.is_some());
    let range = query.check_range(query.given.range(&at));
    let distance = query.given.distance.map_or(NEARBY_DISTANCE_M, |metres| metres.0);
    let rule = query.check(ContactRule::new(distance, query.given.within));
    let (given, (range, rule)) = query.finish(range.zip(rule))?;
    let limit = given.limit.map_or(usize::MAX, Limit::get);
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

impl EncountersQuery {
    fn range(&self, at: &AtEvent) -> Result<TimeRange, Error> {
        let zone = self.tz.unwrap_or(at.zone());
        TimeRange::parse_in(self.start_date.as_deref(), self.end_date.as_deref(), zone)
    }

    fn rule(&self, at: &AtEvent) -> Result<EncounterRule, Error> {
        EncounterRule::with_defaults(at.rule(), self.distance.map(|metres| metres.0), self.within, self.gap)
    }
}

impl NearbyQuery {
    fn range(&self, at: &AtEvent) -> Result<TimeRange, Error> {
        let zone = self.tz.unwrap_or(at.zone());
        TimeRange::parse_in(self.start_date.as_deref(), self.end_date.as_deref(), zone)
    }
}

/// Whether connections are to come with their encounters.
fn include(given: Option<&str>, form: Form) -> Result<bool, Error> {
    match (given, form) {
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
