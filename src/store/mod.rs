//! PostgreSQL: every line of SQL in the program.
//!
//! [`Store`] is cheap to clone and holds the pool. Errors leave as [`domain::Error`](crate::domain::Error): unreachable is
//! `Unavailable`, past its time limit is `TimedOut`, what an operator must mend is `Invalid`.

mod connect;
mod dead_letters;
mod error;
mod group;
mod loader;
mod locations;
mod migrations;
mod offsets;
mod persons;
mod proximity;
mod schema;
mod sqlstate;
mod statement;
mod turns;
mod url;

pub use connect::DatabaseArgs;
pub use dead_letters::{DeadLetter, DeadLetterLimits, DeadLetterLine, DeadLetterStock, Read, Replayed, SetAside};
pub use group::{GroupSize, Job, JobSender, Jobs, UnderWay, jobs};
pub use locations::{LocationPosition, Stored};
pub use migrations::{Applied, Migrator};
pub use offsets::{Advance, Committed, Fate, Owned, PersonNamed};
pub use proximity::{CellTimes, Snapshot};
pub use url::DatabaseUrl;

use crate::domain::{Error, Location, Person, Result};
use connect::Connector;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use loader::Loader;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use turns::Turns;

/// The database, through a pool of connections.
#[derive(Clone)]
pub struct Store {
    pool: Pool<AsyncPgConnection>,
    connector: Connector,
    wait: Duration,
    partitions: Arc<locations::Partitions>,
    turns: Turns,
    person_loader: Loader<Person>,
    location_loader: Loader<Location>,
    probe: Arc<Mutex<Probe>>,
}

/// What readiness asks by: a connection outside the pool, which may well be busy without anything being wrong.
#[derive(Default)]
struct Probe {
    connection: Option<AsyncPgConnection>,
    /// Whether versions and migrations were found right; they do not change under a running process.
    checked: bool,
}

impl Store {
    /// Prepares a pool; connects to nothing yet. `application` is what `pg_stat_activity` shows. Connections live in the
    /// runtime that this is called in.
    pub fn new(args: &DatabaseArgs, application: &str) -> Result<Self> {
        let connector = Connector::new(args, application)?;
        let wait = connector.connect_timeout();
        let pool = connector.clone().pool()?;
        let (person_loader, location_loader) = (Loader::start(&pool, wait), Loader::start(&pool, wait));
        Ok(Self {
            pool,
            connector,
            wait,
            partitions: Arc::default(),
            turns: Turns::new(args.searches()),
            person_loader,
            location_loader,
            probe: Arc::default(),
        })
    }

    /// Fails with what an operator must mend (a wrong password, a server that is too old). What may pass by itself is logged,
    /// and readiness goes on asking.
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
        // Taken, so that a connection whose question was cut short is not used again.
        let mut connection = match probe.connection.take() {
            Some(connection) => connection,
            None => self.connector.connect().await?,
        };
        if !probe.checked {
            connect::check_versions(&mut connection).await?;
            match migrations::pending(&mut connection).await? {
                0 => probe.checked = true,
                n => return Err(error::unavailable(format!("{n} migrations are pending; run `udaconnect migrate`"))),
            }
        }
        connection.batch_execute("SELECT 1").await.map_err(error::from_diesel)?;
        probe.connection = Some(connection);
        Ok(())
    }

    /// Writes the gauges that `/metrics` shows.
    pub fn measure(&self) {
        let status = self.pool.status();
        metrics::gauge!("udaconnect_database_pool_size").set(status.max_size as f64);
        metrics::gauge!("udaconnect_database_pool_in_use").set(status.size.saturating_sub(status.available) as f64);
        metrics::gauge!("udaconnect_database_pool_waiting").set(status.waiting as f64);
    }

    async fn connection(&self) -> Result<Object<AsyncPgConnection>> {
        connect::checkout(&self.pool, self.wait).await
    }
}
