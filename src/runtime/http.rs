//! What every HTTP server of ours does alike: it is handed a listener and a token, knows no signals, and drains.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Server, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use std::net::{TcpListener, ToSocketAddrs};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long requests in flight may take after a drain has begun, seconds. Longer than any request may take.
pub const DRAIN_SECONDS: u64 = 35;

/// An address to listen on, `host:port`; checked when parsed, resolved when bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddr(String);

impl std::str::FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(Self(text.to_owned())),
            _ => Err("must be host:port, e.g. 127.0.0.1:30001 or [::1]:30001".to_owned()),
        }
    }
}

impl std::fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes the port. The error is a sentence that says what to do; `variable` is where the address came from.
pub fn bind(address: &ListenAddr, variable: &str) -> Result<TcpListener, String> {
    let tried = address.0.to_socket_addrs().and_then(|mut all| {
        let first = all.next().ok_or_else(|| std::io::Error::other("the name has no address"))?;
        TcpListener::bind(first)
    });
    tried.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => "; stop what runs there or choose another address",
            std::io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges, choose another",
            _ => "",
        };
        format!("{variable}: cannot listen on {address}: {error}{advice}")
    })
}

/// Runs a server until the token is cancelled; then no new connection is taken, and requests in flight are finished.
///
/// The server must have been built with `disable_signals()` and `shutdown_timeout(DRAIN_SECONDS)`.
pub async fn run_until(server: Server, shutdown: CancellationToken) -> std::io::Result<()> {
    let handle = server.handle();
    let stop = tokio::spawn(async move {
        shutdown.cancelled().await;
        handle.stop(true).await;
    });
    let done = server.await;
    stop.abort();
    done
}

/// Middleware: while draining, tells clients to take their next request elsewhere, so that no busy connection holds the
/// process up.
pub async fn close_when_draining(
    draining: web::Data<CancellationToken>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    if draining.is_cancelled() {
        response.response_mut().head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
    Ok(response)
}

/// Middleware: counts and times requests by method, route pattern and status, and gives each an id, which is the client's
/// own `X-Request-Id` where there is one.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    let begin = Instant::now();
    let method = known(request.method().as_str());
    let id = request.headers().get(&REQUEST_ID).filter(|id| id.len() <= 128).cloned().unwrap_or_else(new_id);
    // The pattern and not the path: a label with unbounded values would fill the memory of whoever collects it.
    let answered = next.call(request).await?;
    let route = answered.request().match_pattern().unwrap_or_else(|| "other".to_owned());
    let status = answered.status().as_u16();
    let seconds = begin.elapsed();
    metrics::counter!("udaconnect_http_requests_total", "method" => method, "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("udaconnect_http_request_seconds", "method" => method, "route" => route.clone())
        .record(seconds.as_secs_f64());
    tracing::debug!(request_id = ?id, method, route, status, ms = seconds.as_millis() as u64, "request");
    let mut answered = answered;
    answered.headers_mut().insert(REQUEST_ID, id);
    Ok(answered.map_into_boxed_body())
}

/// Anybody may invent a method, and would make a time series with it.
fn known(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"].into_iter().find(|m| *m == method).unwrap_or("other")
}

/// Unique enough to find a request in the logs: time and a count.
fn new_id() -> HeaderValue {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let id = format!("{:x}-{:x}", since.as_micros(), COUNT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&id).expect("hexadecimal digits are a header value")
}
