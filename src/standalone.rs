//! All serving roles in one process, for one machine and for trying things out.

use crate::api::{self, ApiArgs};
use crate::ingest::{BatchWriter, WriterArgs};
use crate::runtime::{ListenAddr, bind};
use crate::store::{DatabaseArgs, Store};
use tokio_util::sync::CancellationToken;

/// Serve everything in one process
///
/// Locations are written straight to the database: an answer means that they are stored.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where the REST API listens
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30001")]
    api_listen_addr: ListenAddr,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    ingest: WriterArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Runs until the token is cancelled and what is in flight is done.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let api_listener = bind(&args.api_listen_addr, "API_LISTEN_ADDR").map_err(anyhow::Error::msg)?;
    let store = Store::new(&args.database, "standalone")?;
    store.check_at_start().await?;
    let (sink, writers) = BatchWriter::start(&store, &args.ingest);
    api::serve(api_listener, args.api, store, sink, shutdown).await?;
    writers.drained().await;
    Ok(())
}
