//! How PostgreSQL is reached, and the versions and extensions that must be there.

use super::connection::{ANSWERS_WITHIN, Connection, Pooled, Silence};
use super::error::{POSTGRES, unavailable};
use super::sqlstate::{Coded, MakeCoded};
use super::url::{DatabaseUrl, Parsed, describe};
use super::watch::{self, Known};
use crate::domain::{Error, Result};
use deadpool::managed::QueueMode;
use diesel::ConnectionError;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

/// Where the database is and how it is used.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// PostgreSQL with PostGIS, e.g. postgres://udaconnect@localhost/udaconnect; with ?sslmode= and &sslrootcert= as for psql
    #[arg(long, env, value_name = "URL", hide_env_values = true, required = true)]
    database_url: Option<DatabaseUrl>,
    /// A streaming replica of it, which then answers searches (meetings, tracks, days, lists, exports); while it is away or too
    /// far behind, the primary does
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    database_replica_url: Option<DatabaseUrl>,
    /// How far behind the replica may be
    #[arg(long, env, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    database_replica_max_lag: u64,
    /// File that holds the password, if the URL has none (a mounted secret)
    #[arg(long, env, value_name = "FILE")]
    database_password_file: Option<PathBuf>,
    /// Connections kept open for all but searches
    #[arg(long, env, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1000))]
    database_pool_size: u32,
    /// Connections kept open for searches (meetings, tracks, days, lists); as many may be under way at once
    #[arg(long, env, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    database_search_pool_size: u32,
    /// How long to wait for a connection, new or pooled
    #[arg(long, env, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    database_connect_timeout: u64,
    /// How long one statement may run
    #[arg(long, env, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    database_statement_timeout: u64,
    /// Searches that begin at once, more wait in line; 0 for one per processor
    #[arg(long, env, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    database_searches: u32,
}

/// The oldest servers that this program is tested with and written for.
const OLDEST_POSTGRES: i32 = 140_000;
const OLDEST_POSTGIS: (u32, u32) = (3, 0);

/// Everything needed to open connections.
#[derive(Clone)]
pub(super) struct Connector {
    /// The setting that leads there.
    setting: &'static str,
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    connect_timeout: Duration,
    statement_timeout: Duration,
    silence: Arc<Silence>,
    known: Arc<Known>,
    /// Where connections live: callers may run on runtimes of their own (actix-web has one a worker), whose end or load must
    /// not touch a connection that others use.
    runtime: tokio::runtime::Handle,
}

impl DatabaseArgs {
    /// How many searches for meetings may be worked on at once.
    pub(super) fn searches(&self) -> usize {
        self.database_searches as usize
    }

    pub(super) fn search_pool_size(&self) -> usize {
        self.database_search_pool_size as usize
    }

    pub(super) fn pool_size(&self) -> usize {
        self.database_pool_size as usize
    }

    /// Whether these can be used, as far as that shows without a server: the form of the URL, and the files of the password and
    /// of certificates.
    pub fn check(&self) -> Result<()> {
        self.primary()?;
        self.replica()?;
        Ok(())
    }

    fn primary(&self) -> Result<Address> {
        let wrong = |why: String| Error::invalid(PRIMARY, why);
        let url = self.database_url.as_ref().ok_or_else(|| wrong("must be given".to_owned()))?;
        let (mut config, tls) = read(url).map_err(wrong)?;
        if let Some(password) = self.password()? {
            config.password(password);
        }
        Ok((config, tls))
    }

    /// Where searches go, if that is another server. Its users are the primary's, and so are their passwords.
    fn replica(&self) -> Result<Option<Address>> {
        let Some(url) = &self.database_replica_url else { return Ok(None) };
        let (mut config, tls) = read(url).map_err(|why| Error::invalid(REPLICA, why))?;
        if config.get_password().is_none()
            && let Some(password) = self.password()?
        {
            config.password(password);
        }
        Ok(Some((config, tls)))
    }

    fn password(&self) -> Result<Option<String>> {
        let Some(path) = &self.database_password_file else { return Ok(None) };
        let password = std::fs::read_to_string(path)
            .map_err(|e| Error::invalid("DATABASE_PASSWORD_FILE", format!("{} cannot be read: {e}", path.display())))?;
        Ok(Some(password.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// How far behind the replica may be.
    pub(super) fn max_lag(&self) -> Duration {
        Duration::from_secs(self.database_replica_max_lag)
    }
}

/// How to reach a server, and how to encrypt the way there.
type Address = (tokio_postgres::Config, Option<MakeRustlsConnect>);

const PRIMARY: &str = "DATABASE_URL";
const REPLICA: &str = "DATABASE_REPLICA_URL";

fn read(url: &DatabaseUrl) -> std::result::Result<Address, String> {
    let parsed: Parsed = url.0.clone()?;
    let tls = parsed.tls()?;
    Ok((parsed.config, tls))
}

impl Connector {
    /// To the primary. `application` is what `pg_stat_activity` shows.
    pub(super) fn new(args: &DatabaseArgs, application: &str) -> Result<Self> {
        Ok(Self::to(PRIMARY, args.primary()?, args, application))
    }

    /// To the replica, if there is one.
    pub(super) fn replica(args: &DatabaseArgs, application: &str) -> Result<Option<Self>> {
        Ok(args.replica()?.map(|address| Self::to(REPLICA, address, args, application)))
    }

    fn to(setting: &'static str, (mut config, tls): Address, args: &DatabaseArgs, application: &str) -> Self {
        if config.get_application_name().is_none() {
            config.application_name(format!("udaconnect {application}"));
        }
        // PostgreSQL's own default for random_page_cost, 4, is for disks that turn. With it a table is read as a whole to find a
        // few dozen persons.
        let ours = format!(
            "-c timezone=UTC -c statement_timeout={}s -c idle_in_transaction_session_timeout=60s -c jit=off \
             -c random_page_cost=1.1",
            args.database_statement_timeout
        );
        let options = match config.get_options() {
            Some(theirs) => format!("{ours} {theirs}"),
            None => ours,
        };
        config.options(options);
        config.connect_timeout(Duration::from_secs(args.database_connect_timeout));
        config.keepalives_idle(Duration::from_secs(30));
        config.tcp_user_timeout(Duration::from_secs(30));
        Self {
            setting,
            config,
            tls,
            connect_timeout: Duration::from_secs(args.database_connect_timeout),
            statement_timeout: Duration::from_secs(args.database_statement_timeout),
            silence: Arc::default(),
            known: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// For statements that touch a few index entries whatever their parameters are: each is planned once on a connection. PostgreSQL
    /// would plan most of them anew at every call, since the plan for a single id seems cheaper to it than the one for any number, and
    /// planning costs more than all the rest.
    pub(super) fn planning_once(&self) -> Self {
        let mut planning_once = self.clone();
        let options = self.config.get_options().unwrap_or_default();
        planning_once.config.options(format!("-c plan_cache_mode=force_generic_plan {options}"));
        planning_once
    }

    /// Runs something where the connections live.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    pub(super) fn silence(&self) -> &Silence {
        &self.silence
    }

    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// Starts to look for statements that the server does not work on; ends with what is returned.
    pub(super) fn watch(&self) -> AbortOnDrop {
        AbortOnDrop(self.runtime.spawn(watch::run(self.clone())).abort_handle())
    }

    /// Asks the server to end a statement; in the background, and without knowing whether it does. `told` is cancelled when the
    /// server knows, or cannot be told.
    pub(super) fn cancel(&self, token: tokio_postgres::CancelToken, told: CancellationToken) {
        let (tls, timeout) = (self.tls.clone(), self.connect_timeout);
        self.runtime.spawn(async move {
            let cancelling = async {
                match tls {
                    Some(tls) => token.cancel_query(tls).await,
                    None => token.cancel_query(tokio_postgres::NoTls).await,
                }
            };
            if let Ok(Err(error)) = tokio::time::timeout(timeout, cancelling).await {
                tracing::debug!(%error, "a statement could not be cancelled");
            }
            told.cancel();
        });
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(super) fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    /// One connection of its own, outside any pool. Errors say where it was tried and what to do.
    pub(super) async fn connect(&self) -> Result<Connection> {
        let (config, tls) = (self.config.clone(), self.tls.clone());
        let establishing = self.runtime.spawn(tokio::time::timeout(self.connect_timeout, establish(config, tls)));
        let established = establishing.await.map_err(|error| Error::Internal(error.to_string()))?;
        match established {
            Err(_) => {
                Err(unavailable(format!("no answer from {} in {:?}", describe(&self.config), self.connect_timeout)))
            }
            Ok(Ok((connection, pid))) => Ok(Connection::new(connection, self.clone(), pid)),
            Ok(Err(Establish::Refused(error))) => Err(self.explain(&error)),
            Ok(Err(Establish::Setup(error))) => Err(unavailable(error)),
        }
    }

    /// What cannot get better by waiting is the operator's to mend (`Invalid`); the rest is `Unavailable`.
    fn explain(&self, error: &tokio_postgres::Error) -> Error {
        let (place, setting) = (describe(&self.config), self.setting);
        let text = match error.as_db_error() {
            Some(db) => db.message().to_owned(),
            None => {
                let cause = std::error::Error::source(error).map(|s| format!(": {s}")).unwrap_or_default();
                format!("{error}{cause}")
            }
        };
        let advice = match error.code() {
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                format!("check the user and the password in {setting} or DATABASE_PASSWORD_FILE")
            }
            Some(&SqlState::INVALID_CATALOG_NAME) => format!("create the database (createdb) or correct {setting}"),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => "grant the user CONNECT on the database".to_owned(),
            _ if is_wrong_tls(error, &text) => {
                format!("check sslmode and sslrootcert in {setting}, and the server's certificate")
            }
            _ if error.to_string().contains("password missing") => {
                format!("the server wants a password: put it in {setting} or DATABASE_PASSWORD_FILE")
            }
            _ => return unavailable(format!("cannot connect to {place}: {text}")),
        };
        Error::invalid(setting, format!("cannot connect to {place}: {text}; {advice}"))
    }

    pub(super) fn pool(&self, size: usize) -> Result<Pool<Connection>> {
        let connector = Arc::new(self.clone());
        let mut config = ManagerConfig::default();
        // A closed connection is noticed without asking the server; asking before every use would double each round trip.
        config.recycling_method =
            RecyclingMethod::CustomFunction(Box::new(|connection: &mut Connection| connection.check().boxed()));
        config.custom_setup = Box::new(move |_| {
            let connector = connector.clone();
            async move { connector.connect().await.map_err(|error| ConnectionError::BadConnection(error.to_string())) }
                .boxed()
        });
        let manager = AsyncDieselConnectionManager::new_with_config(String::new(), config);
        // The one that was used last is warm, at both ends: its statements are prepared, its pages mapped. The others rest.
        let pool = Pool::builder(manager).max_size(size).queue_mode(QueueMode::Lifo).build();
        pool.map_err(|e| Error::Internal(e.to_string()))
    }
}

async fn establish(
    mut config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
) -> Result<(AsyncPgConnection, i32), Establish> {
    let established = if let Some(path) = unix_socket(&config) {
        // These cannot be wrapped as others are (they have no name for TLS), so the stream is made here.
        config.ssl_mode(SslMode::Disable);
        let stream = tokio::net::UnixStream::connect(&path).await.map_err(|error| {
            Establish::Setup(ConnectionError::BadConnection(format!("{}: {error}", path.display())))
        })?;
        let connecting = config.connect_raw(Coded::new(stream), tokio_postgres::NoTls).await;
        let (client, connection) = connecting.map_err(Establish::Refused)?;
        tokio::spawn(async move {
            // Who uses the connection gets the error.
            let _ = connection.await;
        });
        AsyncPgConnection::try_from(client).await
    } else {
        let tls = MakeCoded::prepare(&mut config, tls);
        let (client, connection) = config.connect(tls).await.map_err(Establish::Refused)?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    };
    let connection = established.map_err(Establish::Setup)?;
    // What a killed worker had begun ends within a second, and with it its locks. Servers that cannot see a connection break
    // while they work refuse this setting; they are slower to notice, and that is all.
    let (mut first, mut second) = (&connection, &connection);
    let (watched, pid) = tokio::join!(
        first.batch_execute("SET client_connection_check_interval = '1s'"),
        diesel::select(pg_backend_pid()).get_result(&mut second),
    );
    if let Err(error) = watched {
        tracing::debug!(%error, "the server cannot watch connections while it works");
    }
    let pid = pid.map_err(|error| Establish::Setup(ConnectionError::CouldntSetupConfiguration(error)))?;
    Ok((connection, pid))
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn pg_backend_pid() -> diesel::sql_types::Integer;
}

/// A task that ends when this is dropped.
pub(super) struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The socket, where the server is on this machine and has no other address.
fn unix_socket(config: &tokio_postgres::Config) -> Option<PathBuf> {
    match config.get_hosts() {
        [Host::Unix(directory)] => {
            let port = config.get_ports().first().copied().unwrap_or(5432);
            Some(directory.join(format!(".s.PGSQL.{port}")))
        }
        _ => None,
    }
}

/// Whether a server was reached that cannot be talked to as `sslmode` demands, and will not be until somebody mends that.
fn is_wrong_tls(error: &tokio_postgres::Error, text: &str) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let tls = cause.and_then(|cause| cause.get_ref()?.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_))) || text.contains("server does not support TLS")
}

enum Establish {
    Refused(tokio_postgres::Error),
    Setup(ConnectionError),
}

/// A pooled connection, or why there is none in time.
pub(super) async fn checkout(pool: &Pool<Connection>, wait: Duration) -> Result<Pooled> {
    // One that has rested may be asked first, in vain.
    match tokio::time::timeout(wait + ANSWERS_WITHIN, pool.get()).await {
        Ok(Ok(connection)) => Ok(Pooled::new(connection)),
        Ok(Err(error)) => Err(unavailable(error)),
        Err(_) => Err(unavailable(format!("no free connection within {:?}", wait + ANSWERS_WITHIN))),
    }
}

/// Checks that server and extension are there and not too old; the error says what to install.
pub(super) async fn check_versions(connection: &mut Connection) -> Result<()> {
    use diesel::sql_types::{Integer, Nullable, Text};

    #[derive(diesel::QueryableByName)]
    struct Versions {
        #[diesel(sql_type = Integer)]
        server: i32,
        #[diesel(sql_type = Nullable<Text>)]
        postgis: Option<String>,
    }
    let versions: Versions = diesel::sql_query(
        "SELECT current_setting('server_version_num')::int AS server, (SELECT coalesce(installed_version, default_version) \
         FROM pg_available_extensions WHERE name = 'postgis') AS postgis",
    )
    .get_result(connection)
    .await
    .map_err(super::error::from_diesel)?;
    if versions.server < OLDEST_POSTGRES {
        return Err(Error::invalid(
            POSTGRES,
            format!("PostgreSQL {} is too old; 14 or newer is needed", versions.server / 10_000),
        ));
    }
    let Some(postgis) = versions.postgis else {
        return Err(Error::invalid(
            POSTGRES,
            format!(
                "PostGIS is not installed on the server; install it there (Debian: postgresql-{}-postgis-3)",
                versions.server / 10_000
            ),
        ));
    };
    let mut numbers = postgis.split('.').map_while(|part| part.parse().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST_POSTGIS {
        return Err(Error::invalid(POSTGRES, format!("PostGIS {postgis} is too old; 3.0 or newer is needed")));
    }
    Ok(())
}
