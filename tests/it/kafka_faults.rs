//! Everything fails, one after the other and all the time, and what was acknowledged is stored exactly once.
//!
//! Servers of its own, since it stops them. UDACONNECT_FAULT_LOCATIONS, UDACONNECT_FAULT_ROUNDS and UDACONNECT_FAULT_OUTAGE
//! (seconds) make it longer; `make faults` does.

use crate::support::{DEADLINE, Phone, Program, location};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::Mutex;
use udaconnect::wire::proto::NewLocation;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}

/// Runs one of the scripts; what it prints is returned.
async fn script(name: &str, arguments: &[&str]) -> String {
    let path = format!("{}/scripts/{name}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(path).args(arguments).env_remove("KAFKA_BOOTSTRAP").output().await.unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What the phones have done together.
#[derive(Default)]
struct Tally {
    /// Locations handed out so far; each number is one location.
    next: AtomicI64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    /// Streams that ended with an error, from a phone's view.
    errors: AtomicU64,
    enough: AtomicBool,
}

/// Every 50th location is one that can never be stored.
fn is_bad(number: i64) -> bool {
    number % 50 == 49
}

fn make(person: i64, number: i64) -> NewLocation {
    let good = location(person, number);
    if is_bad(number) { NewLocation { longitude: Some(-180.5), ..good } } else { good }
}

/// Sends locations until told that it is enough, and again whatever a broken stream did not acknowledge.
async fn walk(url: String, person: i64, tally: Arc<Tally>) {
    // What is not settled, in the order of sending.
    let mut unsettled: Vec<i64> = Vec::new();
    while !tally.enough.load(Ordering::Relaxed) || !unsettled.is_empty() {
        let Ok(mut phone) = Phone::connect(&url).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let mut settled_before = 0;
        // What is left of the last stream goes first.
        let mut waiting: Vec<i64> = unsettled.clone();
        loop {
            let enough = tally.enough.load(Ordering::Relaxed);
            if waiting.is_empty() && !enough && unsettled.len() < 5_000 {
                let first = tally.next.fetch_add(50, Ordering::Relaxed);
                waiting.extend(first..first + 50);
                unsettled.extend(first..first + 50);
            }
            let batch = waiting.iter().map(|number| make(person, *number)).collect::<Vec<_>>();
            if !batch.is_empty() && !phone.send(batch).await {
                // The reason comes with the next answer.
            }
            waiting.clear();
            let quiet = tokio::time::sleep(Duration::from_millis(50));
            tokio::select! {
                answer = phone.acknowledgement() => match answer {
                    Ok(Some(())) => {
                        let now = phone.acknowledged as usize;
                        let newly: Vec<i64> = unsettled.drain(..now - settled_before).collect();
                        let bad: Vec<i64> = newly.iter().copied().filter(|number| is_bad(*number)).collect();
                        let refused: Vec<_> = std::mem::take(&mut phone.refused);
                        assert_eq!(refused.len(), bad.len(), "every bad one is refused and no other: {refused:?} {bad:?}");
                        tally.refused.fetch_add(bad.len() as u64, Ordering::Relaxed);
                        tally.acknowledged.fetch_add((newly.len() - bad.len()) as u64, Ordering::Relaxed);
                        settled_before = now;
                        if unsettled.is_empty() && enough {
                            return;
                        }
                    }
                    Ok(None) | Err(_) => {
                        tally.errors.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                },
                () = quiet => {}
            }
        }
    }
}

type Roles = Arc<Mutex<BTreeMap<&'static str, Program>>>;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts and stops a PostgreSQL and an Apache Kafka of its own; make test runs it, make faults for longer"]
async fn kafka_and_all_else_fail_and_what_was_acknowledged_is_stored_exactly_once() {
    let wanted = setting("UDACONNECT_FAULT_LOCATIONS", 20_000) as i64;
    let rounds = setting("UDACONNECT_FAULT_ROUNDS", 1);
    let outage = Duration::from_secs(setting("UDACONNECT_FAULT_OUTAGE", 3));
    let directory = tempfile::tempdir().unwrap();
    let [postgres, kafka] = ["postgres", "kafka"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    let _servers = Servers { postgres: postgres.clone(), kafka: kafka.clone() };
    script("postgres.sh", &["start", &postgres, "--fast"]).await;
    script("kafka.sh", &["start", &kafka]).await;
    let url = script("postgres.sh", &["url", &postgres]).await;
    let bootstrap = script("kafka.sh", &["bootstrap", &kafka]).await;
    let migrated = crate::support::run(&["migrate"], &[("DATABASE_URL", &url)]).await;
    assert!(migrated.status.success(), "{migrated:?}");
    let sql = async |sql: &str| {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let rows = client.query(sql, &[]).await.unwrap();
        let number: i64 = rows.first().map_or(0, |row| row.get(0));
        drop(client);
        let _ = connection.await;
        number
    };
    sql("INSERT INTO person (first_name, last_name, company_name) SELECT 'a', 'b', 'c' FROM generate_series(1, 4)")
        .await;

    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("KAFKA_BOOTSTRAP", &bootstrap),
        ("KAFKA_PARTITIONS", "4"),
        ("DATABASE_CONNECT_TIMEOUT", "15"),
    ];
    let start = |role: &str, address: &str| {
        let mut all = variables.to_vec();
        all.push(("LISTEN_ADDR", address));
        Program::start(&[role], &all)
    };
    let server = start("serve-grpc", "127.0.0.1:0");
    let address = server.logged("serving gRPC", "address").await;
    let roles: Roles = Arc::default();
    roles.lock().await.insert("serve-grpc", server);
    for name in ["worker 1", "worker 2"] {
        roles.lock().await.insert(name, start("consume", "127.0.0.1:0"));
    }
    let begin = Instant::now();
    let tally = Arc::new(Tally::default());
    let phones: Vec<_> =
        (1..=4).map(|person| tokio::spawn(walk(format!("http://{address}"), person, tally.clone()))).collect();
    let say = |what: &str| {
        let acknowledged = tally.acknowledged.load(Ordering::Relaxed);
        eprintln!("{:6.1} s  {acknowledged:>8} acknowledged  {what}", begin.elapsed().as_secs_f64());
    };
    let kill_worker = async |name: &'static str| {
        say(&format!("{name} is killed"));
        roles.lock().await.get_mut(name).unwrap().kill().await;
        roles.lock().await.insert(name, start("consume", "127.0.0.1:0"));
    };

    let give_up = async |what: &str| {
        for (name, program) in roles.lock().await.iter() {
            eprintln!("---- {name}\n{}", program.log());
        }
        panic!("waited in vain for {what}");
    };
    let progress = async || {
        let (before, waited) =
            (sql("SELECT coalesce(sum(next_offset), 0)::bigint FROM kafka_partition").await, Instant::now());
        while sql("SELECT coalesce(sum(next_offset), 0)::bigint FROM kafka_partition").await <= before {
            if waited.elapsed() > DEADLINE {
                give_up("something to be stored").await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };

    let mut round = 0;
    while round < rounds || tally.next.load(Ordering::Relaxed) < wanted {
        round += 1;
        // Each time until the other has taken over and stored something.
        for name in ["worker 1", "worker 2", "worker 1"] {
            progress().await;
            kill_worker(name).await;
        }
        progress().await;

        let errors = tally.errors.load(Ordering::Relaxed);
        let before = tally.acknowledged.load(Ordering::Relaxed);
        say("PostgreSQL is stopped");
        script("postgres.sh", &["stop", &postgres]).await;
        tokio::time::sleep(outage).await;
        kill_worker("worker 1").await;
        assert!(tally.acknowledged.load(Ordering::Relaxed) > before, "phones go on without PostgreSQL");
        assert_eq!(tally.errors.load(Ordering::Relaxed), errors, "no phone notices that PostgreSQL is away");
        script("postgres.sh", &["start", &postgres, "--fast"]).await;
        say("PostgreSQL is back");

        kill_worker("worker 2").await;
        say("serve-grpc is killed");
        roles.lock().await.get_mut("serve-grpc").unwrap().kill().await;
        roles.lock().await.insert("serve-grpc", start("serve-grpc", &address));
        tokio::time::sleep(Duration::from_secs(1)).await;

        say("Kafka is killed");
        if let Ok(pid) = std::fs::read_to_string(Path::new(&kafka).join("pid")) {
            // Safe: it is the broker that this test has started.
            assert_eq!(unsafe { libc::kill(pid.trim().parse().unwrap(), libc::SIGKILL) }, 0);
            // A port that is still held would make the script choose another one, which nobody was told.
            while tokio::net::TcpStream::connect(&bootstrap).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        } else {
            script("kafka.sh", &["stop", &kafka]).await;
        }
        kill_worker("worker 1").await;
        script("kafka.sh", &["start", &kafka]).await;
        say("Kafka is back");
        let before = tally.acknowledged.load(Ordering::Relaxed);
        let waited = Instant::now();
        while tally.acknowledged.load(Ordering::Relaxed) == before {
            if waited.elapsed() > DEADLINE * 2 {
                give_up("phones to be served again").await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    tally.enough.store(true, Ordering::Relaxed);
    for phone in phones {
        tokio::time::timeout(DEADLINE * 2, phone).await.expect("everything is settled").unwrap();
    }
    say("the phones are done");
    let acknowledged = tally.acknowledged.load(Ordering::Relaxed) as i64;
    let refused = tally.refused.load(Ordering::Relaxed) as i64;
    let sent = tally.next.load(Ordering::Relaxed);
    assert_eq!((acknowledged, refused), (sent - sent / 50, sent / 50), "each settled once");
    // A long outage leaves millions; what matters is that it goes on.
    let (mut stored, mut waited) = (0, Instant::now());
    while stored < acknowledged {
        let now = sql("SELECT count(*) FROM location").await;
        if now > stored {
            (stored, waited) = (now, Instant::now());
        } else if waited.elapsed() > DEADLINE * 2 {
            give_up("all to be stored").await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    say("all is stored");
    assert_eq!(sql("SELECT count(*) FROM location").await, acknowledged, "each exactly once");
    assert_eq!(sql("SELECT count(DISTINCT (person_id, creation_time)) FROM location").await, acknowledged);
    assert_eq!(sql("SELECT count(*) FROM dead_letter").await, 0);
    eprintln!(
        "{acknowledged} acknowledged and stored once, {refused} refused and reported, {} broken streams, {round} rounds",
        tally.errors.load(Ordering::Relaxed)
    );
}

/// Removes the servers at the end, however that comes.
struct Servers {
    postgres: String,
    kafka: String,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for (name, directory) in [("postgres.sh", &self.postgres), ("kafka.sh", &self.kafka)] {
            let path = format!("{}/scripts/{name}", env!("CARGO_MANIFEST_DIR"));
            let removed =
                std::process::Command::new(path).args(["remove", directory]).env_remove("KAFKA_BOOTSTRAP").output();
            if !removed.as_ref().is_ok_and(|output| output.status.success()) {
                eprintln!("{name} remove {directory}: {removed:?}");
            }
        }
    }
}
