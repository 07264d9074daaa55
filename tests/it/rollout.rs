//! A rollout: processes are replaced one after the other while clients go on.

use crate::support::{Balancer, DEADLINE, Database, Phone, Program, Server, eventually, location, serve_grpc};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How many processes there are, and how often each is replaced.
const PROCESSES: usize = 2;
const ROUNDS: usize = 2;
/// Long enough for every client to ask once more, on a busy machine too, and to be told to go elsewhere.
const PAUSE: (&str, &str) = ("SHUTDOWN_PAUSE", "3");

fn port_of(address: &str) -> u16 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

async fn serve_api(database: &Database) -> (Program, u16) {
    let url = database.url();
    let program = Program::start(&["serve-api"], &[("DATABASE_URL", &url), ("LISTEN_ADDR", "127.0.0.1:0"), PAUSE]);
    let port = port_of(&program.logged("serving the API", "address").await);
    ready(port).await;
    (program, port)
}

async fn grpc(database: &Database) -> (Program, u16) {
    let (program, url) = serve_grpc(&[("DATABASE_URL", database.url()), (PAUSE.0, PAUSE.1.to_owned())]).await;
    let port = port_of(&url);
    ready(port).await;
    (program, port)
}

async fn ready(port: u16) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    eventually("readiness", || async {
        let answer = http.get(format!("http://127.0.0.1:{port}/readyz")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}

/// As Kubernetes does it with the chart's settings: a new one that is ready, then the old one gets no new connections, then it
/// is asked to end. Returns when every process has been replaced [`ROUNDS`] times, each time after more has gone through, with
/// those that run then.
async fn roll_out<S: Future<Output = (Program, u16)>>(
    balancer: &Balancer,
    start: impl Fn() -> S,
    done: &AtomicU64,
) -> Vec<(Program, u16)> {
    let mut running = Vec::new();
    for _ in 0..PROCESSES {
        let (program, port) = start().await;
        balancer.add(port);
        running.push((program, port));
    }
    for _ in 0..PROCESSES * ROUNDS {
        let before = done.load(Ordering::SeqCst);
        eventually("work", || async { (done.load(Ordering::SeqCst) > before + 20).then_some(()) }).await;
        let (program, port) = start().await;
        balancer.add(port);
        running.push((program, port));
        let (mut old, port) = running.remove(0);
        balancer.remove(port);
        old.signal(libc::SIGTERM);
        assert!(old.ended().await.success(), "{}", old.log());
    }
    let before = done.load(Ordering::SeqCst);
    eventually("work", || async { (done.load(Ordering::SeqCst) > before + 20).then_some(()) }).await;
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_servers_are_replaced() {
    let database = Database::new().await;
    let person = Server::start(&database).await.person().await;
    let balancer = Balancer::start().await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (stop, done, base) = (stop.clone(), done.clone(), format!("http://127.0.0.1:{}", balancer.port));
            tokio::spawn(async move {
                let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
                // Until there is somebody to ask.
                eventually("a server", || async { http.get(format!("{base}/livez")).send().await.ok() }).await;
                let mut stored = 0;
                while !stop.load(Ordering::SeqCst) {
                    let time = chrono::DateTime::from_timestamp(1_780_000_000 + stored, 0).unwrap();
                    let body = json!({"person_id": person, "latitude": 35.0 + f64::from(client), "longitude": -106.5,
                        "creation_time": time});
                    let answer = http.post(format!("{base}/api/locations")).json(&body).send().await;
                    assert_eq!(answer.expect("an answer to POST").status(), 201);
                    stored += 1;
                    let answer = http.get(format!("{base}/api/persons/{person}")).send().await;
                    assert_eq!(answer.expect("an answer to GET").status(), 200);
                    done.fetch_add(1, Ordering::SeqCst);
                }
                stored
            })
        })
        .collect();
    let _running = roll_out(&balancer, || serve_api(&database), &done).await;
    stop.store(true, Ordering::SeqCst);
    let mut stored = 0;
    for client in clients {
        stored += client.await.unwrap();
    }
    assert_eq!(database.number("SELECT count(*) FROM location").await, stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_go_on_elsewhere_and_nothing_acknowledged_is_lost() {
    let database = Database::new().await;
    let person = Server::start(&database).await.person().await;
    let balancer = Balancer::start().await;
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let phone = {
        let (stop, total, url) = (stop.clone(), acknowledged.clone(), format!("http://127.0.0.1:{}", balancer.port));
        tokio::spawn(async move {
            // The first location that is not settled yet; it and what follows is sent again on a new stream.
            let mut settled = 0;
            let mut streams = 0;
            while !stop.load(Ordering::SeqCst) {
                let Ok(mut phone) = Phone::connect(&url).await else {
                    tokio::time::sleep(Duration::from_millis(10)).await; // polls
                    continue;
                };
                streams += 1;
                let begin = settled;
                let mut sent = 0;
                while !stop.load(Ordering::SeqCst) {
                    let next = (0..10).map(|i| location(person, begin + sent + i)).collect();
                    if !phone.send(next).await {
                        break;
                    }
                    sent += 10;
                    let answered = phone.acknowledged(sent as u64).await;
                    settled = begin + phone.acknowledged as i64;
                    total.store(settled as u64, Ordering::SeqCst);
                    if answered.is_err() {
                        break;
                    }
                }
            }
            (settled, streams)
        })
    };
    let _running = roll_out(&balancer, || grpc(&database), &acknowledged).await;
    stop.store(true, Ordering::SeqCst);
    let (settled, streams) = phone.await.unwrap();
    assert!(streams > PROCESSES, "the stream was moved: {streams}");
    // All that was acknowledged is there, once; what is beyond was on its way.
    let first = 1_780_000_000;
    let within = format!("SELECT count(*) FROM location WHERE creation_time < to_timestamp({})", first + settled);
    assert_eq!(database.number(&within).await, settled);
}
