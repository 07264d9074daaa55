//! Everything fails, one after the other and all the time, and what was acknowledged is stored exactly once, as it was sent.
//!
//! Servers of its own, since it stops them. `make faults` runs it for longer, by the variables of [`Settings`].

mod ledger;
mod random;
mod tampering;
mod walk;

use crate::support::{Balancer, DEADLINE, Program, eventually};
use random::Random;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};
use tokio::process::Command;
use walk::{Tally, walk};

/// How much is done at least.
struct Settings {
    /// UDACONNECT_FAULT_LOCATIONS: locations sent.
    locations: i64,
    /// UDACONNECT_FAULT_RATE: locations sent a second, at most.
    rate: u64,
    /// UDACONNECT_FAULT_ROUNDS: how often everything fails.
    rounds: u64,
    /// UDACONNECT_FAULT_MINUTES: how long faults follow each other.
    time: Duration,
    /// UDACONNECT_FAULT_OUTAGE, in seconds: how long PostgreSQL stays away each time.
    outage: Duration,
    /// UDACONNECT_FAULT_SEED: what is sent and what fails when; otherwise by the clock, and printed.
    seed: u64,
}

impl Settings {
    fn read() -> Self {
        let setting = |name: &str, default: u64| {
            std::env::var(name)
                .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
        };
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as u64;
        Self {
            locations: setting("UDACONNECT_FAULT_LOCATIONS", 20_000) as i64,
            rate: setting("UDACONNECT_FAULT_RATE", 10_000),
            rounds: setting("UDACONNECT_FAULT_ROUNDS", 1),
            time: Duration::from_secs(60 * setting("UDACONNECT_FAULT_MINUTES", 0)),
            outage: Duration::from_secs(setting("UDACONNECT_FAULT_OUTAGE", 3)),
            seed: setting("UDACONNECT_FAULT_SEED", clock),
        }
    }
}

/// What fails, in an order that the seed gives.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A worker is killed.
    Worker(&'static str),
    /// PostgreSQL is away for a time, and a worker is killed meanwhile.
    Postgres,
    /// The gRPC server is killed.
    Grpc,
    /// The broker is killed, and a worker meanwhile.
    Kafka,
}

/// How many phones there are, each of a person of its own.
const PHONES: i64 = 4;

const FAULTS: [Fault; 6] = [
    Fault::Worker("worker 1"),
    Fault::Worker("worker 2"),
    Fault::Worker("worker 1"),
    Fault::Postgres,
    Fault::Grpc,
    Fault::Kafka,
];

/// Runs one of the scripts; what it prints is returned.
async fn script(name: &str, arguments: &[&str]) -> String {
    let path = format!("{}/scripts/{name}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(path).args(arguments).env_remove("KAFKA_BOOTSTRAP").output().await.unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// How far something has come.
async fn grows(what: &str, ask: impl AsyncFn() -> i64) -> Result<(), String> {
    let (before, waited) = (ask().await, Instant::now());
    while ask().await <= before {
        if waited.elapsed() > DEADLINE {
            return Err(what.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // polls
    }
    Ok(())
}

/// The servers of a run, and what goes on in it.
struct Run {
    settings: Settings,
    postgres: String,
    kafka: String,
    url: String,
    bootstrap: String,
    /// Phones know one address, behind which servers come and go with ports of their own.
    balancer: Balancer,
    grpc_port: u16,
    roles: BTreeMap<&'static str, Program>,
    tally: Arc<Tally>,
    begin: Instant,
}

impl Run {
    async fn start(settings: Settings, directory: &Path) -> Self {
        let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        let (postgres, kafka) = (path("postgres"), path("kafka"));
        script("postgres.sh", &["start", &postgres, "--fast"]).await;
        script("kafka.sh", &["start", &kafka]).await;
        let url = script("postgres.sh", &["url", &postgres]).await;
        let bootstrap = script("kafka.sh", &["bootstrap", &kafka]).await;
        let migrated = crate::support::run(&["migrate"], &[("DATABASE_URL", &url)]).await;
        assert!(migrated.status.success(), "{migrated:?}");
        let tally = Arc::new(Tally::new(settings.seed, i64::MAX, settings.rate));
        let mut run = Self {
            settings,
            postgres,
            kafka,
            url,
            bootstrap,
            balancer: Balancer::start().await,
            grpc_port: 0,
            roles: BTreeMap::new(),
            tally,
            begin: Instant::now(),
        };
        let people = format!(
            "INSERT INTO person (first_name, last_name, company_name) SELECT 'a', 'b', 'c' FROM generate_series(1, {PHONES})"
        );
        run.client().await.batch_execute(&people).await.unwrap();
        run.serve_grpc().await;
        for name in ["worker 1", "worker 2"] {
            run.roles.insert(name, run.program("consume"));
        }
        run
    }

    fn program(&self, role: &str) -> Program {
        Program::start(
            &[role],
            &[
                ("DATABASE_URL", &self.url),
                ("KAFKA_BOOTSTRAP", &self.bootstrap),
                ("KAFKA_PARTITIONS", "4"),
                ("DATABASE_CONNECT_TIMEOUT", "15"),
                ("LISTEN_ADDR", "127.0.0.1:0"),
            ],
        )
    }

    async fn serve_grpc(&mut self) {
        let server = self.program("serve-grpc");
        let address = server.logged("serving gRPC", "address").await;
        self.grpc_port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        self.balancer.add(self.grpc_port);
        self.roles.insert("serve-grpc", server);
    }

    async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn number(&self, sql: &str) -> i64 {
        self.client().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    fn acknowledged(&self) -> i64 {
        self.tally.acknowledged.load(Ordering::SeqCst) as i64
    }

    fn say(&self, what: &str) {
        eprintln!("{:6.1} s  {:>8} acknowledged  {what}", self.begin.elapsed().as_secs_f64(), self.acknowledged());
    }

    /// Ends the test, with what the program has logged.
    fn give_up(&self, what: &str) -> ! {
        for (name, program) in &self.roles {
            eprintln!("---- {name}\n{}", program.log());
        }
        panic!("waited in vain for {what}; UDACONNECT_FAULT_SEED={}", self.settings.seed);
    }

    /// Until something more was acknowledged.
    async fn served(&self) {
        let served = grows("phones to be served", async || self.acknowledged()).await;
        served.unwrap_or_else(|what| self.give_up(&what));
    }

    /// Until something more was stored.
    async fn stores(&self) {
        let offsets = "SELECT coalesce(sum(next_offset), 0)::bigint FROM kafka_partition";
        let stored = grows("something to be stored", async || self.number(offsets).await).await;
        stored.unwrap_or_else(|what| self.give_up(&what));
    }

    async fn kill_worker(&mut self, name: &'static str) {
        self.say(&format!("{name} is killed"));
        self.roles.get_mut(name).unwrap().kill().await;
        self.roles.insert(name, self.program("consume"));
    }

    async fn fail(&mut self, fault: Fault, random: &mut Random) {
        let worker = ["worker 1", "worker 2"][random.below(2) as usize];
        match fault {
            Fault::Worker(name) => {
                // Until it, or the other, has taken over and stored something.
                self.stores().await;
                self.kill_worker(name).await;
            }
            Fault::Postgres => {
                self.served().await;
                let errors = self.tally.errors.load(Ordering::SeqCst);
                self.say("PostgreSQL is stopped");
                script("postgres.sh", &["stop", &self.postgres]).await;
                let begin = Instant::now();
                self.served().await;
                self.kill_worker(worker).await;
                tokio::time::sleep(self.settings.outage.saturating_sub(begin.elapsed())).await; // lasts
                self.served().await;
                let noticed = self.tally.errors.load(Ordering::SeqCst) - errors;
                assert_eq!(noticed, 0, "no phone notices that PostgreSQL is away");
                script("postgres.sh", &["start", &self.postgres, "--fast"]).await;
                self.say("PostgreSQL is back");
            }
            Fault::Grpc => {
                self.say("serve-grpc is killed");
                self.balancer.remove(self.grpc_port);
                self.roles.get_mut("serve-grpc").unwrap().kill().await;
                self.serve_grpc().await;
            }
            Fault::Kafka => {
                self.say("Kafka is killed");
                if let Ok(pid) = std::fs::read_to_string(Path::new(&self.kafka).join("pid")) {
                    // Safe: it is the broker that this test has started.
                    assert_eq!(unsafe { libc::kill(pid.trim().parse().unwrap(), libc::SIGKILL) }, 0);
                    // A port that is still held would make the script choose another one, which nobody was told.
                    eventually("the broker's end", || async {
                        tokio::net::TcpStream::connect(&self.bootstrap).await.is_err().then_some(())
                    })
                    .await;
                } else {
                    script("kafka.sh", &["stop", &self.kafka]).await;
                }
                self.kill_worker(worker).await;
                script("kafka.sh", &["start", &self.kafka]).await;
                self.say("Kafka is back");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts and stops a PostgreSQL and an Apache Kafka of its own; make test runs it, make faults for longer"]
async fn kafka_and_all_else_fail_and_what_was_acknowledged_is_stored_exactly_once() {
    let settings = Settings::read();
    eprintln!("UDACONNECT_FAULT_SEED={}", settings.seed);
    let directory = tempfile::tempdir().unwrap();
    let _servers = Servers(directory.path().to_owned());
    let mut run = Run::start(settings, directory.path()).await;
    let phones: Vec<_> = (1..=PHONES)
        .map(|person| {
            let url = format!("http://127.0.0.1:{}", run.balancer.port);
            tokio::spawn(walk(url, person, run.tally.clone()))
        })
        .collect();

    let mut round = 0;
    while round < run.settings.rounds
        || run.tally.next.load(Ordering::SeqCst) < run.settings.locations
        || run.begin.elapsed() < run.settings.time
    {
        let mut random = Random::of([run.settings.seed, round, 0]);
        let mut faults = FAULTS;
        random.shuffle(&mut faults);
        round += 1;
        run.say(&format!("round {round}: {faults:?}"));
        for fault in faults {
            run.fail(fault, &mut random).await;
            // Sometimes the next one comes while this one is still felt.
            if random.below(2) == 0 {
                run.served().await;
                run.stores().await;
            }
        }
        run.served().await;
    }
    run.tally.enough.store(true, Ordering::SeqCst);
    for phone in phones {
        match tokio::time::timeout(DEADLINE, phone).await {
            Ok(ended) => ended.unwrap(),
            Err(_) => run.give_up("everything to be settled"),
        }
    }
    run.say("the phones are done");
    let acknowledged = run.acknowledged();
    let refused = run.tally.refused.load(Ordering::SeqCst) as i64;
    let sent = run.tally.next.load(Ordering::SeqCst);
    assert_eq!((acknowledged, refused), (sent - sent / 50, sent / 50), "each settled once");
    // A long outage leaves millions; what matters is that it goes on.
    while run.number("SELECT count(*) FROM location").await < acknowledged {
        let grown = grows("all to be stored", async || run.number("SELECT count(*) FROM location").await).await;
        // The last may have come just before.
        if grown.is_err() && run.number("SELECT count(*) FROM location").await < acknowledged {
            let faults = run.tally.ledger.faults(&run.client().await).await;
            run.give_up(&format!("all to be stored: {faults:#?}"));
        }
    }
    run.say("all is stored");
    assert_eq!(run.tally.ledger.faults(&run.client().await).await, Vec::<String>::new());
    assert_eq!(run.number("SELECT count(*) FROM location").await, acknowledged);
    assert_eq!(run.number("SELECT count(*) FROM dead_letter").await, 0);
    run.say(&format!(
        "all stored once, every field as it was sent; {refused} refused and reported, {} broken streams, {round} rounds, \
         UDACONNECT_FAULT_SEED={}",
        run.tally.errors.load(Ordering::SeqCst),
        run.settings.seed
    ));
}

/// Removes the servers in this directory at the end, however that comes.
struct Servers(PathBuf);

impl Drop for Servers {
    fn drop(&mut self) {
        for (name, directory) in [("postgres.sh", "postgres"), ("kafka.sh", "kafka")] {
            let path = format!("{}/scripts/{name}", env!("CARGO_MANIFEST_DIR"));
            let removed = std::process::Command::new(path)
                .arg("remove")
                .arg(self.0.join(directory))
                .env_remove("KAFKA_BOOTSTRAP")
                .output();
            if !removed.as_ref().is_ok_and(|output| output.status.success()) {
                eprintln!("{name} remove {directory}: {removed:?}");
            }
        }
    }
}
