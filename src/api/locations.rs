use super::Response;
use super::batch;
use super::body;
use super::extract::{self, Kind, Query, below, path_id, path_person};
use super::files;
use super::json::{BatchOutcome, ItemOutcome, ItemStatus, LocationJson, NewLocation as NewLocationJson};
use super::negotiate::{Form, form};
use super::persons::MAX_BODY;
use super::problem::{Problem, ProblemJson};
use super::receipts::{queued, queued_batch};
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
const MAX_PAGE: usize = 10_000;

/// Record a location
///
/// Answers when the location is stored. The same person, time and place sent again is stored once; the answer is the same.
#[utoipa::path(
    post,
    path = "/api/locations",
    operation_id = "record_location",
    tag = "locations",
    request_body = NewLocationJson,
    responses(
        (status = 201, description = "The location, with an id", body = LocationJson,
            headers(("Location" = String, description = "The location's path"))),
        (status = 202, description = "Where locations go through Kafka: it is queued for good and will be stored", body = super::receipts::ReceiptJson,
            headers(("Location" = String, description = "Where to ask what became of it"))),
        (status = 400, description = "What was sent is not a location", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "Nobody has this person_id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = ProblemJson, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemJson, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON, or packed in a way that is not understood", body = ProblemJson, content_type = "application/problem+json"),
        (status = 429, description = "Too much at once; nothing was stored", body = ProblemJson, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds to wait"))),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
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
    path = "/api/locations/batch",
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
        (status = 400, description = "What was sent is not a list", body = ProblemJson, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = ProblemJson, content_type = "application/problem+json"),
        (status = 413, description = "More than 10,000 locations, or the body is too large", body = ProblemJson, content_type = "application/problem+json"),
        (status = 415, description = "The body is neither JSON nor lines of JSON, or packed in a way that is not understood", body = ProblemJson, content_type = "application/problem+json"),
        (status = 429, description = "Too much at once; nothing was stored", body = ProblemJson, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds to wait"))),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
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
    path = "/api/locations/{id}",
    operation_id = "get_location",
    tag = "locations",
    params(("id" = i64, Path, description = "The location's id", minimum = 1, example = 7)),
    responses(
        (status = 200, description = "The location", body = LocationJson),
        (status = 400, description = "The id is no id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "No location has this id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn get(request: HttpRequest, at: AtEvent) -> Response {
    let location = at.location(path_id(&request, "id")?).await?;
    Ok(HttpResponse::Ok().json(LocationJson::from(location)))
}

/// Delete a location
#[utoipa::path(
    delete,
    path = "/api/locations/{id}",
    operation_id = "delete_location",
    tag = "locations",
    params(("id" = i64, Path, description = "The location's id", minimum = 1, example = 7)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 400, description = "The id is no id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "No location has this id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
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
    path = "/api/persons/{id}/locations",
    operation_id = "list_locations",
    tag = "locations",
    params(
        ("id" = i64, Path, description = "The person's id", minimum = 1, example = 1),
        ("start_date" = Option<String>, Query, description = "From this time or the beginning of this day on", example = "2026-06-02"),
        ("end_date" = Option<String>, Query, description = "Before this time, or to the end of this day", example = "2026-06-02"),
        ("tz" = Option<String>, Query, description = "The time zone whose days are meant, by its IANA name; UTC when absent, below an event the event's", example = "America/Denver"),
        ("limit" = Option<u32>, Query, description = "The most locations in this page; 1000 when absent", minimum = 1, maximum = 10000),
        ("cursor" = Option<String>, Query, description = "Where the page begins; from the Link header of the page before"),
    ),
    responses(
        (status = 200, description = "Locations",
            content(
                ([LocationJson] = "application/json"), (Value = "application/geo+json"), (String = "text/csv"), (String = "application/gpx+xml"),
            ),
            headers(("Link" = String, description = "The next page, with rel=\"next\"; absent on the last one"))),
        (status = 400, description = "A parameter is wrong", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "Nobody has this id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 406, description = "The Accept header allows none of the forms", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn of_person(request: HttpRequest, at: AtEvent) -> Response {
    let person = path_person(&request, "id")?;
    let query = Query::of(&request, &["start_date", "end_date", "tz", "limit", "cursor"])?;
    let zone = query.zone(at.zone())?;
    let range = TimeRange::parse_in(query.get("start_date"), query.get("end_date"), zone)?;
    let limit = query.limit(DEFAULT_PAGE, MAX_PAGE)?;
    let listed = Listed::locations(person, range);
    let after =
        query.get("cursor").map(|text| listed.location("cursor", range, text)).transpose().map_err(Error::from)?;
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
            let whole = query.get("limit").is_none() && after.is_none();
            if !whole {
                link(&request, &mut response, next);
            }
            let person = at.person(person).await?;
            let rest = whole.then(|| AllLocations::new(at, person.id, range));
            files::locations(&request, response, media, person, locations, rest)
        }
    }
}
