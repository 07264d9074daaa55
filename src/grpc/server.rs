//! The gRPC server: its services, limits, health and reflection, and how it ends.

use super::connections::Connections;
use super::events::Events;
use super::incoming::connections;
use super::limits::Limits;
use super::locations::Locations;
use super::observe::{self, observe};
use super::persons::Persons;
use crate::codec::DESCRIPTORS;
use crate::codec::proto::connection_service_server::ConnectionServiceServer;
use crate::codec::proto::event_service_server::EventServiceServer;
use crate::codec::proto::location_service_server::LocationServiceServer;
use crate::codec::proto::person_service_server::PersonServiceServer;
use crate::runtime::DRAIN_SECONDS;
use crate::runtime::shutdown::after_pause;
use crate::service::Service;
use std::net::TcpListener;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How the gRPC server behaves, wherever it runs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "gRPC")]
pub struct GrpcArgs {
    /// The largest message taken, in bytes
    #[arg(long, env, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1_024..=64 << 20))]
    grpc_max_message: u32,
    /// Connections that may be open; further ones wait
    #[arg(long, env, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    grpc_max_connections: u32,
    /// Calls and streams that may be open on all connections together
    #[arg(long, env, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    grpc_max_calls: u32,
    /// How long a connection may be open without a call
    #[arg(long, env, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    grpc_idle_timeout: u64,
    /// Calls and streams that one connection may have open
    #[arg(long, env, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    grpc_max_streams: u32,
    /// How long a call may take that is no stream
    #[arg(long, env, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..DRAIN_SECONDS))]
    grpc_timeout: u64,
    /// A connection on which nothing moves is asked for a sign of life this often
    #[arg(long, env, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    grpc_keepalive: u64,
}

/// How long a connection may take to answer a sign of life.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(20);
/// What a phone may have under way before it must wait for the server to read, bytes. This and the limit of messages bound
/// what a connection can make the server hold.
const STREAM_WINDOW: u32 = 128 << 10;
pub(super) const CONNECTION_WINDOW: u32 = 128 << 10;
/// The largest request about the server itself, bytes.
const SMALL_MESSAGE: usize = 16 << 10;
/// The largest headers of a call, bytes.
const HEADERS: u32 = 16 << 10;

/// Serves until the token is cancelled, calls in flight are answered, and streams have been acknowledged and ended.
pub async fn serve(
    listener: TcpListener,
    args: GrpcArgs,
    service: Service,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let idle = Duration::from_secs(args.grpc_idle_timeout);
    let incoming = connections(listener, args.grpc_max_connections as usize, idle);

    let (health, health_service) = tonic_health::server::health_reporter();
    let reporting = tokio::spawn(report_health(health, service.clone(), shutdown.clone()));
    let max = args.grpc_max_message as usize;
    let timeout = Duration::from_secs(args.grpc_timeout);
    let locations = Locations { service: service.clone(), timeout, shutdown: shutdown.clone() };
    let events = Events { service: service.clone(), timeout };
    let connections = Connections { service: service.clone(), timeout };
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // With these, tools can show the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = Routes::builder();
    routes
        .add_service(health_service.max_decoding_message_size(SMALL_MESSAGE))
        .add_service(reflection().build_v1()?.max_decoding_message_size(SMALL_MESSAGE))
        // What most tools still ask.
        .add_service(reflection().build_v1alpha()?.max_decoding_message_size(SMALL_MESSAGE))
        .add_service(LocationServiceServer::new(locations).max_decoding_message_size(max))
        .add_service(ConnectionServiceServer::new(connections).max_decoding_message_size(max))
        .add_service(EventServiceServer::new(events).max_decoding_message_size(max))
        .add_service(PersonServiceServer::new(Persons { service: service.clone() }).max_decoding_message_size(max));
    let router = routes.routes().into_axum_router().layer(axum::middleware::from_fn(observe));
    let limits = Limits::new(args.grpc_max_calls as usize, max);
    let router = observe::add_probes(router, service.probes(shutdown.clone()))
        .layer(axum::middleware::from_fn(move |asked, next| limits.clone().apply(asked, next)));

    tracing::info!(%address, "serving gRPC");
    let served = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(args.grpc_max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(Duration::from_secs(args.grpc_keepalive)))
        .http2_keepalive_timeout(Some(KEEPALIVE_PATIENCE))
        .http2_max_header_list_size(HEADERS)
        .add_routes(Routes::from(router))
        .serve_with_incoming_shutdown(incoming, after_pause(&shutdown));
    // A client that keeps its connection open must not keep the process.
    let served = tokio::select! {
        served = served => served.map_err(anyhow::Error::from),
        () = async {
            after_pause(&shutdown).await;
            tokio::time::sleep(Duration::from_secs(DRAIN_SECONDS)).await;
        } => Ok(()),
    };
    reporting.abort();
    served
}

/// How often health is asked for.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps `grpc.health.v1` up to date, for each service and for the server as a whole, which is as well as ingest is.
async fn report_health(health: HealthReporter, service: Service, shutdown: CancellationToken) {
    let status = |well| if well { ServingStatus::Serving } else { ServingStatus::NotServing };
    loop {
        let postgres = tokio::time::timeout(HEALTH_INTERVAL * 2, service.database_ready()).await;
        let postgres = postgres.is_ok_and(|ready| ready.is_ok());
        let ingest = if service.has_queue() { service.queue_ready().is_ok() } else { postgres };
        let drains = shutdown.is_cancelled();
        for (service, well) in [
            ("", ingest),
            ("udaconnect.v1.LocationService", ingest),
            ("udaconnect.v1.PersonService", postgres),
            ("udaconnect.v1.EventService", postgres),
            ("udaconnect.v1.ConnectionService", postgres),
        ] {
            health.set_service_status(service, status(well && !drains)).await;
        }
        tokio::select! {
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
            () = shutdown.cancelled(), if !drains => {}
        }
    }
}
