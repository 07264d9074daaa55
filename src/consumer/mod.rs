//! Role: Kafka → PostgreSQL. A worker owns partitions and runs one pump for each: fetch → decode → commit.

mod fetch;
mod letters;
mod ownership;
mod pump;
mod status;

pub use ownership::consume;
pub use status::Status;

use crate::runtime::probes::{self, Probes};
use crate::runtime::{DRAIN_SECONDS, ListenAddr, bind, close_when_draining, end_unread_bodies, ports, run_until};
use crate::service::clock::ClockArgs;
use crate::store::{DatabaseArgs, Store};
use crate::stream::KafkaArgs;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Store what Kafka holds: run as many of these as are needed, they share the work
#[derive(Clone, Debug, clap::Args)]
#[command(mut_arg("kafka_bootstrap", |arg| arg.required(true)))]
pub struct ConsumerArgs {
    /// Where probes and metrics are served
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30003")]
    listen_addr: ListenAddr,
    #[command(flatten)]
    consume: ConsumeArgs,
    #[command(flatten)]
    clock: ClockArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// How records are taken from Kafka and stored.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Consumer")]
pub struct ConsumeArgs {
    /// Where to go on when the records that come next are not in Kafka any more
    #[arg(long, env, value_enum, default_value_t = OffsetReset::Earliest)]
    offset_reset: OffsetReset,
    /// The most records in one transaction
    #[arg(long, env, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    consume_batch: u32,
    /// How long a transaction waits to be filled, in milliseconds
    #[arg(long, env, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    consume_wait: u64,
    /// Transactions under way at once, a database connection each
    #[arg(long, env, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    consume_writers: u32,
    #[command(flatten)]
    letters: letters::LetterArgs,
}

/// Connections of probes and of who reads metrics.
const PROBES: usize = 64;

/// What to do when retention was faster than the workers, or the topic was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OffsetReset {
    /// With the oldest record that is left; what is missing becomes a dead letter without a value
    Earliest,
    /// With the next record that is written; all before it becomes a dead letter without values
    Latest,
    /// Nowhere: the partition waits for an operator, and the worker is not ready
    Stop,
}

impl ConsumeArgs {
    fn wait(&self) -> Duration {
        Duration::from_millis(self.consume_wait)
    }
}

/// Runs the role until the token is cancelled and what is being stored is stored.
pub async fn run(args: ConsumerArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(&args.listen_addr, "LISTEN_ADDR", ports::CONSUMER).map_err(anyhow::Error::msg)?;
    let store = Store::new(&args.database, "consume")?;
    store.check_at_start().await?;
    let status = Status::default();
    let (asked, measured) = (store.clone(), store.clone());
    let (kafka, storing, progress) = (status.clone(), status.clone(), status.clone());
    let probes = Probes::new(shutdown.clone())
        .dependency("postgres", move || {
            let store = asked.clone();
            async move { store.ready().await.map_err(|error| error.to_string()) }
        })
        .dependency("kafka", move || std::future::ready(kafka.check()))
        .dependency("storing", move || std::future::ready(storing.check_storing()))
        .gauges(move || measured.measure())
        .gauges(move || progress.measure());
    let address = listener.local_addr()?;
    let token = shutdown.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(token.clone()))
            .wrap(from_fn(close_when_draining))
            .wrap(from_fn(end_unread_bodies))
            .configure(probes::routes(probes.clone(), &[""]))
    })
    .workers(1)
    .max_connections(PROBES)
    .disable_signals()
    .shutdown_timeout(DRAIN_SECONDS)
    .listen(listener)?
    .run();
    tracing::info!(%address, "consuming; probes and metrics are here");
    let working = consume(store, &args.kafka, &args.consume, args.clock.clock(), status, shutdown.clone());
    let (worked, served) = tokio::join!(
        async {
            let worked = working.await;
            shutdown.cancel();
            worked
        },
        run_until(server, shutdown.clone())
    );
    worked?;
    served?;
    Ok(())
}
