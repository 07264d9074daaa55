//! All serving roles in one process, for one machine and for trying things out.

use crate::api::{self, ApiArgs};
use crate::app::{self, AppArgs};
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
    /// Where the web app listens
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30000")]
    app_listen_addr: ListenAddr,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    ingest: WriterArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Runs until the token is cancelled and what is in flight is done.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let api_listener = bind(&args.api_listen_addr, "API_LISTEN_ADDR").map_err(anyhow::Error::msg)?;
    let app_listener = bind(&args.app_listen_addr, "APP_LISTEN_ADDR").map_err(anyhow::Error::msg)?;
    let api_port = api_listener.local_addr()?.port();
    let store = Store::new(&args.database, "standalone")?;
    store.check_at_start().await?;
    let (sink, writers) = BatchWriter::start(&store, &args.ingest);
    // A server that fails takes the other with it: half a service would look like a whole one.
    let stop = shutdown.child_token();
    let (api, app) = tokio::join!(
        then_stop(&stop, api::serve(api_listener, args.api, store, sink, stop.clone())),
        then_stop(&stop, app::serve(app_listener, args.app, api_port, stop.clone())),
    );
    api.and(app)?;
    writers.drained().await;
    Ok(())
}

async fn then_stop<T>(stop: &CancellationToken, server: impl Future<Output = T>) -> T {
    let ended = server.await;
    stop.cancel();
    ended
}
