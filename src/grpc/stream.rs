//! A phone's stream: locations in, acknowledgements out.

use super::incoming::Known;
use super::locations::checked;
use super::status;
use crate::codec::proto::{FieldViolation, RefusedLocation, StreamLocationsRequest, StreamLocationsResponse};
use crate::domain::{Error, FieldError, Recorded, Result};
use crate::runtime::budget::{BODIES, Share};
use crate::service::record::{LocationSink, Outcome, Taken};
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

/// Locations that make up one parcel, when a phone sends many small messages.
const PARCEL: usize = 1_000;
/// Parcels of one stream that may be under way. Beyond it the phone must wait, even when there is room elsewhere.
const PARCELS: usize = 32;
/// Acknowledgements that wait for a phone that does not read them; then its locations are not read either.
const ACKNOWLEDGEMENTS: usize = 16;

/// Refused locations that one acknowledgement tells of; further ones come with the next.
const REFUSED: usize = 50;
/// How long a phone may leave its acknowledgements unread before its stream is ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the phone is told, with what that takes of the process's budget until it is on its way.
type Answer = (Result<StreamLocationsResponse, Status>, Vec<Share>);
type Answers = mpsc::Sender<Answer>;
pub(super) type Acknowledgements = Map<ReceiverStream<Answer>, fn(Answer) -> Result<StreamLocationsResponse, Status>>;

/// Some locations of the stream, in its order: taken, or refused.
struct Parcel {
    /// What it takes of the process's budget.
    share: Share,
    /// The last one in it, counted from 1 on the stream.
    through: u64,
    refused: Vec<RefusedLocation>,
    /// The position and person of each that was taken.
    good: Vec<(u64, i64)>,
    taken: Taken,
}

/// Starts the work; the answers end with the stream.
pub(super) fn run(
    messages: Streaming<StreamLocationsRequest>,
    sink: LocationSink,
    deadline: Option<Instant>,
    connection: Option<Known>,
    shutdown: CancellationToken,
) -> Acknowledgements {
    let (answers, stream) = mpsc::channel(ACKNOWLEDGEMENTS);
    let work = async move {
        metrics::gauge!("udaconnect_grpc_streams").increment(1.0);
        let (parcels, taken) = mpsc::channel(PARCELS);
        let deadline: OptionFuture<_> = deadline.map(tokio::time::sleep_until).into();
        tokio::select! {
            // Nobody listens any more. What was taken is on its way all the same.
            () = answers.closed() => {}
            Some(()) = deadline => {
                tell(Err(Status::deadline_exceeded("the stream's deadline is over")), Vec::new(), &answers).await;
            }
            // When reading ends, for whatever reason, what was taken is acknowledged first. When that fails, nothing more is read.
            ended = async { tokio::try_join!(read(messages, sink, parcels, shutdown).map(Ok), acknowledge(taken, &answers)) } => {
                let status = ended.map_or_else(|error| Some(status::of(error)), |(read, ())| read.err());
                let told = match status {
                    Some(status) => tell(Err(status), Vec::new(), &answers).await,
                    None => true,
                };
                if let Some(connection) = connection.filter(|_| !told) {
                    connection.close();
                }
            }
        }
        metrics::gauge!("udaconnect_grpc_streams").decrement(1.0);
    };
    // Its log lines belong to the call, which is long over for those who measure it.
    tokio::spawn(work.instrument(tracing::Span::current()));
    ReceiverStream::new(stream).map(|(answer, _)| answer)
}

/// Reads until the phone ends its side or the server is to end; waits while there is no room.
async fn read(
    mut messages: Streaming<StreamLocationsRequest>,
    sink: LocationSink,
    parcels: mpsc::Sender<Parcel>,
    shutdown: CancellationToken,
) -> Result<(), Status> {
    let mut through = 0;
    let mut more = true;
    while more {
        // Before reading, so that the wait is felt by the phone.
        let Ok(place) = parcels.reserve().await else { return Ok(()) };
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
        while locations.len() < PARCEL && messages_read < PARCEL {
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
        let (mut refused, mut good, mut valid) = (Vec::new(), Vec::new(), Vec::with_capacity(locations.len()));
        for message in &locations {
            through += 1;
            match checked(message, &sink) {
                Ok(location) => {
                    good.push((through, location.person_id().get()));
                    valid.push(location);
                }
                Err(errors) => refused.push(refusal(through, errors)),
            }
        }
        if !refused.is_empty() {
            metrics::counter!("udaconnect_ingest_refused_total", "reason" => "invalid").increment(refused.len() as u64);
        }
        drop(locations);
        let lasting = size_of_val(&good[..]) + refused.iter().map(weight).sum::<usize>();
        let mut share = BODIES.share();
        // Waiting for room would keep in memory what there is no room for.
        if !share.try_grow(lasting + size_of_val(&valid[..])) {
            return Err(status::again(
                Code::ResourceExhausted,
                "too much at once; send again what was not acknowledged",
                1,
            ));
        }
        let taken = sink.take(valid).await.map_err(status::of)?;
        share.shrink(lasting);
        place.send(Parcel { share, through, refused, good, taken });
    }
    Ok(())
}

/// What a refusal takes, bytes.
fn weight(refused: &RefusedLocation) -> usize {
    let texts = refused.violations.iter().map(|v| size_of_val(v) + v.field.len() + v.description.len());
    size_of_val(refused) + texts.sum::<usize>()
}

/// Acknowledges in order, and several parcels at once when they are safe at once.
async fn acknowledge(mut parcels: mpsc::Receiver<Parcel>, answers: &Answers) -> Result<()> {
    while let Some(parcel) = parcels.recv().await {
        let mut answer = StreamLocationsResponse::default();
        let mut shares = Vec::new();
        let mut waiting = VecDeque::from([settle(parcel).boxed()]);
        while let Some(mut next) = waiting.pop_front() {
            let settled = if answer.acknowledged_through == 0 {
                next.await
            } else {
                match (&mut next).now_or_never() {
                    Some(settled) => settled,
                    None => {
                        send(&mut answer, std::mem::take(&mut shares), answers).await?;
                        next.await
                    }
                }
            };
            let (through, refused, share) = settled?;
            answer.acknowledged_through = through;
            answer.refused.extend(refused);
            shares.push(share);
            if answer.refused.len() < REFUSED
                && let Ok(parcel) = parcels.try_recv()
            {
                waiting.push_back(settle(parcel).boxed());
            }
        }
        send(&mut answer, shares, answers).await?;
    }
    Ok(())
}

/// Sends an acknowledgement, in several pieces when it tells of many that were refused.
async fn send(answer: &mut StreamLocationsResponse, shares: Vec<Share>, answers: &Answers) -> Result<()> {
    let StreamLocationsResponse { acknowledged_through, mut refused } = std::mem::take(answer);
    while refused.len() > REFUSED {
        let rest = refused.split_off(REFUSED);
        let acknowledged_through = refused.last().map_or(0, |last| last.position);
        if !tell(Ok(StreamLocationsResponse { acknowledged_through, refused }), Vec::new(), answers).await {
            return Err(Error::Overloaded);
        }
        refused = rest;
    }
    let last = StreamLocationsResponse { acknowledged_through, refused };
    if tell(Ok(last), shares, answers).await { Ok(()) } else { Err(Error::Overloaded) }
}

/// False when the phone does not listen for too long, or no more.
async fn tell(answer: Result<StreamLocationsResponse, Status>, shares: Vec<Share>, answers: &Answers) -> bool {
    answers.send_timeout((answer, shares), PATIENCE).await.is_ok()
}

/// Waits until a parcel is safe; returns up to where it goes, what was refused of it, and its share of the budget.
async fn settle(parcel: Parcel) -> Result<(u64, Vec<RefusedLocation>, Share)> {
    let Parcel { share, through, mut refused, good, taken } = parcel;
    match taken.outcome().await? {
        Outcome::Queued(_) => {}
        Outcome::Recorded(recorded) => {
            for (recorded, (position, person)) in recorded.iter().zip(&good) {
                match recorded {
                    Recorded::Stored { .. } | Recorded::Duplicate { .. } => {}
                    Recorded::UnknownPerson => {
                        let message = format!("nobody has the id {person}; add the person first");
                        refused.push(refusal(*position, vec![FieldError::new("person_id", message)]));
                    }
                }
            }
            refused.sort_unstable_by_key(|refused| refused.position);
        }
    }
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
