//! A batch of locations: read one after the other, counted before anything is made of them.

use super::body::Body;
use super::extract::{Kind, not_json};
use super::problem::Problem;
use crate::codec::{LOCATION_FIELDS, list, object, read_location};
use crate::domain::{Error, FieldError, NewLocation};
use crate::service::record::MAX_REQUEST;
use actix_web::http::StatusCode;
use chrono::{TimeDelta, Utc};
use serde_json::Value;

/// What a location of the batch turned out to be.
pub type Checked = Result<NewLocation, Vec<FieldError>>;

/// A body of more bytes is read beside the worker, which would answer nobody else meanwhile.
const LONG: usize = 256 << 10;
/// What the errors of one batch may take, bytes. Beyond it items are refused with fewer words.
const ERRORS: usize = 1 << 20;

/// Reads and checks all locations; 413 when they are too many, 400 when the whole cannot be read.
pub async fn read(body: Body, kind: Kind, max_ahead: TimeDelta) -> Result<Vec<Checked>, Problem> {
    if body.len() <= LONG {
        return parse(&body, kind, max_ahead);
    }
    let parsed = tokio::task::spawn_blocking(move || parse(&body, kind, max_ahead));
    parsed.await.map_err(|error| Error::Internal(error.to_string()))?
}

fn parse(body: &[u8], kind: Kind, max_ahead: TimeDelta) -> Result<Vec<Checked>, Problem> {
    let mut batch = Batch { items: Vec::new(), max_ahead, errors: ERRORS };
    let whole = match kind {
        Kind::Json => list(body, LOCATION_FIELDS, |item| batch.add(Ok(item))).map_err(|error| not_json(&error))?,
        Kind::JsonLines => {
            lines(body).all(|item| batch.add(item));
            Some(())
        }
    };
    if whole.is_none() {
        return Err(Error::invalid("body", "must be a JSON array of locations").into());
    }
    if batch.items.len() > MAX_REQUEST as usize {
        return Err(Problem::field(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body",
            format!("must have at most {MAX_REQUEST} locations; got more; send several batches"),
        ));
    }
    Ok(batch.items)
}

/// One value a line. A line that cannot be read is refused by itself; empty ones are skipped.
fn lines(body: &[u8]) -> impl Iterator<Item = Result<Value, Vec<FieldError>>> {
    let lines = body.split(|&byte| byte == b'\n').enumerate();
    lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(i, line)| {
        object(line, LOCATION_FIELDS).map_err(|error| {
            vec![FieldError::new("item", format!("line {} of the body is not valid JSON: {error}", i + 1))]
        })
    })
}

struct Batch {
    items: Vec<Checked>,
    max_ahead: TimeDelta,
    /// What errors may still take.
    errors: usize,
}

impl Batch {
    /// False when there are more than there may be; then the last one is only counted.
    fn add(&mut self, item: Result<Value, Vec<FieldError>>) -> bool {
        if self.items.len() == MAX_REQUEST as usize {
            self.items.push(Err(Vec::new()));
            return false;
        }
        let checked = item.and_then(|value| read_location(value, "item", Utc::now(), self.max_ahead));
        let checked = checked.map_err(|errors| self.within_bounds(errors));
        self.items.push(checked);
        true
    }

    fn within_bounds(&mut self, errors: Vec<FieldError>) -> Vec<FieldError> {
        let size = errors.iter().map(|error| size_of::<FieldError>() + error.field.len() + error.message.len()).sum();
        match self.errors.checked_sub(size) {
            Some(left) => {
                self.errors = left;
                errors
            }
            None => vec![FieldError::new("item", "is wrong, like so many before it; what is said of those may help")],
        }
    }
}
