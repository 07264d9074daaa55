//! Searches have a pool of their own and take turns: as many as there are processors are worked on at once, the others wait in
//! line.
//!
//! A search keeps a processor busy here and one at the database. All at once would end no sooner on average, and the unlucky ones
//! much later. What takes long must not hold up what does not: after [`TURN`] the next one begins beside it, as long as the
//! pool has connections.

use super::connect::{self, Connector};
use super::connection::{Connection, Pooled};
use crate::domain::{Error, Result};
use diesel_async::pooled_connection::deadpool::Pool;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Where searches get their connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Searches {
    pool: Pool<Connection>,
    turns: Turns,
    /// As many permits as the pool has connections.
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// How long one may wait until it begins.
    patience: Duration,
    connect_timeout: Duration,
}

/// A connection for one search. Its permit is given back after the connection.
pub(super) struct Search {
    connection: Pooled,
    _turn: Turn,
    _permit: OwnedSemaphorePermit,
}

impl Searches {
    pub(super) fn new(pool: Pool<Connection>, at_once: usize, connector: &Connector) -> Self {
        let size = pool.status().max_size;
        Self {
            pool,
            turns: Turns::new(at_once),
            permits: Arc::new(Semaphore::new(size)),
            waiting: Arc::default(),
            patience: connector.statement_timeout() / 2,
            connect_timeout: connector.connect_timeout(),
        }
    }

    /// Waits in line, but not for ever; whoever is dropped meanwhile leaves it.
    pub(super) async fn begin(&self) -> Result<Search> {
        let in_line = InLine::new(&self.waiting);
        let turn = tokio::time::timeout(self.patience, async {
            let permit = self.permits.clone().acquire_owned().await;
            (permit, self.turns.take().await)
        });
        let Ok((Ok(permit), turn)) = turn.await else {
            metrics::counter!("udaconnect_searches_refused_total").increment(1);
            return Err(Error::TimedOut(format!(
                "too many searches are under way: this one could not begin within {:?}; try again later",
                self.patience
            )));
        };
        drop(in_line);
        let connection = connect::checkout(&self.pool, self.connect_timeout).await?;
        Ok(Search { connection, _turn: turn, _permit: permit })
    }

    /// Writes the gauges that `/metrics` shows.
    pub(super) fn measure(&self) {
        let size = self.pool.status().max_size;
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
    /// Ends what the server does for it, and the connection.
    pub(super) fn discard(self) {
        self.connection.discard();
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

/// How long a search may keep others waiting.
const TURN: Duration = Duration::from_millis(250);

/// Who may begin. Cheap to clone.
#[derive(Clone)]
struct Turns(Arc<Semaphore>);

/// A turn; over when it is dropped, if not before.
struct Turn(#[allow(dead_code)] oneshot::Sender<()>);

impl Turns {
    /// `at_once` of them; 0 is one for each processor, and two at least.
    fn new(at_once: usize) -> Self {
        let at_once = match at_once {
            0 => std::thread::available_parallelism().map_or(2, usize::from).max(2),
            n => n,
        };
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// Waits in line.
    async fn take(&self) -> Turn {
        let permit = self.0.clone().acquire_owned().await;
        let (turn, over) = oneshot::channel();
        tokio::spawn(hold(permit.ok(), over));
        Turn(turn)
    }
}

async fn hold(permit: Option<OwnedSemaphorePermit>, over: oneshot::Receiver<()>) {
    // Either end is the end of the turn.
    let _ = tokio::time::timeout(TURN, over).await;
    drop(permit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_one_begins_when_one_has_ended_or_takes_long() {
        let turns = Turns::new(1);
        let begin = tokio::time::Instant::now();
        let first = turns.take().await;
        drop(first);
        let _second = turns.take().await;
        assert!(begin.elapsed() < TURN);
        // The second one is still at it.
        let _third = turns.take().await;
        assert!(begin.elapsed() >= TURN);
    }
}
