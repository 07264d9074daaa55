//! All serving roles in one process, for one machine and for trying things out.

use crate::api::{self, ApiArgs};
use crate::consumer::{ConsumeArgs, Status, consume};
use crate::grpc::{self, GrpcArgs};
use crate::ingest::{IngestArgs, LocationSink};
use crate::runtime::{ListenAddr, bind};
use crate::store::{DatabaseArgs, Store};
use tokio_util::sync::CancellationToken;

/// Serve everything in one process
///
/// With brokers given, locations go through Kafka and are stored by this process, too. Without, they are written straight to
/// the database: an answer means that they are stored.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where the REST API listens
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30001")]
    api_listen_addr: ListenAddr,
    /// Where gRPC listens
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30002")]
    grpc_listen_addr: ListenAddr,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    grpc: GrpcArgs,
    #[command(flatten)]
    ingest: IngestArgs,
    #[command(flatten)]
    consume: ConsumeArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Runs until the token is cancelled and what is in flight is done; when one role fails, the others are ended.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let api_listener = bind(&args.api_listen_addr, "API_LISTEN_ADDR").map_err(anyhow::Error::msg)?;
    let grpc_listener = bind(&args.grpc_listen_addr, "GRPC_LISTEN_ADDR").map_err(anyhow::Error::msg)?;
    let store = Store::new(&args.database, "standalone")?;
    store.check_at_start().await?;
    let (sink, drain) = LocationSink::start(&store, &args.ingest)?;
    let IngestArgs { clock, kafka, .. } = &args.ingest;
    let api = api::serve(api_listener, args.api, store.clone(), sink.clone(), shutdown.clone());
    let grpc = grpc::serve(grpc_listener, args.grpc, store.clone(), sink, shutdown.clone());
    let consumer = async {
        match kafka.kafka_bootstrap {
            Some(_) => {
                let status = Status::default();
                Ok(consume(store, kafka, &args.consume, clock.max_ahead(), status, shutdown.clone()).await?)
            }
            None => {
                shutdown.cancelled().await;
                anyhow::Ok(())
            }
        }
    };
    let ends = |ended: anyhow::Result<()>| {
        shutdown.cancel();
        ended
    };
    let (api, grpc, consumer) =
        tokio::join!(async { ends(api.await.map_err(Into::into)) }, async { ends(grpc.await) }, async {
            ends(consumer.await)
        });
    drain.drained().await;
    api.and(grpc).and(consumer)
}
