//! A PostgreSQL of a test's own and a standby that follows it.

use super::{OwnServer, run, skipped};
use tokio_postgres::{Client, NoTls};

/// Both servers; they end with it.
pub struct Pair {
    // Dropped first: a primary waits for its standby when it stops.
    standby: OwnServer,
    _primary: OwnServer,
    /// For the program, as the superuser.
    pub primary_url: String,
    pub standby_url: String,
}

const SMALL: [&str; 4] = ["--set", "shared_buffers=32MB", "--set", "max_connections=60"];

impl Pair {
    /// With an empty database, the same on both; `None` where PostgreSQL's own programs are not here.
    pub async fn start(settings: &[&str]) -> Option<Self> {
        let (primary, standby) = (OwnServer::new("postgres.sh"), OwnServer::new("postgres.sh"));
        let bin = tokio::process::Command::new(format!("{}/scripts/postgres.sh", env!("CARGO_MANIFEST_DIR")))
            .arg("bin")
            .output()
            .await
            .unwrap();
        if !bin.status.success() {
            skipped("a replica", "PostgreSQL's programs are not on this machine");
            return None;
        }
        let settings: Vec<&str> = SMALL.iter().chain(settings).copied().collect();
        primary.run("start", &[&["--fast"], settings.as_slice()].concat()).await;
        let followed = primary.server();
        standby.run("start", &[&["--fast", "--of", &followed], settings.as_slice()].concat()).await;
        let (primary_url, standby_url) = (primary.run("url", &[]).await, standby.run("url", &[]).await);
        Some(Self { standby, _primary: primary, primary_url, standby_url })
    }

    /// The same with the schema, which the standby may not have yet.
    pub async fn migrated(settings: &[&str]) -> Option<Self> {
        let pair = Self::start(settings).await?;
        pair.migrate().await;
        Some(pair)
    }

    pub async fn migrate(&self) {
        let migrated = run(&["migrate"], &[("DATABASE_URL", &self.primary_url)]).await;
        assert!(migrated.status.success(), "{migrated:?}");
    }

    /// A connection of the test's own to the primary.
    pub async fn primary(&self) -> Client {
        connect(&self.primary_url).await
    }

    /// The same to the standby.
    pub async fn standby(&self) -> Client {
        connect(&self.standby_url).await
    }

    /// Has the standby receive what comes and show none of it.
    pub async fn pause(&self) {
        let client = self.standby().await;
        client.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
        super::eventually("the replay to pause", || async {
            let state = client.query_one("SELECT pg_get_wal_replay_pause_state()", &[]).await.unwrap();
            (state.get::<_, &str>(0) == "paused").then_some(())
        })
        .await;
    }

    /// Has it show everything.
    pub async fn resume(&self) {
        self.standby().await.batch_execute("SELECT pg_wal_replay_resume()").await.unwrap();
    }

    pub async fn stop_standby(&self) {
        self.standby.run("stop", &[]).await;
    }

    /// Returns its port, which may be another one than before.
    pub async fn start_standby(&self) -> u16 {
        self.standby.run("start", &[&["--fast"], SMALL.as_slice()].concat()).await;
        port(&self.standby.run("url", &[]).await)
    }

    pub fn standby_port(&self) -> u16 {
        port(&self.standby_url)
    }

    /// The standby through another port, behind which is a proxy.
    pub fn standby_url_at(&self, port: u16) -> String {
        self.standby_url.replace(&format!(":{}/", self.standby_port()), &format!(":{port}/"))
    }
}

fn port(url: &str) -> u16 {
    url.parse::<tokio_postgres::Config>().unwrap().get_ports()[0]
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(async move {
        // Ends with an error when the server stops.
        let _ = connection.await;
    });
    client
}
