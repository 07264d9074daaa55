//! All serving roles in one process, for one machine and for trying things out.

use crate::api::{self, ApiArgs};
use crate::app::{self, AppArgs};
use crate::consumer::{ConsumeArgs, Status, consume};
use crate::grpc::{self, GrpcArgs};
use crate::runtime::{ListenAddr, bind, ports};
use crate::service::{Service, ServiceArgs};
use crate::store::Store;
use crate::tools::maintain::{UpkeepArgs, keep_up};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Serve everything in one process
///
/// With Kafka, locations go through it and are stored from here; without, they are written straight to the database, and an
/// answer means that they are stored.
#[derive(Clone, Debug, clap::Args)]
pub struct StandaloneArgs {
    /// Where the REST API listens
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30001")]
    api_listen_addr: ListenAddr,
    /// Where gRPC listens
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30002")]
    grpc_listen_addr: ListenAddr,
    /// Where the web app listens
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30000")]
    app_listen_addr: ListenAddr,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    grpc: GrpcArgs,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    consume: ConsumeArgs,
    /// Pause between two passes of upkeep; 0 leaves it to `maintain`
    #[arg(long, env, value_name = "SECONDS", default_value_t = 3_600)]
    upkeep_interval: u64,
    #[command(flatten)]
    upkeep: UpkeepArgs,
}

/// The longest pause after a pass of upkeep that failed.
const FAILED_UPKEEP: Duration = Duration::from_secs(60);

/// Runs until the token is cancelled and what is in flight is done.
pub async fn run(args: StandaloneArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let api_listener = bind(&args.api_listen_addr, "API_LISTEN_ADDR", ports::API).map_err(anyhow::Error::msg)?;
    let grpc_listener = bind(&args.grpc_listen_addr, "GRPC_LISTEN_ADDR", ports::GRPC).map_err(anyhow::Error::msg)?;
    let app_listener = bind(&args.app_listen_addr, "APP_LISTEN_ADDR", ports::APP).map_err(anyhow::Error::msg)?;
    let api_port = api_listener.local_addr()?.port();
    let store = Store::new(&args.service.database, "standalone")?;
    store.check_at_start().await?;
    let (service, drain) = Service::new(store.clone(), &args.service.ingest, args.service.event.default_event.clone())?;
    let (clock, kafka) = (args.service.ingest.clock.clock(), &args.service.ingest.kafka);
    // A role that fails takes the others with it: a part of a service would look like the whole.
    let stop = shutdown.child_token();
    let kept = store.clone();
    let (api, grpc, app, consumer, ()) = tokio::join!(
        then_stop(&stop, api::serve(api_listener, args.api, service.clone(), stop.clone())),
        then_stop(&stop, grpc::serve(grpc_listener, args.grpc, service, stop.clone())),
        then_stop(&stop, app::serve(app_listener, args.app, api_port, stop.clone())),
        then_stop(&stop, async {
            match kafka.kafka_bootstrap {
                Some(_) => consume(store, kafka, &args.consume, clock, Status::default(), stop.clone()).await,
                None => {
                    stop.cancelled().await;
                    Ok(())
                }
            }
        }),
        async {
            tokio::select! {
                () = upkeep(&kept, &args.upkeep, Duration::from_secs(args.upkeep_interval)) => {}
                () = stop.cancelled() => {}
            }
        },
    );
    drain.drained().await;
    api?;
    grpc?;
    app?;
    Ok(consumer?)
}

/// Does what time brings, as `maintain` does where roles run apart. It is begun anew whatever happens: everything else goes on.
async fn upkeep(store: &Store, args: &UpkeepArgs, interval: Duration) {
    if interval.is_zero() {
        return std::future::pending().await;
    }
    loop {
        let pause = match keep_up(store, args, |line| tracing::info!("upkeep: {line}")).await {
            Ok(()) => interval,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "upkeep is not done; it is tried again within a minute");
                interval.min(FAILED_UPKEEP)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn then_stop<T>(stop: &CancellationToken, role: impl Future<Output = T>) -> T {
    let ended = role.await;
    stop.cancel();
    ended
}
