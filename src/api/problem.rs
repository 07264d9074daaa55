//! Errors as RFC 9457 problem details. Every error leaves the API through here.

use crate::domain::{Error, FieldError, shown};
use actix_web::http::header::{ACCEPT_ENCODING, ALLOW, HeaderValue, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::json;
use std::fmt;
use std::time::Duration;
use utoipa::PartialSchema;
use utoipa::openapi::{ContentBuilder, Header, Ref, Response, ResponseBuilder};

/// An answer that is not the one that was asked for.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<u32>,
    allow: Option<&'static str>,
    /// Which codings a body may have (RFC 9110, 12.5.3).
    accept_encoding: Option<&'static str>,
}

/// RFC 9457 problem details, with the wrong fields.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemJson<'a> {
    /// Always about:blank: the status says which kind of problem it is.
    #[schema(example = "about:blank")]
    r#type: &'static str,
    /// The status in words.
    #[schema(example = "Bad Request")]
    title: &'a str,
    #[schema(example = 400)]
    status: u16,
    /// What went wrong and what to do about it.
    detail: &'a str,
    /// Every field that is wrong; empty when the problem is no field's.
    errors: Vec<FieldProblem>,
}

/// The name of the one response that every problem is documented by.
pub const RESPONSE: &str = "Problem";

/// The documentation of that response.
pub fn response() -> Response {
    let example = json!({
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "latitude: must be a number from -90 to 90; got 91",
        "errors": [{"field": "latitude", "message": "must be a number from -90 to 90; got 91"}],
    });
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).example(Some(example));
    let mut wait = Header::new(u32::schema());
    wait.description = Some("Seconds to wait; with 429 and 503".to_owned());
    ResponseBuilder::new()
        .description("RFC 9457 problem details: what went wrong and what to do about it")
        .content("application/problem+json", content.build())
        .header("Retry-After", wait)
        .build()
}

/// One thing that is wrong with what was sent.
#[derive(Serialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// The name of the field or parameter; `body` for the whole of it.
    #[schema(example = "latitude")]
    field: String,
    /// What was found and what is allowed.
    #[schema(example = "must be a number from -90 to 90; got 91")]
    message: String,
}

impl From<FieldError> for FieldProblem {
    fn from(error: FieldError) -> Self {
        Self { field: error.field, message: error.message }
    }
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            allow: None,
            accept_encoding: None,
        }
    }

    /// A problem with one field.
    pub fn field(status: StatusCode, field: &str, message: impl Into<String>) -> Self {
        let error = FieldError::new(field, message);
        Self { errors: vec![error.clone()], ..Self::new(status, format!("{}: {}", error.field, error.message)) }
    }

    /// A problem with these fields.
    pub fn fields(status: StatusCode, errors: Vec<FieldError>) -> Self {
        Self { status, ..of(Error::Invalid(errors)) }
    }

    /// A body that is packed in a way that is not understood; `codings` are those that are.
    pub fn wrong_coding(codings: &'static str, got: &str) -> Self {
        let message = format!("must be {codings} or identity; {got}");
        let problem = Self::field(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding", message);
        Self { accept_encoding: Some(codings), ..problem }
    }

    /// A body that did not come in time.
    pub fn slow_body(allowed: Duration) -> Self {
        let message = format!("must come within {} s; send less at once", allowed.as_secs_f32());
        Self::field(StatusCode::REQUEST_TIMEOUT, "body", message)
    }

    fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

/// The one mapping of our errors to HTTP's.
pub fn of(error: Error) -> Problem {
    let text = error.to_string();
    match error {
        Error::Invalid(errors) => Problem { errors, ..Problem::new(StatusCode::BAD_REQUEST, text) },
        Error::NotFound { .. } => Problem::field(StatusCode::NOT_FOUND, "id", text),
        Error::UnknownEvent(_) => Problem::field(StatusCode::NOT_FOUND, "event", text),
        Error::Exists(error) => Problem::field(StatusCode::CONFLICT, &error.field, error.message),
        Error::Conflict(detail) => Problem::new(StatusCode::CONFLICT, detail),
        Error::TooBroad(detail) => Problem::new(StatusCode::BAD_REQUEST, detail),
        Error::Overloaded => Problem::new(StatusCode::TOO_MANY_REQUESTS, text).retry_after(1),
        Error::TimedOut(detail) => {
            tracing::warn!(error = detail, "a request was not done in time");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5)
        }
        Error::Unavailable { dependency, detail } => {
            tracing::warn!(dependency, error = detail, "a request failed because a dependency is not available");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{dependency} is not available; try again later"))
                .retry_after(2)
        }
        Error::Internal(detail) => {
            tracing::error!(error = detail, "a request failed");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here; it has been logged")
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if let Some(methods) = self.allow {
            response.insert_header((ALLOW, HeaderValue::from_static(methods)));
        }
        if let Some(codings) = self.accept_encoding {
            response.insert_header((ACCEPT_ENCODING, HeaderValue::from_static(codings)));
        }
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // The rest of the body may come at any time, and is no request.
            response.force_close();
        }
        response.content_type("application/problem+json").body(
            serde_json::to_string(&ProblemJson {
                r#type: "about:blank",
                title: self.status.canonical_reason().unwrap_or("Error"),
                status: self.status.as_u16(),
                detail: &self.detail,
                errors: self.errors.iter().cloned().map(Into::into).collect(),
            })
            .expect("texts and numbers are JSON"),
        )
    }
}

/// Where a lost caller finds what there is.
const DOCUMENTATION: &str =
    "/api lists the paths, / is their documentation to try out, /openapi.json the same for programs";

/// The answer for a path that is none.
pub async fn no_such_path(request: HttpRequest) -> Response404 {
    Err(Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {}; {DOCUMENTATION}", shown(request.path()))))
}

type Response404 = Result<HttpResponse, Problem>;

/// The answer for a method that a path does not take; `allow` are those that it does.
pub fn wrong_method(method: &Method, allow: &'static str) -> Problem {
    Problem {
        allow: Some(allow),
        ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not possible here; possible are {allow}"))
    }
}

/// A request that was not finished in time.
pub fn too_slow(seconds: u64) -> Problem {
    tracing::warn!(seconds, "a request was not done in time");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("the request was not done within {seconds} s; ask for less at once, or try again later"),
    )
    .retry_after(5)
}
