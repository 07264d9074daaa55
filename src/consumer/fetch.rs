//! The first half of a pump: reads ahead, decodes, and hands over what is to be stored.

use super::OffsetReset;
use super::pump::Worker;
use crate::domain::Error;
use crate::store::Read;
use crate::stream::{Backoff, Fetched, Reader, RecordAndOffset};
use crate::wire;
use chrono::TimeDelta;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the broker holds an answer back while there is nothing to read.
const POLL: Duration = Duration::from_millis(500);
/// The most and the least that is asked for at once, compressed bytes. Brokers send a whole batch even when it is larger.
const FETCH_MOST: i32 = 1 << 20;
const FETCH_LEAST: i32 = 16 << 10;

/// How many bytes to ask for. What counts is how many records they turn out to be, since those take the memory: well-packed
/// ones are a hundred times as large when they are unpacked.
struct Appetite(i32);

impl Appetite {
    /// `more` is whether the partition has more than was got.
    fn learn(&mut self, records: usize, more: bool, wanted: usize) {
        if records > wanted {
            self.0 = ((i64::from(self.0) * wanted as i64 / records as i64) as i32).max(FETCH_LEAST);
        } else if more && records < wanted / 2 {
            self.0 = (self.0 * 2).min(FETCH_MOST);
        }
    }
}

/// What was read in one go, and where it goes on.
pub(super) struct Chunk {
    pub(super) read: Vec<Read>,
    /// The traces that these belong to, each once, up to [`TRACES`].
    pub(super) traces: Vec<Arc<str>>,
    pub(super) next: i64,
}

/// Reads from `offset` on until nobody takes it any more.
pub(super) async fn run(worker: Arc<Worker>, partition: i32, mut offset: i64, chunks: mpsc::Sender<Chunk>) {
    let mut reader = Reader::new(worker.cluster.clone(), partition);
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let mut appetite = Appetite(FETCH_LEAST * 4);
    loop {
        let fetched = reader.fetch(offset, appetite.0, POLL).await;
        if fetched.is_ok() && !backoff.is_fresh() {
            tracing::info!(partition, "reading again");
            worker.status.update(partition, |progress| progress.error = None);
            backoff.reset();
        }
        let chunk = match fetched {
            Ok(Fetched::Records { records, high_watermark }) => {
                worker.status.update(partition, |progress| progress.high_watermark = high_watermark);
                let Some(last) = records.last() else { continue };
                let next = last.offset + 1;
                appetite.learn(records.len(), next < high_watermark, worker.share() / 4);
                let (read, traces) = decode(records, worker.max_ahead);
                Chunk { read, traces, next }
            }
            Ok(Fetched::Unreadable { next, reason }) => {
                tracing::error!(
                    partition,
                    from = offset,
                    to = next - 1,
                    reason,
                    "records cannot be read by this program"
                );
                let reason = format!("the batch that holds it cannot be read ({reason}); it is still in Kafka");
                Chunk { read: vec![nothing(offset, next - 1, reason)], traces: Vec::new(), next }
            }
            Ok(Fetched::OutOfRange { earliest, latest }) => {
                match reset(worker.args.offset_reset, offset, earliest, latest) {
                    Ok(chunk) => {
                        tracing::error!(
                            partition,
                            offset,
                            earliest,
                            latest,
                            to = chunk.next,
                            "offset is not in kafka any more; going on elsewhere"
                        );
                        chunk
                    }
                    Err(error) => {
                        tracing::error!(partition, offset, earliest, latest, "{error}");
                        worker.status.update(partition, |progress| progress.error = Some(error));
                        // Until the partition is taken away or the process ends.
                        chunks.closed().await;
                        return;
                    }
                }
            }
            Err(error) => {
                if backoff.is_fresh() {
                    tracing::warn!(partition, %error, "cannot read, trying again until it works");
                }
                let text = error.to_string();
                worker.status.update(partition, |progress| progress.error = Some(text));
                tokio::select! {
                    () = backoff.wait() => continue,
                    () = chunks.closed() => return,
                }
            }
        };
        offset = chunk.next;
        if chunks.send(chunk).await.is_err() {
            return;
        }
    }
}

/// As many links as a span may usefully have.
pub(super) const TRACES: usize = 32;

fn decode(records: Vec<RecordAndOffset>, max_ahead: TimeDelta) -> (Vec<Read>, Vec<Arc<str>>) {
    let mut origin = wire::Origin::default();
    let mut traces = Vec::new();
    let read = records
        .into_iter()
        .map(|RecordAndOffset { mut record, offset }| {
            origin = wire::Origin::read(&record.headers, &origin);
            if let Some(trace) = &origin.trace_parent
                && traces.len() < TRACES
                && !traces.contains(trace)
            {
                traces.push(trace.clone());
            }
            // Nearly always one of two, and then not worth an allocation of its own.
            let content_type = record.headers.remove(wire::CONTENT_TYPE).map(|given| {
                let known = [wire::PROTOBUF, wire::JSON].into_iter().find(|known| known.as_bytes() == given);
                known.map_or(Cow::Owned(given), |known| Cow::Borrowed(known.as_bytes()))
            });
            let location = wire::decode(record.value.as_deref(), content_type.as_deref(), record.timestamp, max_ahead);
            Read {
                first_offset: offset,
                last_offset: offset,
                key: record.key,
                value: record.value,
                content_type,
                record_time: Some(record.timestamp),
                location: location.map_err(|error: Error| error.to_string()),
                request_id: origin.request_id.clone(),
            }
        })
        .collect();
    (read, traces)
}

/// Where to go on when there is nothing at `offset`.
fn reset(policy: OffsetReset, offset: i64, earliest: i64, latest: i64) -> Result<Chunk, String> {
    let next = match policy {
        OffsetReset::Earliest => earliest,
        OffsetReset::Latest => latest,
        OffsetReset::Stop => {
            return Err(format!(
                "offset {offset} is not in Kafka (it has {earliest} to {latest}); stopped, as --offset-reset says"
            ));
        }
    };
    // An offset beyond the end means another topic of the same name: nothing of it is missing.
    let missing = (offset < next && offset < latest).then(|| {
        let reason = match policy {
            OffsetReset::Latest => "skipped, as --offset-reset latest says",
            OffsetReset::Earliest | OffsetReset::Stop => "removed from Kafka by its retention before it was stored",
        };
        nothing(offset, next - 1, reason.to_owned())
    });
    Ok(Chunk { read: missing.into_iter().collect(), traces: Vec::new(), next })
}

/// A range of offsets of which there is nothing to keep but the reason.
fn nothing(first_offset: i64, last_offset: i64, reason: String) -> Read {
    Read {
        first_offset,
        last_offset,
        key: None,
        value: None,
        content_type: None,
        record_time: None,
        location: Err(reason),
        request_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_appetite_follows_how_well_records_are_packed() {
        let mut appetite = Appetite(FETCH_LEAST * 4);
        appetite.learn(50_000, true, 5_000);
        assert_eq!(appetite.0, FETCH_LEAST);
        for _ in 0..20 {
            appetite.learn(20, true, 5_000);
        }
        assert_eq!(appetite.0, FETCH_MOST);
        appetite.learn(4_000, false, 5_000);
        assert_eq!(appetite.0, FETCH_MOST);
    }

    #[test]
    fn what_retention_has_removed_is_noted_and_skipped() {
        let chunk = reset(OffsetReset::Earliest, 10, 25, 90).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(chunk.next, 25);
        assert_eq!((chunk.read[0].first_offset, chunk.read[0].last_offset), (10, 24));
        let chunk = reset(OffsetReset::Latest, 10, 25, 90).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((chunk.next, chunk.read[0].last_offset), (90, 89));
        assert!(reset(OffsetReset::Stop, 10, 25, 90).is_err());
    }

    #[test]
    fn a_topic_made_anew_is_read_from_its_beginning() {
        let chunk = reset(OffsetReset::Earliest, 1_000, 0, 90).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((chunk.next, chunk.read.len()), (0, 0));
    }
}
