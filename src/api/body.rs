//! The one reader of request bodies. It bounds what is received, what that unpacks to, and what all requests take together.

use super::problem::Problem;
use super::server::Settings;
use crate::domain::Error;
use crate::runtime::budget::{BODIES, Share};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::{HttpMessage, HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use std::cell::Cell;
use std::io::Read;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// A body, unpacked; what it takes of the process's budget is given back when it is dropped.
pub struct Body {
    bytes: Bytes,
    _share: Share,
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether the body of a request is still coming: what ends the request meanwhile is then the client's slowness and not ours.
#[derive(Clone, Default)]
pub struct Coming(Rc<Cell<bool>>);

impl Coming {
    /// Notes it with the request.
    pub fn note(request: &HttpRequest) -> Self {
        let coming = Self::default();
        request.extensions_mut().insert(coming.clone());
        coming
    }

    pub fn is_so(&self) -> bool {
        self.0.get()
    }

    fn set(request: &HttpRequest, is_so: bool) {
        if let Some(coming) = request.extensions().get::<Self>() {
            coming.0.set(is_so);
        }
    }
}

/// A way in which a body may be packed, as `Content-Encoding` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

/// The names of those that are understood.
const CODINGS: &str = "gzip, deflate, br";
/// How often a body may be packed.
const LAYERS: usize = 3;

/// Reads a body of at most `most` bytes, packed and unpacked. Errors: 408 when it does not come in time, 413 when it is too large,
/// 415 when it is packed in a way that is not understood, 400 when it is broken, 429 when others leave no room for it in time.
pub async fn read(request: &HttpRequest, mut payload: web::Payload, most: usize) -> Result<Body, Problem> {
    /// What is read of a body that is too large, so that a client which sends all of it before it listens gets to read the
    /// answer and not a broken connection.
    const PATIENCE: usize = 256 << 20;
    let codings = codings(request)?;
    let settings = request.app_data::<web::Data<Settings>>();
    let allowed = settings.map_or(Duration::from_secs(20), |settings| settings.body_time);
    let until = Instant::now() + allowed;
    let slow = || Problem::slow_body(allowed);
    let mut share = BODIES.share();
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut whole = Received { announced: announced.filter(|length| *length <= most), ..Received::default() };
    let mut length = 0;
    loop {
        Coming::set(request, true);
        let part = timeout_at(until, payload.next()).await.map_err(|_| slow())?;
        Coming::set(request, false);
        let Some(part) = part else { break };
        let part = part.map_err(|error| unreadable(&error))?;
        length += part.len();
        if length > most {
            whole = Received::default();
            share.shrink(0);
            if length > PATIENCE {
                break;
            }
            continue;
        }
        // What grows by doubling may take twice of what is in it.
        let taken = if whole.announced.is_some() { length } else { 2 * length };
        timeout_at(until, share.grow(taken)).await.map_err(|_| Error::Overloaded)?;
        whole.add(part);
    }
    if length > most {
        return Err(too_large(most));
    }
    let mut bytes = whole.take();
    if !codings.is_empty() {
        timeout_at(until, share.grow(length + most)).await.map_err(|_| Error::Overloaded)?;
        bytes = unpack(bytes, codings, most).await?;
        share.shrink(bytes.len());
    }
    Ok(Body { bytes, _share: share })
}

/// What has come of a body. One that came as a whole, as most do, is not copied.
#[derive(Default)]
struct Received {
    /// How many bytes there will be, if the client says so.
    announced: Option<usize>,
    first: Bytes,
    all: BytesMut,
}

impl Received {
    fn add(&mut self, part: Bytes) {
        if self.first.is_empty() && self.all.is_empty() {
            self.first = part;
        } else {
            if self.all.is_empty() {
                // What is not written to yet takes no memory.
                self.all.reserve(self.announced.unwrap_or_default());
                self.all.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.all.extend_from_slice(&part);
        }
    }

    fn take(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

/// How the body is packed, the outermost way last; 415 for a way that is not understood.
fn codings(request: &HttpRequest) -> Result<Vec<Coding>, Problem> {
    let mut codings = Vec::new();
    for value in request.headers().get_all(CONTENT_ENCODING) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for name in text.split(',').map(str::trim) {
            match name.to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" => codings.push(Coding::Deflate),
                "br" => codings.push(Coding::Brotli),
                _ => return Err(Problem::wrong_coding(CODINGS, &format!("got {:?}", crate::domain::shown(name)))),
            }
            if codings.len() > LAYERS {
                return Err(Problem::wrong_coding(CODINGS, &format!("at most {LAYERS} of them; got more")));
            }
        }
    }
    Ok(codings)
}

/// Unpacks from the outermost layer to the innermost, none of which may have more than `most` bytes.
///
/// One body at a time: what a decoder needs (a window of 16 MiB, with brotli) is needed once. Beside the workers, as it takes
/// milliseconds in which they would answer nobody.
async fn unpack(packed: Bytes, codings: Vec<Coding>, most: usize) -> Result<Bytes, Problem> {
    static ONE: Semaphore = Semaphore::const_new(1);
    let Ok(_one) = ONE.acquire().await else { unreachable!("it is never closed") };
    let unpacked = tokio::task::spawn_blocking(move || {
        codings.iter().rev().try_fold(packed, |packed, coding| unpack_layer(&packed, *coding, most))
    });
    unpacked.await.map_err(|error| Error::Internal(error.to_string()))?.map_err(|error| match error {
        Some(error) => unreadable(&error),
        None => too_large(most),
    })
}

/// The error is what is wrong with it, or `None` when it has more than `most` bytes.
fn unpack_layer(packed: &[u8], coding: Coding, most: usize) -> Result<Bytes, Option<std::io::Error>> {
    let limit = most as u64 + 1;
    let mut unpacked = Vec::new();
    let read = match coding {
        Coding::Gzip => flate2::bufread::MultiGzDecoder::new(packed).take(limit).read_to_end(&mut unpacked),
        Coding::Deflate => flate2::bufread::ZlibDecoder::new(packed).take(limit).read_to_end(&mut unpacked),
        Coding::Brotli => brotli_decompressor::Decompressor::new(packed, 4096).take(limit).read_to_end(&mut unpacked),
    };
    match read {
        Ok(length) if length > most => Err(None),
        Ok(_) => Ok(unpacked.into()),
        Err(error) => Err(Some(error)),
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Problem {
    Problem::field(StatusCode::BAD_REQUEST, "body", format!("could not be read: {error}"))
}

fn too_large(most: usize) -> Problem {
    let message = format!("must have at most {most} bytes, packed and unpacked; send less at once");
    Problem::field(StatusCode::PAYLOAD_TOO_LARGE, "body", message)
}
