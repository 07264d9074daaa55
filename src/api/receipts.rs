//! Receipts of locations that go through Kafka: they are queued when the request is answered, and stored a moment later.

use super::Response;
use super::extract::below;
use super::problem::{FieldProblem, Problem};
use super::routes::operations;
use crate::domain::Error;
use crate::service::record::{Outcome, Outcomes, Receipt};
use crate::service::{AtEvent, Fate};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

operations!(get);

/// A location that is queued for good.
#[derive(Serialize, ToSchema)]
#[schema(as = Receipt)]
pub struct ReceiptJson {
    /// What to ask `/api/receipts/{receipt}` with.
    #[schema(example = "3-12345")]
    receipt: String,
}

/// What became of a location that was queued.
#[derive(Serialize, ToSchema)]
pub struct ReceiptStatus {
    #[schema(example = "3-12345")]
    receipt: String,
    status: FateJson,
    /// Why it was rejected; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FateJson {
    /// No worker has come to it yet.
    Queued,
    /// It is stored.
    Stored,
    /// It cannot be stored; it is kept as a dead letter, or was.
    Rejected,
}

/// What became of a batch that went to Kafka.
#[derive(Serialize, ToSchema)]
pub struct QueuedBatch {
    /// How many are queued for good.
    #[schema(example = 1)]
    queued: usize,
    /// How many were refused; the others are queued all the same.
    #[schema(example = 0)]
    refused: usize,
    /// What became of each, in the order in which they were sent.
    items: Vec<QueuedItem>,
}

/// What became of one location of a batch.
#[derive(Serialize, ToSchema)]
pub struct QueuedItem {
    /// Its place in the batch, from 0; of lines, empty ones are not counted.
    #[schema(example = 0)]
    index: usize,
    status: QueuedStatus,
    /// What to ask `/api/receipts/{receipt}` with, unless it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "3-12345")]
    receipt: Option<String>,
    /// What is wrong, if it was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum QueuedStatus {
    /// Durable in Kafka.
    Queued,
    /// Refused; `errors` tells why.
    Refused,
}

/// The answer for a location that went to Kafka.
pub(super) fn queued(request: &HttpRequest, receipt: Receipt) -> HttpResponse {
    let receipt = receipt.to_string();
    HttpResponse::Accepted()
        .insert_header((LOCATION, below(request, &format!("receipts/{receipt}"))))
        .json(ReceiptJson { receipt })
}

/// The answer for a batch that went to Kafka.
pub(super) fn queued_batch(outcomes: Outcomes) -> Response {
    let mut batch = QueuedBatch { queued: 0, refused: 0, items: Vec::with_capacity(outcomes.len()) };
    for (index, outcome) in outcomes.enumerate() {
        let (status, receipt, errors) = match outcome {
            Outcome::Queued { receipt } => (QueuedStatus::Queued, Some(receipt.to_string()), Vec::new()),
            Outcome::Refused(refusal) => (QueuedStatus::Refused, None, refusal.into_fields()),
            Outcome::Stored { .. } | Outcome::Duplicate { .. } => {
                return Err(Error::Internal("a location of a queued batch is stored".to_owned()).into());
            }
        };
        match status {
            QueuedStatus::Queued => batch.queued += 1,
            QueuedStatus::Refused => batch.refused += 1,
        }
        batch.items.push(QueuedItem { index, status, receipt, errors: errors.into_iter().map(Into::into).collect() });
    }
    Ok(HttpResponse::Accepted().json(batch))
}

/// What became of a location that was queued
///
/// Only where locations go through Kafka; elsewhere there are no receipts.
#[utoipa::path(
    get,
    path = "/receipts/{receipt}",
    operation_id = "get_receipt",
    tag = "locations",
    params(("receipt" = String, Path, description = "From the answer to the recording", example = "3-12345")),
    responses(
        (status = 200, description = "What became of it", body = ReceiptStatus),
        (status = 400, description = "That is no receipt"),
        (status = 404, description = "There is no such receipt, or what became of it is not known any more"),
    )
)]
pub async fn get(request: HttpRequest, at: AtEvent) -> Response {
    let receipt: Receipt = request.match_info().get("receipt").unwrap_or_default().parse()?;
    let unknown = |message: String| Problem::field(StatusCode::NOT_FOUND, "receipt", message);
    let (status, reason) = match at.fate(receipt).await? {
        Some(Fate::Queued) => (FateJson::Queued, None),
        Some(Fate::Stored) => (FateJson::Stored, None),
        Some(Fate::Rejected(reason)) => (FateJson::Rejected, Some(reason)),
        Some(Fate::Forgotten) => {
            return Err(unknown(format!("what became of {receipt} is not known any more: it is too old")));
        }
        None => return Err(unknown(format!("there is no receipt {receipt}"))),
    };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(ReceiptStatus {
        receipt: receipt.to_string(),
        status,
        reason,
    }))
}
