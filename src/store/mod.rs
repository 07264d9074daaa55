//! PostgreSQL: every line of SQL in the program.
//!
//! [`Store`] is cheap to clone and holds the pool. Errors leave as [`domain::Error`](crate::domain::Error): unreachable is
//! `Unavailable`, past its time limit is `TimedOut`, what an operator must mend is `Invalid`.

mod connect;
mod connection;
mod days;
mod dead_letter_bounds;
mod dead_letters;
mod door;
mod error;
mod event_cache;
mod events;
mod loader;
mod locations;
mod migrations;
mod offsets;
mod partitions;
mod persons;
mod proximity;
mod record;
mod replica;
mod schema;
mod script;
mod searches;
mod set_aside;
mod settings;
mod snapshot;
mod sqlstate;
mod statement;
mod upkeep;
mod url;
mod watch;

pub use connect::DatabaseArgs;
pub use dead_letter_bounds::{DeadLetterLimits, DeadLetterStock};
pub use dead_letters::{DeadLetter, DeadLetterLine, Replayed};
pub use door::EventStore;
pub use events::{EventContents, Events};
pub use locations::LocationPosition;
pub use migrations::{Applied, MigrationScope, Migrator, Pending};
pub use offsets::{Advance, Committed, Fate, Owned, PersonNamed};
pub use partitions::MOST_MONTHS_AHEAD;
pub use proximity::CellTimes;
pub use record::Stored;
pub use set_aside::{Read, SetAside};
pub use snapshot::Snapshot;
pub use upkeep::{Expired, Upkeep};
pub use url::DatabaseUrl;

use crate::domain::{Error, Location, Person, Result};
use connect::Connector;
use connection::{Connection, Pooled};
use diesel_async::SimpleAsyncConnection;
use diesel_async::pooled_connection::deadpool::Pool;
use loader::Loader;
use replica::Replica;
use searches::{Search, Searches};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// The database, through two pools of connections, so that long searches do not hold up quick statements. With a replica, searches
/// have a third pool, which leads there.
#[derive(Clone)]
pub struct Store {
    pool: Pool<Connection>,
    searches: Searches,
    connector: Connector,
    wait: Duration,
    partitions: Arc<partitions::Partitions>,
    /// Whether the last one who wanted a connection of the first pool got none in time.
    exhausted: Arc<AtomicBool>,
    person_loader: Loader<Person>,
    location_loader: Loader<Location>,
    event_cache: Arc<event_cache::EventCache>,
    probe: Arc<Mutex<Probe>>,
    _watch: Arc<connect::AbortOnDrop>,
}

/// How long the database may take to say that it is well.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// What readiness asks by: a connection outside the pool, which may well be busy without anything being wrong.
#[derive(Default)]
struct Probe {
    connection: Option<Connection>,
    /// Whether versions and migrations were found right; they do not change under a running process.
    checked: bool,
}

impl Store {
    /// Prepares a pool; connects to nothing yet. `application` is what `pg_stat_activity` shows. Connections live in the
    /// runtime that this is called in.
    pub fn new(args: &DatabaseArgs, application: &str) -> Result<Self> {
        let connector = Connector::new(args, application)?;
        let wait = connector.connect_timeout();
        let pool = connector.planning_once().pool(args.pool_size())?;
        let search_pool = connector.pool(args.search_pool_size())?;
        let replica = Connector::replica(args, application)?
            .map(|replica| Replica::new(replica, args.search_pool_size(), connector.clone(), args.max_lag()))
            .transpose()?;
        let searches = Searches::new(search_pool, replica.map(Arc::new), args.searches(), &connector);
        let (person_loader, location_loader) = (Loader::start(&pool, wait), Loader::start(&pool, wait));
        let watch = Arc::new(connector.watch());
        Ok(Self {
            _watch: watch,
            pool,
            connector,
            wait,
            partitions: Arc::default(),
            searches,
            exhausted: Arc::default(),
            person_loader,
            location_loader,
            event_cache: Arc::default(),
            probe: Arc::default(),
        })
    }

    /// Fails with an error that an operator must mend (a wrong password, a server that is too old). One that may pass by itself is
    /// logged, and readiness goes on checking.
    pub async fn check_at_start(&self) -> Result<()> {
        match self.ready().await {
            Err(error @ (Error::Unavailable { .. } | Error::TimedOut(_))) => {
                tracing::warn!(%error, "starting without the database; not ready until it is there");
                Ok(())
            }
            other => other,
        }
    }

    /// Whether the database can be used: reachable, new enough, with PostGIS and with at least our migrations.
    ///
    /// `Error::Invalid` is for the operator to mend; `Error::Unavailable` may pass.
    pub async fn ready(&self) -> Result<()> {
        let mut probe = self.probe.lock().await;
        // Taken, so that a connection whose query was cut short is not used again.
        let mut connection = match probe.connection.take() {
            Some(connection) => connection,
            None => self.connector.connect().await?,
        };
        if !probe.checked {
            connect::check_versions(&mut connection).await?;
            match migrations::pending(&mut connection).await?.needed {
                0 => probe.checked = true,
                n => return Err(error::unavailable(format!("{n} migrations are pending; run `udaconnect migrate`"))),
            }
        }
        connection.set_limit(Some(PROBE_LIMIT));
        connection.batch_execute("SELECT 1").await.map_err(error::from_diesel)?;
        probe.connection = Some(connection);
        drop(probe);
        if self.exhausted.load(Ordering::Relaxed) {
            // Perhaps nobody has asked since.
            connect::checkout(&self.pool, PROBE_LIMIT / 2).await?;
            self.exhausted.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether there is a replica for searches.
    pub fn has_replica(&self) -> bool {
        self.searches.replica().is_some()
    }

    /// Whether searches go to the replica, if there is one; the error says why they go to the primary.
    pub async fn replica_ready(&self) -> Result<()> {
        match self.searches.replica() {
            Some(replica) => replica.ready().await,
            None => Ok(()),
        }
    }

    /// Writes the gauges that `/metrics` shows.
    pub fn measure(&self) {
        let status = self.pool.status();
        metrics::gauge!("udaconnect_database_pool_size").set(status.max_size as f64);
        metrics::gauge!("udaconnect_database_pool_in_use").set(status.size.saturating_sub(status.available) as f64);
        metrics::gauge!("udaconnect_database_pool_waiting").set(status.waiting as f64);
        self.searches.measure();
    }

    /// A connection for what is quick: records, and lookups by id.
    async fn connection(&self) -> Result<Pooled> {
        let connection = connect::checkout(&self.pool, self.wait).await;
        self.exhausted.store(connection.is_err(), Ordering::Relaxed);
        connection
    }

    /// A connection for a search, which may take long, once it has a permit.
    async fn search(&self) -> Result<Search> {
        self.searches.begin().await
    }
}
