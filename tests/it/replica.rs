//! Searches are answered by a replica, as long as that is there and not too far behind; all else is the primary's.

use crate::support::{Balancer, Database, Pair, Server, eventually, run};
use serde_json::{Value, json};

fn location(person: i64, minute: u32) -> Value {
    json!({"person_id": person, "latitude": 35.0, "longitude": -106.5,
        "creation_time": format!("2026-01-02T10:{minute:02}:00Z")})
}

async fn store(server: &Server, location: &Value) -> i64 {
    let (status, stored) = server.post("/api/locations", location).await;
    assert_eq!(status, 201, "{stored}");
    stored["id"].as_i64().unwrap()
}

/// How many there are in a list.
async fn count(server: &Server, path: &str) -> usize {
    let (status, list) = server.get(path).await;
    assert_eq!(status, 200, "{path}: {list}\n{}", server.program.log());
    list.as_array().unwrap().len()
}

async fn counts(server: &Server, path: &str, wanted: usize) {
    eventually(&format!("{wanted} in {path}"), || async { (count(server, path).await == wanted).then_some(()) }).await;
}

/// Waits until readiness says this of the replica; the role is ready all the time.
async fn replica_is(server: &Server, wanted: &str) {
    eventually(&format!("the replica to be {wanted}"), || async {
        let (status, said) = server.get("/api/readyz").await;
        assert_eq!((status, &said["checks"]["postgres"]), (200, &json!("ok")), "{said}");
        said["checks"]["replica"].as_str().unwrap().contains(wanted).then_some(())
    })
    .await;
}

/// The value of a metric, with its labels as they are written; 0 while it is not there.
async fn metric(server: &Server, name: &str) -> f64 {
    let text = server.http.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map_or(0.0, |value| value.parse().unwrap())
}

/// Lists until it was the replica that was asked.
async fn a_search_goes_there(server: &Server, list: &str) {
    const THERE: &str = "udaconnect_searches_begun_total{server=\"replica\"}";
    let before = metric(server, THERE).await;
    eventually("a search at the replica", || async {
        count(server, list).await;
        (metric(server, THERE).await > before).then_some(())
    })
    .await;
}

async fn serve(pair: &Pair, more: &[(&str, &str)]) -> Server {
    let mut variables =
        vec![("DATABASE_URL", pair.primary_url.as_str()), ("DATABASE_REPLICA_URL", pair.standby_url.as_str())];
    variables.extend_from_slice(more);
    Server::with(&variables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_the_replicas_and_what_was_just_written_the_primarys() {
    let Some(pair) = Pair::migrated(&[]).await else { return };
    // However slow this machine is, the replica is near enough.
    let server = serve(&pair, &[("DATABASE_REPLICA_MAX_LAG", "3600")]).await;
    let person = server.person().await;
    store(&server, &location(person, 0)).await;
    let list = format!("/api/persons/{person}/locations");
    counts(&server, &list, 1).await;
    replica_is(&server, "ok").await;

    pair.pause().await;
    let second = store(&server, &location(person, 1)).await;
    let other = server.person().await;
    // What is asked for by its number is there.
    assert_eq!(server.get(&format!("/api/locations/{second}")).await.0, 200);
    assert_eq!(server.get(&format!("/api/persons/{other}")).await.0, 200);
    // A list is a moment old. (One that a busy machine let go to the primary would not be.)
    counts(&server, &list, 1).await;
    counts(&server, "/api/persons", 1).await;
    let before = metric(&server, "udaconnect_searches_begun_total{server=\"replica\"}").await;
    assert!(before >= 1.0);
    // Whom the replica does not know yet has met nobody, and is not unknown.
    for path in [
        format!("/api/persons/{other}/locations"),
        format!("/api/persons/{other}/days"),
        format!("/api/persons/{other}/connections?distance=5"),
        format!("/api/persons/{other}/connections/{person}?distance=5"),
        format!("/api/persons/{person}/connections/{other}?distance=5"),
        format!("/api/persons/{other}/connection?start_date=2026-01-01&end_date=2026-01-31&distance=5"),
    ] {
        counts(&server, &path, 0).await;
    }
    assert_eq!(server.get("/api/persons/999/connections").await.0, 404);
    assert_eq!(server.get(&format!("/api/persons/{person}/connections/999")).await.0, 404);
    // What is stored already is found where it is stored.
    store(&server, &location(person, 1)).await;
    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("all.csv");
    let exported = run(
        &["export", "--output", file.to_str().unwrap()],
        &[("DATABASE_URL", &pair.primary_url), ("DATABASE_REPLICA_URL", &pair.standby_url)],
    )
    .await;
    assert!(exported.status.success(), "{exported:?}");
    pair.resume().await;
    counts(&server, &list, 2).await;
    counts(&server, "/api/persons", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_replica_is_away_the_primary_answers_until_it_is_back() {
    let Some(pair) = Pair::migrated(&[]).await else { return };
    let way = Balancer::start().await;
    way.add(pair.standby_port());
    let replica = pair.standby_url_at(way.port);
    let server = Server::with(&[("DATABASE_URL", &pair.primary_url), ("DATABASE_REPLICA_URL", &replica)]).await;
    let person = server.person().await;
    let list = format!("/api/persons/{person}/locations");
    replica_is(&server, "ok").await;
    a_search_goes_there(&server, &list).await;

    way.remove(pair.standby_port());
    pair.stop_standby().await;
    // From the first one on, though its connection has just ended.
    for minute in 0..5 {
        store(&server, &location(person, minute)).await;
        assert_eq!(count(&server, &list).await, minute as usize + 1);
        for path in ["connections?distance=5", "days"] {
            count(&server, &format!("/api/persons/{person}/{path}")).await;
        }
    }
    replica_is(&server, "searches go to the primary").await;
    assert_eq!(metric(&server, "udaconnect_replica_used").await, 0.0);
    let log = server.program.log();
    let password = pair.standby_url.split(['@', ':']).nth(2).unwrap();
    assert!(log.contains("the replica cannot be used") && !log.contains(password), "{log}");

    way.add(pair.start_standby().await);
    replica_is(&server, "ok").await;
    a_search_goes_there(&server, &list).await;
    counts(&server, &list, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_behind_or_lacks_a_migration_is_not_used() {
    let Some(pair) = Pair::start(&[]).await else { return };
    pair.pause().await;
    pair.migrate().await;
    let server = serve(&pair, &[("DATABASE_REPLICA_MAX_LAG", "1")]).await;
    replica_is(&server, "migrations have not come there yet").await;
    let person = server.person().await;
    assert_eq!(count(&server, "/api/persons").await, 1);
    pair.resume().await;
    replica_is(&server, "ok").await;

    pair.pause().await;
    let list = format!("/api/persons/{person}/locations");
    let mut minute = 0;
    eventually("the replica to be behind", || {
        minute += 1;
        let (server, list) = (&server, &list);
        async move {
            store(server, &location(person, minute % 60)).await;
            let (_, said) = server.get("/readyz").await;
            count(server, list).await;
            said["checks"]["replica"].as_str().unwrap().contains("behind the primary").then_some(())
        }
    })
    .await;
    // All of them, since it is the primary who is asked.
    assert_eq!(count(&server, &format!("{list}?limit=100")).await, minute.min(60) as usize);
    pair.resume().await;
    replica_is(&server, "ok").await;
    assert_eq!(metric(&server, "udaconnect_replica_used").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_may_be_the_primarys_and_must_not_be_anothers() {
    let (database, other) = (Database::new().await, Database::new().await);
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("DATABASE_REPLICA_URL", &database.url())]).await;
    let person = server.person().await;
    store(&server, &location(person, 0)).await;
    counts(&server, &format!("/api/persons/{person}/locations"), 1).await;
    replica_is(&server, "ok").await;

    let server = Server::with(&[("DATABASE_URL", &database.url()), ("DATABASE_REPLICA_URL", &other.url())]).await;
    replica_is(&server, "is another database").await;
    assert_eq!(count(&server, "/api/persons").await, 1);

    // One that needs no server to be known for wrong ends the role, and says which setting it is.
    let variables = [("DATABASE_URL", database.url()), ("DATABASE_REPLICA_URL", "postgres://s3cret@".to_owned())];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for arguments in [&["serve-api", "--listen-addr", "127.0.0.1:0"][..], &["serve-api", "--check-config"]] {
        let output = run(arguments, &variables).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("DATABASE_REPLICA_URL"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_ends_because_it_must_replay_is_begun_anew() {
    let Some(pair) = Pair::migrated(&["--set", "max_standby_streaming_delay=0"]).await else { return };
    let server = serve(&pair, &[("DATABASE_REPLICA_MAX_LAG", "3600"), ("DATABASE_STATEMENT_TIMEOUT", "600")]).await;
    let person = server.person().await;
    store(&server, &location(person, 0)).await;
    let list = format!("/api/persons/{person}/locations");
    counts(&server, &list, 1).await;
    replica_is(&server, "ok").await;
    a_search_goes_there(&server, &list).await;

    let searches = [
        format!("/api/persons/{person}/connections?start_date=2026-01-01&end_date=2026-01-31&distance=5"),
        format!("/api/persons/{person}/connection?start_date=2026-01-01&end_date=2026-01-31&distance=5"),
        list,
    ];
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'udaconnect%' AND wait_event_type = 'Lock'";
    for (number, search) in (1..).zip(searches) {
        let (lock, primary) = (pair.primary().await, pair.primary().await);
        // The log of a lock is sent when something else has it written.
        let send = "SELECT pg_switch_wal()";
        // What only waits has ended nothing yet.
        lock.batch_execute("BEGIN; LOCK TABLE ONLY location_2026_01").await.unwrap();
        primary.batch_execute(send).await.unwrap();
        let standby = pair.standby().await;
        let held = "SELECT count(*) FROM pg_locks WHERE relation = 'location_2026_01'::regclass AND mode = 'AccessExclusiveLock'";
        eventually("the lock to come to the standby", || async {
            (standby.query_one(held, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
        })
        .await;
        let asked = tokio::spawn(server.http.get(server.url(&search)).send());
        eventually("a search at the standby", || async {
            (standby.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
        })
        .await;
        // This is in the way of what the search holds: the standby ends the search to go on.
        lock.batch_execute("LOCK TABLE ONLY location").await.unwrap();
        primary.batch_execute(send).await.unwrap();
        eventually("the search at the primary", || async {
            (primary.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
        })
        .await;
        lock.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(asked.await.unwrap().unwrap().status(), 200, "{search}");
        assert_eq!(metric(&server, "udaconnect_replica_failovers_total").await, f64::from(number));
    }
}
