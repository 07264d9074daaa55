//! Connections: how many there may be, and how long one may be silent.

use super::server::CONNECTION_WINDOW;
use futures_util::Stream;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tonic::transport::server::Connected;

/// How long a new connection may take to begin a call's headers, and any may be idle when there is no room for others.
const SHORT: Duration = Duration::from_secs(10);
/// How often a connection is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How much a connection may send before its first call has begun, bytes: headers, and all that flow control lets a client send of
/// its first messages, which may arrive before anybody has had the time to begin the call.
const GREETING: usize = CONNECTION_WINDOW as usize + (64 << 10);
/// How long a client may take nothing of what is sent to it.
const DEAF: Duration = Duration::from_secs(60);

/// Accepts connections, of which at most `most` are open at a time; further ones wait in the system's queue. One without a call
/// for as long as `idle` is closed.
///
/// When there are no descriptors left, that is logged once, and tried again and again with pauses.
pub(super) fn connections(
    listener: TcpListener,
    most: usize,
    idle: Duration,
) -> impl Stream<Item = io::Result<Connection>> {
    let permits = Arc::new(Semaphore::new(most));
    futures_util::stream::unfold((listener, permits), move |(listener, permits)| async move {
        let permit = permits.clone().acquire_owned().await.ok()?;
        let io = accept(&listener).await;
        let mood = Mood { idle, permits: permits.clone(), crowded: most / 8 };
        Some((Ok(Connection::new(io, permit, mood)), (listener, permits)))
    })
}

async fn accept(listener: &TcpListener) -> TcpStream {
    const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
    let mut pause = None;
    loop {
        match listener.accept().await {
            Ok((io, _)) => {
                if pause.is_some() {
                    tracing::info!("connections are accepted again");
                }
                set_options(&io);
                return io;
            }
            // One that is gone already says nothing of the next.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                let wait = pause.map_or(PAUSES[0], |before: Duration| PAUSES[1].min(2 * before));
                if pause.is_none() {
                    tracing::warn!(%error, "no connection can be accepted; trying again until one can");
                }
                pause = Some(wait);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Fails for a connection that is closed already, which then shows by itself.
fn set_options(io: &TcpStream) {
    let _ = io.set_nodelay(true);
    let socket = SockRef::from(io);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)));
    let _ = socket.set_tcp_user_timeout(Some(DEAF));
}

/// What is known of a connection, with each of its calls.
#[derive(Clone)]
pub(super) struct Known(Arc<State>);

struct State {
    begin: Instant,
    calls: AtomicUsize,
    /// Whether there was a call.
    used: AtomicBool,
    /// When the last call ended, milliseconds after the beginning.
    ended: AtomicU64,
    /// How many answers that are counted wait for the client.
    answers: AtomicUsize,
    /// When something of one of them was sent, milliseconds after the beginning.
    moved: AtomicU64,
    close: AtomicBool,
}

impl State {
    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Known {
    /// Counts a call until what is returned is dropped.
    pub fn call(&self) -> Call {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        self.0.used.store(true, Ordering::Relaxed);
        Call(self.0.clone())
    }

    /// Closes the connection soon: its client does not read what it is told.
    pub fn close(&self) {
        self.0.close.store(true, Ordering::Relaxed);
    }

    /// Counts an answer that takes up room until what is returned is dropped.
    pub fn answer(&self) -> Answer {
        self.0.answers.fetch_add(1, Ordering::Relaxed);
        self.0.moved.store(self.0.now(), Ordering::Relaxed);
        Answer(self.0.clone())
    }
}

/// An answer that waits for the client.
pub(super) struct Answer(Arc<State>);

impl Answer {
    /// The client took something.
    pub fn moves(&self) {
        self.0.moved.store(self.0.now(), Ordering::Relaxed);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.moves();
        self.0.answers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that is open.
pub(super) struct Call(Arc<State>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.ended.store(self.0.now(), Ordering::Relaxed);
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How patient a connection is.
struct Mood {
    idle: Duration,
    permits: Arc<Semaphore>,
    /// With fewer permits left than this, nobody may be idle for long.
    crowded: usize,
}

/// A connection; reads its end when it has been idle for too long.
pub(super) struct Connection {
    io: TcpStream,
    state: Arc<State>,
    mood: Mood,
    look: Pin<Box<Sleep>>,
    read: usize,
    closed: bool,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(io: TcpStream, permit: OwnedSemaphorePermit, mood: Mood) -> Self {
        let state = State {
            begin: Instant::now(),
            calls: AtomicUsize::new(0),
            used: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            answers: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
            close: AtomicBool::new(false),
        };
        let look = Box::pin(tokio::time::sleep(LOOK.min(mood.idle)));
        Self { io, state: Arc::new(state), mood, look, read: 0, closed: false, _permit: permit }
    }

    /// Whether nobody has read what fills the room for answers.
    fn deaf(&self) -> bool {
        let moved = Duration::from_millis(self.state.moved.load(Ordering::Relaxed));
        let waits = self.state.answers.load(Ordering::Relaxed) > 0;
        self.state.close.load(Ordering::Relaxed) || waits && self.state.begin.elapsed().saturating_sub(moved) >= DEAF
    }

    fn idle_for_too_long(&self) -> bool {
        if self.state.calls.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let used = self.state.used.load(Ordering::Relaxed);
        let crowded = self.mood.permits.available_permits() < self.mood.crowded;
        let silent = !used && self.read == 0;
        let patience = if crowded || silent { self.mood.idle.min(SHORT) } else { self.mood.idle };
        let ended = Duration::from_millis(self.state.ended.load(Ordering::Relaxed));
        self.state.begin.elapsed().saturating_sub(ended) >= patience
    }
}

impl Connected for Connection {
    type ConnectInfo = Known;

    fn connect_info(&self) -> Known {
        Known(self.state.clone())
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.look.as_mut().poll(cx).is_ready() {
            self.closed |= self.idle_for_too_long() || self.deaf();
            let next = Instant::now() + LOOK.min(self.mood.idle);
            self.look.as_mut().reset(next);
        }
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.read = self.read.saturating_add(buffer.filled().len() - before);
        if self.read > GREETING && !self.state.used.load(Ordering::Relaxed) {
            self.closed = true;
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
