//! The HTTP server of the web app: files by their path, the page for every view, and the middleware around every answer.

use super::settings::AppArgs;
use super::{files, headers};
use crate::runtime::probes::{self, Probes};
use crate::runtime::{
    DRAIN_SECONDS, close_when_draining, end_unread_bodies, leave_the_deaf, observe, per_worker, reading, run_until,
};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_ENCODING, ETAG, EntityTag, Header, IfNoneMatch, VARY};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::Bytes;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use std::borrow::Cow;
use std::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The build names the files in there by a hash of what is in them.
const HASHED: &str = "assets/";
/// One year, the most that is of use.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// May be kept, but is asked for whether it is still right.
const ASK_AGAIN: &str = "no-cache";
/// What is said when this program was built without the web app.
const NOT_BUILT: &str = include_str!("not_built.html");

struct Page {
    args: AppArgs,
    api_port: u16,
}

/// Serves until the token is cancelled and requests in flight are answered.
///
/// `api_port` is where pages look for the API, on their own host, when `args` names no address.
pub async fn serve(
    listener: TcpListener,
    args: AppArgs,
    api_port: u16,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let connections = args.app_max_connections;
    let page = web::Data::new(Page { args, api_port });
    let probes = Probes::new(shutdown.clone());
    let token = shutdown.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(page.clone())
            .app_data(web::Data::new(token.clone()))
            .wrap(from_fn(protect))
            .wrap(from_fn(close_when_draining))
            .wrap(from_fn(observe))
            .wrap(from_fn(end_unread_bodies))
            .configure(probes::routes(probes.clone(), &[""]))
            .configure(routes)
    })
    // Files from memory: one thread serves tens of thousands a second.
    .workers(1)
    .max_connections(per_worker(connections, 1))
    .on_connect(leave_the_deaf)
    .disable_signals()
    .shutdown_timeout(DRAIN_SECONDS)
    .listen(listener)?
    .run();
    if files::built() {
        tracing::info!(%address, "serving the web app");
    } else {
        tracing::warn!(%address, "the web app is not in this program; the page says how to build it");
    }
    run_until(server, shutdown).await
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/config.json").route(reading().to(config_json)).default_service(web::to(wrong_method)))
        .service(web::resource("/{path:.*}").route(reading().to(file)).default_service(web::to(wrong_method)));
}

async fn wrong_method() -> HttpResponse {
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, "GET, HEAD")).finish()
}

async fn config_json(page: web::Data<Page>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, ASK_AGAIN)).json(page.args.page_config(page.api_port))
}

/// A file; or the page, which finds out from its address what to show.
async fn file(request: HttpRequest, path: web::Path<String>) -> HttpResponse {
    if !files::built() {
        return HttpResponse::ServiceUnavailable()
            .content_type("text/html; charset=utf-8")
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(NOT_BUILT);
    }
    // A view's address has no dot in its last part. What looks like a file and is none must not become the page: a
    // browser would take it for a script.
    let is_view = !path.starts_with(HASHED) && !path.rsplit('/').next().unwrap_or_default().contains('.');
    let wanted = if is_view { files::INDEX } else { path.as_str() };
    let Some(found) = files::find(wanted, &request) else {
        return HttpResponse::NotFound()
            .content_type("text/plain; charset=utf-8")
            .insert_header((CACHE_CONTROL, "no-store"))
            .body("there is no such file\n");
    };
    let cache = if wanted.starts_with(HASHED) { FOR_EVER } else { ASK_AGAIN };
    let fresh = has(&request, &found.tag);
    let mut response = if fresh { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((ETAG, found.tag.to_string()))
        .insert_header((VARY, "accept-encoding"));
    if fresh {
        return response.finish();
    }
    if let Some(coding) = found.coding {
        response.insert_header((CONTENT_ENCODING, coding.as_str()));
    }
    response.content_type(found.content_type).body(match found.bytes {
        // Sent from where it is.
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    })
}

/// Whether the client has this very answer already.
fn has(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key("if-none-match"),
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|given| given.weak_eq(tag)),
        Err(_) => false,
    }
}

/// Middleware: the headers of [`headers`].
async fn protect(
    page: web::Data<Page>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut response = next.call(request).await?;
    let request = response.request().clone();
    headers::add(response.headers_mut(), &page.args, page.api_port, &request);
    Ok(response)
}
