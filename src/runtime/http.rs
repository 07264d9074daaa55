//! What all HTTP servers of the program share: each is handed a listener and a shutdown token, and drains when it ends.

use super::budget::Share;
use super::shutdown::after_pause;
use super::{request, trace};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Extensions, Payload, Server, ServiceRequest, ServiceResponse};
use actix_web::error::{InternalError, PayloadError};
use actix_web::guard::{Any, Get, Head};
use actix_web::http::header::{HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage, Route, web};
use futures_util::Stream;
use std::cell::RefCell;
use std::net::{TcpListener, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long requests in flight may take after a drain has begun, seconds. Longer than any request may take.
pub const DRAIN_SECONDS: u64 = 35;

/// An address to listen on, `host:port`, or a host alone for the role's own port; checked when parsed, resolved when bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddr(String);

impl std::str::FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = match text.rsplit_once(':') {
            Some((host, port)) if !text.ends_with(']') => !host.is_empty() && port.parse::<u16>().is_ok(),
            // A host alone. What begins with a digit must be an address: a port alone is no host.
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse::<std::net::Ipv4Addr>().is_ok(),
            _ => !text.is_empty(),
        };
        let wrong = "must be host:port, e.g. 127.0.0.1:30001 or [::1]:30001, or a host alone for the usual port";
        if good { Ok(Self(text.to_owned())) } else { Err(wrong.to_owned()) }
    }
}

impl std::fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl ListenAddr {
    fn with_port(&self, usual: u16) -> String {
        let alone = !self.0.contains(':') || self.0.ends_with(']');
        if alone { format!("{}:{usual}", self.0) } else { self.0.clone() }
    }
}

/// Takes the port, which is the `usual` one where the address names none. The error is a sentence that says what to do;
/// `variable` is where the address came from.
pub fn bind(address: &ListenAddr, variable: &str, usual: u16) -> Result<TcpListener, String> {
    let address = address.with_port(usual);
    let tried = address.to_socket_addrs().and_then(|mut all| {
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

/// Runs a server until the token is cancelled and the pause after it is over; then no new connection is taken, and requests in
/// flight are finished.
///
/// The server must have been built with `disable_signals()` and `shutdown_timeout(DRAIN_SECONDS)`.
pub async fn run_until(server: Server, shutdown: CancellationToken) -> std::io::Result<()> {
    let handle = server.handle();
    let stop = tokio::spawn(async move {
        after_pause(&shutdown).await;
        handle.stop(true).await;
    });
    let done = server.await;
    stop.abort();
    done
}

/// GET, and HEAD, whose answer's body is left out by the server.
pub fn reading() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

/// How many connections each worker may have so that all may have this many together.
pub fn per_worker(connections: u32, workers: usize) -> usize {
    (connections as usize).div_ceil(workers)
}

/// How long a client may take nothing of what is sent to it.
const DEAF: Duration = Duration::from_secs(60);

/// For `HttpServer::on_connect`: gives a connection up whose client does not read its answer.
pub fn leave_the_deaf(connection: &dyn std::any::Any, _: &mut Extensions) {
    if let Some(connection) = connection.downcast_ref::<TcpStream>() {
        // Fails for a connection that is closed already, which then shows by itself.
        let _ = socket2::SockRef::from(connection).set_tcp_user_timeout(Some(DEAF));
    }
}

/// A body that gives its share of a budget back when it has been sent, or nobody wants it any more.
pub struct BudgetedBody<B> {
    body: Pin<Box<B>>,
    _share: Share,
}

impl<B: MessageBody> BudgetedBody<B> {
    pub fn new(body: B, share: Share) -> Self {
        Self { body: Box::pin(body), _share: share }
    }
}

impl<B: MessageBody> MessageBody for BudgetedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        self.body.as_mut().poll_next(cx)
    }
}

/// Middleware: closes a connection whose request has been answered and whose chunked body has not ended.
///
/// actix reads on when nobody wants the rest of such a body, and without a limit: the connection of a client that sends no
/// more would be open for ever. Where somebody still holds the body it closes the connection after the answer.
pub async fn end_unread_bodies(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    /// Longer than it takes to begin an answer that is there.
    const LONG_ENOUGH: Duration = Duration::from_secs(5);
    if !request.headers().contains_key(TRANSFER_ENCODING) {
        return next.call(request).await;
    }
    let body = Rc::new(RefCell::new(Unended { payload: request.take_payload(), ended: false }));
    request.set_payload(Payload::Stream { payload: Box::pin(Shared(body.clone())) });
    let answered = next.call(request).await;
    if !body.borrow().ended {
        actix_web::rt::spawn(async move {
            tokio::time::sleep(LONG_ENOUGH).await;
            drop(body);
        });
    }
    answered
}

struct Unended {
    payload: Payload,
    ended: bool,
}

/// A body that somebody else holds, too.
struct Shared(Rc<RefCell<Unended>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.borrow_mut();
        let polled = Pin::new(&mut body.payload).poll_next(cx);
        body.ended |= matches!(polled, Poll::Ready(None));
        polled
    }
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
    asked: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    const REQUEST_ID: HeaderName = HeaderName::from_static(request::REQUEST_ID);
    let begin = Instant::now();
    let method = known(asked.method().as_str());
    let header = |name: &str| asked.headers().get(name).and_then(|value| value.to_str().ok());
    let id = request::id_or_new(header(request::REQUEST_ID));
    let span = request::span(&id, asked.path(), header);
    // The pattern and not the path: a label with unbounded values would fill the memory of whoever collects it.
    let route = asked.match_pattern().unwrap_or_else(|| "other".to_owned());
    let answered = request::within(id.clone(), span.clone(), next.call(asked)).await;
    // An error that some middleware made is an answer like any other.
    let status = match &answered {
        Ok(answered) => answered.status().as_u16(),
        Err(error) => error.as_response_error().status_code().as_u16(),
    };
    let seconds = begin.elapsed();
    metrics::counter!("udaconnect_http_requests_total", "method" => method, "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("udaconnect_http_request_seconds", "method" => method, "route" => route.clone())
        .record(seconds.as_secs_f64());
    if trace::enabled() {
        trace::rename(&span, format!("{method} {route}"));
        span.record("http.request.method", method);
        span.record("http.route", &route);
        span.record("http.response.status_code", status);
        if status >= 500 {
            span.record("otel.status_code", "ERROR");
        }
    }
    span.in_scope(|| tracing::debug!(method, route, status, ms = seconds.as_millis() as u64, "request"));
    let id = HeaderValue::from_str(&id).expect("an id is visible ASCII");
    match answered {
        Ok(mut answered) => {
            answered.headers_mut().insert(REQUEST_ID, id);
            Ok(answered.map_into_boxed_body())
        }
        Err(error) => {
            let mut response = error.error_response();
            response.headers_mut().insert(REQUEST_ID, id);
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// Anybody may invent a method, and would make a time series with it.
fn known(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"].into_iter().find(|m| *m == method).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_alone_takes_the_usual_port() {
        let at = |text: &str| text.parse::<ListenAddr>().map(|address| address.with_port(30_001));
        for (text, expected) in [
            ("127.0.0.1:5", "127.0.0.1:5"),
            ("[::1]:5", "[::1]:5"),
            ("0.0.0.0", "0.0.0.0:30001"),
            ("[::]", "[::]:30001"),
            ("localhost", "localhost:30001"),
        ] {
            assert_eq!(at(text), Ok(expected.to_owned()), "{text}");
        }
        for wrong in ["", "30001", ":30001", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "1.2.3", "host:"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
