//! REST: locations are taken, singly or as a batch, read, listed and deleted.

use super::Response;
use super::batch;
use super::body;
use super::extract::{self, Kind, below, path_id, path_person};
use super::files;
use super::json::{BatchOutcome, ItemOutcome, ItemStatus, LocationJson, NewLocationJson};
use super::negotiate::{Form, form};
use super::persons::MAX_BODY;
use super::problem::Problem;
use super::query::{Limit, Query, parameters};
use super::receipts::{queued, queued_batch};
use super::routes::operations;
use super::server::link;
use crate::codec::{LOCATION_FIELDS, Listed, read_location};
use crate::domain::{Error, TimeRange};
use crate::service::record::{Kept, Outcome, Outcomes, Refusal};
use crate::service::{AllLocations, AtEvent, LocationPosition};
use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, VARY};
use actix_web::{HttpRequest, HttpResponse, web};

/// The largest body of a batch, bytes: 10,000 locations with room for spaces.
const MAX_BATCH_BODY: usize = 8 << 20;
const DEFAULT_PAGE: usize = 1_000;
const MAX_PAGE: u32 = 10_000;

operations!(record, record_batch, of_person, get, delete);

parameters! {
    /// Which locations of a person a list holds.
    pub struct LocationsQuery {
        /// From this time or the beginning of this day on
        #[param(example = "2026-06-02")]
        start_date: String,
        /// Before this time, or to the end of this day
        #[param(example = "2026-06-02")]
        end_date: String,
        /// The time zone whose days are meant, by its IANA name; UTC when absent, below an event the event's
        #[param(value_type = Option<String>, example = "America/Denver")]
        tz: chrono_tz::Tz,
        /// The most locations in this page; 1000 when absent
        #[param(value_type = Option<u32>, minimum = 1, maximum = 10000)]
        limit: Limit<MAX_PAGE>,
        /// Where the page begins; from the Link header of the page before
        cursor: String,
    }
}

impl LocationsQuery {
    fn range(&self, at: &AtEvent) -> Result<TimeRange, Error> {
        let zone = self.tz.unwrap_or(at.zone());
        TimeRange::parse_in(self.start_date.as_deref(), self.end_date.as_deref(), zone)
    }
}

/// Record a location
///
/// Answers when the location is stored. The same person, time and place sent again is stored once; the answer is the same.
#[utoipa::path(
    post,
    path = "/locations",
    operation_id = "record_location",
    tag = "locations",
    request_body = NewLocationJson,
    responses(
        (status = 201, description = "The location, with an id", body = LocationJson,
            headers(("Location" = String, description = "The location's path"))),
        (status = 202, description = "Where locations go through Kafka: it is queued for good and will be stored", body = super::receipts::ReceiptJson,
            headers(("Location" = String, description = "Where to ask what became of it"))),
        (status = 400, description = "What was sent is not a location"),
        (status = 404, description = "Nobody has this person_id"),
    )
)]
pub async fn record(request: HttpRequest, payload: web::Payload, at: AtEvent) -> Response {
    let body = extract::json(&request, payload, MAX_BODY, LOCATION_FIELDS).await?;
    let location = match at.intake().record_and_show(read_location(body, "body")).await? {
        Ok(Kept::Stored(location)) => location,
        Ok(Kept::Queued(receipt)) => return Ok(queued(&request, receipt)),
        Err(Refusal::Fields(errors)) => return Err(Error::Invalid(errors).into()),
        Err(unknown @ Refusal::UnknownPerson(_)) => {
            return Err(Problem::fields(StatusCode::NOT_FOUND, unknown.into_fields()));
        }
    };
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, below(&request, &format!("locations/{}", location.id))))
        .json(LocationJson::from(location)))
}

/// Record many locations
///
/// Takes a JSON array, or one JSON object a line (`application/x-ndjson`), of at most 10,000. Good ones are stored even when
/// others are refused; the answer tells what became of each, when all that are good are stored.
#[utoipa::path(
    post,
    path = "/locations/batch",
    operation_id = "record_locations",
    tag = "locations",
    // Any value may be an item: what is no NewLocation is refused by itself, and not the batch.
    request_body(
        description = "Each item as for a single location (`NewLocation`); each is checked by itself",
        content(
            (Vec<serde_json::Value> = "application/json", example = json!([{"person_id": 1, "latitude": 35.0585, "longitude": -106.5819, "creation_time": "2026-06-02T16:00:00Z"}])),
            // Without an example: tools that try examples out know how to write JSON, and not lines of it.
            (String = "application/x-ndjson"),
        )
    ),
    responses(
        (status = 200, description = "What became of each", body = BatchOutcome),
        (status = 202, description = "Where locations go through Kafka: the good ones are queued for good and will be stored", body = super::receipts::QueuedBatch),
        (status = 400, description = "What was sent is not a list"),
        (status = 413, description = "More than 10,000 locations, or the body is too large"),
        (status = 415, description = "The body is neither JSON nor lines of JSON, or packed in a way that is not understood"),
    )
)]
pub async fn record_batch(request: HttpRequest, payload: web::Payload, at: AtEvent) -> Response {
    let kind = extract::kind(&request, &[Kind::Json, Kind::JsonLines])?;
    let body = body::read(&request, payload, MAX_BATCH_BODY).await?;
    let intake = at.intake();
    let batch = batch::read(body, kind, intake.batch()).await?;
    let outcomes = intake.record(batch).await?;
    if outcomes.are_queued() { queued_batch(outcomes) } else { stored_batch(outcomes) }
}

/// The answer for a batch that is stored.
fn stored_batch(outcomes: Outcomes) -> Response {
    let mut batch = BatchOutcome { stored: 0, duplicates: 0, refused: 0, items: Vec::with_capacity(outcomes.len()) };
    for (index, outcome) in outcomes.enumerate() {
        let (status, id, errors) = match outcome {
            Outcome::Stored { id } => (ItemStatus::Stored, Some(id), Vec::new()),
            Outcome::Duplicate { id } => (ItemStatus::Duplicate, Some(id), Vec::new()),
            Outcome::Refused(refusal) => (ItemStatus::Refused, None, refusal.into_fields()),
            Outcome::Queued { .. } => {
                return Err(Error::Internal("a location of a stored batch is queued".to_owned()).into());
            }
        };
        match status {
            ItemStatus::Stored => batch.stored += 1,
            ItemStatus::Duplicate => batch.duplicates += 1,
            ItemStatus::Refused => batch.refused += 1,
        }
        batch.items.push(ItemOutcome { index, status, id, errors: errors.into_iter().map(Into::into).collect() });
    }
    Ok(HttpResponse::Ok().json(batch))
}

/// One location
#[utoipa::path(
    get,
    path = "/locations/{id}",
    operation_id = "get_location",
    tag = "locations",
    params(("id" = i64, Path, description = "The location's id", minimum = 1, example = 7)),
    responses(
        (status = 200, description = "The location", body = LocationJson),
        (status = 400, description = "The id is no id"),
        (status = 404, description = "No location has this id"),
    )
)]
pub async fn get(request: HttpRequest, at: AtEvent) -> Response {
    let location = at.location(path_id(&request, "id")?).await?;
    Ok(HttpResponse::Ok().json(LocationJson::from(location)))
}

/// Delete a location
#[utoipa::path(
    delete,
    path = "/locations/{id}",
    operation_id = "delete_location",
    tag = "locations",
    params(("id" = i64, Path, description = "The location's id", minimum = 1, example = 7)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 400, description = "The id is no id"),
        (status = 404, description = "No location has this id"),
    )
)]
pub async fn delete(request: HttpRequest, at: AtEvent) -> Response {
    at.delete_location(path_id(&request, "id")?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A person's locations, oldest first
///
/// As JSON in pages; as a GPX, GeoJSON or CSV file (by the `Accept` header) all of them at once, unless there is a `limit` or
/// a `cursor`.
#[utoipa::path(
    get,
    path = "/persons/{id}/locations",
    operation_id = "list_locations",
    tag = "locations",
    params(("id" = i64, Path, description = "The person's id", minimum = 1, example = 1), LocationsQuery),
    responses(
        (status = 200, description = "Locations",
            content(
                ([LocationJson] = "application/json"), (Value = "application/geo+json"), (String = "text/csv"), (String = "application/gpx+xml"),
            ),
            headers(("Link" = String, description = "The next page, with rel=\"next\"; absent on the last one"))),
        (status = 400, description = "A parameter is wrong"),
        (status = 404, description = "Nobody has this id"),
        (status = 406, description = "The Accept header allows none of the forms"),
    )
)]
pub async fn of_person(request: HttpRequest, at: AtEvent) -> Response {
    let person = path_person(&request, "id")?;
    let mut query = Query::<LocationsQuery>::of(&request)?;
    let range = query.check_range(query.given.range(&at));
    let (given, range) = query.finish(range)?;
    let limit = given.limit.map_or(DEFAULT_PAGE, Limit::get);
    let listed = Listed::locations(person, range);
    let after = given.cursor.map(|text| listed.location("cursor", range, &text)).transpose().map_err(Error::from)?;
    let after = after.map(|(creation_time, id)| LocationPosition { creation_time, id });
    let form = form(&request)?;
    let locations = at.locations(person, range, after, limit).await?;
    let next = locations.next.map(|next| listed.after_location(next.creation_time, next.id));
    let mut response = HttpResponse::Ok();
    match form {
        Form::Json => {
            link(&request, &mut response, next);
            response.insert_header((VARY, "Accept"));
            Ok(response.json(locations.items.into_iter().map(LocationJson::from).collect::<Vec<_>>()))
        }
        Form::File(media) => {
            let whole = given.limit.is_none() && after.is_none();
            if !whole {
                link(&request, &mut response, next);
            }
            let person = at.person(person).await?;
            let rest = whole.then(|| AllLocations::new(at, person.id, range));
            files::locations(&request, response, media, person, locations, rest)
        }
    }
}
