//! The request that a task works for: its id, and the span that log lines and traces belong to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::{Instrument, Span};

/// The header, and gRPC metadata, by which clients may name their request and by which it is answered.
pub const REQUEST_ID: &str = "x-request-id";
/// A longer one is not taken from a client: it would go into every log line and every record.
const LONGEST: usize = 128;

tokio::task_local! {
    static ID: Arc<str>;
}

/// The id of the request that this task works for, if it works for one.
pub fn id() -> Option<Arc<str>> {
    ID.try_with(Arc::clone).ok()
}

/// The client's own id where it is one, else a new one.
pub fn id_or_new(given: Option<&str>) -> Arc<str> {
    let good = |id: &&str| !id.is_empty() && id.len() <= LONGEST && id.bytes().all(|b| b.is_ascii_graphic());
    given.filter(good).map_or_else(new_id, Arc::from)
}

/// Unique enough to find a request in the logs: time and a count.
fn new_id() -> Arc<str> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    format!("{:x}-{:x}", since.as_micros(), COUNT.fetch_add(1, Ordering::Relaxed)).into()
}

/// A span for a request, a child of the caller's own where its headers name one. Probes get none: they would bury the rest.
///
/// What is not known yet is recorded later, if there are traces: `http.route` and the like; its name, too.
pub fn span<'a>(id: &str, path: &str, header: impl Fn(&str) -> Option<&'a str>) -> Span {
    if matches!(path, "/livez" | "/readyz" | "/metrics") {
        return Span::none();
    }
    if !super::trace::enabled() {
        // What only traces show would cost every request its formatting.
        return tracing::info_span!("request", request_id = id);
    }
    let span = tracing::info_span!(
        "request",
        request_id = id,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = tracing::field::Empty,
        http.route = tracing::field::Empty,
        http.response.status_code = tracing::field::Empty,
        rpc.method = tracing::field::Empty,
        rpc.grpc.status_code = tracing::field::Empty,
    );
    super::trace::adopt(&span, header);
    span
}

/// Runs what a request asks for, as a part of it.
pub async fn within<T>(id: Arc<str>, span: Span, work: impl Future<Output = T>) -> T {
    ID.scope(id, work.instrument(span)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_knows_its_request() {
        assert_eq!(id(), None);
        let seen = within("a-1".into(), Span::none(), async { id() }).await;
        assert_eq!(seen.as_deref(), Some("a-1"));
    }

    #[test]
    fn what_is_no_id_is_not_taken() {
        assert_eq!(&*id_or_new(Some("phone-7/3")), "phone-7/3");
        let long = "x".repeat(LONGEST + 1);
        for wrong in [None, Some(""), Some("two words"), Some("two\nlines"), Some(long.as_str())] {
            assert_ne!(Some(&*id_or_new(wrong)), wrong);
        }
        assert_ne!(id_or_new(None), id_or_new(None));
    }
}
