//! The web app, served from the binary. It has no private door: its pages use the REST API, as everybody may.

mod files;
mod headers;
mod server;
mod settings;

pub use server::serve;
pub use settings::AppArgs;

use crate::runtime::{ListenAddr, bind, ports};
use tokio_util::sync::CancellationToken;

/// Serve the web app
#[derive(Clone, Debug, clap::Args)]
pub struct ServeAppArgs {
    /// Where to listen
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30000")]
    listen_addr: ListenAddr,
    #[command(flatten)]
    app: AppArgs,
}

/// Runs the role until the token is cancelled and what is in flight is done.
pub async fn run(args: ServeAppArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(&args.listen_addr, "LISTEN_ADDR", ports::APP).map_err(anyhow::Error::msg)?;
    serve(listener, args.app, ports::API, shutdown).await?;
    Ok(())
}
