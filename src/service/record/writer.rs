//! Group commit: whatever waits while a batch is being stored makes up the next batch.

use crate::domain::{Error, EventId, NewLocation, Recorded, Result};
use crate::runtime::{GroupSize, Job, JobSender, Jobs, jobs};
use crate::store::Store;
use metrics::{counter, gauge, histogram};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;

/// The most locations that one request may bring, and so the fewest that the queue must be able to hold.
pub const MAX_REQUEST: u32 = 10_000;

/// How much is taken in and how it is stored.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Ingest")]
pub struct WriterArgs {
    /// Locations that may wait to be stored; beyond this callers are told to come back later
    #[arg(long, env, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(MAX_REQUEST as i64..=10_000_000))]
    ingest_queue: u32,
    /// The most locations in one transaction
    #[arg(long, env, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    ingest_batch: u32,
    /// Transactions under way at once, at most, a database connection each
    #[arg(long, env, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    ingest_writers: u32,
}

/// So many must wait for a further transaction to begin beside those under way: about what one costs by itself, in rows.
const WORTHWHILE: usize = 30;

/// Hands locations to a few writers. A writer stores everything that is queued in one transaction.
///
/// Cheap to clone. No timer: an idle writer takes a single location at once, and under load batches grow by themselves.
#[derive(Clone)]
pub struct BatchWriter {
    queue: JobSender<Request>,
    permits: Arc<Semaphore>,
    capacity: u32,
}

struct Request {
    event: EventId,
    locations: Vec<NewLocation>,
    reply: oneshot::Sender<Result<Vec<Recorded>>>,
    _permit: Permit,
}

impl Job for Request {
    fn weight(&self) -> usize {
        self.locations.len()
    }
}

/// A permit for locations in the queue; given back when they are stored.
pub(super) struct Permit(#[allow(dead_code)] OwnedSemaphorePermit);

/// What will become of locations.
pub(super) struct Reply(oneshot::Receiver<Result<Vec<Recorded>>>);

impl Reply {
    /// Of each, in order; after commit.
    pub(super) async fn recorded(self) -> Result<Vec<Recorded>> {
        self.0.await.map_err(|_| stopped())?
    }
}

fn stopped() -> Error {
    Error::Internal("the writers have ended".to_owned())
}

/// The writers' tasks. They end when every [`BatchWriter`] is dropped and every location that was taken is stored or refused.
pub struct Writers(JoinSet<()>);

impl Writers {
    pub async fn drained(mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

impl BatchWriter {
    /// Starts the writers in the current runtime.
    pub fn start(store: &Store, args: &WriterArgs) -> (Self, Writers) {
        // Unbounded in requests, bounded in locations by `permits`.
        let (queue, requests) = jobs(GroupSize { most: args.ingest_batch as usize, worthwhile: WORTHWHILE });
        let mut writers = JoinSet::new();
        for _ in 0..args.ingest_writers {
            writers.spawn(write(store.clone(), requests.clone()));
        }
        let permits = Arc::new(Semaphore::new(args.ingest_queue as usize));
        (Self { queue, permits, capacity: args.ingest_queue }, Writers(writers))
    }

    /// A permit for `count` locations at once, or [`Error::Overloaded`].
    pub(super) fn try_reserve(&self, count: usize) -> Result<Permit> {
        let count = u32::try_from(count).map_err(|_| Error::Overloaded)?;
        self.permits.clone().try_acquire_many_owned(count).map(Permit).map_err(|_| Error::Overloaded)
    }

    /// A permit for `count` locations, waiting until there is one.
    pub(super) async fn reserve(&self, count: usize) -> Result<Permit> {
        // More than there can ever be takes all there is.
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(self.capacity);
        self.permits.clone().acquire_many_owned(count).await.map(Permit).map_err(|_| stopped())
    }

    /// Hands locations over.
    pub(super) fn send(&self, event: EventId, permit: Permit, locations: Vec<NewLocation>) -> Reply {
        let (reply, receiver) = oneshot::channel();
        if locations.is_empty() {
            let _ = reply.send(Ok(Vec::new()));
        } else {
            self.queue.send(Request { event, locations, reply, _permit: permit });
        }
        Reply(receiver)
    }

    /// Stores locations; returns the outcome of each, in order, after commit.
    ///
    /// [`Error::Overloaded`] when there is no permit for all of them; then none was taken. On any other error none was stored, or that
    /// is unknown (the connection broke during commit). Sending the same again is safe: what is stored already is a
    /// [`Recorded::Duplicate`].
    pub async fn record(&self, event: EventId, locations: Vec<NewLocation>) -> Result<Vec<Recorded>> {
        self.send(event, self.try_reserve(locations.len())?, locations).recorded().await
    }

    /// How many locations wait, and how many may.
    pub fn waiting(&self) -> (u32, u32) {
        (self.capacity - self.permits.available_permits() as u32, self.capacity)
    }

    /// Writes the gauges that `/metrics` shows.
    pub fn measure(&self) {
        let (waiting, capacity) = self.waiting();
        gauge!("udaconnect_ingest_queue").set(waiting);
        gauge!("udaconnect_ingest_queue_capacity").set(capacity);
    }
}

async fn write(store: Store, requests: Jobs<Request>) {
    while let Some((mut group, _under_way)) = requests.next().await {
        // Nearly always of one event. The sort is stable, so that requests of one keep their order.
        group.sort_by_key(|request| request.event);
        while let Some(event) = group.first().map(|request| request.event) {
            let rest = group.split_off(group.partition_point(|request| request.event == event));
            store_all(&store, event, group).await;
            group = rest;
        }
    }
}

/// Stores what requests bring, all of one event, in one transaction.
async fn store_all(store: &Store, event: EventId, requests: Vec<Request>) {
    let begin = Instant::now();
    let batch: Vec<NewLocation> = requests.iter().flat_map(|request| request.locations.iter().cloned()).collect();
    histogram!("udaconnect_ingest_batch_locations").record(batch.len() as f64);
    match store.event(event).record(&batch).await {
        Ok(recorded) => {
            histogram!("udaconnect_ingest_batch_seconds").record(begin.elapsed());
            count(&recorded);
            let mut recorded = recorded.into_iter();
            for request in requests {
                let its_own = recorded.by_ref().take(request.locations.len()).collect();
                // Whoever asked may have gone; the locations are stored all the same.
                let _ = request.reply.send(Ok(its_own));
            }
        }
        // Perhaps one of them alone is the trouble; the others must not suffer for it.
        Err(Error::Internal(detail)) if requests.len() > 1 => {
            tracing::error!(detail, locations = batch.len(), "a batch could not be stored; trying each request alone");
            for request in requests {
                let recorded = store.event(event).record(&request.locations).await;
                if let Ok(recorded) = &recorded {
                    count(recorded);
                }
                let _ = request.reply.send(recorded);
            }
        }
        Err(error) => {
            for request in requests {
                let _ = request.reply.send(Err(error.clone()));
            }
        }
    }
}

fn count(recorded: &[Recorded]) {
    let (mut stored, mut duplicates, mut unknown) = (0, 0, 0);
    for recorded in recorded {
        match recorded {
            Recorded::Stored { .. } => stored += 1,
            Recorded::Duplicate { .. } => duplicates += 1,
            Recorded::UnknownPerson { .. } => unknown += 1,
        }
    }
    counter!("udaconnect_ingest_stored_total").increment(stored);
    counter!("udaconnect_ingest_duplicates_total").increment(duplicates);
    counter!("udaconnect_ingest_refused_total", "reason" => "unknown person").increment(unknown);
}
