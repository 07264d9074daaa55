//! What goes wrong around the API: the database, the load, the end of the process.

use crate::support::{DEADLINE, Database, Proxy, Server, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn without_the_database_the_api_says_so_and_comes_back_by_itself() {
    let database = Database::new().await;
    let proxy = Proxy::to(database.port()).await;
    let server = Server::with(&[("DATABASE_URL", &database.url_at(proxy.port))]).await;
    let person = server.person().await;
    let location = json!({"person_id": person, "latitude": 35, "longitude": -106.5});
    for path in ["/readyz", "/api/readyz"] {
        assert_eq!(server.get(path).await, (200, json!({"status": "ready", "checks": {"postgres": "ok"}})));
    }

    proxy.cut();
    let response = server.http.get(server.url(&format!("/api/persons/{person}"))).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    assert!(response.json::<Value>().await.unwrap()["detail"].as_str().unwrap().contains("postgres"));
    assert_eq!(server.post("/api/locations", &location).await.0, 503);
    assert_eq!(server.post("/api/locations/batch", &json!([location])).await.0, 503);
    let ready = server.http.get(server.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    let ready: Value = ready.json().await.unwrap();
    assert_ne!(ready["checks"]["postgres"], "ok", "{ready}");
    assert!(!ready.to_string().contains("postgres://"), "no secret: {ready}");
    assert_eq!(server.http.get(server.url("/livez")).send().await.unwrap().status(), 200);

    proxy.mend();
    eventually("readiness", || async {
        (server.http.get(server.url("/readyz")).send().await.unwrap().status() == 200).then_some(())
    })
    .await;
    assert_eq!(server.get(&format!("/api/persons/{person}")).await.0, 200);
    assert_eq!(server.post("/api/locations", &location).await.0, 201);
}

#[tokio::test]
async fn a_silent_database_is_told_apart_and_comes_back_by_itself() {
    let database = Database::new().await;
    let proxy = Proxy::to(database.port()).await;
    let server = Server::with(&[
        ("DATABASE_URL", &database.url_at(proxy.port)),
        ("DATABASE_CONNECT_TIMEOUT", "5"),
        ("DATABASE_STATEMENT_TIMEOUT", "3600"),
    ])
    .await;
    let person = server.person().await;
    let location = json!({"person_id": person, "latitude": 35, "longitude": -106.5});
    let quick = format!("/api/persons/{person}");
    let slow = format!("/api/persons/{person}/connections");
    // Many connections that are open and idle.
    let many = (0..40).map(|_| server.get(&quick)).collect::<Vec<_>>();
    assert!(futures_util::future::join_all(many).await.iter().all(|(status, _)| *status == 200));
    for path in [&quick, &slow] {
        assert_eq!(server.get(path).await.0, 200);
    }
    assert_eq!(server.post("/api/locations", &location).await.0, 201);

    proxy.freeze();
    let waiting = [&quick, &slow, "/api/persons", &quick].map(|path| server.get(path));
    assert!(futures_util::future::join_all(waiting).await.iter().all(|(status, _)| *status == 503));
    assert_eq!(server.post("/api/locations", &location).await.0, 503);
    let ready = server.http.get(server.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);

    // New connections work again; those of before stay silent for ever.
    proxy.thaw();
    eventually("readiness", || async { (server.get_any("/readyz").await == 200).then_some(()) }).await;
    for path in [&quick, &slow] {
        eventually("an answer", || async { (server.get_any(path).await == 200).then_some(()) }).await;
    }
    for _ in 0..20 {
        assert_eq!(server.get(&quick).await.0, 200);
        assert_eq!(server.post("/api/locations", &location).await.0, 201);
    }
}

#[tokio::test]
async fn a_server_started_before_its_database_becomes_ready() {
    let database = Database::empty().await;
    let proxy = Proxy::to(database.port()).await;
    proxy.cut();
    let url = database.url_at(proxy.port);
    let server = Server::with(&[("DATABASE_URL", &url)]).await;
    let why = async || {
        let answer = server.http.get(server.url("/readyz")).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap()["checks"]["postgres"].as_str().unwrap().to_owned())
    };
    assert_eq!(why().await.0, 503);
    proxy.mend();
    eventually("word of pending migrations", || async {
        let (status, why) = why().await;
        (status == 503 && why.contains("udaconnect migrate")).then_some(())
    })
    .await;
    let migrated = crate::support::run(&["migrate"], &[("DATABASE_URL", &url)]).await;
    assert!(migrated.status.success(), "{migrated:?}");
    eventually("readiness", || async { (why().await.0 == 200).then_some(()) }).await;
}

/// Holds a person's row so that every location of theirs has to wait.
async fn hold(database: &Database, person: i64) -> tokio_postgres::Client {
    let client = database.client().await;
    client.batch_execute(&format!("BEGIN; SELECT 1 FROM person WHERE id = {person} FOR UPDATE")).await.unwrap();
    client
}

async fn waiting_for_a_lock(database: &Database, count: i64) {
    let client = database.client().await;
    eventually("a request that waits", || async {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_stores_nothing_by_halves() {
    let database = Database::new().await;
    let server = std::sync::Arc::new(
        Server::with(&[("DATABASE_URL", &database.url()), ("INGEST_QUEUE", "10000"), ("INGEST_WRITERS", "1")]).await,
    );
    let person = server.person().await;
    let lock = hold(&database, person).await;
    let batch = |minute: i64, count: i64| -> Value {
        (0..count)
            .map(|i| {
                let time = chrono::DateTime::from_timestamp(1_780_000_000 + minute * 60, i as u32 * 1_000).unwrap();
                json!({"person_id": person, "latitude": 35, "longitude": -106.5, "creation_time": time.to_rfc3339()})
            })
            .collect()
    };
    let first = {
        let (server, body) = (server.clone(), batch(0, 9_990));
        tokio::spawn(async move { server.post("/api/locations/batch", &body).await })
    };
    waiting_for_a_lock(&database, 1).await;
    let response = server.http.post(server.url("/api/locations/batch")).json(&batch(1, 11)).send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    // What still fits is taken.
    let last = {
        let (server, body) = (server.clone(), batch(2, 10));
        tokio::spawn(async move { server.post("/api/locations/batch", &body).await })
    };
    eventually("a full queue", || async {
        let metrics = server.http.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
        metrics.contains("udaconnect_ingest_queue 10000").then_some(())
    })
    .await;
    let single = batch(3, 1)[0].clone();
    assert_eq!(server.post("/api/locations", &single).await.0, 429);
    lock.batch_execute("COMMIT").await.unwrap();
    assert_eq!(first.await.unwrap().1["stored"], 9_990);
    assert_eq!(last.await.unwrap().1["stored"], 10);
    assert_eq!(server.post("/api/locations", &single).await.0, 201, "later the same call works");
    assert_eq!(database.number("SELECT count(*) FROM location").await, 10_001);
}

#[tokio::test]
async fn a_signal_drains_and_no_request_is_cut() {
    let database = Database::new().await;
    let mut server = Server::start(&database).await;
    let person = server.person().await;
    let lock = hold(&database, person).await;
    let (http, url) = (server.http.clone(), server.url("/api/locations"));
    let in_flight = tokio::spawn(async move {
        let location = json!({"person_id": person, "latitude": 35, "longitude": -106.5});
        http.post(url).json(&location).send().await.unwrap().status().as_u16()
    });
    waiting_for_a_lock(&database, 1).await;
    server.program.signal(libc::SIGTERM);
    eventually("the port to be closed", || async {
        let other = reqwest::Client::builder().no_proxy().build().unwrap();
        other.get(server.url("/livez")).send().await.is_err().then_some(())
    })
    .await;
    lock.batch_execute("COMMIT").await.unwrap();
    assert_eq!(tokio::time::timeout(DEADLINE, in_flight).await.unwrap().unwrap(), 201);
    assert_eq!(server.program.ended().await.code(), Some(0));
    assert_eq!(database.number("SELECT count(*) FROM location").await, 1);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let database = Database::new().await;
    let mut server = Server::start(&database).await;
    let person = server.person().await;
    let _lock = hold(&database, person).await;
    let (http, url) = (server.http.clone(), server.url("/api/locations"));
    tokio::spawn(async move {
        let location = json!({"person_id": person, "latitude": 35, "longitude": -106.5});
        let _ = http.post(url).json(&location).send().await;
    });
    waiting_for_a_lock(&database, 1).await;
    server.program.signal(libc::SIGINT);
    server.program.logged("draining; a second signal ends at once", "signal").await;
    // Those of the same second are the first one once more.
    let pid = server.program.pid();
    let code = tokio::select! {
        ended = server.program.ended() => ended.code(),
        () = async {
            loop {
                // Safe: the process has not been waited for yet.
                unsafe { libc::kill(pid, libc::SIGINT) };
                tokio::time::sleep(std::time::Duration::from_millis(50)).await; // polls
            }
        } => unreachable!("it goes on for ever"),
    };
    assert_eq!(code, Some(130));
}

#[tokio::test]
async fn a_signal_that_comes_twice_at_once_drains_all_the_same() {
    let database = Database::new().await;
    let mut server = Server::start(&database).await;
    let person = server.person().await;
    let lock = hold(&database, person).await;
    let (http, url) = (server.http.clone(), server.url("/api/locations"));
    let in_flight = tokio::spawn(async move {
        let location = json!({"person_id": person, "latitude": 35, "longitude": -106.5});
        http.post(url).json(&location).send().await.map(|answer| answer.status().as_u16())
    });
    waiting_for_a_lock(&database, 1).await;
    server.program.signal(libc::SIGTERM);
    server.program.signal(libc::SIGTERM);
    server.program.signal(libc::SIGINT);
    server.program.logged("draining; a second signal ends at once", "signal").await;
    lock.batch_execute("COMMIT").await.unwrap();
    assert_eq!(tokio::time::timeout(DEADLINE, in_flight).await.unwrap().unwrap().unwrap(), 201);
    assert_eq!(server.program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_end_up() {
    let database = Database::new().await;
    let mut server = Server::start(&database).await;
    // Its connection stays open in the client's pool.
    assert_eq!(server.get("/api/persons").await.0, 200);
    server.program.signal(libc::SIGTERM);
    assert_eq!(server.program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_leaves_nothing_behind() {
    let database = Database::new().await;
    let server = Server::with(&[
        ("DATABASE_URL", &database.url()),
        ("REQUEST_TIMEOUT", "5"),
        ("DATABASE_STATEMENT_TIMEOUT", "10"),
    ])
    .await;
    // Not through the server, which may be too slow for that on a busy machine.
    let sql = "INSERT INTO person (first_name, last_name, company_name) VALUES ('a', 'b', 'c') RETURNING id";
    let person = database.number(sql).await;
    let lock = hold(&database, person).await;
    let response = server.http.delete(server.url(&format!("/api/persons/{person}"))).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(response.headers().contains_key("retry-after"));
    lock.batch_execute("ROLLBACK").await.unwrap();
    // The connection whose transaction was cut short is not used again.
    for _ in 0..40 {
        // On a busy machine a second may be too short for any answer.
        eventually("an answer in time", || async {
            let status = server.get_any("/api/persons?limit=1").await;
            assert!([200, 503].contains(&status), "{status}");
            (status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_killed_server_had_asked_ends_with_it() {
    let database = Database::new().await;
    let mut server = Server::start(&database).await;
    let person = server.person().await;
    let holder = database.client().await;
    holder.batch_execute("BEGIN; LOCK TABLE person").await.unwrap();
    let asked = tokio::spawn(server.http.get(server.url(&format!("/api/persons/{person}"))).send());
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("the question to wait for the lock", || async { (database.number(waiting).await == 1).then_some(()) })
        .await;
    server.program.kill().await;
    // It still waits for a lock that is still held; nobody waits for its answer.
    eventually("the question to end", || async { (database.number(waiting).await == 0).then_some(()) }).await;
    assert!(asked.await.unwrap().is_err());
    holder.batch_execute("ROLLBACK").await.unwrap();
}
