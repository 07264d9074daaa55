//! A batch of locations in a request's body: read one after the other, and counted before anything is built.

use super::body::Body;
use super::extract::{Kind, not_json};
use super::problem::Problem;
use crate::codec::{LOCATION_FIELDS, list, object, read_location};
use crate::domain::{Error, FieldError, LocationDraft};
use crate::service::record::{Batch, MAX_REQUEST};
use actix_web::http::StatusCode;

/// A body of more bytes is read beside the worker, which would answer nobody else meanwhile.
const LONG: usize = 256 << 10;
/// What the errors of one batch may take, bytes.
const ERRORS: usize = 1 << 20;

/// Reads all locations into an empty batch; 413 when they are too many, 400 when the whole cannot be read.
pub async fn read(body: Body, kind: Kind, batch: Batch) -> Result<Batch, Problem> {
    if body.len() <= LONG {
        return parse(&body, kind, batch);
    }
    let parsed = tokio::task::spawn_blocking(move || parse(&body, kind, batch));
    parsed.await.map_err(|error| Error::Internal(error.to_string()))?
}

fn parse(body: &[u8], kind: Kind, batch: Batch) -> Result<Batch, Problem> {
    let mut batch = batch.with_errors_up_to(ERRORS);
    let mut too_many = false;
    // False when there are more than there may be.
    let mut add = |draft: LocationDraft| {
        too_many = batch.is_full();
        if !too_many {
            batch.add(draft);
        }
        !too_many
    };
    let whole = match kind {
        Kind::Json => {
            list(body, LOCATION_FIELDS, |item| add(read_location(item, "item"))).map_err(|error| not_json(&error))?
        }
        Kind::JsonLines => {
            lines(body).all(add);
            Some(())
        }
    };
    if whole.is_none() {
        return Err(Error::invalid("body", "must be a JSON array of locations").into());
    }
    if too_many {
        return Err(Problem::field(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body",
            format!("must have at most {MAX_REQUEST} locations; got more; send several batches"),
        ));
    }
    Ok(batch)
}

/// One value a line. A line that cannot be read is refused by itself; empty ones are skipped.
fn lines(body: &[u8]) -> impl Iterator<Item = LocationDraft> {
    let lines = body.split(|&byte| byte == b'\n').enumerate();
    lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(i, line)| match object(line, LOCATION_FIELDS) {
        Ok(value) => read_location(value, "item"),
        Err(error) => {
            let message = format!("line {} of the body is not valid JSON: {error}", i + 1);
            vec![FieldError::new("item", message)].into()
        }
    })
}
