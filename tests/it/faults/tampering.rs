//! Whoever compares must notice: rows that were changed behind the program's back are found, whatever was done to them.

use super::walk::{Tally, walk};
use crate::support::{DEADLINE, Database, Server, eventually};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is done to the rows, and what the ledger says of it.
const TAMPERED: [(&str, &str, &str); 12] = [
    ("a location is lost", "DELETE FROM location WHERE id = $id", "is missing"),
    (
        "latitude and longitude are exchanged",
        "UPDATE location SET coordinate = ST_FlipCoordinates(coordinate::geometry)::geography WHERE id = $id",
        "is stored as",
    ),
    (
        "two locations have each other's coordinates",
        "UPDATE location a SET coordinate = b.coordinate FROM location b WHERE a.id IN ($id, $next) AND b.id IN ($id, $next) AND a.id <> b.id",
        "is stored as",
    ),
    (
        "a latitude is the next number",
        "UPDATE location SET coordinate = ST_SetSRID(ST_MakePoint(ST_X(coordinate::geometry), ST_Y(coordinate::geometry) + 1e-14), 4326)::geography WHERE id = $id",
        "is stored as",
    ),
    (
        "an accuracy is another",
        "UPDATE location SET accuracy_m = coalesce(accuracy_m, 1) + 0.001 WHERE id = $id",
        "is stored as",
    ),
    (
        "two locations have each other's accuracies",
        "UPDATE location a SET accuracy_m = b.accuracy_m FROM location b WHERE a.id IN ($id, $next) AND b.id IN ($id, $next) AND a.id <> b.id",
        "is stored as",
    ),
    (
        "an accuracy is gone, or there where none was sent",
        "UPDATE location SET accuracy_m = CASE WHEN accuracy_m IS NULL THEN 5 END WHERE id = $id",
        "is stored as",
    ),
    (
        "a time is a microsecond later",
        "UPDATE location SET creation_time = creation_time + interval '1 microsecond' WHERE id = $id",
        "is missing",
    ),
    (
        "a location is there twice",
        "DROP INDEX location_identity; INSERT INTO location SELECT * FROM location WHERE id = $id",
        "is stored twice",
    ),
    (
        "a location is another person's",
        "UPDATE location SET person_id = (SELECT max(id) FROM person) WHERE id = $id",
        "those of other persons",
    ),
    (
        "two phones' locations are exchanged",
        "DROP INDEX location_identity; UPDATE location SET person_id = (SELECT sum(DISTINCT person_id) FROM location) - person_id",
        "is missing",
    ),
    (
        "there is one that nobody sent",
        "INSERT INTO location (person_id, coordinate, cell, creation_time) SELECT person_id, coordinate, cell, creation_time + interval '30 days' FROM location WHERE id = $id",
        "nobody was told of it",
    ),
];

#[tokio::test]
async fn every_way_of_tampering_with_rows_is_noticed() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let tally = Arc::new(Tally::new(7, 1_000, u64::MAX));
    let mut phones = Vec::new();
    for _ in 0..2 {
        phones.push(tokio::spawn(walk(server.grpc.clone(), server.person().await, tally.clone())));
    }
    // Somebody without locations.
    server.person().await;
    let settled = || tally.acknowledged.load(Ordering::SeqCst) + tally.refused.load(Ordering::SeqCst);
    eventually("everything to be settled", || async { (settled() == 1_000).then_some(()) }).await;
    // Both phones have nothing to do by now, and end when they are told.
    tally.enough.store(true, Ordering::SeqCst);
    for phone in phones {
        tokio::time::timeout(DEADLINE, phone).await.expect("the phone ends").unwrap();
    }
    let client = database.client().await;
    assert_eq!(tally.ledger.faults(&client).await, Vec::<String>::new());
    let ids = client
        .query_one(
            "SELECT min(id), (SELECT min(id) FROM location WHERE id > (SELECT min(id) FROM location)) FROM location",
            &[],
        )
        .await
        .unwrap();
    let (id, next): (i64, i64) = (ids.get(0), ids.get(1));
    for (what, sql, said) in TAMPERED {
        let sql = sql.replace("$id", &id.to_string()).replace("$next", &next.to_string());
        client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        let faults = tally.ledger.faults(&client).await;
        assert!(faults.iter().any(|fault| fault.contains(said)), "{what}: {faults:?}");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    assert_eq!(tally.ledger.faults(&client).await, Vec::<String>::new());
}
