//! A phone's stream: locations in, acknowledgements out.

use super::incoming::Known;
use super::status;
use crate::codec::draft;
use crate::codec::proto::{FieldViolation, RefusedLocation, StreamLocationsRequest, StreamLocationsResponse};
use crate::domain::{Error, FieldError, Result};
use crate::runtime::budget::{BODIES, Share};
use crate::service::record::{Intake, Outcome, Taken};
use futures_util::future::{FutureExt, OptionFuture};
use futures_util::stream::{Map, StreamExt};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status, Streaming};
use tracing::Instrument;

/// Locations that make up one batch, when a phone sends many small messages.
const BATCH: usize = 1_000;
/// Batches of one stream that may be under way. Beyond it the phone must wait, even when there is room elsewhere.
const BATCHES: usize = 32;
/// Acknowledgements that wait for a phone that does not read them; then its locations are not read either.
const ACKNOWLEDGEMENTS: usize = 16;

/// Refused locations that one acknowledgement tells of; further ones come with the next.
const REFUSED: usize = 50;
/// How long a phone may leave its acknowledgements unread before its stream is ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the phone gets, with what that takes of the process's budget until it is on its way.
type Response = (Result<StreamLocationsResponse, Status>, Vec<Share>);
type Responses = mpsc::Sender<Response>;
pub(super) type Acknowledgements =
    Map<ReceiverStream<Response>, fn(Response) -> Result<StreamLocationsResponse, Status>>;

/// Some locations of the stream, in its order: taken, or refused.
struct Sent {
    /// What it takes of the process's budget.
    share: Share,
    /// The first one in it and the last, counted from 1 on the stream.
    first: u64,
    through: u64,
    taken: Taken,
}

/// Starts the work; the responses end with the stream.
pub(super) fn run(
    messages: Streaming<StreamLocationsRequest>,
    intake: Intake,
    deadline: Option<Instant>,
    connection: Option<Known>,
    shutdown: CancellationToken,
) -> Acknowledgements {
    let (responses, stream) = mpsc::channel(ACKNOWLEDGEMENTS);
    let work = async move {
        metrics::gauge!("udaconnect_grpc_streams").increment(1.0);
        let (batches, taken) = mpsc::channel(BATCHES);
        let deadline: OptionFuture<_> = deadline.map(tokio::time::sleep_until).into();
        tokio::select! {
            // Nobody listens any more. What was taken is on its way all the same.
            () = responses.closed() => {}
            Some(()) = deadline => {
                respond(Err(Status::deadline_exceeded("the stream's deadline is over")), Vec::new(), &responses).await;
            }
            // When reading ends, for whatever reason, what was taken is acknowledged first. When that fails, nothing more is read.
            ended = async { tokio::try_join!(read(messages, intake, batches, shutdown).map(Ok), acknowledge(taken, &responses)) } => {
                let status = ended.map_or_else(|error| Some(status::of(error)), |(read, ())| read.err());
                let heard = match status {
                    Some(status) => respond(Err(status), Vec::new(), &responses).await,
                    None => true,
                };
                if let Some(connection) = connection.filter(|_| !heard) {
                    connection.close();
                }
            }
        }
        metrics::gauge!("udaconnect_grpc_streams").decrement(1.0);
    };
    // Its log lines belong to the call, which is long over for those who measure it.
    tokio::spawn(work.instrument(tracing::Span::current()));
    ReceiverStream::new(stream).map(|(response, _)| response)
}

/// Reads until the phone ends its side or the server is to end; waits while there is no room.
async fn read(
    mut messages: Streaming<StreamLocationsRequest>,
    intake: Intake,
    batches: mpsc::Sender<Sent>,
    shutdown: CancellationToken,
) -> Result<(), Status> {
    let mut through = 0;
    let mut more = true;
    while more {
        // Before reading, so that the wait is felt by the phone.
        let Ok(permit) = batches.reserve().await else { return Ok(()) };
        let first = tokio::select! {
            biased;
            () = shutdown.cancelled() => {
                return Err(status::again(Code::Unavailable, "this server ends; send again what was not acknowledged", 1));
            }
            message = messages.next() => message,
        };
        let Some(first) = first else { break };
        let mut locations = first?.locations;
        // What has arrived already goes along. Of empty messages there may be any number.
        let mut messages_read = 1;
        while locations.len() < BATCH && messages_read < BATCH {
            messages_read += 1;
            match messages.next().now_or_never() {
                Some(Some(message)) => locations.extend(message?.locations),
                Some(None) => {
                    more = false;
                    break;
                }
                None => break,
            }
        }
        let first = through + 1;
        through += locations.len() as u64;
        let mut batch = intake.batch();
        batch.reserve(locations.len());
        locations.iter().for_each(|message| batch.add(draft(message)));
        drop(locations);
        let lasting = batch.refused_bytes();
        let mut share = BODIES.share();
        // Waiting for room would keep in memory what there is no room for.
        if !share.try_grow(lasting + batch.valid_bytes()) {
            return Err(status::again(
                Code::ResourceExhausted,
                "too much at once; send again what was not acknowledged",
                1,
            ));
        }
        let taken = intake.take(batch).await.map_err(status::of)?;
        share.shrink(lasting);
        permit.send(Sent { share, first, through, taken });
    }
    Ok(())
}

/// Acknowledges in order, and several batches at once when they are safe at once.
async fn acknowledge(mut batches: mpsc::Receiver<Sent>, responses: &Responses) -> Result<()> {
    while let Some(batch) = batches.recv().await {
        let mut response = StreamLocationsResponse::default();
        let mut shares = Vec::new();
        let mut waiting = VecDeque::from([settle(batch).boxed()]);
        while let Some(mut next) = waiting.pop_front() {
            let settled = if response.acknowledged_through == 0 {
                next.await
            } else {
                match (&mut next).now_or_never() {
                    Some(settled) => settled,
                    None => {
                        send(&mut response, std::mem::take(&mut shares), responses).await?;
                        next.await
                    }
                }
            };
            let (through, refused, share) = settled?;
            response.acknowledged_through = through;
            response.refused.extend(refused);
            shares.push(share);
            if response.refused.len() < REFUSED
                && let Ok(batch) = batches.try_recv()
            {
                waiting.push_back(settle(batch).boxed());
            }
        }
        send(&mut response, shares, responses).await?;
    }
    Ok(())
}

/// Sends an acknowledgement, in several pieces when it tells of many that were refused.
async fn send(response: &mut StreamLocationsResponse, shares: Vec<Share>, responses: &Responses) -> Result<()> {
    let StreamLocationsResponse { acknowledged_through, mut refused } = std::mem::take(response);
    while refused.len() > REFUSED {
        let rest = refused.split_off(REFUSED);
        let acknowledged_through = refused.last().map_or(0, |last| last.position);
        if !respond(Ok(StreamLocationsResponse { acknowledged_through, refused }), Vec::new(), responses).await {
            return Err(Error::Overloaded);
        }
        refused = rest;
    }
    let last = StreamLocationsResponse { acknowledged_through, refused };
    if respond(Ok(last), shares, responses).await { Ok(()) } else { Err(Error::Overloaded) }
}

/// False when the phone does not listen for too long, or no more.
async fn respond(response: Result<StreamLocationsResponse, Status>, shares: Vec<Share>, responses: &Responses) -> bool {
    responses.send_timeout((response, shares), PATIENCE).await.is_ok()
}

/// Waits until a batch is safe; returns up to where it goes, what was refused of it, and its share of the budget.
async fn settle(sent: Sent) -> Result<(u64, Vec<RefusedLocation>, Share)> {
    let Sent { share, first, through, taken } = sent;
    let refused = |(position, outcome)| match outcome {
        Outcome::Stored { .. } | Outcome::Duplicate { .. } | Outcome::Queued { .. } => None,
        Outcome::Refused(why) => Some(refusal(position, why.into_fields())),
    };
    let refused = (first..).zip(taken.outcomes().await?).filter_map(refused).collect();
    Ok((through, refused, share))
}

fn refusal(position: u64, errors: Vec<FieldError>) -> RefusedLocation {
    let violations =
        errors.into_iter().map(|error| FieldViolation { field: error.field, description: error.message }).collect();
    RefusedLocation { position, violations }
}

/// When the caller gives up, by its `grpc-timeout`. Of calls that are no streams the transport takes care by itself.
pub(super) fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    Instant::now().checked_add(timeout(metadata.get("grpc-timeout")?.to_str().ok()?)?)
}

/// The length of time that a `grpc-timeout` names: at most eight digits and a unit, as the protocol has it
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub(super) fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_the_protocol_has_them() {
        let read = |text: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            deadline(&metadata)
        };
        assert!(read("30S").unwrap() > Instant::now() + Duration::from_secs(29));
        assert!(read("500m").unwrap() < Instant::now() + Duration::from_secs(1));
        for wrong in ["", "S", "5", "5x", "-5S", "123456789S"] {
            assert!(read(wrong).is_none(), "{wrong:?}");
        }
    }
}
