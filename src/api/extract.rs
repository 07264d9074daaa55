//! From a request to its parts: path ids, the query, the body. Everything that is wrong becomes a [`Problem`].

use super::problem::Problem;
use crate::domain::{Error, FieldError, PersonId, quoted};
use crate::wire::misspelt;
use actix_web::dev::{Decompress, Payload};
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde_json::Value;

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

/// The parameters of a query, each at most once.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query; `known` are the names that may be asked for. A name that looks like a misspelt one is an error.
    pub fn of(request: &HttpRequest, known: &[&str]) -> Result<Self, Error> {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(request.query_string().as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let mut errors: Vec<FieldError> = pairs.iter().filter_map(|(name, _)| misspelt(name, known)).collect();
        for name in known {
            if pairs.iter().filter(|(given, _)| given == name).count() > 1 {
                errors.push(FieldError::new(*name, "is given more than once"));
            }
        }
        if errors.is_empty() { Ok(Self(pairs)) } else { Err(Error::Invalid(errors)) }
    }

    /// The value of a parameter; an empty one counts as absent, as an empty field of a form does.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// How many items a page may have.
    pub fn limit(&self, default: usize, most: usize) -> Result<usize, Error> {
        // An empty one is no number, and no form leaves it so.
        let Some((_, text)) = self.0.iter().find(|(given, _)| given == "limit") else { return Ok(default) };
        match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => Err(Error::invalid("limit", format!("must be a whole number from 1 to {most}; got {}", quoted(text)))),
        }
    }
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

/// Reads a body of at most `most` bytes, unpacked if it is packed.
pub async fn body(request: &HttpRequest, payload: web::Payload, most: usize) -> Result<Bytes, Problem> {
    /// What is read of a body that is too large, so that a client which sends all of it before it listens gets to read the
    /// answer and not a broken connection.
    const PATIENCE: usize = 256 << 20;
    let mut stream = Decompress::<Payload>::from_headers(payload.into_inner(), request.headers());
    let mut body = BytesMut::new();
    let mut length = 0;
    while let Some(part) = stream.next().await {
        let part = part
            .map_err(|error| Problem::field(StatusCode::BAD_REQUEST, "body", format!("could not be read: {error}")))?;
        length += part.len();
        if length <= most {
            body.extend_from_slice(&part);
        } else {
            body = BytesMut::new();
        }
        if length > PATIENCE {
            break;
        }
    }
    if length > most {
        return Err(Problem::field(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body",
            format!("must have at most {most} bytes; send less at once"),
        ));
    }
    Ok(body.freeze())
}

/// Parses a JSON body; the error tells line and column.
pub fn parse(body: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(body).map_err(|error| Error::invalid("body", format!("is not valid JSON: {error}")))
}

/// Reads and parses a JSON body.
pub async fn json(request: &HttpRequest, payload: web::Payload, most: usize) -> Result<Value, Problem> {
    kind(request, &[Kind::Json])?;
    Ok(parse(&body(request, payload, most).await?)?)
}
