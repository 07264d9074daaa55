//! The records that one fetch has brought, one after the other, without control records and aborted transactions.

use super::batch::{self, Header, Next, Parts, Record, RecordBatch, Step};
use super::memory::{Memory, MemoryPermit, SENT};
use super::unpack;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use std::sync::Arc;

/// The records that a fetch has brought, without control records and those of aborted transactions.
pub struct RecordSet {
    data: Bytes,
    /// Whether batches were left behind that the first one's beginning tells of: what cannot be read of it never will be.
    cut: Option<usize>,
    /// Transactions that were aborted and begin further on: producer and first offset, in order.
    aborted: std::iter::Peekable<std::vec::IntoIter<(i64, i64)>>,
    /// The producers whose transactions here were aborted.
    aborting: HashSet<i64>,
    position: i64,
    end: i64,
    /// The next batch, while there is no permit to unpack it.
    waiting: Option<(Header, Bytes)>,
    batch: Option<(RecordBatch, MemoryPermit)>,
    /// What is to be returned before anything else.
    found: Option<Found>,
    bytes: Vec<u8>,
    memory: Arc<Memory>,
    _sent: MemoryPermit,
}

/// What is found at one or more offsets.
#[derive(Debug)]
pub enum Entry<'a> {
    Record(Record<'a>),
    /// Offsets of which nothing can be read, or one whose record is not; then what can be kept of it is here.
    Unreadable {
        first: i64,
        last: i64,
        timestamp: Option<DateTime<Utc>>,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        reason: String,
    },
}

enum Found {
    Record(Parts),
    Refused(Parts, String),
    Range { first: i64, last: i64, reason: String },
}

impl RecordSet {
    /// `position` is the offset that the fetch began at, `end` the first offset that cannot be read yet. `length` is the length of
    /// everything that the broker sent; `data` may be only its beginning.
    pub(super) fn new(
        data: Bytes,
        length: usize,
        aborted: Vec<(i64, i64)>,
        position: i64,
        end: i64,
        memory: Arc<Memory>,
        sent: MemoryPermit,
    ) -> Self {
        Self {
            cut: (length > data.len()).then_some(length),
            data,
            aborted: aborted.into_iter().peekable(),
            aborting: HashSet::new(),
            position,
            end,
            waiting: None,
            batch: None,
            found: None,
            bytes: Vec::new(),
            memory,
            _sent: sent,
        }
    }

    /// The offset after everything that was returned or left out so far.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The offset after the last record that can be read at present.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Waits for the permit to unpack the next record; false when there is no further record. Must not be called by somebody who
    /// holds a permit for records.
    pub async fn open(&mut self) -> bool {
        loop {
            if self.found.is_some() || self.batch.is_some() {
                return true;
            }
            if let Some((header, packed)) = self.waiting.take() {
                let held = self.memory.unpacked(unpack::cost(header.compression, &packed)).await;
                self.unpack(header, packed, held);
            } else if !self.advance() {
                return false;
            }
        }
    }

    /// The next record, in the order of offsets. `None` at the end, or when [`RecordSet::open`] has to be awaited first.
    pub async fn next(&mut self) -> Option<Entry<'_>> {
        let found = loop {
            if let Some(found) = self.found.take() {
                break found;
            }
            let Some((batch, _)) = &mut self.batch else {
                if let Some((header, packed)) = self.waiting.take() {
                    let Some(held) = self.memory.try_unpacked(unpack::cost(header.compression, &packed)) else {
                        self.waiting = Some((header, packed));
                        return None;
                    };
                    self.unpack(header, packed, held);
                } else if !self.advance() {
                    return None;
                }
                continue;
            };
            let (step, last) = (batch.step(&mut self.bytes), batch.last_offset());
            let over = batch.is_over();
            match step {
                Step::Skipped => tokio::task::yield_now().await,
                Step::End => self.close(last),
                Step::Broken(reason) => self.leave(last, reason),
                Step::Record(parts) => {
                    let wanted = parts.offset >= self.position;
                    self.pass(parts.offset, over.then_some(last));
                    if wanted {
                        break Found::Record(parts);
                    }
                }
                Step::Refused(parts, reason) => {
                    let wanted = parts.offset >= self.position;
                    self.pass(parts.offset, over.then_some(last));
                    if wanted {
                        break Found::Refused(parts, reason);
                    }
                }
            }
        };
        Some(match found {
            Found::Record(parts) => Entry::Record(parts.of(&self.bytes)),
            Found::Refused(parts, reason) => {
                let Record { offset, timestamp, key, value, .. } = parts.of(&self.bytes);
                let reason = format!("the record cannot be read: {reason}; it is still in Kafka");
                Entry::Unreadable { first: offset, last: offset, timestamp, key, value, reason }
            }
            Found::Range { first, last, reason } => {
                let reason = format!("the batch that holds it cannot be read: {reason}; it is still in Kafka");
                Entry::Unreadable { first, last, timestamp: None, key: None, value: None, reason }
            }
        })
    }

    /// Goes on behind `offset`; with `over` behind the batch, which is closed: its memory is free before somebody waits.
    fn pass(&mut self, offset: i64, over: Option<i64>) {
        self.position = self.position.max(offset.saturating_add(1));
        if let Some(last) = over {
            self.close(last);
        }
    }

    fn close(&mut self, last: i64) {
        self.batch = None;
        self.position = self.position.max(last.saturating_add(1));
    }

    /// Finds the next batch to be unpacked, or passes one that is not; false when there is none.
    fn advance(&mut self) -> bool {
        let (header, packed) = match batch::next(&mut self.data) {
            Next::Batch(header, packed) => (header, packed),
            Next::Unreadable { last, reason } => {
                self.cut = None;
                self.leave(last, reason);
                return true;
            }
            Next::End => {
                // Only where nothing was whole: what comes later is asked for again.
                let Some(length) = self.cut.take() else { return false };
                let last = batch::last_offset(&self.data).unwrap_or(self.position);
                self.data.clear();
                self.leave(last, format!("it takes {length} bytes, at most {SENT} are read"));
                return true;
            }
        };
        self.cut = None;
        let last = header.last;
        while let Some((producer, _)) = self.aborted.next_if(|(_, first)| *first <= last) {
            self.aborting.insert(producer);
        }
        if header.control {
            let producer = header.producer;
            if batch::aborts(header, packed) == Some(true) {
                self.aborting.remove(&producer);
            }
            self.close(last);
        } else if last < self.position
            || header.records == 0
            || header.transactional && self.aborting.contains(&header.producer)
        {
            self.close(last);
        } else {
            self.waiting = Some((header, packed));
        }
        true
    }

    fn unpack(&mut self, header: Header, packed: Bytes, held: MemoryPermit) {
        let last = header.last;
        match RecordBatch::open(header, packed) {
            Ok(batch) => self.batch = Some((batch, held)),
            Err(error) => self.leave(last, error.to_string()),
        }
    }

    /// Gives up what comes next, up to `last`.
    fn leave(&mut self, last: i64, reason: String) {
        let first = self.position;
        self.close(last);
        if first <= last {
            self.found = Some(Found::Range { first, last, reason });
        }
    }
}
