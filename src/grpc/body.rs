//! What a caller sends, watched message by message: unpacked within bounds, counted in the process's budget, and refused as the
//! caller's error where it is broken.

use super::status;
use crate::runtime::budget::{BODIES, Share};
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::HeaderName;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prost::bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::{Code, Status};

pub(super) const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// The codings that messages may be packed in.
pub(super) const CODINGS: &str = "gzip, identity";

/// A message up to this size is not counted, bytes: every call may have one.
const SMALL: usize = 16 << 10;
/// How much is unpacked at a time, bytes.
const PIECE: usize = 8 << 10;
/// The flag and the length before each message.
const HEAD: usize = 5;

/// Watches the body of a call, and takes the packing upon itself: the rest of the program sees messages as they are.
pub(super) fn watch(body: Body, headers: &mut HeaderMap, most: usize) -> Body {
    let gzip = headers.get(ENCODING).is_some_and(|coding| coding.as_bytes() == b"gzip");
    if gzip {
        headers.remove(ENCODING);
    }
    Body::new(Watched {
        body,
        gzip,
        most,
        head: BytesMut::new(),
        left: 0,
        length: 0,
        packed: None,
        rest: Bytes::new(),
        pause: false,
        share: BODIES.share(),
    })
}

struct Watched {
    body: Body,
    gzip: bool,
    /// The largest message, bytes, packed and unpacked.
    most: usize,
    /// What has come of a message's head.
    head: BytesMut,
    /// What is still to come of the message, bytes, and how much it has.
    left: usize,
    length: usize,
    /// What has come of a packed message.
    packed: Option<BytesMut>,
    /// What has come after the message that was handed on last. Packed ones are unpacked one at a time: some kilobytes may be
    /// many that are large.
    rest: Bytes,
    /// Whether others shall have their turn before the next message.
    pause: bool,
    /// What the largest message so far takes: a call's buffer does not shrink.
    share: Share,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if std::mem::take(&mut self.pause) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if self.rest.is_empty() {
                let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                    Some(Ok(frame)) => frame,
                    // tonic finds out what it was.
                    Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(error.into())))),
                    None if self.left > 0 || !self.head.is_empty() => {
                        self.left = 0;
                        self.head.clear();
                        return Poll::Ready(Some(Err(Status::invalid_argument("the last message is not whole"))));
                    }
                    None => return Poll::Ready(None),
                };
                match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                }
            }
            match self.take() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // Whether the last message is whole is found out at the end.
        self.rest.is_empty() && self.left == 0 && self.head.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Watched {
    /// What the rest of the program may see next of what has come: all of it, or up to the end of a packed message.
    fn take(&mut self) -> Result<Bytes, Status> {
        let mut rest = std::mem::take(&mut self.rest);
        if !self.gzip {
            self.follow(&rest)?;
            return Ok(rest);
        }
        let mut seen = BytesMut::new();
        while rest.has_remaining() {
            if self.left == 0 && self.packed.is_none() {
                if !self.head(&mut rest)? {
                    break;
                }
                if self.head[0] == 0 {
                    seen.put_slice(&self.head);
                } else {
                    self.packed = Some(BytesMut::new());
                }
                self.head.clear();
            }
            let part = rest.split_to(rest.len().min(self.left));
            self.left -= part.len();
            self.count()?;
            match &mut self.packed {
                None => seen.put(part),
                Some(packed) => packed.put(part),
            }
            if self.left == 0
                && let Some(packed) = self.packed.take()
            {
                self.unpack(&packed, &mut seen)?;
                break;
            }
        }
        self.rest = rest;
        Ok(seen.freeze())
    }

    /// Follows messages that need not be changed.
    fn follow(&mut self, mut piece: &[u8]) -> Result<(), Status> {
        while !piece.is_empty() {
            if self.left == 0 && !self.head(&mut piece)? {
                return Ok(());
            }
            self.head.clear();
            let part = piece.len().min(self.left);
            piece = &piece[part..];
            self.left -= part;
            self.count()?;
        }
        Ok(())
    }

    /// Reads a message's head; false while it is not whole.
    fn head(&mut self, piece: &mut impl Buf) -> Result<bool, Status> {
        while self.head.len() < HEAD && piece.has_remaining() {
            self.head.put_u8(piece.get_u8());
        }
        if self.head.len() < HEAD {
            return Ok(false);
        }
        let mut head = &self.head[..];
        let (flag, length) = (head.get_u8(), head.get_u32() as usize);
        if flag > 1 || flag == 1 && !self.gzip {
            let message = format!("the flag before a message must be 0, or 1 with a grpc-encoding; got {flag}");
            return Err(Status::invalid_argument(message));
        }
        if length > self.most {
            return Err(self.too_large());
        }
        (self.left, self.length) = (length, length);
        Ok(true)
    }

    /// Counts what has come of the message; what is announced takes no memory yet.
    fn count(&mut self) -> Result<(), Status> {
        let come = self.length - self.left;
        if come <= SMALL || self.share.try_grow(come) { Ok(()) } else { Err(no_room()) }
    }

    /// Appends the message that `packed` holds to `seen`, as one that is not packed. Every piece is counted before it is kept.
    fn unpack(&mut self, packed: &[u8], seen: &mut BytesMut) -> Result<(), Status> {
        let start = seen.len();
        seen.put_bytes(0, HEAD);
        let mut decoder = flate2::bufread::MultiGzDecoder::new(packed);
        let mut piece = [0; PIECE];
        loop {
            let read = decoder
                .read(&mut piece)
                .map_err(|error| Status::invalid_argument(format!("the message cannot be unpacked: {error}")))?;
            if read == 0 {
                break;
            }
            let length = seen.len() - start - HEAD + read;
            if length > self.most {
                return Err(self.too_large());
            }
            // As it is unpacked, and once more where the decoder of messages gathers it.
            if length > SMALL && !self.share.try_grow(packed.len() + 2 * length) {
                return Err(no_room());
            }
            seen.put_slice(&piece[..read]);
        }
        let length = seen.len() - start - HEAD;
        self.pause = length > SMALL;
        seen[start + 1..start + HEAD].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        Ok(())
    }

    fn too_large(&self) -> Status {
        Status::resource_exhausted(format!("a message must have at most {} bytes, packed and unpacked", self.most))
    }
}

fn no_room() -> Status {
    status::again(Code::ResourceExhausted, "too many large messages at once; send again what was not acknowledged", 1)
}
