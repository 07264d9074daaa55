//! The role that brings the schema up, or down.

use super::output;
use crate::domain::{Error, Result};
use crate::store::{DatabaseArgs, MigrationScope, Migrator};
use std::time::{Duration, Instant};

/// Bring the database's schema up to date, then exit
///
/// Safe when several start at once: one migrates, the others wait for it.
#[derive(Clone, Debug, clap::Args)]
pub struct MigrateArgs {
    /// Change nothing; exit with status 1 while migrations are pending
    #[arg(long, conflicts_with = "revert")]
    check: bool,
    /// Revert the last N migrations instead; their tables' data are lost
    #[arg(long, value_name = "N")]
    revert: Option<usize>,
    /// Also remove what only older versions of the program use; when none of them runs any more, nor will
    #[arg(long, env = "MIGRATE_CONTRACT", conflicts_with = "revert")]
    contract: bool,
    /// Divide the events among the servers of a Citus cluster, all of an event on one; only where that extension is
    #[arg(long, env = "MIGRATE_DISTRIBUTE", conflicts_with_all = ["check", "revert"])]
    distribute: bool,
    /// How long to wait for a database that does not answer yet
    #[arg(long, env = "MIGRATE_WAIT", value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    wait: u64,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let mut migrator = connect(&args).await?;
    let scope = if args.contract { MigrationScope::Contract } else { MigrationScope::Compatible };
    if args.check {
        let pending = migrator.pending().await?;
        return match pending.needed + if args.contract { pending.contract } else { 0 } {
            0 => {
                output::line(format_args!("the schema is up to date"))?;
                Ok(())
            }
            n => anyhow::bail!("{n} migrations are pending; run `udaconnect migrate`"),
        };
    }
    let (done, verb) = match args.revert {
        Some(count) => (migrator.down(count).await?, "reverted"),
        None => (migrator.up(scope).await?, "applied"),
    };
    for name in &done {
        output::line(format_args!("{verb} {name}"))?;
    }
    if args.distribute {
        for table in migrator.distribute().await? {
            output::line(format_args!("distributed {table}"))?;
        }
        output::line(format_args!("events are distributed"))?;
        return Ok(());
    }
    let pending = migrator.pending().await?;
    if done.is_empty() && pending.needed == 0 {
        output::line(format_args!("the schema is up to date"))?;
    }
    if args.revert.is_none() && pending.contract > 0 {
        output::line(format_args!(
            "{} more when no older version runs any more, nor will: `udaconnect migrate --contract`",
            pending.contract
        ))?;
    }
    Ok(())
}

/// How often a database that is away is asked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// Connects; waits for what may come by itself, as long as was asked for. What an operator must mend fails at once.
async fn connect(args: &MigrateArgs) -> Result<Migrator> {
    let (begin, patience) = (Instant::now(), Duration::from_secs(args.wait));
    let mut said = false;
    loop {
        match Migrator::connect(&args.database).await {
            Err(error @ (Error::Unavailable { .. } | Error::TimedOut(_))) if begin.elapsed() + INTERVAL <= patience => {
                if !said {
                    tracing::warn!(%error, seconds = args.wait, "waiting for the database");
                    said = true;
                }
                tokio::time::sleep(INTERVAL).await;
            }
            other => return other,
        }
    }
}
