//! SQLSTATEs, brought to where errors are sorted.
//!
//! diesel keeps the text of an error and not its SQLSTATE, and texts are translated and change. Connections are therefore read
//! through [`Coded`], which puts the SQLSTATE in front of the text: `57014: canceling statement due to statement timeout`.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The SQLSTATE at the head of an error's text, if there is one.
pub(super) fn code_of(message: &str) -> Option<&str> {
    let (code, _) = message.split_once(": ")?;
    is_code(code.as_bytes()).then_some(code)
}

fn is_code(code: &[u8]) -> bool {
    code.len() == 5 && code.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// The longest error that gets its SQLSTATE in front, in bytes; a longer one passes as it is.
const LONGEST: usize = 1 << 20;
/// The first byte of an error message of the server's (ErrorResponse).
const ERROR: u8 = b'E';
/// The message's type and its length.
const HEADER: usize = 5;

/// A connection to PostgreSQL whose errors begin with their SQLSTATE. Everything else passes as it is.
pub(super) struct Coded<S> {
    inner: S,
    messages: Messages,
    /// An error message that is not complete yet, from its first byte on.
    held: Vec<u8>,
    /// What is to be handed out before more is read, and how much of it has been.
    out: Vec<u8>,
    handed: usize,
}

/// Where in the stream of messages a connection is.
#[derive(Default)]
struct Messages {
    header: [u8; HEADER],
    /// How much of the header is there.
    have: usize,
    /// How much of the body is still to come.
    rest: usize,
}

impl Messages {
    /// Moves over bytes up to the beginning of the first error message in them.
    fn find_error(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.rest == 0
                && self.have == 0
                && let Some(header) = bytes.get(at..at + HEADER)
            {
                // Nearly all headers are whole, and nearly all messages are rows.
                if header[0] == ERROR {
                    return Some(at);
                }
                at += HEADER;
                self.rest = length(header) - HEADER;
                continue;
            }
            if self.rest > 0 {
                let step = self.rest.min(bytes.len() - at);
                self.rest -= step;
                at += step;
                continue;
            }
            if self.have == 0 && bytes[at] == ERROR {
                return Some(at);
            }
            let step = (HEADER - self.have).min(bytes.len() - at);
            self.header[self.have..self.have + step].copy_from_slice(&bytes[at..at + step]);
            self.have += step;
            at += step;
            if self.have == HEADER {
                self.have = 0;
                self.rest = length(&self.header) - HEADER;
            }
        }
        None
    }
}

/// The length of a whole message, by its header.
fn length(header: &[u8]) -> usize {
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    // It counts itself and not the type.
    (length as usize).max(HEADER - 1) + 1
}

impl<S> Coded<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, messages: Messages::default(), held: Vec::new(), out: Vec::new(), handed: 0 }
    }

    /// Moves what is complete from `held` to `out`.
    fn release(&mut self) {
        let mut at = 0;
        while at < self.held.len() {
            let held = &self.held[at..];
            if held[0] == ERROR {
                if held.len() < HEADER {
                    break;
                }
                let whole = length(held);
                if whole <= LONGEST {
                    if held.len() < whole {
                        break;
                    }
                    with_code(&held[..whole], &mut self.out);
                    at += whole;
                    continue;
                }
            }
            // Up to the next error, or all there is. A long error is moved over by its header.
            let skip = usize::from(held[0] == ERROR);
            if skip == 1 {
                self.messages.rest = length(held) - HEADER;
                self.out.extend_from_slice(&held[..HEADER]);
                at += HEADER;
            }
            let rest = &self.held[at..];
            let end = self.messages.find_error(rest).unwrap_or(rest.len());
            self.out.extend_from_slice(&rest[..end]);
            at += end;
        }
        self.held.drain(..at);
    }
}

/// Writes an error message with its SQLSTATE at the head of its text.
fn with_code(message: &[u8], out: &mut Vec<u8>) {
    let fields = || message[HEADER..].split(|byte| *byte == 0).map_while(|field| field.split_first());
    let code = fields().find(|(kind, _)| **kind == b'C').map(|(_, code)| code).filter(|code| is_code(code));
    let Some(code) = code else {
        out.extend_from_slice(message);
        return;
    };
    let begin = out.len();
    out.extend_from_slice(&message[..HEADER]);
    for (kind, value) in fields() {
        out.push(*kind);
        if *kind == b'M' {
            out.extend_from_slice(code);
            out.extend_from_slice(b": ");
        }
        out.extend_from_slice(value);
        out.push(0);
    }
    out.push(0);
    let length = (out.len() - begin - 1) as u32;
    out[begin + 1..begin + HEADER].copy_from_slice(&length.to_be_bytes());
}

impl<S: AsyncRead + Unpin> AsyncRead for Coded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.handed < this.out.len() {
                let step = buf.remaining().min(this.out.len() - this.handed);
                buf.put_slice(&this.out[this.handed..this.handed + step]);
                this.handed += step;
                if this.handed == this.out.len() {
                    this.out.clear();
                    this.handed = 0;
                }
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
            let fresh = &buf.filled()[before..];
            if fresh.is_empty() {
                if this.held.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                // The connection ended within an error.
                this.out = std::mem::take(&mut this.held);
                continue;
            }
            let from = if this.held.is_empty() { this.messages.find_error(fresh) } else { Some(0) };
            let Some(from) = from else { return Poll::Ready(Ok(())) };
            this.held.extend_from_slice(&fresh[from..]);
            buf.set_filled(before + from);
            this.release();
            if from > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// A connection to a server, encrypted or not.
pub(super) enum Wire {
    Plain(Socket),
    Encrypted(Box<Encrypted>),
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl TlsStream for Coded<Wire> {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.inner {
            Wire::Plain(_) => ChannelBinding::none(),
            Wire::Encrypted(stream) => stream.channel_binding(),
        }
    }
}

/// Makes connections [`Coded`], encrypted as `sslmode` says.
///
/// tokio-postgres lets a stream be wrapped where it asks for TLS and nowhere else. This is therefore asked at once
/// ([`MakeCoded::prepare`]), for plain connections too, and asks the server for TLS itself.
#[derive(Clone)]
pub(super) struct MakeCoded {
    tls: Option<MakeRustlsConnect>,
    required: bool,
}

impl MakeCoded {
    /// Takes the choice of encryption over from the configuration. The returned value must be used together with the configuration.
    pub(super) fn prepare(config: &mut tokio_postgres::Config, tls: Option<MakeRustlsConnect>) -> Self {
        let required = config.get_ssl_mode() == SslMode::Require;
        config.ssl_mode(SslMode::Require);
        config.ssl_negotiation(tokio_postgres::config::SslNegotiation::Direct);
        Self { tls, required }
    }
}

impl MakeTlsConnect<Socket> for MakeCoded {
    type Stream = Coded<Wire>;
    type TlsConnect = ConnectCoded;
    type Error = Box<dyn Error + Send + Sync>;

    fn make_tls_connect(&mut self, domain: &str) -> Result<ConnectCoded, Self::Error> {
        let tls = match &mut self.tls {
            Some(tls) => Some(<MakeRustlsConnect as MakeTlsConnect<Socket>>::make_tls_connect(tls, domain)?),
            None => None,
        };
        Ok(ConnectCoded { tls, required: self.required })
    }
}

/// Makes one connection [`Coded`].
pub(super) struct ConnectCoded {
    tls: Option<<MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect>,
    required: bool,
}

impl TlsConnect<Socket> for ConnectCoded {
    type Stream = Coded<Wire>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Coded<Wire>>> + Send>>;

    fn connect(self, mut socket: Socket) -> Self::Future {
        Box::pin(async move {
            let Some(tls) = self.tls else { return Ok(Coded::new(Wire::Plain(socket))) };
            // SSLRequest; the answer is one byte.
            socket.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await?;
            match socket.read_u8().await? {
                b'S' => Ok(Coded::new(Wire::Encrypted(Box::new(tls.connect(socket).await?)))),
                _ if self.required => Err(io::Error::other("server does not support TLS")),
                _ => Ok(Coded::new(Wire::Plain(socket))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    fn error(code: &str, text: &str) -> Vec<u8> {
        message(ERROR, format!("SERROR\0C{code}\0M{text}\0Ddetail\0\0").as_bytes())
    }

    /// Hands out a few bytes at a time.
    struct Pieces {
        bytes: Vec<u8>,
        sizes: Vec<usize>,
    }

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let size = self.sizes.pop().unwrap_or(usize::MAX).min(self.bytes.len()).min(buf.remaining());
            let piece: Vec<u8> = self.bytes.drain(..size).collect();
            buf.put_slice(&piece);
            Poll::Ready(Ok(()))
        }
    }

    fn read(bytes: Vec<u8>, sizes: Vec<usize>) -> Vec<u8> {
        let mut read = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Coded::new(Pieces { bytes, sizes }).read_to_end(&mut read)).unwrap();
        read
    }

    #[test]
    fn an_error_begins_with_its_code_and_all_else_stays_as_it_is() {
        let given = [message(b'D', b"EEEE"), error("57014", "canceling"), message(b'Z', b"I")].concat();
        let wanted = [message(b'D', b"EEEE"), error("57014", "57014: canceling"), message(b'Z', b"I")].concat();
        assert_eq!(read(given, Vec::new()), wanted);
        let long = [error("22001", &"x".repeat(LONGEST)), error("22001", "y")].concat();
        assert_eq!(read(long, Vec::new()), [error("22001", &"x".repeat(LONGEST)), error("22001", "22001: y")].concat());
        assert_eq!(code_of("57014: canceling"), Some("57014"));
        assert_eq!(code_of("error: canceling"), None);
    }

    proptest! {
        #[test]
        fn however_the_bytes_arrive(
            bodies in proptest::collection::vec((any::<bool>(), "[ -~]{0,40}"), 0..20),
            sizes in proptest::collection::vec(1_usize..50, 0..60),
        ) {
            let make = |coded: &str| -> Vec<u8> {
                bodies
                    .iter()
                    .flat_map(|(is_error, body)| {
                        if *is_error { error("40001", &format!("{coded}{body}")) } else { message(b'D', body.as_bytes()) }
                    })
                    .collect()
            };
            prop_assert_eq!(read(make(""), sizes), make("40001: "));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, sizes in proptest::collection::vec(1_usize..50, 0..60)) {
            read(bytes, sizes);
        }
    }
}
