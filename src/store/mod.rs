//! PostgreSQL: every line of SQL in the program.
//!
//! [`Store`] is cheap to clone and holds the pool. Errors leave as [`domain::Error`](crate::domain::Error): unreachable is
//! `Unavailable`, past its time limit is `TimedOut`, what an operator must mend is `Invalid`.

mod connect;
mod error;
mod locations;
mod migrations;
mod persons;
mod schema;
mod statement;

pub use connect::{DatabaseArgs, DatabaseUrl};
pub use locations::{LocationPosition, Stored};
pub use migrations::{Applied, Migrator};

use crate::domain::{Error, Result};
use connect::Connector;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use std::sync::Arc;
use std::time::Duration;

/// The database, through a pool of connections.
#[derive(Clone)]
pub struct Store {
    pool: Pool<AsyncPgConnection>,
    connector: Connector,
    wait: Duration,
    partitions: Arc<locations::Partitions>,
}

impl Store {
    /// Prepares a pool; connects to nothing yet. `application` is what `pg_stat_activity` shows.
    pub fn new(args: &DatabaseArgs, application: &str) -> Result<Self> {
        let connector = Connector::new(args, application)?;
        let wait = connector.connect_timeout();
        Ok(Self { pool: connector.clone().pool()?, connector, wait, partitions: Arc::default() })
    }

    /// Whether the database can be used: reachable, new enough, with PostGIS and with at least our migrations.
    ///
    /// `Error::Invalid` is for the operator to mend; `Error::Unavailable` may pass.
    pub async fn check(&self) -> Result<()> {
        // Not through the pool: its errors do not tell a wrong password from a server that is down.
        let mut connection = self.connector.connect().await?;
        connect::check_versions(&mut connection).await?;
        match migrations::pending(&mut connection).await? {
            0 => Ok(()),
            n => Err(Error::Unavailable {
                dependency: error::POSTGRES,
                detail: format!("{n} migrations are pending; run `udaconnect migrate`"),
            }),
        }
    }

    /// Whether a pooled connection answers: the cheap question of a readiness probe.
    pub async fn ping(&self) -> Result<()> {
        use diesel_async::SimpleAsyncConnection;
        let mut connection = self.connection().await?;
        tokio::time::timeout(self.wait, connection.batch_execute("SELECT 1"))
            .await
            .map_err(|_| error::unavailable("no answer"))?
            .map_err(error::from_diesel)
    }

    /// How many connections are in use, and how many there may be.
    pub fn pool_use(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size - status.available, status.max_size)
    }

    async fn connection(&self) -> Result<Object<AsyncPgConnection>> {
        connect::checkout(&self.pool, self.wait).await
    }
}
