//! The second half of a pump: makes batches by size or deadline, and commits each until that succeeds.

use super::fetch::{self, Chunk, TRACES};
use super::letters::Letters;
use super::{ConsumeArgs, Status};
use crate::codec;
use crate::domain::Error;
use crate::runtime::Backoff;
use crate::runtime::trace;
use crate::service::clock::Clock;
use crate::store::{Advance, Committed, Owned, Read, SetAside, Store};
use crate::stream::{Cluster, Memory};
use metrics::{counter, histogram};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// What the pumps of a worker share.
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) store: Store,
    pub(super) cluster: Arc<Cluster>,
    pub(super) memory: Arc<Memory>,
    pub(super) args: ConsumeArgs,
    pub(super) clock: Clock,
    pub(super) status: Status,
    /// How many may commit at once.
    pub(super) permits: Semaphore,
    /// How many partitions there are to share memory among.
    pub(super) owned: AtomicUsize,
    pub(super) letters: Letters,
}

/// How many dead letters of a transaction are logged one by one.
const LOGGED: usize = 10;
/// How many records a worker holds at the most, about: with all that belongs to them some 300 bytes each.
const RECORDS: usize = 160_000;

/// What one transaction holds at the most, about, in bytes.
const BYTES: usize = 4 << 20;

impl Worker {
    /// How many partitions there are to share with.
    pub(super) fn owned(&self) -> usize {
        self.owned.load(Ordering::Relaxed).max(1)
    }

    /// How many records one partition may hold: as many as the others.
    pub(super) fn share(&self) -> usize {
        (RECORDS / self.owned()).clamp(1_000, 20_000)
    }

    /// The most records in one transaction.
    fn most(&self) -> usize {
        (self.args.consume_batch as usize).min(self.share() / 2)
    }
}

/// The records that a transaction is never smaller than for want of time.
const LEAST: usize = 100;

/// Takes away what the database may have refused of a record: its location, then all that would be kept of it. False when there
/// is nothing left to take away.
fn give_way(read: &mut Read, reason: &str) -> bool {
    if read.location.is_ok() {
        read.location = Err(format!("the database refuses it: {reason}"));
        return true;
    }
    let kept = read.key.take().is_some()
        | read.value.take().is_some()
        | read.content_type.take().is_some()
        | read.record_time.take().is_some();
    if kept {
        let before = read.location.as_ref().err().map_or("", String::as_str);
        read.location = Err(format!("{before}; nothing else of it is kept, since the database refuses that: {reason}"));
    }
    kept
}

fn count_error(reason: &'static str) {
    counter!("udaconnect_consume_errors_total", "reason" => reason).increment(1);
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Unavailable { .. } | Error::Overloaded => "unavailable",
        Error::TimedOut(_) => "timed out",
        Error::Internal(_)
        | Error::Invalid(_)
        | Error::NotFound { .. }
        | Error::UnknownEvent(_)
        | Error::Exists(_)
        | Error::Conflict(_)
        | Error::TooBroad(_) => "internal",
    }
}

/// Pumps a partition until told to stop or until it belongs to somebody else.
pub(super) async fn run(worker: Arc<Worker>, owned: Owned, stop: CancellationToken) {
    // One chunk waits while another is being stored.
    let (send, mut chunks) = mpsc::channel(1);
    let fetching = tokio::spawn(fetch::run(worker.clone(), owned.partition, owned.next_offset, send));
    let mut pump = Pump { worker, partition: owned.partition, offset: owned.next_offset, stop };
    while let Some(batch) = pump.batch(&mut chunks).await {
        let span = tracing::info_span!(
            "store",
            otel.name = "store batch",
            otel.kind = "consumer",
            partition = pump.partition,
            records = batch.read.len()
        );
        for trace_parent in &batch.traces {
            trace::link(&span, trace_parent);
        }
        if !pump.store(batch.read, batch.next).instrument(span).await {
            break;
        }
    }
    drop(chunks);
    fetching.abort();
}

struct Pump {
    worker: Arc<Worker>,
    partition: i32,
    /// The next record to be stored.
    offset: i64,
    stop: CancellationToken,
}

impl Pump {
    /// What is to be stored next; `None` when the pump is to stop.
    async fn batch(&self, chunks: &mut mpsc::Receiver<Chunk>) -> Option<Chunk> {
        let mut batch = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            chunk = chunks.recv() => chunk?,
        };
        let close = tokio::time::sleep(self.worker.args.wait());
        tokio::pin!(close);
        while batch.read.len() < self.worker.most() && batch.bytes < BYTES {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                chunk = chunks.recv() => {
                    let chunk = chunk?;
                    batch.read.extend(chunk.read);
                    batch.bytes += chunk.bytes;
                    batch.held.add(chunk.held);
                    batch.next = chunk.next;
                    let room = TRACES.saturating_sub(batch.traces.len());
                    batch.traces.extend(chunk.traces.into_iter().take(room));
                }
                () = &mut close => break,
            }
        }
        Some(batch)
    }

    /// Stores a batch in one or more transactions; false when the pump is to stop.
    ///
    /// What may pass by itself is waited for, however long it takes. Only what the database has against a record sets that record
    /// aside: the batch is halved until it is found.
    async fn store(&mut self, mut batch: Vec<Read>, end: i64) -> bool {
        let mut begin = 0;
        let mut size = self.worker.most();
        // Of the record at `begin` nothing can be kept.
        let mut skip = false;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        // Once at least: there may be nothing but an offset to move, to before this one if the topic was made anew.
        loop {
            let until = batch.len().min(begin + size);
            let to = batch.get(until).map_or(end, |read| read.first_offset);
            let part = if skip { &[] } else { &batch[begin..until] };
            match self.commit(part, to).await {
                Ok(Committed::Done { .. }) => {
                    if !backoff.is_fresh() {
                        tracing::info!(partition = self.partition, "storing again");
                        backoff.reset();
                    }
                    begin = until;
                    if begin == batch.len() {
                        return true;
                    }
                    skip = false;
                    // Where one record is refused, others may follow.
                    size = (size * 2).min(self.worker.most());
                    continue;
                }
                Ok(Committed::Lost) => {
                    tracing::info!(
                        partition = self.partition,
                        offset = self.offset,
                        "partition belongs to another worker"
                    );
                    return false;
                }
                Ok(Committed::Refused(reason)) => {
                    count_error("refused");
                    if until - begin > 1 {
                        size = (until - begin).div_ceil(2);
                        continue;
                    }
                    if !skip && let Some(read) = batch.get_mut(begin) {
                        skip = !give_way(read, &reason);
                        let offset = self.offset;
                        if skip {
                            counter!("udaconnect_consume_lost_total").increment(1);
                            tracing::error!(
                                partition = self.partition,
                                offset,
                                reason,
                                "nothing of a record can be kept"
                            );
                        } else {
                            tracing::warn!(partition = self.partition, offset, reason, "the database refuses a record");
                        }
                        continue;
                    }
                    // Not even the offset alone: that is no record's fault.
                    self.wait_because(&mut backoff, &reason);
                }
                Err(error) => {
                    count_error(kind(&error));
                    self.wait_because(&mut backoff, &error.to_string());
                    // What does not end in time may do so in smaller pieces.
                    if matches!(error, Error::TimedOut(_)) {
                        size = (until - begin).div_ceil(2).max(LEAST).min(size);
                    }
                }
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = self.stop.cancelled() => return false,
            }
        }
    }

    /// Notes why nothing is stored, for readiness and metrics, and in the log once.
    fn wait_because(&self, backoff: &mut Backoff, error: &str) {
        if backoff.is_fresh() {
            let (partition, offset) = (self.partition, self.offset);
            tracing::warn!(partition, offset, error, "cannot store, trying again until it works");
        }
        self.worker.status.update(self.partition, |progress| progress.not_stored = Some(error.to_owned()));
    }

    async fn commit(&mut self, read: &[Read], to: i64) -> crate::domain::Result<Committed> {
        // Not closed while pumps run.
        let _permit = self.worker.permits.acquire().await;
        let began = Instant::now();
        let advance = Advance {
            topic: self.worker.cluster.topic(),
            partition: self.partition,
            worker: &self.worker.name,
            from: self.offset,
            to,
            person_named: codec::person_named,
        };
        let committed = self.worker.store.advance(advance, read).await?;
        if let Committed::Done { stored, duplicates, dead } = &committed {
            self.offset = to;
            histogram!("udaconnect_consume_commit_seconds").record(began.elapsed());
            histogram!("udaconnect_consume_batch_locations").record(read.len() as f64);
            counter!("udaconnect_consumed_total").increment(read.len() as u64);
            counter!("udaconnect_consume_stored_total").increment(*stored as u64);
            counter!("udaconnect_consume_duplicates_total").increment(*duplicates as u64);
            counter!("udaconnect_consume_dead_letters_total").increment(dead.len() as u64);
            self.worker.letters.came(dead.len());
            self.tell(dead, read);
            let time = read.last().and_then(|read| read.record_time);
            self.worker.status.update(self.partition, |progress| {
                progress.next_offset = to;
                progress.not_stored = None;
                progress.last_time = time.or(progress.last_time);
            });
        }
        Ok(committed)
    }

    /// Says what was set aside, and which request had brought it. Not all of a flood: each is in the database, with its reason.
    fn tell(&self, dead: &[SetAside], read: &[Read]) {
        for dead in dead.iter().take(LOGGED) {
            let read = &read[dead.position];
            let request_id = read.request_id.as_deref();
            tracing::warn!(
                partition = self.partition,
                offset = read.first_offset,
                request_id,
                reason = dead.reason,
                "a record is set aside"
            );
        }
        if let more @ 1.. = dead.len().saturating_sub(LOGGED) {
            tracing::warn!(partition = self.partition, more, "more records are set aside");
        }
    }
}
