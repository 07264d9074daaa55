//! Loads of many locations: one produces batches, a few transactions are under way.

use crate::domain::{NewLocation, Result};
use crate::store::Stored;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// Locations in one transaction of a load.
pub const BATCH: usize = 20_000;
/// Transactions under way at once.
const WORKERS: usize = 2;

/// The workers of one load.
pub struct Workers(JoinSet<Result<Stored>>);

/// Starts the workers; `write` stores one batch. The returned sender takes batches until a worker has failed.
pub fn workers<Write, Writing>(write: Write) -> (mpsc::Sender<Vec<NewLocation>>, Workers)
where
    Write: Fn(Vec<NewLocation>) -> Writing + Clone + Send + 'static,
    Writing: Future<Output = Result<Stored>> + Send,
{
    let (queue, batches) = mpsc::channel::<Vec<NewLocation>>(1);
    // If a worker fails, the receiver goes when the others have done what they have, and nobody can send any more.
    let batches = Arc::new(Mutex::new(batches));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (write, batches) = (write.clone(), batches.clone());
        workers.spawn(async move {
            let mut sum = Stored::default();
            loop {
                let Some(batch) = batches.lock().await.recv().await else { return Ok(sum) };
                match write(batch).await {
                    Ok(stored) => sum += stored,
                    Err(error) => {
                        batches.lock().await.close();
                        return Err(error);
                    }
                }
            }
        });
    }
    (queue, Workers(workers))
}

impl Workers {
    /// Waits until everything that was sent is stored; returns the sums of all batches, or the first error.
    pub async fn finish(mut self) -> anyhow::Result<Stored> {
        let mut sum = Stored::default();
        let mut failed = None;
        while let Some(done) = self.0.join_next().await {
            match done? {
                Ok(part) => sum += part,
                // The other worker finishes what it has.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(sum),
        }
    }
}
