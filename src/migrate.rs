//! The role that brings the schema up, or down.

use crate::store::{DatabaseArgs, Migrator};

/// Bring the database's schema up to date, then exit
///
/// Safe when several start at once: one migrates, the others wait for it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Change nothing; exit with status 1 while migrations are pending
    #[arg(long, conflicts_with = "revert")]
    check: bool,
    /// Revert the last N migrations instead; their tables' data are lost
    #[arg(long, value_name = "N")]
    revert: Option<usize>,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut migrator = Migrator::connect(&args.database).await?;
    if args.check {
        return match migrator.pending().await? {
            0 => {
                println!("the schema is up to date");
                Ok(())
            }
            n => anyhow::bail!("{n} migrations are pending; run `udaconnect migrate`"),
        };
    }
    let (done, verb) = match args.revert {
        Some(count) => (migrator.down(count).await?, "reverted"),
        None => (migrator.up().await?, "applied"),
    };
    for name in &done {
        println!("{verb} {name}");
    }
    if done.is_empty() {
        println!("the schema is up to date");
    }
    Ok(())
}
