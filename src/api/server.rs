//! The HTTP server of the API: its paths, and the middleware around every request.

use super::owntracks::{OwnTracks, OwnTracksArgs};
use super::problem::Problem;
use super::routes::resource;
use super::{body::Coming, docs, problem};
use crate::domain::Error;
use crate::runtime::budget::ANSWERS;
use crate::runtime::probes;
use crate::runtime::{
    BudgetedBody, DRAIN_SECONDS, close_when_draining, end_unread_bodies, leave_the_deaf, observe, per_worker, reading,
    run_until,
};
use crate::service::Service;
use actix_cors::Cors;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, ETAG, ETag, EntityTag, IfNoneMatch, LINK, LOCATION, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::{Compress, DefaultHeaders, Next, from_fn};
use actix_web::{App, HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder, HttpServer, ResponseError, web};
use serde::Serialize;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How the API behaves, wherever it runs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "REST API")]
pub struct ApiArgs {
    /// Origins whose pages may call this API, comma-separated, or * for all
    #[arg(long, env, value_name = "ORIGINS", default_value = "*", value_delimiter = ',', value_parser = origin)]
    cors_allowed_origins: Vec<String>,
    /// How long a request may take before it is answered with 503
    #[arg(long, env, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..DRAIN_SECONDS))]
    request_timeout: u64,
    /// Threads that handle requests; 0 for one per processor
    #[arg(long, env, value_name = "N", default_value_t = 0)]
    http_workers: usize,
    /// Connections that may be open; further ones wait
    #[arg(long, env, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    http_max_connections: u32,
    /// How long a request's body may take to come before it is answered with 408
    #[arg(long, env, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..DRAIN_SECONDS))]
    body_timeout: u64,
    #[command(flatten)]
    owntracks: OwnTracksArgs,
}

fn origin(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let is_origin =
        url::Url::parse(text).is_ok_and(|url| url.host().is_some() && url.path() == "/" && url.query().is_none());
    if text == "*" || is_origin {
        Ok(text.to_owned())
    } else {
        Err("must be * or origins such as https://app.example.org".to_owned())
    }
}

/// What the handlers work with, besides the use cases.
#[derive(Clone)]
pub(super) struct Settings {
    pub owntracks: Arc<OwnTracks>,
    /// How long a body may take to come.
    pub body_time: Duration,
}

/// Serves until the token is cancelled and requests in flight are answered.
pub async fn serve(
    listener: TcpListener,
    args: ApiArgs,
    service: Service,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let owntracks = Arc::new(args.owntracks.read()?);
    let body_time = Duration::from_secs(args.body_timeout);
    let settings = Settings { owntracks, body_time };
    let probes = service.probes(shutdown.clone());
    let token = shutdown.clone();
    let timeout = args.request_timeout;
    let workers = match args.http_workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let server = HttpServer::new(move || {
        App::new()
            .app_data(service.clone())
            .app_data(web::Data::new(settings.clone()))
            .app_data(web::Data::new(token.clone()))
            .app_data(web::Data::new(TimeLimit(timeout)))
            .wrap(from_fn(bound_answers))
            .wrap(Compress::default())
            .wrap(cors(&args.cors_allowed_origins))
            .wrap(DefaultHeaders::new().add((X_CONTENT_TYPE_OPTIONS, "nosniff")))
            .wrap(from_fn(close_when_draining))
            .wrap(from_fn(observe))
            .wrap(from_fn(end_unread_bodies))
            .configure(probes::routes(probes.clone(), &["", "/api"]))
            .configure(routes)
    })
    .workers(workers)
    .max_connections(per_worker(args.http_max_connections, workers))
    .on_connect(leave_the_deaf)
    .disable_signals()
    .shutdown_timeout(DRAIN_SECONDS)
    // Whoever closes their side waits for nothing any more: what they asked for ends.
    .h1_allow_half_closed(false)
    .listen(listener)?
    .run();
    tracing::info!(%address, "serving the API");
    Ok(run_until(server, shutdown).await?)
}

fn routes(config: &mut web::ServiceConfig) {
    for path in docs::paths() {
        config.service(path.resource().wrap(from_fn(time_limit)));
    }
    // Other names of what is documented under one.
    for (alias, route) in [("/health", reading().to(docs::health)), ("/api/", reading().to(docs::index))] {
        config.service(resource(alias, "GET, HEAD", [route]));
    }
    config
        .service(
            web::resource("/{file:[^/]*}")
                .route(reading().to(docs::swagger_ui))
                .default_service(web::to(problem::no_such_path)),
        )
        .default_service(web::to(problem::no_such_path));
}

/// A page of a list, with a link to the next one.
pub(super) fn page<T: Serialize>(
    request: &HttpRequest,
    items: impl Iterator<Item = T>,
    next: Option<String>,
) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    link(request, &mut response, next);
    response.json(items.collect::<Vec<_>>())
}

/// Says where the next page is, if there is one.
pub(super) fn link(request: &HttpRequest, response: &mut HttpResponseBuilder, next: Option<String>) {
    if let Some(cursor) = next {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(
            url::form_urlencoded::parse(request.query_string().as_bytes()).filter(|(name, _)| name != "cursor"),
        );
        query.append_pair("cursor", &cursor);
        response.insert_header((LINK, format!("<{}?{}>; rel=\"next\"", request.path(), query.finish())));
    }
}

/// A JSON list with an ETag, or 304 without it if the client has it. That saves its way over the network, not its making: what
/// somebody met today may change with every location that comes in, and nothing cheaper than the answer tells.
pub(super) fn tagged<T: Serialize>(
    request: &HttpRequest,
    mut response: HttpResponseBuilder,
    items: impl Iterator<Item = T>,
) -> HttpResponse {
    response.content_type("application/json");
    match serde_json::to_vec(&items.collect::<Vec<_>>()) {
        Ok(body) => tagged_body(request, response, body),
        Err(error) => problem::of(Error::Internal(error.to_string())).error_response(),
    }
}

/// The same for an answer in any form; `response` has its type.
pub(super) fn tagged_body(request: &HttpRequest, mut response: HttpResponseBuilder, body: Vec<u8>) -> HttpResponse {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    // Weak: the same answer may be sent packed in different ways.
    let tag = EntityTag::new_weak(format!("{:016x}", hasher.finish()));
    response.insert_header(ETag(tag.clone())).insert_header((CACHE_CONTROL, "private, no-cache"));
    let known = match request.get_header::<IfNoneMatch>() {
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(tags)) => tags.iter().any(|given| given.weak_eq(&tag)),
        None => false,
    };
    if known {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    response.body(body)
}

fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "PATCH", "DELETE"])
        .allow_any_header()
        .expose_headers([LINK, LOCATION, RETRY_AFTER, ETAG, CONTENT_DISPOSITION])
        // A page of another origin is kept from reading the answer by its browser; everybody else need not be.
        .block_on_origin_mismatch(false)
        .max_age(3_600);
    if origins.iter().any(|origin| origin == "*") {
        cors.allow_any_origin().send_wildcard()
    } else {
        origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
    }
}

/// Middleware: bounds what answers take that wait for their clients to read them.
async fn bound_answers(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    /// What is not counted, bytes: every connection may have one.
    const SMALL: u64 = 16 << 10;
    /// What a file that is made while it is sent takes at a time, bytes.
    const PIECE: u64 = 512 << 10;
    let response = next.call(request).await?;
    let size = match response.response().body().size() {
        BodySize::None => 0,
        BodySize::Sized(size) => size,
        BodySize::Stream => PIECE,
    };
    let mut share = ANSWERS.share();
    if size > SMALL && !share.take(usize::try_from(size).unwrap_or(usize::MAX)) {
        return Err(problem::of(Error::Overloaded).into());
    }
    Ok(response.map_body(|_, body| BudgetedBody::new(body, share)))
}

/// How long a request may take until its answer begins, seconds.
struct TimeLimit(u64);

/// Around a path and not around everything: here the request has its place and may be kept for the answer, which then goes the
/// way of all others, is counted, and gets its id.
async fn time_limit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let seconds = request.app_data::<web::Data<TimeLimit>>().map_or(DRAIN_SECONDS, |limit| limit.0);
    let (asked, limit) = (request.request().clone(), Duration::from_secs(seconds));
    let coming = Coming::note(&asked);
    match tokio::time::timeout(limit, next.call(request)).await {
        Ok(done) => done.map(ServiceResponse::map_into_boxed_body),
        Err(_) if coming.is_so() => Ok(ServiceResponse::new(asked, Problem::slow_body(limit).error_response())),
        Err(_) => Ok(ServiceResponse::new(asked, problem::too_slow(seconds).error_response())),
    }
}
