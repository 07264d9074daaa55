//! A server that follows the primary, for searches: whether it can be asked, and how far it is behind.
//!
//! How far it is behind is told by positions in the write-ahead log. The primary is asked for its own every second; a replica that
//! has replayed the position of a moment has everything that was committed until then, however long nothing was committed, and
//! whatever the clocks of the two say. The moments are this process's.

use super::connect::{self, AbortOnDrop, Connector};
use super::connection::{Connection, Pooled};
use super::error::from_diesel;
use super::migrations;
use super::statement::Statement;
use crate::domain::{Error, Result};
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text};
use diesel_async::RunQueryDsl;
use diesel_async::pooled_connection::deadpool::Pool;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// How often both servers are asked where they are, and for how long an answer holds.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long either may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a search waits for a connection before it goes to the primary; [`connect::ANSWERS_WITHIN`] more where that has rested.
const WAIT: Duration = Duration::from_secs(1);

/// The replica's connections, and what is known of it.
pub(super) struct Replica {
    pool: Pool<Connection>,
    connector: Connector,
    /// The way to the primary, which is asked on a connection of its own: it must be heard when searches take all others.
    primary: Connector,
    max_lag: Duration,
    history: Mutex<History>,
    verdict: watch::Sender<Verdict>,
    /// Wakes who looks: something seems to be wrong.
    look: Arc<Notify>,
    started: AtomicBool,
    _watch: AbortOnDrop,
}

/// Whether searches go there.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    /// It has not been asked yet.
    Unknown,
    /// `None` for the lag while the primary cannot be asked how far it is.
    Well { lag: Option<Duration> },
    /// A sentence for operators.
    Away(String),
}

impl Replica {
    /// Asks nothing before it is first wanted.
    pub(super) fn new(connector: Connector, size: usize, primary: Connector, max_lag: Duration) -> Result<Self> {
        Ok(Self {
            pool: connector.pool(size)?,
            _watch: connector.watch(),
            connector,
            primary,
            max_lag,
            history: Mutex::new(History::new(max_lag)),
            verdict: watch::channel(Verdict::Unknown).0,
            look: Arc::default(),
            started: AtomicBool::new(false),
        })
    }

    /// A connection to the replica, if that is near enough to the primary; else `None`, and the primary is to be used.
    pub(super) async fn connection(self: &Arc<Self>) -> Option<Pooled> {
        if !matches!(self.verdict().await, Verdict::Well { .. }) {
            return None;
        }
        let Ok(mut connection) = connect::checkout(&self.pool, WAIT).await else {
            self.suspect();
            return None;
        };
        // The address may lead to several replicas, so that each connection is asked itself.
        if connection.judged.is_some_and(|judged| judged.elapsed() < INTERVAL) {
            return Some(connection);
        }
        let limit = connection.set_limit(Some(PATIENCE));
        let judged = self.judge(&mut connection).await;
        connection.set_limit(limit);
        if let Err(why) = judged {
            tracing::debug!(why, "a connection to the replica is not used");
            connection.discard();
            self.suspect();
            return None;
        }
        Some(connection)
    }

    /// Whether searches go to it; if not, why.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<()> {
        let away = |why: String| Error::Unavailable {
            dependency: "replica",
            detail: format!("{why}; searches go to the primary"),
        };
        match self.verdict().await {
            Verdict::Well { .. } => Ok(()),
            Verdict::Unknown => Err(away("it has not answered yet".to_owned())),
            Verdict::Away(why) => Err(away(why)),
        }
    }

    /// Has it looked after at once: a search could not be done there.
    pub(super) fn suspect(&self) {
        self.look.notify_one();
    }

    /// Writes the gauges that `/metrics` shows.
    pub(super) fn measure(self: &Arc<Self>) {
        self.start();
        let verdict = self.verdict.borrow();
        metrics::gauge!("udaconnect_replica_used").set(f64::from(matches!(*verdict, Verdict::Well { .. })));
        if let Verdict::Well { lag: Some(lag) } = *verdict {
            metrics::gauge!("udaconnect_replica_lag_seconds").set(lag.as_secs_f64());
        }
    }

    async fn verdict(self: &Arc<Self>) -> Verdict {
        self.start();
        let mut verdict = self.verdict.subscribe();
        let known = tokio::time::timeout(PATIENCE, verdict.wait_for(|verdict| *verdict != Verdict::Unknown)).await;
        match known {
            Ok(Ok(verdict)) => verdict.clone(),
            _ => Verdict::Unknown,
        }
    }

    /// Begins to look after it, once: a tool that never searches has no use for it.
    fn start(self: &Arc<Self>) {
        if !self.started.swap(true, Ordering::Relaxed) {
            self.connector.spawn(look_after(Arc::downgrade(self), self.look.clone()));
        }
    }

    /// Asks both servers and notes what came of it. `primary` and `kept` are connections of this task's own.
    async fn look(&self, primary: &mut Option<Connection>, kept: &mut Option<Connection>) {
        let asked = tokio::time::timeout(PATIENCE, self.ask(primary));
        match asked.await {
            Ok(Ok(position)) => self.history().note(Instant::now(), position),
            Ok(Err(error)) => tracing::debug!(%error, "the primary does not say how far it is"),
            Err(_) => tracing::debug!("the primary does not say in time how far it is"),
        }
        let asked = tokio::time::timeout(PATIENCE, async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => self.connector.connect().await.map_err(|error| error.to_string())?,
            };
            let lag = self.judge(&mut connection).await?;
            Ok((connection, lag))
        });
        let verdict = match asked.await {
            Ok(Ok((connection, lag))) => {
                *kept = Some(connection);
                Verdict::Well { lag }
            }
            Ok(Err(why)) => Verdict::Away(why),
            Err(_) => {
                // What it still owes an answer will not get one soon either; it is asked of the primary.
                self.connector.known().give_up_all();
                Verdict::Away(format!("no answer within {} s", PATIENCE.as_secs()))
            }
        };
        match (&*self.verdict.borrow(), &verdict) {
            (Verdict::Well { .. }, Verdict::Well { .. }) | (Verdict::Away(_), Verdict::Away(_)) => {}
            (_, Verdict::Away(why)) => tracing::warn!(why, "the replica cannot be used; searches go to the primary"),
            (_, Verdict::Well { .. }) => tracing::info!("searches go to the replica"),
            (_, Verdict::Unknown) => {}
        }
        self.verdict.send_replace(verdict);
    }

    /// Where the primary is. The connection is kept only if it has answered.
    async fn ask(&self, kept: &mut Option<Connection>) -> Result<LogPosition> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.primary.connect().await?,
        };
        let position = LogPosition::of(&mut connection).await?;
        *kept = Some(connection);
        Ok(position)
    }

    /// How far the replica that this connection leads to is behind; the error is a sentence about why it must not be asked.
    async fn judge(&self, connection: &mut Connection) -> std::result::Result<Option<Duration>, String> {
        if connection.judged.is_none() {
            let pending = migrations::pending(connection).await.map_err(|error| error.to_string())?;
            if pending.needed > 0 {
                return Err(format!("{} migrations have not come there yet", pending.needed));
            }
        }
        let at = LogPosition::of(connection).await.map_err(|error| error.to_string())?;
        let lag = self.history().lag(&at)?;
        if let Some(lag) = lag.filter(|lag| *lag > self.max_lag) {
            return Err(too_far(lag, self.max_lag));
        }
        connection.judged = Some(Instant::now());
        Ok(lag)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn too_far(lag: Duration, most: Duration) -> String {
    format!(
        "{} s behind the primary, which is more than DATABASE_REPLICA_MAX_LAG ({} s)",
        lag.as_secs(),
        most.as_secs()
    )
}

/// Looks until the replica is dropped.
async fn look_after(replica: Weak<Replica>, look: Arc<Notify>) {
    let (mut primary, mut kept) = (None, None);
    loop {
        let Some(replica) = replica.upgrade() else { return };
        replica.look(&mut primary, &mut kept).await;
        drop(replica);
        let _ = tokio::time::timeout(INTERVAL, look.notified()).await;
    }
}

/// Where in the write-ahead log a server is, and of which database.
#[derive(Clone, Debug, PartialEq)]
struct LogPosition {
    cluster: i64,
    database: String,
    /// What it has written, or replayed, in bytes from the beginning of the log.
    position: i64,
    /// How old the last transaction is that it has replayed, by the clocks of both; `None` where there was none.
    replayed: Option<Duration>,
    follows: bool,
}

impl LogPosition {
    async fn of(connection: &mut Connection) -> Result<Self> {
        let statement = Statement::<(BigInt, Text, Nullable<BigInt>, Nullable<Double>, Bool)>::new(
            "SELECT (SELECT system_identifier FROM pg_control_system()), current_database()::text,
                 (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn)::bigint,
                 extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8, pg_is_in_recovery()",
            Vec::new(),
        );
        let (cluster, database, position, replayed, follows): (i64, String, Option<i64>, Option<f64>, bool) =
            statement.get_result(connection).await.map_err(from_diesel)?;
        Ok(Self {
            cluster,
            database,
            position: position.unwrap_or(0),
            replayed: replayed.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok()),
            follows,
        })
    }
}

/// How far the primary was, and when.
struct History {
    /// Oldest first; those of the longest lag that is allowed, and one more.
    samples: VecDeque<(Instant, i64)>,
    /// Which database of which cluster the primary is.
    primary: Option<(i64, String)>,
    max_lag: Duration,
}

impl History {
    fn new(max_lag: Duration) -> Self {
        Self { samples: VecDeque::new(), primary: None, max_lag }
    }

    fn note(&mut self, when: Instant, at: LogPosition) {
        // Another server has become the primary, or what was asked is a replica itself that was made anew.
        if self.samples.back().is_some_and(|(_, position)| *position > at.position) {
            self.samples.clear();
        }
        self.primary = Some((at.cluster, at.database));
        self.samples.push_back((when, at.position));
        while self.samples.get(1).is_some_and(|(next, _)| when.saturating_duration_since(*next) > self.max_lag) {
            self.samples.pop_front();
        }
    }

    /// How much of what the primary is known to have had is missing there, at most; `None` while nothing is known of the primary.
    fn lag(&self, at: &LogPosition) -> std::result::Result<Option<Duration>, String> {
        let (Some((cluster, database)), Some((first, _)), Some((last, _))) =
            (&self.primary, self.samples.front(), self.samples.back())
        else {
            return Ok(None);
        };
        if (*cluster, database) != (at.cluster, &at.database) {
            return Err("it follows another server than DATABASE_URL's, or is another database".to_owned());
        }
        match self.samples.iter().rev().find(|(_, position)| *position <= at.position) {
            Some((when, _)) => Ok(Some(last.saturating_duration_since(*when))),
            // Behind all that is known. Soon after the start that is not much, and clocks must do.
            None => {
                let known = last.saturating_duration_since(*first);
                match at.replayed.filter(|_| at.follows) {
                    Some(replayed) => Ok(Some(replayed.max(known))),
                    None => Err("it does not tell how far behind the primary it is".to_owned()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(10);

    fn at(position: i64) -> LogPosition {
        LogPosition { cluster: 7, database: "udaconnect".to_owned(), position, replayed: None, follows: true }
    }

    fn seconds(lag: u64) -> std::result::Result<Option<Duration>, String> {
        Ok(Some(Duration::from_secs(lag)))
    }

    #[test]
    fn what_has_replayed_everything_is_not_behind_however_long_nothing_happened() {
        let (mut history, begin) = (History::new(MOST), Instant::now());
        assert_eq!(history.lag(&at(1)), Ok(None));
        for second in 0..1_000 {
            history.note(begin + Duration::from_secs(second), at(100));
        }
        let idle = LogPosition { replayed: Some(Duration::from_secs(1_000)), ..at(100) };
        assert_eq!(history.lag(&idle), seconds(0));
        assert!(history.samples.len() <= 12, "{}", history.samples.len());
    }

    #[test]
    fn the_lag_is_counted_from_the_first_that_is_missing() {
        let (mut history, begin) = (History::new(MOST), Instant::now());
        for second in 0..8 {
            history.note(begin + Duration::from_secs(second), at(100 + second as i64));
        }
        assert_eq!(history.lag(&at(200)), seconds(0));
        assert_eq!(history.lag(&at(107)), seconds(0));
        assert_eq!(history.lag(&at(104)), seconds(3));
        // Older than anything that is known of the primary.
        assert!(history.lag(&at(99)).is_err());
        let replayed = |age: u64| LogPosition { replayed: Some(Duration::from_secs(age)), ..at(99) };
        assert_eq!(history.lag(&replayed(9)), seconds(9));
        assert_eq!(history.lag(&replayed(1)), seconds(7));
        // One that has stopped is too far behind soon.
        for second in 8..30 {
            history.note(begin + Duration::from_secs(second), at(100 + second as i64));
        }
        assert!(history.lag(&at(104)).is_err());
        assert!(history.lag(&replayed(1)).unwrap().unwrap() > MOST);
        // After a failover positions may be smaller.
        history.note(begin + Duration::from_secs(30), at(50));
        assert_eq!(history.lag(&at(50)), seconds(0));
    }

    #[test]
    fn another_database_is_none_of_ours() {
        let mut history = History::new(MOST);
        history.note(Instant::now(), at(1));
        assert!(history.lag(&LogPosition { cluster: 8, ..at(1) }).is_err());
        assert!(history.lag(&LogPosition { database: "other".to_owned(), ..at(1) }).is_err());
    }
}
