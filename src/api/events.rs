//! REST: events are listed, read, created, changed and deleted.

use super::Response;
use super::extract::{self, EVENT, path_event};
use super::json::{EventJson, NewEventJson};
use super::persons::MAX_BODY;
use super::query::{Limit, Query, parameters};
use super::routes::{Mount, operations};
use super::server::page;
use crate::codec::{EVENT_FIELDS, Listed, all_wrong, read_event};
use crate::domain::{Error, FieldError, NewEvent, quoted};
use crate::service::Service;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::PartialSchema;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: u32 = 1_000;

operations!(list, create, get, change, delete);

/// Where the operations of each event are, which without an event in their path are the default one's.
pub const MOUNT: Mount = Mount {
    prefix: "/api/events/{event}",
    id_suffix: "_of_event",
    parameters: path_parameters,
    missing: Some("There is no such event"),
};

/// The documentation of the event in a path.
fn path_parameters() -> Vec<Parameter> {
    let event = ParameterBuilder::new()
        .name(EVENT)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The event's slug"))
        .schema(Some(String::schema()))
        .example(Some("default".into()));
    vec![event.build()]
}

parameters! {
    /// Which events a list holds.
    pub struct EventsQuery {
        /// The most events in this page; 100 when absent
        #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
        limit: Limit<MAX_PAGE>,
        /// Where the page begins; from the Link header of the page before
        cursor: String,
    }
}

parameters! {
    /// How an event is deleted.
    pub struct DeleteQuery {
        /// `true`: with everything in it
        force: bool,
    }
}

/// List events, by id
///
/// The `Link` header holds the address of the next page while there is one.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "list_events",
    tag = "events",
    params(EventsQuery),
    responses(
        (status = 200, description = "Events", body = [EventJson],
            headers(("Link" = String, description = "The next page, with rel=\"next\"; absent on the last one"))),
        (status = 400, description = "A parameter is wrong"),
    )
)]
pub async fn list(request: HttpRequest, service: Service) -> Response {
    let mut query = Query::<EventsQuery>::of(&request)?;
    let cursor = query.given.cursor.take();
    let after = query.check(cursor.map(|text| Listed::events().event("cursor", &text)).transpose());
    let (given, after) = query.finish(after)?;
    let events = service.events(after, given.limit.map_or(DEFAULT_PAGE, Limit::get)).await?;
    let next = events.next.map(|id| Listed::events().after_event(id));
    Ok(page(&request, events.items.iter().map(EventJson::from), next))
}

/// Add an event
///
/// Persons and locations of it are under `/api/events/{event}`.
#[utoipa::path(
    post,
    path = "/events",
    operation_id = "create_event",
    tag = "events",
    request_body = NewEventJson,
    responses(
        (status = 201, description = "The event, with an id", body = EventJson,
            headers(("Location" = String, description = "The event's path"))),
        (status = 400, description = "What was sent is not an event"),
        (status = 409, description = "There is an event of this slug, or older versions may still run that know one event only"),
        (status = 415, description = "The body is not JSON, or packed in a way that is not understood"),
    )
)]
pub async fn create(request: HttpRequest, payload: web::Payload, service: Service) -> Response {
    let body = extract::json(&request, payload, MAX_BODY, EVENT_FIELDS).await?;
    let (slug, about, unread) = read_event(body, "body");
    let new = match (NewEvent::new(slug.as_deref().unwrap_or_default(), about), unread.is_empty()) {
        (Ok(new), true) => new,
        (checked, _) => {
            let required = |error: FieldError| match (error.field.as_str(), &slug) {
                ("slug", None) => FieldError::new("slug", "is required"),
                _ => error,
            };
            let wrong = checked.err().map(|error| error.into_fields("body")).unwrap_or_default();
            return Err(Error::Invalid(all_wrong(unread, wrong.into_iter().map(required).collect())).into());
        }
    };
    let event = service.create_event(&new).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/api/events/{}", event.slug)))
        .json(EventJson::from(&event)))
}

/// One event
#[utoipa::path(
    get,
    path = "/events/{event}",
    operation_id = "get_event",
    tag = "events",
    params(("event" = String, Path, description = "The event's slug", example = "default")),
    responses(
        (status = 200, description = "The event", body = EventJson),
        (status = 404, description = "There is no such event"),
    )
)]
pub async fn get(request: HttpRequest, service: Service) -> Response {
    let event = service.event(&path_event(&request)?).await?;
    Ok(HttpResponse::Ok().json(EventJson::from(&event)))
}

/// Change an event
///
/// What is absent stays; `null` takes `begins`, `ends` (both together) or `retention_days` away (RFC 7396). Its slug does not
/// change. What is stored stays, whatever the new dates. Servers that know the event otherwise learn of it within a few seconds.
#[utoipa::path(
    patch,
    path = "/events/{event}",
    operation_id = "change_event",
    tag = "events",
    params(("event" = String, Path, description = "The event's slug", example = "default")),
    request_body = super::json::EventChangeJson,
    responses(
        (status = 200, description = "The event as it is now", body = EventJson),
        (status = 400, description = "A field is wrong"),
        (status = 404, description = "There is no such event"),
        (status = 415, description = "The body is not JSON, or packed in a way that is not understood"),
    )
)]
pub async fn change(request: HttpRequest, payload: web::Payload, service: Service) -> Response {
    let body = extract::json(&request, payload, MAX_BODY, EVENT_FIELDS).await?;
    let slug = path_event(&request)?;
    let (given, change, mut unread) = read_event(body, "body");
    if let Some(given) = given.filter(|given| given != slug.as_str()) {
        let message = format!("cannot be changed, since addresses hold it; got {}", quoted(&given));
        unread.push(FieldError::new("slug", message));
    }
    if !unread.is_empty() {
        // Whatever else is wrong is named with it.
        let wrong = service.event(&slug).await?.settings.changed(change).err().map(|error| error.into_fields("body"));
        return Err(Error::Invalid(all_wrong(unread, wrong.unwrap_or_default())).into());
    }
    let event = service.change_event(&slug, change).await?;
    Ok(HttpResponse::Ok().json(EventJson::from(&event)))
}

/// Delete an event
///
/// Refused, with what there is, while it holds persons, locations or dead letters, unless `force` is `true`: then all of them go
/// with it, some thousand at a time. If that takes longer than a request may, ask again: it goes on. The server's default event and
/// the one that was there before there were several cannot be deleted.
#[utoipa::path(
    delete,
    path = "/events/{event}",
    operation_id = "delete_event",
    tag = "events",
    params(
        ("event" = String, Path, description = "The event's slug", example = "sandia-2026"),
        DeleteQuery,
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 400, description = "A parameter is wrong"),
        (status = 404, description = "There is no such event"),
        (status = 409, description = "It holds something, or cannot be deleted at all"),
        (status = 503, description = "The database is away, or there is more to delete than one request can: ask again"),
    )
)]
pub async fn delete(request: HttpRequest, service: Service) -> Response {
    let force = Query::<DeleteQuery>::of(&request)?.valid()?.force.unwrap_or(false);
    service.delete_event(&path_event(&request)?, force).await?;
    Ok(HttpResponse::NoContent().finish())
}
