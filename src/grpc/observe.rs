//! The layer around every call: it counts and times calls, and serves the plain HTTP paths beside the services.

use super::status;
use crate::domain::Error;
use crate::runtime::probes::{METRICS_TYPE, Probes};
use crate::runtime::{request, trace};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::middleware::Next;
use axum::routing::get;
use std::time::{Duration, Instant};

/// Counts and times calls by method; of a stream, the time until it begins.
pub(super) async fn observe(asked: Request, next: Next) -> Response<Body> {
    const REQUEST_ID: HeaderName = HeaderName::from_static(request::REQUEST_ID);
    let begin = Instant::now();
    let path = asked.uri().path().to_owned();
    let (id, span) = {
        let header = |name: &str| asked.headers().get(name).and_then(|value| value.to_str().ok());
        let id = request::id_or_new(header(request::REQUEST_ID));
        let span = request::span(&id, &path, header);
        (id, span)
    };
    let deadline = deadline(&asked);
    let answering = request::within(id.clone(), span.clone(), next.run(asked));
    let mut response = match deadline {
        None => answering.await,
        // tonic would drop the call without a word: nothing counted, no id.
        Some(deadline) => tokio::time::timeout(deadline, answering).await.unwrap_or_else(|_| {
            let error = Error::TimedOut("the call was not done within its deadline; ask for less at once".to_owned());
            span.in_scope(|| status::of(error)).into_http()
        }),
    };
    // A call that failed says so in the headers; one that went well, in trailers that are not there yet.
    let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok()).unwrap_or("0").to_owned();
    // Anybody may invent a method, and would make a time series with it.
    let method = if code == "12" || response.status() != StatusCode::OK { "other".to_owned() } else { path };
    if trace::enabled() {
        trace::rename(&span, method.clone());
        span.record("rpc.method", method.as_str());
        span.record("rpc.grpc.status_code", code.as_str());
        if matches!(code.as_str(), "2" | "4" | "13" | "14" | "15") {
            span.record("otel.status_code", "ERROR");
        }
    }
    span.in_scope(|| tracing::debug!(method, code, ms = begin.elapsed().as_millis() as u64, "call"));
    response.headers_mut().insert(REQUEST_ID, HeaderValue::from_str(&id).expect("an id is visible ASCII"));
    metrics::counter!("udaconnect_grpc_calls_total", "method" => method.clone(), "code" => code).increment(1);
    metrics::histogram!("udaconnect_grpc_call_seconds", "method" => method).record(begin.elapsed());
    response
}

/// The deadline that the caller gave (`grpc-timeout`), less a moment to say that it is over.
fn deadline(asked: &Request) -> Option<Duration> {
    let given = super::stream::timeout(asked.headers().get("grpc-timeout")?.to_str().ok()?)?;
    Some(given - (given / 10).min(Duration::from_millis(50)))
}

/// Adds `/livez`, `/readyz` and `/metrics`.
pub(super) fn add_probes(router: Router, probes: Probes) -> Router {
    crate::runtime::metrics::recorder();
    let (asked, measured) = (probes.clone(), probes);
    router
        .route("/livez", get(|| async { json(true, "{\"status\":\"alive\"}".to_owned()) }))
        .route(
            "/readyz",
            get(move || async move {
                let (ready, said) = asked.readiness().await;
                json(ready, said.to_string())
            }),
        )
        .route("/metrics", get(move || async move { answer(true, METRICS_TYPE, measured.metrics()) }))
}

fn json(well: bool, body: String) -> Response<Body> {
    answer(well, "application/json", body)
}

fn answer(well: bool, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response.headers_mut().insert(CONTENT_TYPE, content_type.parse().expect("a media type is a header value"));
    response.headers_mut().insert(CACHE_CONTROL, "no-store".parse().expect("text is a header value"));
    response
}
