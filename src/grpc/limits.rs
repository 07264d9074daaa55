//! Limits on calls: how many may be open in the whole process, and what one may hold.

use super::body::{ACCEPT_ENCODING, CODINGS, watch};
use super::incoming::{Answer, Call, Known};
use super::status;
use crate::runtime::budget::{ANSWERS, Share};
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::http::header::HeaderValue;
use axum::middleware::Next;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prost::bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status};

/// The limits of calls. Cheap to clone.
#[derive(Clone)]
pub(super) struct Limits {
    calls: Arc<Semaphore>,
    /// The largest message, bytes.
    max_message: usize,
}

impl Limits {
    pub fn new(calls: usize, max_message: usize) -> Self {
        Self { calls: Arc::new(Semaphore::new(calls)), max_message }
    }

    /// Goes around every request; probes and health are answered however many calls there are.
    pub async fn apply(self, mut asked: Request, next: Next) -> Response<Body> {
        let known = asked.extensions().get::<Known>().cloned();
        let call = known.as_ref().map(Known::call);
        let ours = asked.uri().path().starts_with("/udaconnect.");
        let mut permit = None;
        if ours || asked.uri().path().starts_with("/grpc.reflection.") {
            match self.calls.clone().try_acquire_owned() {
                Ok(free) => permit = Some(free),
                Err(_) => return too_many(),
            }
        }
        if ours {
            let (mut parts, body) = asked.into_parts();
            let body = watch(body, &mut parts.headers, self.max_message);
            asked = Request::from_parts(parts, body);
        }
        let mut response = next.run(asked).await;
        if ours && response.headers().contains_key(ACCEPT_ENCODING) {
            // tonic says what it unpacks itself, which is nothing.
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(CODINGS));
        }
        let share = response.extensions_mut().remove::<Held>();
        let answer = known.filter(|_| share.is_some()).map(|known| known.answer());
        response.map(|body| Body::new(Counted { body, answer, _share: share, _call: call, _permit: permit }))
    }
}

/// What an answer takes of the process's budget.
#[derive(Clone)]
struct Held(#[allow(dead_code)] Arc<Share>);

/// An answer of about this many bytes, which are counted until it has been sent; `RESOURCE_EXHAUSTED` when there is no room.
pub(super) fn held<T>(answer: T, bytes: usize) -> Result<tonic::Response<T>, Status> {
    let mut response = tonic::Response::new(answer);
    let mut share = ANSWERS.share();
    if !share.take(bytes) {
        return Err(status::again(
            Code::ResourceExhausted,
            "too many answers wait for their callers; try again later",
            1,
        ));
    }
    response.extensions_mut().insert(Held(Arc::new(share)));
    Ok(response)
}

fn too_many() -> Response<Body> {
    metrics::counter!("udaconnect_grpc_calls_total", "method" => "other", "code" => "8").increment(1);
    status::again(Code::ResourceExhausted, "too many calls are open here; try again later", 1).into_http()
}

/// An answer; the call is open until it has been sent or nobody wants it any more.
struct Counted {
    body: Body,
    answer: Option<Answer>,
    _share: Option<Held>,
    _call: Option<Call>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(answer) = &self.answer {
            answer.moves();
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
