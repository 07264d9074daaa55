use super::batch;
use super::body;
use super::extract::{self, Kind, path_id, path_person};
use super::files;
use super::json::{BatchOutcome, ItemOutcome, ItemStatus, LocationJson, NewLocation as NewLocationJson};
use super::negotiate::{Form, form};
use super::persons::MAX_BODY;
use super::problem::Problem;
use super::query::{Limit, Query, parameters};
use super::routes::operations;
use super::server::{Service, link};
use super::{Answer, origin};
use crate::codec::{LOCATION_FIELDS, Listed, read_location};
use crate::domain::{Error, FieldError, Location, NewLocation, Recorded, TimeRange};
use crate::service::record::Outcome;
use crate::store::LocationPosition;
use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::Utc;

/// The largest body of a batch, bytes: 10,000 locations with room for spaces.
const MAX_BATCH_BODY: usize = 8 << 20;
const DEFAULT_PAGE: usize = 1_000;
const MAX_PAGE: u32 = 10_000;

operations!(record, record_batch, of_person, get, delete);

parameters! {
    /// Which locations of a person a list holds.
    pub struct LocationsQuery {
        /// From this time or the beginning of this day (UTC) on
        #[param(example = "2026-06-02")]
        start_date: String,
        /// Before this time, or to the end of this day (UTC)
        #[param(example = "2026-06-02")]
        end_date: String,
        /// The most locations in this page; 1000 when absent
        #[param(value_type = Option<u32>, minimum = 1, maximum = 10000)]
        limit: Limit<MAX_PAGE>,
        /// Where the page begins; from the Link header of the page before
        cursor: String,
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
pub async fn record(request: HttpRequest, payload: web::Payload, service: web::Data<Service>) -> Answer {
    let body = extract::json(&request, payload, MAX_BODY, LOCATION_FIELDS).await?;
    let new = read_location(body, "body", Utc::now(), service.sink.max_ahead()).map_err(Error::Invalid)?;
    let recorded = match service.sink.on_behalf_of(origin()).record(vec![new.clone()]).await? {
        Outcome::Recorded(recorded) => recorded,
        Outcome::Queued(receipts) => return Ok(super::receipts::queued(&receipts)),
    };
    let location = match recorded.into_iter().next() {
        Some(Recorded::Stored { id }) => stored(id, new),
        // As it was stored the first time, whose accuracy may have been another.
        Some(Recorded::Duplicate { id }) => match service.store.location(id).await {
            // Deleted just now: after this request, as it were.
            Err(Error::NotFound { .. }) => stored(id, new),
            found => found?,
        },
        Some(Recorded::UnknownPerson) => return Err(unknown_person(&new)),
        None => return Err(Error::Internal("no outcome for a location".to_owned()).into()),
    };
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/api/locations/{}", location.id)))
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
pub async fn record_batch(request: HttpRequest, payload: web::Payload, service: web::Data<Service>) -> Answer {
    let kind = extract::kind(&request, &[Kind::Json, Kind::JsonLines])?;
    let body = body::read(&request, payload, MAX_BATCH_BODY).await?;
    let checked = batch::read(body, kind, service.sink.max_ahead()).await?;
    let good: Vec<NewLocation> = checked.iter().filter_map(|item| item.as_ref().ok()).cloned().collect();
    let recorded = match service.sink.on_behalf_of(origin()).record(good).await? {
        Outcome::Recorded(recorded) => recorded,
        Outcome::Queued(receipts) => return Ok(super::receipts::queued_batch(checked, receipts)),
    };
    let mut recorded = recorded.into_iter();

    let mut outcome = BatchOutcome { stored: 0, duplicates: 0, refused: 0, items: Vec::with_capacity(checked.len()) };
    for (index, item) in checked.into_iter().enumerate() {
        let (status, id, errors) = match item {
            Err(errors) => (ItemStatus::Refused, None, errors),
            Ok(location) => match recorded.next() {
                Some(Recorded::Stored { id }) => (ItemStatus::Stored, Some(id), Vec::new()),
                Some(Recorded::Duplicate { id }) => (ItemStatus::Duplicate, Some(id), Vec::new()),
                Some(Recorded::UnknownPerson) => (ItemStatus::Refused, None, vec![nobody(&location)]),
                None => return Err(Error::Internal("no outcome for a location of a batch".to_owned()).into()),
            },
        };
        match status {
            ItemStatus::Stored => outcome.stored += 1,
            ItemStatus::Duplicate => outcome.duplicates += 1,
            ItemStatus::Refused => outcome.refused += 1,
        }
        outcome.items.push(ItemOutcome { index, status, id, errors: errors.into_iter().map(Into::into).collect() });
    }
    Ok(HttpResponse::Ok().json(outcome))
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
pub async fn get(request: HttpRequest, service: web::Data<Service>) -> Answer {
    let location = service.store.location(path_id(&request, "id")?).await?;
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
pub async fn delete(request: HttpRequest, service: web::Data<Service>) -> Answer {
    service.store.delete_location(path_id(&request, "id")?).await?;
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
pub async fn of_person(request: HttpRequest, service: web::Data<Service>) -> Answer {
    let person = path_person(&request, "id")?;
    let mut query = Query::<LocationsQuery>::of(&request)?;
    let range = query.check_range(TimeRange::parse(query.given.start_date.as_deref(), query.given.end_date.as_deref()));
    let (given, range) = query.finish(range)?;
    let limit = given.limit.map_or(DEFAULT_PAGE, Limit::get);
    let listed = Listed::locations(person, range);
    let after = given.cursor.map(|text| listed.location("cursor", range, &text)).transpose().map_err(Error::from)?;
    let after = after.map(|(creation_time, id)| LocationPosition { creation_time, id });
    let form = form(&request)?;
    let locations = service.store.locations(person, range, after, limit).await?;
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
            let person = service.store.person(person).await?;
            files::locations(&request, response, media, (service.store.clone(), person, range), locations, whole)
        }
    }
}

fn stored(id: i64, new: NewLocation) -> Location {
    Location {
        id,
        person_id: new.person_id(),
        coordinate: new.coordinate(),
        creation_time: new.creation_time(),
        accuracy_m: new.accuracy_m(),
    }
}

fn nobody(location: &NewLocation) -> FieldError {
    FieldError::new("person_id", format!("nobody has the id {}; add the person first", location.person_id()))
}

fn unknown_person(location: &NewLocation) -> Problem {
    let error = nobody(location);
    Problem::field(StatusCode::NOT_FOUND, &error.field, error.message)
}
