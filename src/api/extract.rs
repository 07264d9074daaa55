//! From a request to its parts: path ids and the body. Everything that is wrong becomes a [`Problem`].

use super::body;
use super::problem::Problem;
use crate::codec::object;
use crate::domain::text::shown_at_most;
use crate::domain::{Error, PersonId, Slug, quoted};
use crate::service::{AtEvent, Service};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use serde_json::Value;
use std::future::{Future, Ready, ready};
use std::pin::Pin;

/// What can be done at the event that a request is about: every handler gets its use cases here.
impl FromRequest for AtEvent {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let service = request.app_data::<Service>().cloned();
        let named = request.match_info().get(EVENT).is_some().then(|| path_event(request));
        Box::pin(async move {
            let service = service.ok_or_else(|| Error::Internal("the server has no use cases".to_owned()))?;
            match named {
                Some(slug) => Ok(service.at_slug(&slug?).await?),
                None => Ok(service.at_default().await?),
            }
        })
    }
}

/// What the event is called in paths.
pub const EVENT: &str = "event";

/// The event in the path. What is no slug is no event's.
pub fn path_event(request: &HttpRequest) -> Result<Slug, Error> {
    let text = request.match_info().get(EVENT).unwrap_or_default();
    Slug::new(EVENT, text).map_err(|_| Error::UnknownEvent(shown_at_most(text, 2 * Slug::MAX_CHARS)))
}

/// The path of something of the event that the request is about, below the path that was asked.
pub fn below(request: &HttpRequest, path: &str) -> String {
    match request.match_info().get(EVENT) {
        Some(event) => format!("/api/events/{event}/{path}"),
        None => format!("/api/{path}"),
    }
}

/// The use cases that are above events.
impl FromRequest for Service {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let service = request.app_data::<Service>().cloned();
        ready(service.ok_or_else(|| Error::Internal("the server has no use cases".to_owned()).into()))
    }
}

/// A number in the path. What is no number names the field, as elsewhere.
pub fn path_id(request: &HttpRequest, name: &str) -> Result<i64, Error> {
    let text = request.match_info().get(name).unwrap_or_default();
    match text.parse() {
        Ok(id) if id >= 1 => Ok(id),
        _ => Err(Error::invalid(name, format!("must be a whole number from 1 to {}; got {}", i64::MAX, quoted(text)))),
    }
}

/// The person in the path.
pub fn path_person(request: &HttpRequest, name: &str) -> Result<PersonId, Error> {
    Ok(PersonId::new(path_id(request, name)?, name)?)
}

/// What a body claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Json,
    /// One JSON value a line.
    JsonLines,
}

/// What kind of body this is, of those that are `allowed`; 415 otherwise.
pub fn kind(request: &HttpRequest, allowed: &[Kind]) -> Result<Kind, Problem> {
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = match essence.as_str() {
        "application/json" => Some(Kind::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            Some(Kind::JsonLines)
        }
        other if other.starts_with("application/") && other.ends_with("+json") => Some(Kind::Json),
        _ => None,
    };
    kind.filter(|kind| allowed.contains(kind)).ok_or_else(|| {
        let names: Vec<_> = allowed
            .iter()
            .map(|kind| match kind {
                Kind::Json => "application/json",
                Kind::JsonLines => "application/x-ndjson",
            })
            .collect();
        Problem::field(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type",
            format!("must be {}; got {}", names.join(" or "), quoted(given)),
        )
    })
}

/// Reads a JSON body, which is to be an object; of it, what [`codec::object`](crate::codec::object) keeps. The error tells line and column.
pub async fn json(request: &HttpRequest, payload: web::Payload, most: usize, known: &[&str]) -> Result<Value, Problem> {
    kind(request, &[Kind::Json])?;
    Ok(parse(&body::read(request, payload, most).await?, known)?)
}

/// Parses a JSON body, which is to be an object.
pub fn parse(body: &[u8], known: &[&str]) -> Result<Value, Error> {
    object(body, known).map_err(|error| not_json(&error))
}

/// The error for a body that is no JSON.
pub fn not_json(error: &serde_json::Error) -> Error {
    Error::invalid("body", format!("is not valid JSON: {error}"))
}
