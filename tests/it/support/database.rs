use super::recorder::suite_port;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, Config, NoTls};

/// A database of a test's own, with the schema in it; dropped at the end.
pub struct Database {
    pub name: String,
    server: Config,
}

impl Database {
    /// One with all migrations applied.
    pub async fn new() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let template = TEMPLATE
            .get_or_init(|| async {
                let database = Self::create("template", "template0").await;
                let migrated = super::run(&["migrate"], &[("DATABASE_URL", &database.url())]).await;
                assert!(migrated.status.success(), "{migrated:?}");
                let name = database.name.clone();
                // Kept for as long as the process lives; the cluster is thrown away after the tests.
                std::mem::forget(database);
                name
            })
            .await;
        Self::create("test", template).await
    }

    /// One without any table.
    pub async fn empty() -> Self {
        Self::create("empty", "template0").await
    }

    async fn create(kind: &str, template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let url = std::env::var("UDACONNECT_TEST_DATABASE_URL").expect(
            "UDACONNECT_TEST_DATABASE_URL names no PostgreSQL; run the tests with `make test` or scripts/test.sh",
        );
        let name = format!("{kind}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let server: Config = url.parse().unwrap();
        connect(&server)
            .await
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'"))
            .await
            .unwrap();
        Self { name, server }
    }

    /// For the program, as the superuser. What it asks is noted where that is wanted; a test's own connections are
    /// [`client`](Self::client)s, of which nothing is.
    pub fn url(&self) -> String {
        self.url_at(suite_port(self.port()).unwrap_or_else(|| self.port()))
    }

    /// The same database through another port, behind which is a proxy.
    pub fn url_at(&self, port: u16) -> String {
        let user = self.server.get_user().unwrap();
        self.url_as(port, user, std::str::from_utf8(self.server.get_password().unwrap()).unwrap())
    }

    pub fn url_as(&self, port: u16, user: &str, password: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{port}/{}", self.name)
    }

    pub fn port(&self) -> u16 {
        self.server.get_ports()[0]
    }

    /// A connection of the test's own.
    pub async fn client(&self) -> Client {
        connect(self.server.clone().dbname(&self.name)).await
    }

    /// The one number that a query gives.
    pub async fn number(&self, sql: &str) -> i64 {
        self.client().await.query_one(sql, &[]).await.unwrap().get(0)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A thread of its own: a test's runtime cannot wait inside itself.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                connect(&server).await.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await
            })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("the database {} was not dropped: {error}", self.name);
        }
    }
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(async move {
        // Ends with an error when the database is dropped under it.
        let _ = connection.await;
    });
    client
}
