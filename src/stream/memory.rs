//! The bound on the memory that reading takes, whatever is read and from however many partitions.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Each permit stands for so many bytes.
const UNIT: usize = 1 << 10;
/// What brokers have sent and is not read yet. The largest answer takes all of it.
pub(super) const SENT: usize = 16 << 20;
/// Batches that are being unpacked.
const UNPACKED: usize = 20 << 20;
/// Records that are to be stored.
const RECORDS: usize = 40 << 20;

/// The memory that a worker's partitions share.
///
/// A partition takes permits in this order: for what it is sent, to unpack it, for the records. Whoever stores the records gives the
/// last back and never needs more, so nobody waits for ever.
pub struct Memory {
    sent: Arc<Semaphore>,
    unpacked: Arc<Semaphore>,
    records: Arc<Semaphore>,
}

/// A permit for some of the memory, given back when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryPermit(Option<OwnedSemaphorePermit>);

impl Default for Memory {
    fn default() -> Self {
        let all = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Self { sent: all(SENT), unpacked: all(UNPACKED), records: all(RECORDS) }
    }
}

impl Memory {
    pub(super) async fn sent(&self, bytes: usize) -> MemoryPermit {
        take(&self.sent, bytes, SENT).await
    }

    pub(super) async fn unpacked(&self, bytes: usize) -> MemoryPermit {
        take(&self.unpacked, bytes, UNPACKED).await
    }

    /// The same without waiting; `None` while there is not enough.
    pub(super) fn try_unpacked(&self, bytes: usize) -> Option<MemoryPermit> {
        let units = units(bytes, UNPACKED);
        self.unpacked.clone().try_acquire_many_owned(units).ok().map(|permit| MemoryPermit(Some(permit)))
    }

    /// A permit for records of so many bytes.
    pub async fn records(&self, bytes: usize) -> MemoryPermit {
        take(&self.records, bytes, RECORDS).await
    }

    /// The bytes of records that each of so many partitions may hold in one part. There are four parts: one in the making, one that
    /// waits, two that are being stored.
    pub fn share(partitions: usize) -> usize {
        (RECORDS / partitions.max(1) / 4).clamp(64 << 10, 2 << 20)
    }

    /// The bytes that each of so many partitions may be sent at once.
    pub fn sent_share(partitions: usize) -> usize {
        (SENT / partitions.max(1)).clamp(16 << 10, 1 << 20)
    }
}

async fn take(semaphore: &Arc<Semaphore>, bytes: usize, most: usize) -> MemoryPermit {
    // Never closed.
    MemoryPermit(semaphore.clone().acquire_many_owned(units(bytes, most)).await.ok())
}

fn units(bytes: usize, most: usize) -> u32 {
    bytes.min(most).div_ceil(UNIT) as u32
}

impl MemoryPermit {
    /// Gives back all but so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0 {
            drop(permit.split(permit.num_permits().saturating_sub(bytes.div_ceil(UNIT))));
        }
    }

    /// Adds what another one holds.
    pub fn add(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(mine), Some(other)) => mine.merge(other),
            (mine @ None, other) => *mine = other,
            (Some(_), None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_held_is_given_back() {
        let memory = Memory::default();
        let whole = memory.records.available_permits();
        let mut held = memory.records(1 << 20).await;
        held.shrink(10);
        assert_eq!(memory.records.available_permits(), whole - 1);
        held.shrink(1 << 20);
        held.add(memory.records(UNIT).await);
        assert_eq!(memory.records.available_permits(), whole - 2);
        drop(held);
        // More than there is means all of it.
        let all = memory.records(usize::MAX).await;
        assert_eq!(memory.records.available_permits(), 0);
        drop(all);
        assert_eq!(memory.records.available_permits(), whole);
    }
}
