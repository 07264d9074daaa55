//! The first half of a pump: reads ahead, decodes, and hands over what is to be stored.

use super::OffsetReset;
use super::pump::Worker;
use crate::codec;
use crate::domain::Error;
use crate::runtime::Backoff;
use crate::service::clock::Clock;
use crate::store::Read;
use crate::stream::{Entry, Fetched, Memory, MemoryPermit, PartitionReader, Record, RecordSet};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the broker holds an answer back while there is nothing to read.
const POLL: Duration = Duration::from_millis(500);
/// The most and the least that is asked for at once, compressed bytes. Brokers send a whole batch even when it is larger.
const FETCH_MOST: i32 = 1 << 20;
const FETCH_LEAST: i32 = 16 << 10;
/// What a record takes beside its key and value, about.
const RECORD: usize = 256;
/// The largest record, which may be the last of a chunk.
const LARGEST: usize = 1 << 20;

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

/// Some of what was read, and where it goes on.
pub(super) struct Chunk {
    pub(super) read: Vec<Read>,
    /// How much memory that takes, about.
    pub(super) bytes: usize,
    /// The traces that these belong to, each once, up to [`TRACES`].
    pub(super) traces: Vec<Arc<str>>,
    pub(super) next: i64,
    /// Until it is stored.
    pub(super) held: MemoryPermit,
}

/// Reads from `offset` on until nobody takes it any more.
pub(super) async fn run(worker: Arc<Worker>, partition: i32, mut offset: i64, chunks: mpsc::Sender<Chunk>) {
    let mut reader = PartitionReader::new(worker.cluster.clone(), worker.memory.clone(), partition);
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let mut appetite = Appetite(FETCH_LEAST * 4);
    let mut origin = codec::Origin::default();
    loop {
        let most = Memory::sent_share(worker.owned()) as i32;
        let fetched = reader.fetch(offset, appetite.0.min(most), POLL).await;
        if fetched.is_ok() {
            worker.status.heard();
            if !backoff.is_fresh() {
                tracing::info!(partition, "reading again");
                worker.status.update(partition, |progress| progress.error = None);
                backoff.reset();
            }
        }
        let chunk = match fetched {
            Ok(Fetched::Records(mut records)) => {
                let end = records.end();
                worker.status.update(partition, |progress| progress.high_watermark = end);
                let mut count = 0;
                while records.open().await {
                    let chunk = fill(&worker, partition, &mut records, &mut origin).await;
                    offset = chunk.next;
                    count += chunk.read.len();
                    if chunks.send(chunk).await.is_err() {
                        return;
                    }
                }
                let next = records.position();
                appetite.learn(count, next < end, worker.share() / 4);
                if next == offset {
                    continue;
                }
                // Nothing that counts, at the end.
                Chunk { read: Vec::new(), bytes: 0, traces: Vec::new(), next, held: MemoryPermit::default() }
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

/// Takes as many records as a chunk may hold.
async fn fill(worker: &Worker, partition: i32, records: &mut RecordSet, origin: &mut codec::Origin) -> Chunk {
    let share = Memory::share(worker.owned());
    let most = (worker.share() / 4).max(1);
    let mut held = worker.memory.records(share + LARGEST).await;
    let mut traces = Vec::new();
    let mut read: Vec<Read> = Vec::new();
    let mut bytes = 0;
    while read.len() < most
        && bytes < share
        && let Some(entry) = records.next().await
    {
        let entry = match entry {
            Entry::Record(record) => {
                *origin = codec::Origin::read(record.headers(), origin);
                if let Some(trace) = &origin.trace_parent
                    && traces.len() < TRACES
                    && !traces.contains(trace)
                {
                    traces.push(trace.clone());
                }
                decode(&record, origin.request_id.clone(), worker.clock)
            }
            Entry::Unreadable { first, last, timestamp, key, value, reason } => {
                // One after the other, for the same reason, is one.
                if let Some(before) = read.last_mut()
                    && (key, value) == (None, None)
                    && before.key.is_none()
                    && before.value.is_none()
                    && before.last_offset + 1 == first
                    && before.location.as_ref().is_err_and(|before| *before == reason)
                {
                    before.last_offset = last;
                    continue;
                }
                tracing::error!(partition, from = first, to = last, reason, "records cannot be read by this program");
                Read {
                    key: key.map(<[u8]>::to_vec),
                    value: value.map(<[u8]>::to_vec),
                    record_time: timestamp,
                    ..nothing(first, last, reason)
                }
            }
        };
        bytes += RECORD + entry.key.as_ref().map_or(0, Vec::len) + entry.value.as_ref().map_or(0, Vec::len);
        read.push(entry);
    }
    held.shrink(bytes);
    Chunk { read, bytes, traces, next: records.position(), held }
}

fn decode(record: &Record<'_>, request_id: Option<Arc<str>>, clock: Clock) -> Read {
    let given = record.headers().filter(|(name, _)| *name == codec::CONTENT_TYPE.as_bytes()).last();
    // Nearly always one of two, and then not worth an allocation of its own.
    let content_type = given.and_then(|(_, given)| given).map(|given| {
        let known = [codec::PROTOBUF, codec::JSON].into_iter().find(|known| known.as_bytes() == given);
        known.map_or_else(|| Cow::Owned(given.to_vec()), |known| Cow::Borrowed(known.as_bytes()))
    });
    let location = clock.check_record(record.value, content_type.as_deref(), record.timestamp);
    Read {
        first_offset: record.offset,
        last_offset: record.offset,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        content_type,
        record_time: record.timestamp,
        location: location.map_err(|error: Error| error.to_string()),
        request_id,
    }
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
    let read = missing.into_iter().collect();
    Ok(Chunk { read, bytes: 0, traces: Vec::new(), next, held: MemoryPermit::default() })
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
