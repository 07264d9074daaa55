use super::Response;
use super::extract::{self, Query, path_event};
use super::json::{EventJson, NewEvent as NewEventJson};
use super::persons::MAX_BODY;
use super::problem::ProblemJson;
use super::server::page;
use crate::codec::{EVENT_FIELDS, Listed, all_wrong, read_event};
use crate::domain::{Error, FieldError, NewEvent, quoted};
use crate::service::Service;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

/// List events, by id
///
/// The `Link` header holds the address of the next page while there is one.
#[utoipa::path(
    get,
    path = "/api/events",
    operation_id = "list_events",
    tag = "events",
    params(
        ("limit" = Option<u32>, Query, description = "The most events in this page; 100 when absent", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "Where the page begins; from the Link header of the page before"),
    ),
    responses(
        (status = 200, description = "Events", body = [EventJson],
            headers(("Link" = String, description = "The next page, with rel=\"next\"; absent on the last one"))),
        (status = 400, description = "A parameter is wrong", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn list(request: HttpRequest, service: Service) -> Response {
    let query = Query::of(&request, &["limit", "cursor"])?;
    let limit = query.limit(DEFAULT_PAGE, MAX_PAGE)?;
    let after = query.get("cursor").map(|text| Listed::events().event("cursor", text)).transpose();
    let events = service.events(after.map_err(Error::from)?, limit).await?;
    let next = events.next.map(|id| Listed::events().after_event(id));
    Ok(page(&request, events.items.iter().map(EventJson::from), next))
}

/// Add an event
///
/// Persons and locations of it are under `/api/events/{event}`.
#[utoipa::path(
    post,
    path = "/api/events",
    operation_id = "create_event",
    tag = "events",
    request_body = NewEventJson,
    responses(
        (status = 201, description = "The event, with an id", body = EventJson,
            headers(("Location" = String, description = "The event's path"))),
        (status = 400, description = "What was sent is not an event", body = ProblemJson, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = ProblemJson, content_type = "application/problem+json"),
        (status = 409, description = "There is an event of this slug, or older versions may still run that know one event only", body = ProblemJson, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemJson, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON, or packed in a way that is not understood", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
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
    path = "/api/events/{event}",
    operation_id = "get_event",
    tag = "events",
    params(("event" = String, Path, description = "The event's slug", example = "default")),
    responses(
        (status = 200, description = "The event", body = EventJson),
        (status = 404, description = "There is no such event", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
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
    path = "/api/events/{event}",
    operation_id = "change_event",
    tag = "events",
    params(("event" = String, Path, description = "The event's slug", example = "default")),
    request_body = super::json::EventChange,
    responses(
        (status = 200, description = "The event as it is now", body = EventJson),
        (status = 400, description = "A field is wrong", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "There is no such event", body = ProblemJson, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = ProblemJson, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemJson, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON, or packed in a way that is not understood", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
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
    path = "/api/events/{event}",
    operation_id = "delete_event",
    tag = "events",
    params(
        ("event" = String, Path, description = "The event's slug", example = "nobody-came"),
        ("force" = Option<bool>, Query, description = "`true`: with everything in it"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 400, description = "A parameter is wrong", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "There is no such event", body = ProblemJson, content_type = "application/problem+json"),
        (status = 409, description = "It holds something, or cannot be deleted at all", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away, or there is more to delete than one request can: ask again", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn delete(request: HttpRequest, service: Service) -> Response {
    let query = Query::of(&request, &["force"])?;
    let force = match query.get("force") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(Error::invalid("force", format!("must be true or false; got {}", quoted(other))).into());
        }
    };
    service.delete_event(&path_event(&request)?, force).await?;
    Ok(HttpResponse::NoContent().finish())
}
