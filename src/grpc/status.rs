//! Errors → gRPC's statuses. Every error leaves the server through here.

use crate::codec::from_timestamp;
use crate::domain::{Error, FieldError, Result, TimeRange};
use prost_types::Timestamp;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// The one mapping of our errors to gRPC's.
pub(super) fn of(error: Error) -> Status {
    let text = error.to_string();
    match error {
        Error::Invalid(errors) => {
            let violations: Vec<_> =
                errors.into_iter().map(|error| FieldViolation::new(error.field, error.message)).collect();
            Status::with_error_details(Code::InvalidArgument, text, ErrorDetails::with_bad_request(violations))
        }
        Error::NotFound { what, id } => {
            let details = ErrorDetails::with_resource_info(what, id.to_string(), "", text.clone());
            Status::with_error_details(Code::NotFound, text, details)
        }
        Error::UnknownEvent(slug) => {
            let details = ErrorDetails::with_resource_info("event", slug, "", text.clone());
            Status::with_error_details(Code::NotFound, text, details)
        }
        Error::Exists(error) => {
            let violation = FieldViolation::new(error.field, error.message);
            Status::with_error_details(Code::AlreadyExists, text, ErrorDetails::with_bad_request(vec![violation]))
        }
        Error::Conflict(detail) => Status::failed_precondition(detail),
        Error::TooBroad(detail) => Status::invalid_argument(detail),
        Error::Overloaded => again(Code::ResourceExhausted, text, 1),
        Error::TimedOut(detail) => {
            tracing::warn!(error = detail, "a call was not done in time");
            Status::deadline_exceeded(detail)
        }
        Error::Unavailable { dependency, detail } => {
            tracing::warn!(dependency, error = detail, "a call failed because a dependency is not available");
            again(Code::Unavailable, format!("{dependency} is not available; try again later"), 2)
        }
        Error::Internal(detail) => {
            tracing::error!(error = detail, "a call failed");
            Status::internal("something went wrong here; it has been logged")
        }
    }
}

/// A status that says when to try again.
pub(super) fn again(code: Code, text: impl Into<String>, seconds: u64) -> Status {
    Status::with_error_details(code, text, ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds))))
}

/// The fields as they are called in the request, when what is wrong is a part of it.
pub(super) fn within(part: &str, errors: Vec<FieldError>) -> Error {
    Error::Invalid(
        errors.into_iter().map(|error| FieldError::new(format!("{part}.{}", error.field), error.message)).collect(),
    )
}

/// How many items a page may have; 0, which is what an absent number is, means `default`.
pub(super) fn page_size(given: i32, default: usize, most: usize) -> Result<usize, FieldError> {
    match usize::try_from(given) {
        Ok(0) => Ok(default),
        Ok(size) if size <= most => Ok(size),
        _ => Err(FieldError::new("page_size", format!("must be 1 to {most}, or 0 for {default}; got {given}"))),
    }
}

/// A half-open range of which either end may be absent; the error names every wrong end.
pub(super) fn range(from: Option<&Timestamp>, to: Option<&Timestamp>) -> Result<TimeRange, Vec<FieldError>> {
    let time = |time: Option<&Timestamp>, open, field| time.map_or(Ok(open), |time| from_timestamp(time, field));
    match (time(from, TimeRange::ALL.from(), "from"), time(to, TimeRange::ALL.to(), "to")) {
        (Ok(from), Ok(to)) => TimeRange::new(from, to).map_err(|error| {
            let named = |error: FieldError| match error.field.as_str() {
                "start_date" => FieldError::new("from", error.message),
                _ => FieldError::new("to", error.message.replace("start_date", "from")),
            };
            error.into_fields("to").into_iter().map(named).collect()
        }),
        (from, to) => Err(from.err().into_iter().chain(to.err()).collect()),
    }
}

/// The work's result, unless it takes longer than a call may.
pub(super) async fn within_time<T>(timeout: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        Err(Error::TimedOut(format!("the call was not done within {timeout:?}; ask for less at once")))
    })
}
