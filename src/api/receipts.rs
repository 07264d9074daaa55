//! Locations that go through Kafka: queued now, stored a moment later.

use super::Answer;
use super::problem::{FieldProblem, Problem};
use super::routes::operations;
use super::server::Service;
use crate::domain::{FieldError, NewLocation};
use crate::service::record::Receipt;
use crate::store::Fate;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpResponse, web};
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

pub(super) fn queued(receipts: &[Receipt]) -> HttpResponse {
    let receipt = receipts.first().map(Receipt::to_string).unwrap_or_default();
    HttpResponse::Accepted().insert_header((LOCATION, format!("/api/receipts/{receipt}"))).json(ReceiptJson { receipt })
}

pub(super) fn queued_batch(checked: Vec<Result<NewLocation, Vec<FieldError>>>, receipts: Vec<Receipt>) -> HttpResponse {
    let queued = receipts.len();
    let refused = checked.len() - queued;
    let mut receipts = receipts.into_iter();
    let item = |(index, item): (usize, Result<NewLocation, Vec<FieldError>>)| match item {
        Ok(_) => QueuedItem {
            index,
            status: QueuedStatus::Queued,
            receipt: receipts.next().map(|receipt| receipt.to_string()),
            errors: Vec::new(),
        },
        Err(errors) => QueuedItem {
            index,
            status: QueuedStatus::Refused,
            receipt: None,
            errors: errors.into_iter().map(Into::into).collect(),
        },
    };
    let items = checked.into_iter().enumerate().map(item).collect();
    HttpResponse::Accepted().json(QueuedBatch { queued, refused, items })
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
pub async fn get(path: web::Path<String>, service: web::Data<Service>) -> Answer {
    let receipt: Receipt = path.parse()?;
    let unknown = || Problem::field(StatusCode::NOT_FOUND, "receipt", format!("there is no receipt {receipt}"));
    let (topic, partitions) = service.sink.queue().ok_or_else(unknown)?;
    // Before Kafka was ever reached the number is not known; then the database alone tells.
    if partitions > 0 && receipt.partition() >= partitions {
        return Err(unknown());
    }
    let (status, reason) = match service.store.fate(topic, receipt.partition(), receipt.offset()).await? {
        Fate::Queued => (FateJson::Queued, None),
        Fate::Stored => (FateJson::Stored, None),
        Fate::Rejected(reason) => (FateJson::Rejected, Some(reason)),
        Fate::Forgotten => {
            let message = format!("what became of {receipt} is not known any more: it is too old");
            return Err(Problem::field(StatusCode::NOT_FOUND, "receipt", message));
        }
    };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(ReceiptStatus {
        receipt: receipt.to_string(),
        status,
        reason,
    }))
}
