//! The first half of a pump: reads ahead, decodes, and hands over what is to be stored.

use super::OffsetReset;
use super::pump::Worker;
use crate::domain::Error;
use crate::store::Read;
use crate::stream::{Backoff, Fetched, Reader, RecordAndOffset};
use crate::wire;
use chrono::{TimeDelta, Utc};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the broker holds an answer back while there is nothing to read.
const POLL: Duration = Duration::from_millis(500);
/// What all partitions of a worker fetch at once, and what one of them does, bytes. Compressed; in memory it is several times
/// as much.
const FETCH_ALL: i32 = 4 << 20;
const FETCH_MOST: i32 = 1 << 20;
const FETCH_LEAST: i32 = 64 << 10;

/// What was read in one go, and where it goes on.
pub(super) struct Chunk {
    pub(super) read: Vec<Read>,
    pub(super) next: i64,
}

/// Reads from `offset` on until nobody takes it any more.
pub(super) async fn run(worker: Arc<Worker>, partition: i32, mut offset: i64, chunks: mpsc::Sender<Chunk>) {
    let mut reader = Reader::new(worker.cluster.clone(), partition);
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        let owned = worker.owned.load(Ordering::Relaxed).max(1) as i32;
        let fetched = reader.fetch(offset, (FETCH_ALL / owned).clamp(FETCH_LEAST, FETCH_MOST), POLL).await;
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
                Chunk { read: decode(records, worker.max_ahead), next }
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
                Chunk { read: vec![nothing(offset, next - 1, reason)], next }
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

fn decode(records: Vec<RecordAndOffset>, max_ahead: TimeDelta) -> Vec<Read> {
    let now = Utc::now();
    records
        .into_iter()
        .map(|RecordAndOffset { mut record, offset }| {
            let content_type = record.headers.remove(wire::CONTENT_TYPE);
            let location =
                wire::decode(record.value.as_deref(), content_type.as_deref(), record.timestamp, now, max_ahead);
            Read {
                first_offset: offset,
                last_offset: offset,
                key: record.key,
                value: record.value,
                content_type,
                record_time: Some(record.timestamp),
                location: location.map_err(|error: Error| error.to_string()),
            }
        })
        .collect()
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
    Ok(Chunk { read: missing.into_iter().collect(), next })
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
