//! Role: gRPC. Services, and the only place that knows gRPC codes.

mod body;
mod codec;
mod connections;
mod events;
mod incoming;
mod limits;
mod locations;
mod observe;
mod persons;
mod server;
mod status;
mod stream;

pub use codec::MessageCodec;
pub use server::{GrpcArgs, serve};

use crate::runtime::{ListenAddr, bind, ports};
use crate::service::ServiceArgs;
use events::at;
use tokio_util::sync::CancellationToken;

/// Serve gRPC: phones stream their locations here
///
/// Probes and metrics answer on the same port, over HTTP.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeGrpcArgs {
    /// Where to listen
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30002")]
    listen_addr: ListenAddr,
    #[command(flatten)]
    grpc: GrpcArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Runs the role until the token is cancelled and what is in flight is done.
pub async fn run(args: ServeGrpcArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(&args.listen_addr, "LISTEN_ADDR", ports::GRPC).map_err(anyhow::Error::msg)?;
    let (service, drain) = args.service.start("serve-grpc").await?;
    serve(listener, args.grpc, service, shutdown).await?;
    drain.drained().await;
    Ok(())
}
