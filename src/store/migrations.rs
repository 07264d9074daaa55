//! The schema, embedded in the binary, brought up and down.

use super::connect::{self, Connector, DatabaseArgs};
use super::connection::Connection;
use super::error::from_diesel;
use crate::domain::{Error, Result};
use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::collections::HashSet;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The name of one migration that was run or reverted.
pub type Applied = String;

/// Runs migrations on a connection of its own, one process at a time.
pub struct Migrator {
    connection: Connection,
    /// Migrations have no time limit; without this a silent server would be waited for for ever.
    _watch: connect::AbortOnDrop,
}

impl Migrator {
    /// Connects and checks the server's versions.
    pub async fn connect(args: &DatabaseArgs) -> Result<Self> {
        let connector = Connector::new(args, "migrate")?;
        let mut connection = connector.connect().await?;
        connect::check_versions(&mut connection).await?;
        Ok(Self { connection, _watch: connector.watch() })
    }

    /// How many migrations of this binary the database lacks.
    pub async fn pending(&mut self) -> Result<usize> {
        pending(&mut self.connection).await
    }

    /// Runs what is pending, oldest first, each in a transaction. Several may start at once: the others wait for the first
    /// and then find nothing to do.
    pub async fn up(self) -> Result<Vec<Applied>> {
        self.locked(|harness| {
            Ok(harness.run_pending_migrations(MIGRATIONS)?.into_iter().map(|version| version.to_string()).collect())
        })
        .await
    }

    /// Reverts the last `count` migrations, newest first.
    pub async fn down(self, count: usize) -> Result<Vec<Applied>> {
        self.locked(|harness| {
            (0..count.min(harness.applied_migrations()?.len()))
                .map(|_| Ok(harness.revert_last_migration(MIGRATIONS)?.to_string()))
                .collect()
        })
        .await
    }

    async fn locked(
        mut self,
        work: impl FnOnce(&mut AsyncMigrationHarness<Connection>) -> diesel::migration::Result<Vec<Applied>>,
    ) -> Result<Vec<Applied>> {
        // A session lock: it goes with the connection, however this ends. No time limit: a migration may rewrite a table,
        // and whoever waits for the lock waits for that.
        self.connection.set_limit(None);
        self.connection
            .batch_execute("SET statement_timeout = 0; SELECT pg_advisory_lock(hashtext('udaconnect migrate'))")
            .await
            .map_err(from_diesel)?;
        let mut harness = AsyncMigrationHarness::new(self.connection);
        work(&mut harness).map_err(explain)
    }
}

fn explain(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let text = error.to_string();
    if text.contains("permission denied to create extension") {
        Error::invalid(
            "DATABASE_URL",
            format!(
                "{text}; let a superuser run `CREATE EXTENSION postgis; CREATE EXTENSION pg_trgm;` in this database once"
            ),
        )
    } else {
        Error::Internal(format!("migration failed: {text}"))
    }
}

pub(super) async fn pending(connection: &mut Connection) -> Result<usize> {
    #[derive(diesel::QueryableByName)]
    struct Version {
        #[diesel(sql_type = diesel::sql_types::Text)]
        version: String,
    }
    let ours: Vec<String> = MigrationSource::<Pg>::migrations(&MIGRATIONS)
        .map_err(explain)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    // Asked by hand and not through the harness, which would create diesel's table where it only should look.
    let exists = diesel::sql_query(
        "SELECT 'yes' AS version WHERE to_regclass('__diesel_schema_migrations') IS NOT NULL AND to_regclass('location') IS NOT NULL",
    )
    .load::<Version>(connection)
    .await
    .map_err(from_diesel)?;
    if exists.is_empty() {
        return Ok(ours.len());
    }
    let applied: HashSet<String> = diesel::sql_query("SELECT version::text AS version FROM __diesel_schema_migrations")
        .load::<Version>(connection)
        .await
        .map_err(from_diesel)?
        .into_iter()
        .map(|row| row.version)
        .collect();
    Ok(ours.iter().filter(|version| !applied.contains(*version)).count())
}
