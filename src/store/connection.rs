//! A connection whose every wait has an end, and which is never used again after one that was cut short.
//!
//! The server has a limit of its own (`statement_timeout`), but its answer may never arrive: something between may keep the
//! connection open and forward nothing. So each statement is also timed here, a little longer. A connection whose statement
//! was not finished, because its time was over or because nobody waits for it any more, is cancelled at the server and closed.

use super::connect::Connector;
use diesel::connection::{CacheSize, Instrumentation};
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as Diesel};
use diesel::{ConnectionResult, QueryResult};
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::pooled_connection::deadpool::Object;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection,
};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How much longer than the server we wait: its own word is better than ours.
const MARGIN: Duration = Duration::from_secs(2);
/// A connection that has rested for so long is asked whether it still works before it is used: one round trip.
const RESTED: Duration = Duration::from_secs(5);
/// How long one that has rested may take to answer.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// When a connection of this process was last found silent. A connection that has not answered since then is not trusted either.
#[derive(Default)]
pub(super) struct Silence(Mutex<Option<Instant>>);

impl Silence {
    /// `since` is when the query was sent that was not answered.
    fn found(&self, since: Instant) {
        let mut found = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *found = (*found).max(Some(since));
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A connection to PostgreSQL, in a pool or by itself.
pub(super) struct Connection {
    inner: AsyncPgConnection,
    state: Arc<State>,
    /// How long one statement may take, and each wait for a row; `None` is for ever.
    limit: Option<Duration>,
    /// When the replica behind this connection was last found near enough to the primary.
    pub(super) judged: Option<Instant>,
}

/// What is known of a connection from outside.
pub(super) struct State {
    connector: Connector,
    cancel: tokio_postgres::CancelToken,
    /// The server's process.
    pid: i32,
    /// Which statement is waited for, and since when; `None` while nothing is.
    flight: Mutex<(u64, Option<Instant>)>,
    given_up: Notify,
    /// What was asked of the server was not waited for.
    cut_short: AtomicBool,
    /// Cancelled when the server knows of that, or could not be told.
    told: CancellationToken,
    /// When the server was last heard.
    heard: Mutex<Instant>,
}

impl Connection {
    /// `pid` is the server's process.
    pub(super) fn new(inner: AsyncPgConnection, connector: Connector, pid: i32) -> Self {
        metrics::counter!("udaconnect_database_connections_made_total").increment(1);
        let limit = Some(connector.statement_timeout() + MARGIN);
        let cancel = inner.cancel_token();
        let state = Arc::new(State {
            connector,
            cancel,
            pid,
            flight: Mutex::default(),
            given_up: Notify::new(),
            cut_short: AtomicBool::new(false),
            told: CancellationToken::new(),
            heard: Mutex::new(Instant::now()),
        });
        state.connector.known().add(&state);
        Self { inner, state, limit, judged: None }
    }

    /// Changes how long one statement may take, and returns how long that was; `None` is for work that has no limit at the server
    /// either.
    pub(super) fn set_limit(&mut self, limit: Option<Duration>) -> Option<Duration> {
        std::mem::replace(&mut self.limit, limit)
    }

    /// If a statement was abandoned: runs `then` when the server has been asked to cancel it, or cannot be asked. Else drops `then` at
    /// once.
    pub(super) fn when_told(&self, then: impl FnOnce() + Send + 'static) {
        if self.state.cut_short.load(Ordering::Relaxed) {
            let told = self.state.told.clone();
            self.state.connector.spawn(async move {
                told.cancelled().await;
                then();
            });
        }
    }

    /// Checks a connection that has been idle for a while.
    pub(super) async fn check(&mut self) -> QueryResult<()> {
        if self.state.heard().elapsed() < RESTED {
            return Ok(());
        }
        let limit = self.limit.replace(ANSWERS_WITHIN);
        let answered = self.batch_execute("SELECT 1").await;
        self.limit = limit;
        answered
    }

    fn flight(&self) -> Flight {
        Flight { state: self.state.clone(), limit: self.limit, landed: false }
    }
}

impl State {
    pub(super) fn pid(&self) -> i64 {
        i64::from(self.pid)
    }

    /// The number of the statement under way, if it has been waited for this long.
    pub(super) fn waited_for(&self, time: Duration) -> Option<u64> {
        let (number, since) = *self.flight();
        since.filter(|since| since.elapsed() >= time).map(|_| number)
    }

    /// Ends the wait for the statement that is under way.
    pub(super) fn give_up(&self) {
        self.given_up.notify_waiters();
    }

    fn heard(&self) -> MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn flight(&self) -> MutexGuard<'_, (u64, Option<Instant>)> {
        self.flight.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn distrusted(&self) -> bool {
        self.cut_short.load(Ordering::Relaxed)
            || self.connector.silence().since().is_some_and(|since| *self.heard() < since)
    }

    /// Ends what the server still does.
    fn cut_short(&self) {
        self.cut_short.store(true, Ordering::Relaxed);
        metrics::counter!("udaconnect_database_statements_cancelled_total").increment(1);
        self.connector.cancel(self.cancel.clone(), self.told.clone());
    }
}

/// A statement that is under way. Dropped before its end, it takes its connection with it.
struct Flight {
    state: Arc<State>,
    limit: Option<Duration>,
    landed: bool,
}

impl Flight {
    async fn wait<T>(&mut self, work: impl Future<Output = T>) -> QueryResult<T> {
        let began = self.take_off();
        let done = tokio::select! {
            biased;
            done = work => Some(done),
            () = self.over() => None,
        };
        self.land(done.is_some());
        done.ok_or_else(|| self.gave_no_answer(began))
    }

    /// Something is waited for from now on.
    fn take_off(&mut self) -> Instant {
        self.landed = false;
        let began = Instant::now();
        let mut flight = self.state.flight();
        *flight = (flight.0 + 1, Some(began));
        began
    }

    /// Comes when there is to be no more waiting.
    fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let (state, limit) = (self.state.clone(), self.limit);
        async move {
            let given_up = state.given_up.notified();
            match limit {
                Some(limit) => _ = tokio::time::timeout(limit, given_up).await,
                None => given_up.await,
            }
        }
    }

    /// Nothing is waited for any more; the server has been heard or not.
    fn land(&mut self, heard: bool) {
        self.landed = true;
        self.state.flight().1 = None;
        if heard {
            *self.state.heard() = Instant::now();
        }
    }

    fn gave_no_answer(&self, began: Instant) -> Diesel {
        self.state.cut_short();
        self.state.connector.silence().found(began);
        let silent = "the database gave no answer to a statement".to_owned();
        Diesel::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(silent))
    }
}

/// Rows on their way, with an end to each wait for the next one.
///
/// What nobody takes any more is thrown away by the driver; what ends a long list early is up to its caller. A future for each row
/// would cost as much as reading the row: nearly all are here already when they are asked for, and need no clock.
struct Timed<R> {
    /// `None` when there was no answer.
    rows: Option<BoxStream<'static, QueryResult<R>>>,
    flight: Flight,
    /// The wait for what has not come yet.
    wait: Option<Wait>,
}

/// Until when a row is waited for.
struct Wait {
    began: Instant,
    over: BoxFuture<'static, ()>,
}

impl<R> Stream for Timed<R> {
    type Item = QueryResult<R>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(rows) = &mut this.rows else { return Poll::Ready(None) };
        if let Poll::Ready(row) = rows.poll_next_unpin(cx) {
            if this.wait.take().is_some() {
                this.flight.land(true);
            }
            return Poll::Ready(row);
        }
        let wait =
            this.wait.get_or_insert_with(|| Wait { began: this.flight.take_off(), over: this.flight.over().boxed() });
        ready!(wait.over.poll_unpin(cx));
        let began = wait.began;
        this.wait = None;
        this.flight.land(false);
        this.rows = None;
        Poll::Ready(Some(Err(this.flight.gave_no_answer(began))))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.state.flight().1 = None;
            self.state.cut_short();
        }
    }
}

impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let mut flight = self.flight();
        flight.wait(self.inner.batch_execute(query)).await?
    }
}

impl AsyncConnectionCore for Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Self::Stream<'conn, 'query>>>;
    type Stream<'conn, 'query> = BoxStream<'static, QueryResult<Self::Row<'conn, 'query>>>;
    type Row<'conn, 'query> = <AsyncPgConnection as AsyncConnectionCore>::Row<'conn, 'query>;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Self::Backend> + QueryId + 'query,
    {
        let mut flight = self.flight();
        let loading = self.inner.load(source);
        async move {
            let rows = flight.wait(loading).await??;
            Ok(Timed { rows: Some(rows), flight, wait: None }.boxed())
        }
        .boxed()
    }

    fn execute_returning_count<'conn, 'query, T>(&'conn mut self, source: T) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Self::Backend> + QueryId + 'query,
    {
        let mut flight = self.flight();
        let executing = self.inner.execute_returning_count(source);
        async move { flight.wait(executing).await? }.boxed()
    }
}

impl AsyncConnection for Connection {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(_: &str) -> ConnectionResult<Self> {
        Err(diesel::ConnectionError::BadConnection("connections are made by the connector".to_owned()))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        self.inner.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner.set_prepared_statement_cache_size(size);
    }
}

impl PoolableConnection for Connection {
    fn is_broken(&mut self) -> bool {
        self.state.distrusted() || self.inner.is_broken()
    }
}

/// A connection out of a pool. It goes back to the pool unless it is broken or a statement is under way; then it is closed at once,
/// and the server ends what it does for it.
pub(super) struct Pooled(Option<Object<Connection>>);

impl Pooled {
    pub(super) fn new(object: Object<Connection>) -> Self {
        Self(Some(object))
    }

    /// Ends what the server does for it; it is closed when it is dropped.
    pub(super) fn cut_short(&self) {
        self.state.cut_short();
    }

    /// Closes the connection and ends what the server does for it.
    pub(super) fn discard(self) {
        self.cut_short();
    }
}

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(mut object) = self.0.take()
            && object.is_broken()
        {
            drop(Object::take(object));
        }
    }
}
