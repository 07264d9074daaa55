//! REST: routes, JSON shapes and problem details. The only place that knows HTTP statuses.

mod batch;
mod body;
mod connections;
mod docs;
mod events;
mod extract;
mod files;
mod json;
mod locations;
mod negotiate;
mod owntracks;
mod persons;
mod problem;
mod query;
mod receipts;
mod routes;
mod server;

pub use docs::{OpenApiArgs, print as print_openapi};
pub use server::{ApiArgs, serve};

use crate::domain::Error;
use crate::runtime::{ListenAddr, bind, ports};
use crate::service::ServiceArgs;
use tokio_util::sync::CancellationToken;

/// Serve the REST API, its documentation and its probes
#[derive(Clone, Debug, clap::Args)]
pub struct ServeApiArgs {
    /// Where to listen
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:30001")]
    listen_addr: ListenAddr,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Runs the role until the token is cancelled and what is in flight is done.
pub async fn run(args: ServeApiArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(&args.listen_addr, "LISTEN_ADDR", ports::API).map_err(anyhow::Error::msg)?;
    let (service, drain) = args.service.start("serve-api").await?;
    serve(listener, args.api, service, shutdown).await?;
    drain.drained().await;
    Ok(())
}

/// What a handler returns.
type Response = Result<actix_web::HttpResponse, problem::Problem>;

impl From<Error> for problem::Problem {
    fn from(error: Error) -> Self {
        problem::of(error)
    }
}
