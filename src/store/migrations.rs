//! The schema, embedded in the binary, brought up and down, statement by statement.
//!
//! Nobody who stores or asks waits long for a migration: a statement that does not get its locks within [`LOCK_TIMEOUT`] gives
//! up, lets those pass who waited behind it, and tries again.

use super::connect::{self, Connector, DatabaseArgs};
use super::connection::Connection;
use super::error::from_diesel;
use super::script::{Script, Step};
use super::sqlstate::code_of;
use crate::domain::{Error, Result};
use diesel::result::Error as Diesel;
use diesel::sql_types::Text;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// One directory of `migrations/`.
struct Migration {
    /// The digits that its name begins with.
    version: &'static str,
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

// `MIGRATIONS`, oldest first.
include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// How the name ends of a migration that removes what only older versions of the program use.
const CONTRACT: &str = "_contract";
/// How long a statement waits for its locks, and with it everybody who comes after it.
const LOCK_TIMEOUT: &str = "200ms";
/// The pause after which it tries again, doubled each time up to the longest.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Others were in the way: locks that were not to be had, a deadlock.
const IN_THE_WAY: &[&str] = &["55P03", "40P01"];
/// After these a file is begun anew. The last one is how a file asks for it itself.
const BEGUN_ANEW: &[&str] = &["55P03", "40P01", "40001"];
/// How long it tries.
const PATIENCE: Duration = Duration::from_secs(600);

/// How Citus distributes each table. Tables that stand above events stay on the coordinator.
const DISTRIBUTED: [(&str, &str); 3] = [
    ("event", "SELECT create_reference_table('event')"),
    ("person", "SELECT create_distributed_table('person', 'event_id')"),
    ("location", "SELECT create_distributed_table('location', 'event_id', colocate_with => 'person')"),
];

/// The version of one migration that was run or reverted.
pub type Applied = String;

/// Which migrations are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationScope {
    /// Those that the program's running versions, the one before this included, can work with; in a database without a schema, all.
    Compatible,
    /// Also those that remove what only older versions use.
    Contract,
}

/// How many migrations have not been run yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Migrations that this version needs.
    pub needed: usize,
    /// Those that wait until no older version runs any more.
    pub contract: usize,
}

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
    pub async fn pending(&mut self) -> Result<Pending> {
        pending(&mut self.connection).await
    }

    /// Runs the pending migrations, oldest first. Several processes may start at once: the others wait for the first, and then find
    /// nothing to do.
    pub async fn up(&mut self, scope: MigrationScope) -> Result<Vec<Applied>> {
        self.lock().await?;
        let fresh = !has_schema(&mut self.connection).await?;
        let applied = applied(&mut self.connection).await?;
        let mut done = Vec::new();
        for migration in &MIGRATIONS {
            let wanted = !migration.is_contract() || fresh || scope == MigrationScope::Contract;
            if wanted && !applied.contains(migration.version) {
                let note = format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{}')", migration.version);
                self.run(migration, migration.up, &note).await?;
                done.push(migration.version.to_owned());
            }
        }
        Ok(done)
    }

    /// Reverts the last `count` migrations, newest first.
    pub async fn down(&mut self, count: usize) -> Result<Vec<Applied>> {
        self.lock().await?;
        let mut applied: Vec<String> = applied(&mut self.connection).await?.into_iter().collect();
        applied.sort_unstable_by(|a, b| b.cmp(a));
        applied.truncate(count);
        for version in &applied {
            let migration = MIGRATIONS.iter().find(|migration| migration.version == version).ok_or_else(|| {
                Error::invalid("revert", format!("this version of the program has no migration {version} to revert"))
            })?;
            let note = format!("DELETE FROM __diesel_schema_migrations WHERE version = '{version}'");
            self.run(migration, migration.down, &note).await?;
        }
        Ok(applied)
    }

    /// Divides the events among the servers of a Citus cluster: all of one event's rows are on one. Returns the tables that were
    /// not divided yet. [`Error::Invalid`] where there is no Citus, or an older version may still run.
    pub async fn distribute(&mut self) -> Result<Vec<&'static str>> {
        let there = texts(&mut self.connection, "SELECT 'yes' AS line FROM pg_extension WHERE extname = 'citus'").await;
        if there.map_err(from_diesel)?.is_empty() {
            let why = "needs a database with the extension citus, and this one has none; without it everything stays on one \
                       server, which needs no step";
            return Err(Error::invalid("--distribute", why));
        }
        let pending = pending(&mut self.connection).await?;
        if pending != Pending::default() {
            let why =
                "needs the whole schema, and keys that begin with the event; run `udaconnect migrate --contract` first";
            return Err(Error::invalid("--distribute", why));
        }
        self.lock().await?;
        let mut done = Vec::new();
        for (table, call) in DISTRIBUTED {
            let known = format!("SELECT 'yes' AS line FROM pg_dist_partition WHERE logicalrelid = '{table}'::regclass");
            if texts(&mut self.connection, &known).await.map_err(from_diesel)?.is_empty() {
                tracing::info!(table, "distributing");
                self.connection.batch_execute(call).await.map_err(|error| explain("--distribute", error))?;
                done.push(table);
            }
        }
        Ok(done)
    }

    async fn lock(&mut self) -> Result<()> {
        // A session lock: it goes with the connection, however this ends. No time limit: a migration may rewrite a table,
        // and whoever waits for the lock waits for that. It is asked for again and again, since whoever waits for it in a
        // statement holds a snapshot, for which the one that has it would wait before an index is complete.
        self.connection.set_limit(None);
        self.connection.batch_execute("SET statement_timeout = 0").await.map_err(from_diesel)?;
        loop {
            let got: bool = diesel::select(diesel::dsl::sql::<diesel::sql_types::Bool>(
                "pg_try_advisory_lock(hashtext('udaconnect migrate'))",
            ))
            .get_result(&mut self.connection)
            .await
            .map_err(from_diesel)?;
            if got {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        // As diesel's own command line has it.
        let table = "CREATE TABLE IF NOT EXISTS __diesel_schema_migrations (
            version varchar(50) PRIMARY KEY NOT NULL, run_on timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)";
        self.connection.batch_execute(table).await.map_err(from_diesel)
    }

    /// Runs a file and notes that it was.
    async fn run(&mut self, migration: &Migration, file: &str, note: &str) -> Result<()> {
        let script = Script::read(file);
        let mut patience = Patience::new(migration.name);
        loop {
            let done = match script.one_transaction {
                true => self.run_as_one(&script, note).await,
                false => self.run_one_by_one(&script, note, &mut patience).await,
            };
            match done {
                Ok(()) => return Ok(()),
                Err(error) if patience.again(&error, BEGUN_ANEW).await => {}
                Err(error) => return Err(explain(migration.name, error)),
            }
        }
    }

    async fn run_as_one(&mut self, script: &Script<'_>, note: &str) -> std::result::Result<(), Diesel> {
        self.connection.batch_execute(&format!("BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")).await?;
        let done = self.run_all(script, note).await;
        self.connection.batch_execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        done
    }

    async fn run_all(&mut self, script: &Script<'_>, note: &str) -> std::result::Result<(), Diesel> {
        for step in &script.steps {
            match step {
                Step::Run(statement) => self.connection.batch_execute(statement).await?,
                Step::RunEachRow(query) => {
                    for statement in texts(&mut self.connection, query).await? {
                        self.connection.batch_execute(&statement).await?;
                    }
                }
            }
        }
        self.connection.batch_execute(note).await
    }

    async fn run_one_by_one(
        &mut self,
        script: &Script<'_>,
        note: &str,
        patience: &mut Patience,
    ) -> std::result::Result<(), Diesel> {
        for step in &script.steps {
            match step {
                Step::Run(statement) => self.run_alone(statement, patience).await?,
                Step::RunEachRow(query) => {
                    for statement in texts(&mut self.connection, query).await? {
                        self.run_alone(&statement, patience).await?;
                    }
                }
            }
        }
        self.connection.batch_execute(note).await
    }

    /// Runs a statement until it gets its locks. One that is CONCURRENTLY holds up nobody and may wait; begun anew it would find
    /// what it had left, so that its failure is the whole file's.
    async fn run_alone(&mut self, statement: &str, patience: &mut Patience) -> std::result::Result<(), Diesel> {
        let concurrently = statement.contains(" CONCURRENTLY ");
        let timeout = if concurrently { "0" } else { LOCK_TIMEOUT };
        self.connection.batch_execute(&format!("SET lock_timeout = '{timeout}'")).await?;
        tracing::info!(statement = statement.lines().next_back(), "migrating");
        loop {
            match self.connection.batch_execute(statement).await {
                Err(error) if !concurrently && patience.again(&error, IN_THE_WAY).await => {}
                done => return done,
            }
        }
    }
}

impl Migration {
    fn is_contract(&self) -> bool {
        self.name.ends_with(CONTRACT)
    }
}

/// How long a migration has tried.
struct Patience {
    name: &'static str,
    began: Instant,
    pause: Duration,
}

impl Patience {
    fn new(name: &'static str) -> Self {
        Self { name, began: Instant::now(), pause: PAUSE }
    }

    /// Waits and says whether to try once more, if the error is one of these.
    async fn again(&mut self, error: &Diesel, codes: &[&str]) -> bool {
        if !code(error).is_some_and(|code| codes.contains(&code)) || self.began.elapsed() >= PATIENCE {
            return false;
        }
        tracing::info!(migration = self.name, %error, "others are in the way; trying again");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}

fn code(error: &Diesel) -> Option<&str> {
    match error {
        Diesel::DatabaseError(_, info) => code_of(info.message()),
        _ => None,
    }
}

fn explain(name: &str, error: Diesel) -> Error {
    let text = error.to_string();
    match code(&error) {
        Some("42501") if text.contains("extension") => Error::invalid(
            "DATABASE_URL",
            format!(
                "{text}; let a superuser run `CREATE EXTENSION postgis; CREATE EXTENSION pg_trgm;` in this database once"
            ),
        ),
        Some("55P03") => Error::Internal(format!(
            "migration {name} did not get its locks within {} s, since somebody's transaction stays open (pg_stat_activity \
             has it); run it again: {text}",
            PATIENCE.as_secs()
        )),
        _ => Error::Internal(format!("migration {name} failed: {text}")),
    }
}

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// The one column of a query, which is named `line`.
async fn texts(connection: &mut Connection, query: &str) -> std::result::Result<Vec<String>, Diesel> {
    let lines: Vec<Line> = diesel::sql_query(query).load(connection).await?;
    Ok(lines.into_iter().map(|line| line.line).collect())
}

/// Whether there is anything of ours.
async fn has_schema(connection: &mut Connection) -> Result<bool> {
    let found = texts(connection, "SELECT 'location' AS line WHERE to_regclass('location') IS NOT NULL").await;
    Ok(!found.map_err(from_diesel)?.is_empty())
}

async fn applied(connection: &mut Connection) -> Result<HashSet<String>> {
    let found = texts(connection, "SELECT version::text AS line FROM __diesel_schema_migrations").await;
    Ok(found.map_err(from_diesel)?.into_iter().collect())
}

pub(super) async fn pending(connection: &mut Connection) -> Result<Pending> {
    // The table is asked for first: this only looks, and creates nothing.
    let noted = "SELECT 'yes' AS line WHERE to_regclass('__diesel_schema_migrations') IS NOT NULL";
    let noted = !texts(connection, noted).await.map_err(from_diesel)?.is_empty();
    if !noted || !has_schema(connection).await? {
        return Ok(Pending { needed: MIGRATIONS.len(), contract: 0 });
    }
    let applied = applied(connection).await?;
    let (contract, needed): (Vec<&Migration>, Vec<&Migration>) = MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(migration.version))
        .partition(|migration| migration.is_contract());
    Ok(Pending { needed: needed.len(), contract: contract.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ascend_and_every_file_has_statements() {
        assert!(MIGRATIONS.windows(2).all(|pair| pair[0].version < pair[1].version));
        for migration in &MIGRATIONS {
            assert!(!Script::read(migration.up).steps.is_empty(), "{}", migration.name);
            assert!(!Script::read(migration.down).steps.is_empty(), "{}", migration.name);
        }
    }
}
