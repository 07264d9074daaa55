//! Searches have a pool of their own, and permits: as many are worked on at once as there are processors, the others wait in line.
//! With a replica, it answers them; a search that it cannot finish is begun anew at the primary, which never gets more searches than
//! it would without a replica.
//!
//! A search keeps a processor busy here and one at the database. If all ran at once they would end no sooner on average, and some of
//! them much later. A long search must not hold up short ones: after [`PERMIT_LASTS`] its permit goes to the next one, which begins
//! beside it, as long as the pool has connections.

use super::connect::{self, Connector};
use super::connection::{Connection, Pooled};
use super::error::{Fault, fault};
use super::replica::Replica;
use crate::domain::{Error, Result};
use diesel::QueryResult;
use diesel::result::Error as Diesel;
use diesel_async::pooled_connection::deadpool::Pool;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Where searches get their connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Searches {
    primary: Pool<Connection>,
    replica: Option<Arc<Replica>>,
    timed: TimedPermits,
    /// As many permits as each pool has connections: there are no more searches, wherever they are.
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// How long one may wait until it begins.
    patience: Duration,
    connect_timeout: Duration,
}

/// A connection for one search. The permits of an abandoned search are not given back before the server was asked to cancel it.
pub(super) struct Search {
    connection: Pooled,
    /// Where the connection leads, if not to the primary.
    replica: Option<Arc<Replica>>,
    /// Whether the replica could not do it, which the primary may.
    failed: bool,
    searches: Searches,
    /// `None` when it has ended.
    permits: Option<(TimedPermit, OwnedSemaphorePermit)>,
}

impl Searches {
    pub(super) fn new(
        primary: Pool<Connection>,
        replica: Option<Arc<Replica>>,
        at_once: usize,
        connector: &Connector,
    ) -> Self {
        let size = primary.status().max_size;
        Self {
            primary,
            replica,
            timed: TimedPermits::new(at_once),
            permits: Arc::new(Semaphore::new(size)),
            waiting: Arc::default(),
            patience: connector.statement_timeout() / 2,
            connect_timeout: connector.connect_timeout(),
        }
    }

    /// Waits in line for permits, but not for ever. A future that is dropped leaves the line.
    pub(super) async fn begin(&self) -> Result<Search> {
        let in_line = InLine::new(&self.waiting);
        let begun = tokio::time::timeout(self.patience, async {
            let permit = self.permits.clone().acquire_owned().await;
            (permit, self.timed.take().await)
        });
        let Ok((Ok(permit), timed)) = begun.await else {
            metrics::counter!("udaconnect_searches_refused_total").increment(1);
            return Err(Error::TimedOut(format!(
                "too many searches are under way: this one could not begin within {:?}; try again later",
                self.patience
            )));
        };
        drop(in_line);
        let from_replica = match &self.replica {
            Some(replica) => replica.connection().await.map(|connection| (connection, Some(replica.clone()))),
            None => None,
        };
        let (connection, replica) = match from_replica {
            Some(found) => found,
            None => (self.at_primary().await?, None),
        };
        let server = if replica.is_some() { "replica" } else { "primary" };
        metrics::counter!("udaconnect_searches_begun_total", "server" => server).increment(1);
        let permits = Some((timed, permit));
        Ok(Search { connection, replica, failed: false, searches: self.clone(), permits })
    }

    async fn at_primary(&self) -> Result<Pooled> {
        connect::checkout(&self.primary, self.connect_timeout).await
    }

    /// The replica, if there is one.
    pub(super) fn replica(&self) -> Option<&Arc<Replica>> {
        self.replica.as_ref()
    }

    /// Writes the gauges that `/metrics` shows.
    pub(super) fn measure(&self) {
        if let Some(replica) = &self.replica {
            replica.measure();
        }
        let size = self.primary.status().max_size;
        metrics::gauge!("udaconnect_searches_most").set(size as f64);
        metrics::gauge!("udaconnect_searches_under_way")
            .set(size.saturating_sub(self.permits.available_permits()) as f64);
        metrics::gauge!("udaconnect_searches_waiting").set(self.waiting.load(Ordering::Relaxed) as f64);
    }
}

/// Counts one who waits.
struct InLine(Arc<AtomicUsize>);

impl InLine {
    fn new(waiting: &Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting.clone())
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Search {
    /// Whether the search is at the replica, which may lack what the primary has.
    pub(super) fn is_at_replica(&self) -> bool {
        self.replica.is_some()
    }

    /// Notes an error: one that is the replica's own is none of the primary's.
    pub(super) fn note(&mut self, error: &Diesel) {
        let Some(replica) = &self.replica else { return };
        match fault(error) {
            // The replica is away, or was in the way of what it had to replay (a conflict with recovery).
            Fault::Server => {
                replica.suspect();
                self.failed = true;
            }
            Fault::Race => self.failed = true,
            Fault::Data | Fault::Time | Fault::Defect => {}
        }
    }

    /// Goes on at the primary, with the same permits, if the replica failed; then the whole search is to be done again. This happens
    /// once at most: the primary has the last word.
    pub(super) async fn begins_anew(&mut self) -> bool {
        if !std::mem::take(&mut self.failed) {
            return false;
        }
        // Without the primary the error is the replica's.
        let Ok(connection) = self.searches.at_primary().await else { return false };
        metrics::counter!("udaconnect_replica_failovers_total").increment(1);
        self.connection = connection;
        self.replica = None;
        true
    }

    /// The result of a search that is one statement; `None` when the search begins anew and the statement is to be run again.
    pub(super) async fn settle<T>(&mut self, done: QueryResult<T>) -> Option<QueryResult<T>> {
        if let Err(error) = &done {
            self.note(error);
            if self.begins_anew().await {
                return None;
            }
        }
        Some(done)
    }

    /// Cancels what the server does for the search, and closes the connection.
    pub(super) fn discard(self) {
        self.connection.cut_short();
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        let permits = self.permits.take();
        self.connection.when_told(move || drop(permits));
    }
}

impl Deref for Search {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Search {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// How long a search may keep others waiting: its permit then goes to the next one.
const PERMIT_LASTS: Duration = Duration::from_millis(250);

/// The permits to begin a search. Cheap to clone.
#[derive(Clone)]
struct TimedPermits(Arc<Semaphore>);

/// A permit that is given back when this is dropped, or after [`PERMIT_LASTS`].
struct TimedPermit(#[allow(dead_code)] oneshot::Sender<()>);

impl TimedPermits {
    /// `at_once` of them; 0 is one for each processor, and two at least.
    fn new(at_once: usize) -> Self {
        let at_once = match at_once {
            0 => std::thread::available_parallelism().map_or(2, usize::from).max(2),
            n => n,
        };
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// Waits in line.
    async fn take(&self) -> TimedPermit {
        let permit = self.0.clone().acquire_owned().await;
        let (held, over) = oneshot::channel();
        tokio::spawn(hold(permit.ok(), over));
        TimedPermit(held)
    }
}

async fn hold(permit: Option<OwnedSemaphorePermit>, over: oneshot::Receiver<()>) {
    // Whichever comes first gives the permit back.
    let _ = tokio::time::timeout(PERMIT_LASTS, over).await;
    drop(permit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_one_begins_when_one_has_ended_or_takes_long() {
        let permits = TimedPermits::new(1);
        let begin = tokio::time::Instant::now();
        let first = permits.take().await;
        drop(first);
        let _second = permits.take().await;
        assert!(begin.elapsed() < PERMIT_LASTS);
        // The second one is still at it.
        let _third = permits.take().await;
        assert!(begin.elapsed() >= PERMIT_LASTS);
    }
}
