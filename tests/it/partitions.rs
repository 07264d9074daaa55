//! The tables that locations are divided into: months, years, and what has none of its own.

use crate::support::{Database, Server, eventually};
use serde_json::{Value, json};
use tokio_postgres::Client;

fn at(person: i64, time: &str) -> Value {
    json!({"person_id": person, "latitude": 35.0585, "longitude": -106.5819, "creation_time": time})
}

async fn post(server: &Server, location: &Value) {
    let (status, answer) = server.post("/api/locations", location).await;
    assert_eq!(status, 201, "{answer}");
}

/// The table of each location, oldest first.
async fn tables(client: &Client) -> Vec<String> {
    let rows = client.query("SELECT tableoid::regclass::text FROM location ORDER BY creation_time, id", &[]).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

/// All tables of months and years.
async fn divisions(client: &Client) -> Vec<String> {
    let sql = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'location'::regclass
        AND inhrelid <> 'location_other'::regclass ORDER BY name";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_new_month_waits_for_no_dump_and_has_its_table_after_it() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let mut dumping = database.client().await;
    // What pg_dump takes, and as long as it takes.
    let dump = dumping.transaction().await.unwrap();
    dump.batch_execute("LOCK TABLE location IN ACCESS SHARE MODE").await.unwrap();
    post(&server, &at(person, "2026-06-01T10:00:00Z")).await;
    post(&server, &at(person, "2009-06-01T10:00:00Z")).await;
    let client = database.client().await;
    assert_eq!(tables(&client).await, ["location_other", "location_other"]);
    dump.rollback().await.unwrap();
    // Without a restart, and though no location of 2009 comes again.
    eventually("the tables", || async {
        post(&server, &at(person, "2026-06-01T10:00:01Z")).await;
        (tables(&client).await == ["location_2009", "location_2026_06", "location_2026_06"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn months_are_made_before_anybody_needs_them() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let client = database.client().await;
    let next = client
        .query_one("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 month', '\"location_\"YYYY_MM')", &[])
        .await
        .unwrap();
    let next: String = next.get(0);
    // Again, since somebody (an autovacuum) may hold the first try off.
    eventually(&next, || async {
        post(&server, &at(person, "2026-06-01T10:00:00Z")).await;
        divisions(&client).await.contains(&next).then_some(())
    })
    .await;
}

#[tokio::test]
async fn wrong_clocks_make_a_bounded_number_of_tables() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let this_year: i32 = database.number("SELECT extract(year FROM now())::bigint").await.try_into().unwrap();
    for unset in ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1999-08-22T00:00:00Z", "1999-12-31T23:59:59.999999Z"]
    {
        let (status, problem) = server.post("/api/locations", &at(person, unset)).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("creation_time")), "{problem}");
    }
    let mut times = Vec::new();
    // The newest first, so that no year has a table before its months want theirs.
    for year in (2000..=this_year).rev() {
        times.extend((1..=12).map(|month| format!("{year}-{month:02}-28T12:00:00Z")));
    }
    let batch: Vec<Value> = times.iter().map(|time| at(person, time)).collect();
    let client = database.client().await;
    // As older versions stored it.
    let old = format!(
        "INSERT INTO location (person_id, creation_time, cell, coordinate)
         SELECT {person}, '1990-01-28'::timestamptz + n * interval '1 month', 1, 'POINT(101 1)' FROM generate_series(0, 119) AS n"
    );
    client.batch_execute(&old).await.unwrap();
    // What is before 2000, and nothing else, once all tables could be made.
    eventually("the tables", || async {
        assert_eq!(server.post("/api/locations/batch", &json!(batch)).await.0, 200);
        (database.number("SELECT count(*) FROM location_other").await == 120).then_some(())
    })
    .await;
    let divisions = divisions(&client).await;
    let years: Vec<&String> = divisions.iter().filter(|name| name.len() == "location_2000".len()).collect();
    assert_eq!(years.len() as i32, this_year - 2 - 2000, "{divisions:?}");
    assert!(divisions.len() - years.len() <= 37, "{divisions:?}");
    // The function itself makes no more, whoever calls it.
    for day in ["1999-12-31", "0001-01-01 BC", "9999-01-01", "infinity", "-infinity"] {
        client.execute(&format!("SELECT location_make_partition('{day}')"), &[]).await.unwrap();
    }
    assert_eq!(self::divisions(&client).await, divisions);
}

#[tokio::test]
async fn what_was_stored_before_its_table_moves_into_it() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let client = database.client().await;
    // As an older version stored it.
    let old = format!(
        "INSERT INTO location (person_id, creation_time, cell, coordinate)
         SELECT {person}, '2010-01-01'::timestamptz + n * interval '10 days', 1, 'POINT(101 1)' FROM generate_series(1, 72) AS n"
    );
    client.batch_execute(&old).await.unwrap();
    let count = async |table: &str| database.number(&format!("SELECT count(*) FROM {table}")).await;
    eventually("its table", || async {
        post(&server, &at(person, "2011-02-01T00:00:00Z")).await;
        (count("location_other").await == 36).then_some(())
    })
    .await;
    assert_eq!(count("location_2011").await, 36 + 1);
    // Older versions of the program call it like this, and for months only.
    client.execute("SELECT location_make_partition('2010-05-05')", &[]).await.unwrap();
    client.execute("SELECT location_make_partition('2026-03-31')", &[]).await.unwrap();
    assert_eq!(
        (count("location_2010").await, count("location_2026_03").await, count("location_other").await),
        (36, 0, 0)
    );
    assert_eq!(count("location").await, 73);
}

#[tokio::test]
async fn more_than_can_move_while_others_wait_stays_until_it_is_asked_for() {
    let database = Database::new().await;
    let client = database.client().await;
    let some = "INSERT INTO location (person_id, creation_time, cell, coordinate)
         SELECT 1, '2010-01-01'::timestamptz + n * interval '1 hour', 1, 'POINT(101 1)' FROM generate_series(1, 11) AS n";
    client.batch_execute(some).await.unwrap();
    let error = client.execute("SELECT location_ensure_partition('2010-01-01', 10)", &[]).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert!(error.message().contains("more than 10 rows of location_2010"), "{error}");
    assert!(error.hint().unwrap().contains("'2010-01-01', NULL"), "{error:?}");
    assert_eq!(database.number("SELECT count(*) FROM location_other").await, 11);
    client.execute("SELECT location_ensure_partition('2010-01-01', NULL)", &[]).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM location_2010").await, 11);
}

#[tokio::test]
async fn a_table_beside_that_has_the_name_is_said_and_loses_nothing() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let client = database.client().await;
    client.batch_execute("CREATE TABLE location_2026_06 (LIKE location)").await.unwrap();
    post(&server, &at(person, "2026-06-01T10:00:00Z")).await;
    assert_eq!(tables(&client).await, ["location_other"]);
    eventually("the log line", || async {
        server.program.log().contains("there is a table location_2026_06, which is no partition").then_some(())
    })
    .await;
    client.batch_execute("DROP TABLE location_2026_06").await.unwrap();
    eventually("the table", || async {
        post(&server, &at(person, "2026-06-01T10:00:01Z")).await;
        (tables(&client).await == ["location_2026_06", "location_2026_06"]).then_some(())
    })
    .await;
}

/// Two who are together around each seam between two tables.
#[tokio::test]
async fn who_met_is_found_across_years_and_months() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (ada, bob) = (server.person().await, server.person().await);
    let seams = ["2000-12-31", "2008-12-31", "2009-06-30", "2023-12-31", "2024-12-31", "2026-06-30"];
    let mut batch = Vec::new();
    for day in seams {
        let midnight: chrono::DateTime<chrono::Utc> = format!("{day}T23:58:00Z").parse().unwrap();
        for minute in 0..5 {
            let time = (midnight + chrono::TimeDelta::minutes(minute)).to_rfc3339();
            // Far apart from each other, so that there are too many cells to look into at sight.
            let longitude = -106.0 + minute as f64 * 0.0001;
            for (person, latitude) in [(ada, 35.0), (bob, 35.0001)] {
                batch.push(
                    json!({"person_id": person, "latitude": latitude, "longitude": longitude, "creation_time": time}),
                );
            }
        }
    }
    let (status, outcome) = server.post("/api/locations/batch", &json!(batch)).await;
    assert_eq!((status, &outcome["stored"]), (200, &json!(batch.len())));
    for day in seams {
        let next = day.parse::<chrono::NaiveDate>().unwrap().succ_opt().unwrap();
        for distance in [20, 1000] {
            let (_, met) = server
                .get(&format!(
                    "/api/persons/{ada}/connections/{bob}?start_date={day}&end_date={next}&distance={distance}"
                ))
                .await;
            let met = met.as_array().unwrap();
            assert_eq!(met.len(), 1, "{day} {distance}: {met:?}");
            assert_eq!(met[0]["duration"], 240.0, "{day} {distance}: {met:?}");
        }
    }
    let (_, met) = server
        .get(&format!("/api/persons/{ada}/connections/{bob}?start_date=1900-01-01&end_date=2026-12-31&distance=1000"))
        .await;
    assert_eq!(met.as_array().unwrap().len(), seams.len());
}
