//! Finds statements that we wait for and the server does not work on: something between the two has swallowed one half of the
//! talk. Their own time limit would end them too, but that may be long.

use super::connect::Connector;
use super::connection::{Connection, State};
use super::error::from_diesel;
use super::statement::{Bind, Statement};
use crate::domain::Result;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(1);
/// What has been waited for less long is not asked about.
const SUSPECT: Duration = Duration::from_secs(3);
/// How long the server may take to tell.
const PATIENCE: Duration = Duration::from_secs(2);

/// The connections of a process to one database.
#[derive(Default)]
pub(super) struct Known(Mutex<Vec<Weak<State>>>);

impl Known {
    pub(super) fn add(&self, state: &Arc<State>) {
        let mut known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.retain(|state| state.strong_count() > 0);
        known.push(Arc::downgrade(state));
    }

    /// Ends every wait that is under way.
    pub(super) fn give_up_all(&self) {
        let known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.iter().filter_map(Weak::upgrade).for_each(|state| state.give_up());
    }

    /// Those whose statement has been waited for for a while, each with the statement's number.
    fn suspects(&self) -> Vec<(Arc<State>, u64)> {
        let known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let states = known.iter().filter_map(Weak::upgrade);
        states.filter_map(|state| state.waited_for(SUSPECT).map(|statement| (state, statement))).collect()
    }
}

/// Looks until the task is aborted.
pub(super) async fn run(connector: Connector) {
    let mut connection = None;
    // What the server did not work on when last asked: its answer may just have been on its way.
    let mut idle: HashSet<(i64, u64)> = HashSet::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let suspects = connector.known().suspects();
        if suspects.is_empty() {
            idle.clear();
            continue;
        }
        let pids: Vec<i64> = suspects.iter().map(|(state, _)| state.pid()).collect();
        // No answer proves nothing: each statement has its limit.
        let Ok(at_work) = at_work(&connector, &mut connection, &pids).await else {
            connection = None;
            continue;
        };
        let now: HashSet<(i64, u64)> = suspects
            .iter()
            .map(|(state, statement)| (state.pid(), *statement))
            .filter(|(pid, _)| !at_work.contains(pid))
            .collect();
        for (state, statement) in suspects {
            let this = (state.pid(), statement);
            if now.contains(&this) && idle.contains(&this) && state.waited_for(SUSPECT) == Some(statement) {
                tracing::warn!(backend = state.pid(), "the database does not work on what was asked of it; giving up");
                state.give_up();
            }
        }
        idle = now;
    }
}

/// Those of the server's processes that are there and work on something.
async fn at_work(connector: &Connector, kept: &mut Option<Connection>, pids: &[i64]) -> Result<HashSet<i64>> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => connector.connect().await?,
    };
    connection.set_limit(Some(PATIENCE));
    let rows: Vec<(i64,)> = Statement::<(BigInt,)>::new(
        "SELECT pid::bigint FROM pg_stat_activity
         WHERE pid = ANY($1) AND coalesce(state, '') NOT IN
             ('idle', 'idle in transaction', 'idle in transaction (aborted)')",
        vec![Bind::Ids(pids)],
    )
    .load(&mut connection)
    .await
    .map_err(from_diesel)?;
    *kept = Some(connection);
    Ok(rows.into_iter().map(|(pid,)| pid).collect())
}
