//! Files in and out: the real program, real files.

use crate::support::{Database, Server, command, next_page, run};
use serde_json::json;
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::io::AsyncWriteExt;

fn sample(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a role that must succeed; what it printed comes back.
async fn udaconnect(database: &Database, arguments: &[&str]) -> String {
    let output = run(arguments, &[("DATABASE_URL", &database.url())]).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

/// A number that tells whether two databases hold the same locations of persons with the same keys.
async fn content(database: &Database) -> i64 {
    database
        .number(
            "SELECT coalesce(sum(hashtextextended(concat(external_key, creation_time, coordinate, accuracy_m), 0) % 1000003), 0)::bigint
             FROM location JOIN person ON person.id = person_id",
        )
        .await
}

#[tokio::test]
async fn every_format_goes_in_comes_out_and_goes_in_again() {
    let database = Database::new().await;
    udaconnect(&database, &["seed", "--persons", "3", "--days", "2"]).await;
    let seeded = content(&database).await;
    let directory = tempfile::tempdir().unwrap();
    for extension in ["csv", "geojson", "gpx"] {
        let file = directory.path().join(format!("all.{extension}"));
        let file = file.to_str().unwrap();
        let said = udaconnect(&database, &["export", "--output", file]).await;
        assert!(said.contains("3240 locations"), "{said}");
        // Into the same database nothing is new; into an empty one with the same persons everything comes back.
        let said = udaconnect(&database, &["import", file]).await;
        assert!(said.contains(" 0 locations stored, 3240 were there already"), "{extension}: {said}");
        let other = Database::new().await;
        udaconnect(&other, &["seed", "--persons", "3", "--days", "1"]).await;
        other.client().await.batch_execute("DELETE FROM location").await.unwrap();
        let said = udaconnect(&other, &["import", file]).await;
        assert!(said.contains("3240 locations stored, 0 were there already"), "{extension}: {said}");
        assert_eq!(content(&other).await, seeded, "{extension}");
    }
    // One person's day, to standard output.
    let arguments = ["export", "--person", "2", "--start-date", "2026-06-02", "--end-date", "2026-06-02"];
    let csv = udaconnect(&database, &arguments).await;
    assert_eq!(csv.lines().count(), 541);
    assert!(csv.lines().skip(1).all(|line| line.starts_with("2,35.") && line.contains(",2026-06-02T")), "{csv}");
    let output = run(&["export", "--person", "99"], &[("DATABASE_URL", &database.url())]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("person 99 does not exist"), "{}", text(&output));
}

/// A database with strangers under the ids from 1 to 30.
async fn strangers() -> Database {
    let database = Database::new().await;
    let sql = "INSERT INTO person (first_name, last_name, company_name, external_key)
        SELECT 'Stranger', 'No ' || n, 'Elsewhere', n::text FROM generate_series(1, 30) AS n";
    database.client().await.batch_execute(sql).await.unwrap();
    database
}

const OF_STRANGERS: &str =
    "SELECT count(*) FROM location JOIN person ON person.id = person_id WHERE first_name = 'Stranger'";

/// What [`content`] is, by names.
async fn content_by_name(database: &Database) -> i64 {
    database
        .number(
            "SELECT coalesce(sum(hashtextextended(concat_ws('|', first_name, last_name, company_name, creation_time, coordinate,
                 accuracy_m), 0) % 1000003), 0)::bigint FROM location JOIN person ON person.id = person_id",
        )
        .await
}

#[tokio::test]
async fn an_export_goes_to_its_persons_in_another_database_and_never_to_strangers() {
    let database = Database::new().await;
    udaconnect(&database, &["seed", "--persons", "4", "--days", "1"]).await;
    // Namesakes, one of them without a key, and names that a spreadsheet would take for formulas.
    let names = "UPDATE person SET first_name = '=HYPERLINK(\"http://x\")', company_name = '-2+3' WHERE id = 1;
        UPDATE person SET first_name = 'Eve', last_name = 'Lee', company_name = '@one' WHERE id = 2;
        UPDATE person SET first_name = 'Eve', last_name = 'Lee', company_name = '+two' WHERE id = 3;
        UPDATE location SET creation_time = creation_time + interval '1 microsecond' WHERE person_id = 1";
    database.client().await.batch_execute(names).await.unwrap();
    let (by_key, by_name) = (content(&database).await, content_by_name(&database).await);
    let server = Server::start(&database).await;
    let directory = tempfile::tempdir().unwrap();
    for (extension, media) in [("csv", "text/csv"), ("geojson", "application/geo+json"), ("gpx", "application/gpx+xml")]
    {
        let file = directory.path().join(format!("day.{extension}"));
        let file = file.to_str().unwrap();
        udaconnect(&database, &["export", "--output", file]).await;
        for (by, same) in [("key", true), ("name", true), ("", false)] {
            let other = strangers().await;
            let mut arguments = vec!["import", file];
            if !by.is_empty() {
                arguments.extend(["--person-by", by]);
            }
            let output = run(&arguments, &[("DATABASE_URL", &other.url())]).await;
            let said = text(&output);
            assert_eq!(other.number(OF_STRANGERS).await, 0, "{extension} {by}: {said}");
            if same {
                assert!(output.status.success() && said.contains("persons created: 4"), "{extension} {by}: {said}");
                assert_eq!(content_by_name(&other).await, by_name, "{extension} {by}");
                // Once more it is all there.
                let again = udaconnect(&other, &arguments).await;
                assert!(again.contains(" 0 locations stored, 2160 were there already"), "{extension} {by}: {again}");
            } else {
                assert_eq!(output.status.code(), Some(3), "{extension}: {said}");
                assert!(
                    said.contains("in the file; if the file is of another database, say --person-by key"),
                    "{said}"
                );
                assert_eq!(other.number("SELECT count(*) FROM location").await, 0);
            }
            if by == "key" {
                assert_eq!(content(&other).await, by_key, "{extension}");
            }
        }
        // Who says so explicitly may have ids as they are.
        let other = strangers().await;
        let said = udaconnect(&other, &["import", file, "--person-by", "id"]).await;
        assert!(said.contains("2160 locations stored"), "{said}");
        // What the API answers holds no keys; ids, names and the caller's word do.
        let (_, answer, _) = self::file(&server, "/api/persons/2/locations", media).await;
        std::fs::write(file, answer).unwrap();
        let other = strangers().await;
        let output = run(&["import", file, "--person-by", "key"], &[("DATABASE_URL", &other.url())]).await;
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(text(&output).contains("holds no key of this person"), "{}", text(&output));
        udaconnect(&other, &["import", file, "--person-by", "name"]).await;
        assert_eq!(other.number(OF_STRANGERS).await, 0);
        assert_eq!(
            other
                .number(
                    "SELECT count(*) FROM location JOIN person ON person.id = person_id WHERE company_name = '@one'"
                )
                .await,
            540
        );
        udaconnect(&other, &["import", file, "--person", "7"]).await;
        assert_eq!(other.number(OF_STRANGERS).await, 540);
    }
}

#[tokio::test]
async fn namesakes_are_never_taken_for_one() {
    let database = Database::new().await;
    udaconnect(&database, &["seed", "--persons", "2", "--days", "1"]).await;
    let same = "UPDATE person SET first_name = 'Eve', last_name = 'Lee', company_name = 'one'";
    database.client().await.batch_execute(same).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    for extension in ["csv", "geojson", "gpx"] {
        let file = directory.path().join(format!("day.{extension}"));
        let file = file.to_str().unwrap();
        udaconnect(&database, &["export", "--output", file]).await;
        let mut ways = vec![vec!["import", file, "--person-by", "name"]];
        if extension == "gpx" {
            ways.push(vec!["import", file, "--person-by", "name", "--person-column", "name"]);
        }
        for arguments in ways {
            let other = strangers().await;
            let output = run(&arguments, &[("DATABASE_URL", &other.url())]).await;
            assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", text(&output));
            assert!(
                text(&output).contains("two persons have this name (Eve Lee), person_id 1 and 2"),
                "{}",
                text(&output)
            );
            let most =
                "SELECT coalesce(max(count), 0) FROM (SELECT count(*) FROM location GROUP BY person_id) AS counted";
            assert!(other.number(most).await <= 540, "{arguments:?}");
            assert_eq!(other.number(OF_STRANGERS).await, 0);
        }
        // By key each is itself.
        let other = strangers().await;
        udaconnect(&other, &["import", file, "--person-by", "key"]).await;
        assert_eq!(content(&other).await, content(&database).await);
        // Two who are there: which of them nobody can know.
        let two = "INSERT INTO person (first_name, last_name, company_name, external_key)
            VALUES ('Eve', 'Lee', 'one', 'badge-1'), ('Eve', 'Lee', 'one', NULL)";
        let other = strangers().await;
        other.client().await.batch_execute(two).await.unwrap();
        let output = run(&["import", file, "--person-by", "name"], &[("DATABASE_URL", &other.url())]).await;
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(text(&output).contains("say which by id or key: 31 (key \"badge-1\"), 32"), "{}", text(&output));
        assert_eq!(other.number("SELECT count(*) FROM location").await, 0);
    }
}

#[tokio::test]
async fn a_wall_clocks_time_that_was_twice_is_refused_unless_it_is_said_which() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("night.csv");
    std::fs::write(
        &file,
        "lat,lon,time\n1,101,2025-10-26 02:30:00.123456\n1,101,2026-03-29 02:30:00\n1,101,2026-03-29 03:30\n",
    )
    .unwrap();
    let import = async |more: &[&str]| {
        let owner = ["--person", "ada", "--person-by", "key", "--timezone", "Europe/Berlin"];
        let arguments = [&["import", file.to_str().unwrap()], &owner[..], more].concat();
        let output = run(&arguments, &[("DATABASE_URL", &database.url())]).await;
        (output.status.code(), text(&output))
    };
    let (status, said) = import(&[]).await;
    assert!(status == Some(3) && said.contains("1 locations stored") && said.contains("2 by time"), "{said}");
    for part in [
        "night.csv:2: time: ",
        "2025-10-26T00:30:00.123456Z",
        "2025-10-26T01:30:00.123456Z",
        "night.csv:3: time: ",
        "did not happen in Europe/Berlin",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    for (which, time) in [("earlier", "2025-10-26T00:30:00.123456Z"), ("later", "2025-10-26T01:30:00.123456Z")] {
        let (status, said) = import(&["--ambiguous-time", which]).await;
        assert!(status == Some(3) && said.contains("1 locations stored, 1 were there already"), "{said}");
        assert_eq!(database.number(&format!("SELECT count(*) FROM location WHERE creation_time = '{time}'")).await, 1);
    }
}

#[tokio::test]
async fn files_for_spreadsheets_hold_no_formulas() {
    let database = Database::new().await;
    udaconnect(&database, &["seed", "--persons", "30", "--days", "1"]).await;
    let evil = "UPDATE person SET first_name = '=1+cmd|'' /C calc''!A0', last_name = '@SUM(1)', company_name = '-2+3', external_key = '+' || id";
    database.client().await.batch_execute(evil).await.unwrap();
    let server = Server::start(&database).await;
    let day = "start_date=2026-06-01&end_date=2026-06-01";
    let mut tables = vec![
        udaconnect(&database, &["export"]).await,
        udaconnect(&database, &["export", "--person", "1", "--encounters"]).await,
    ];
    let mut paths = vec![format!("/api/persons/1/locations?{day}"), format!("/api/persons/1/connections?{day}")];
    let (_, met) = server.get(&paths[1]).await;
    paths.push(format!("/api/persons/1/connections/{}?{day}", met[0]["person"]["id"]));
    paths.push(format!("/api/persons/1/connection?{day}"));
    for path in paths {
        tables.push(file(&server, &path, "text/csv").await.1);
    }
    for table in tables {
        assert!(table.lines().count() > 1 && table.contains("'=1+cmd"), "{table}");
        for cell in table.lines().flat_map(|line| line.split(',')) {
            let cell = cell.trim_matches('"');
            // Numbers stay numbers.
            let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
            assert!(!formula, "{cell}");
        }
        assert!(table.contains(",-106."), "{table}");
    }
}

#[tokio::test]
async fn files_of_other_programs_go_in() {
    let database = Database::new().await;
    let owner = ["--person", "Ada Lovelace", "--person-by", "name"];
    for (name, stored) in [
        ("garmin.gpx", "2 locations stored"),
        ("strava.gpx", "3 locations stored"),
        ("osmand.gpx", "2 locations stored"),
        ("geolife.csv", "2 locations stored"),
        ("geolife.plt", "0 locations stored, 2 were there already"),
    ] {
        let said = udaconnect(&database, &[&["import", &sample(name)], &owner[..]].concat()).await;
        assert!(said.contains(stored), "{name}: {said}");
    }
    assert_eq!(database.number("SELECT count(*) FROM person WHERE first_name = 'Ada'").await, 1, "created once");
    // A directory, packed or not: the recorder's path says whose it is.
    let said = udaconnect(&database, &["import", &sample("rec")]).await;
    assert!(said.contains("4 records in 1 file: 1 locations stored") && said.contains("2 no location"), "{said}");
    assert_eq!(database.number("SELECT count(*) FROM person WHERE external_key = 'owntracks:ada/phone'").await, 1);
    let said = udaconnect(&database, &["import", &sample("track.geojson")]).await;
    assert!(said.contains("5 locations stored"), "{said}");
    let exact = "SELECT count(*) FROM location WHERE creation_time = '2026-06-02T15:30:02Z'
        AND ST_X(coordinate::geometry) = -106.64768 AND ST_Y(coordinate::geometry) = 35.087322";
    assert_eq!(database.number(exact).await, 1);
}

#[tokio::test]
async fn what_is_bad_is_reported_and_what_is_good_is_stored() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("some.csv");
    let rows = "person,lat,lon,time\nada,1,101,2026-06-02T10:00:00Z\nada,95,101,2026-06-02T10:00:00Z\n\
        bob,2,101,2126-06-02T10:00:00Z\nbob,3,101,2026-06-02T10:00:00\nada,,,2026-06-02T10:00:00Z\n";
    std::fs::write(&file, rows).unwrap();
    let file = file.to_str().unwrap();
    let import = async |more: &[&str]| {
        let arguments = [&["import", file, "--person-by", "key"], more].concat();
        let output = run(&arguments, &[("DATABASE_URL", &database.url())]).await;
        (output.status.code(), text(&output))
    };
    let count = "SELECT count(*) FROM location";

    let (status, said) = import(&["--dry-run"]).await;
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("2 locations would be stored") && said.contains("persons would be created: 2"), "{said}");
    assert_eq!(database.number(count).await + database.number("SELECT count(*) FROM person").await, 0);

    let (status, said) = import(&["--stop-at-bad"]).await;
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("1 locations stored") && said.contains("stopped at the first"), "{said}");
    assert_eq!(database.number(count).await, 1);

    let (status, said) = import(&[]).await;
    assert_eq!(status, Some(3), "{said}");
    for part in [
        "1 locations stored, 1 were there already, 1 skipped, 2 refused",
        "skipped: 1 without a position",
        "refused: 1 by latitude, 1 by time",
        "some.csv:3: latitude: must be a number from -90 to 90; got 95",
        "some.csv:4: time: must be at most 300 s ahead",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // Run again it stores nothing twice.
    assert!(import(&["--skip-bad"]).await.1.contains("0 locations stored, 2 were there already"));
    let (status, said) = import(&["--timezone", "Europe/Berlin"]).await;
    assert!(status == Some(3) && said.contains("1 locations stored"), "{said}");
    let berlin = "SELECT count(*) FROM location WHERE creation_time = '2026-06-02T08:00:00Z'";
    assert_eq!(database.number(berlin).await, 1);
}

#[tokio::test]
async fn whose_it_is_must_be_known() {
    let database = Database::new().await;
    let import = async |text: &str, more: &[&str]| {
        let mut child = command(&[&["import", "-"], more].concat())
            .env("DATABASE_URL", database.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // The program may end before it has read everything.
        let _ = stdin.write_all(text.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        (output.status.code(), self::text(&output))
    };
    let csv = "lat,lon,time,user\n1,101,2026-06-02T10:00:00Z,7\n";
    let (status, said) = import(csv, &[]).await;
    assert_eq!(status, Some(3));
    assert!(said.contains("standard input:2: person: nobody has the id 7"), "{said}");
    let (status, said) = import("lat,lon,time\n1,101,2026-06-02T10:00:00Z\n", &[]).await;
    assert_eq!(status, Some(3));
    assert!(said.contains("line 1") && said.contains("--person WHO, or --person-column"), "{said}");
    let (status, said) = import(csv, &["--person-by", "name"]).await;
    assert!(status == Some(0) && said.contains("1 locations stored"), "{said}");
    let twice =
        "INSERT INTO person (first_name, last_name, company_name) VALUES ('Eve', 'Lee', 'a'), ('Eve', 'Lee', 'b')";
    database.client().await.batch_execute(twice).await.unwrap();
    let (status, said) = import(csv, &["--person", "Eve Lee", "--person-by", "name"]).await;
    assert!(status == Some(3) && said.contains("2 persons have this name"), "{said}");
    let (status, said) = import(csv, &["--person", "Eve"]).await;
    assert!(status == Some(1) && said.contains("--person"), "{said}");
    let (status, said) = import("", &["--person", "1"]).await;
    assert!(status == Some(3) && said.contains("is empty"), "{said}");
    let (status, _) = import(csv, &["--timezone", "Mars/Olympus"]).await;
    assert_eq!(status, Some(2));
    let output = run(&["import", "/no/such/file"], &[("DATABASE_URL", &database.url())]).await;
    assert!(output.status.code() == Some(1) && text(&output).contains("/no/such/file"), "{}", text(&output));
}

#[tokio::test]
async fn a_packed_file_that_is_cut_off_is_kept_as_far_as_it_goes() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("day.csv.gz");
    let rows: String =
        (0..50_000).map(|i| format!("{},101,{}\n", f64::from(i % 9_000) / 100.0, 1_780_000_000 + i)).collect();
    pack(&file, &format!("lat,lon,time\n{rows}"));
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let arguments = ["import", file.to_str().unwrap(), "--person", "ada", "--person-by", "key"];
    let output = run(&arguments, &[("DATABASE_URL", &database.url())]).await;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("day.csv.gz: line ") && text(&output).contains("cut off"), "{}", text(&output));
    let first = database.number("SELECT count(*) FROM location").await;
    assert!(first > 10_000, "{first}");
    std::fs::write(&file, &whole).unwrap();
    let said = udaconnect(&database, &arguments).await;
    assert!(said.contains(&format!("{} locations stored, {first} were there already", 50_000 - first)), "{said}");
}

fn pack(path: &Path, text: &str) {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap();
}

/// An hour of 19 baboons (Movebank, doi:10.5441/001/1.kn0816jn), if somebody has the file; it is no part of the project.
#[tokio::test]
async fn a_large_real_file_goes_in_comes_out_and_goes_in_again() {
    let Ok(file) = std::env::var("UDACONNECT_TEST_BABOONS") else {
        eprintln!("UDACONNECT_TEST_BABOONS names no file; skipped");
        return;
    };
    let arguments = ["import", &file, "--person-column", "id", "--person-by", "key"];
    let database = Database::new().await;
    let said = udaconnect(&database, &arguments).await;
    assert!(said.contains("65140 records in 1 file: 65089 locations stored"), "{said}");
    assert!(said.contains("skipped: 51 without a position") && said.contains("0 refused"), "{said}");
    let directory = tempfile::tempdir().unwrap();
    for extension in ["csv", "geojson", "gpx"] {
        let name = directory.path().join(format!("all.{extension}"));
        udaconnect(&database, &["export", "--output", name.to_str().unwrap()]).await;
        let said = udaconnect(&database, &["import", name.to_str().unwrap()]).await;
        assert!(said.contains("0 locations stored, 65089 were there already"), "{extension}: {said}");
    }
}

#[tokio::test]
async fn rows_without_a_position_are_skipped_and_the_person_column_may_be_any() {
    let database = Database::new().await;
    let said = udaconnect(
        &database,
        &["import", &sample("collars.csv"), "--person-column", "id", "--person-by", "key", "--company", "Mpala"],
    )
    .await;
    assert!(said.contains("6 records in 1 file: 4 locations stored"), "{said}");
    assert!(said.contains("skipped: 2 without a position") && said.contains("persons created: 2"), "{said}");
    let exact = "SELECT count(*) FROM location JOIN person ON person.id = person_id WHERE external_key = '1'
        AND company_name = 'Mpala' AND creation_time = '2012-08-05T03:00:54.999Z'
        AND ST_X(coordinate::geometry) = 36.9230049 AND ST_Y(coordinate::geometry) = 0.3509009";
    assert_eq!(database.number(exact).await, 1);
}

async fn file(server: &Server, path: &str, accept: &str) -> (String, String, Option<String>) {
    let response = server.http.get(server.url(path)).header("accept", accept).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path} {accept}");
    assert!(response.headers()["vary"].to_str().unwrap().to_ascii_lowercase().contains("accept"));
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let next = next_page(&response);
    (kind, response.text().await.unwrap(), next)
}

#[tokio::test]
async fn a_person_takes_their_locations_along_in_the_form_they_ask_for() {
    let database = Database::new().await;
    udaconnect(&database, &["seed", "--persons", "2", "--days", "3"]).await;
    let server = Server::start(&database).await;
    let path = "/api/persons/1/locations";
    for (accept, extension) in
        [("text/csv", "csv"), ("application/geo+json", "geojson"), ("application/gpx+xml, */*;q=0.1", "gpx")]
    {
        let (kind, text, next) = file(&server, path, accept).await;
        assert!(accept.starts_with(kind.split(';').next().unwrap()), "{kind}");
        assert_eq!(next, None);
        // All of them, not a page, and exactly as they are.
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join(format!("mine.{extension}"));
        std::fs::write(&name, text).unwrap();
        let said = udaconnect(&database, &["import", name.to_str().unwrap()]).await;
        assert!(said.contains("0 locations stored, 1620 were there already"), "{accept}: {said}");
    }
    let (_, page, next) = file(&server, &format!("{path}?limit=7&start_date=2026-06-02"), "text/csv").await;
    assert_eq!(page.lines().count(), 8);
    let (_, page, _) = file(&server, &next.unwrap(), "text/csv").await;
    assert_eq!(page.lines().count(), 8);
    let (kind, _, _) = file(&server, path, "*/*").await;
    assert_eq!(kind, "application/json");
    let none = server.http.get(server.url(path)).header("accept", "text/html").send().await.unwrap();
    assert_eq!(none.status(), 406);
    assert_eq!(none.headers()["content-type"], "application/problem+json");
    let head = server.http.head(server.url(path)).header("accept", "text/csv").send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.text().await.unwrap().len()), (200, 0));
    let unknown = server.http.get(server.url("/api/persons/99/locations")).header("accept", "text/csv").send().await;
    assert_eq!(unknown.unwrap().status(), 404);
}

#[tokio::test]
async fn meetings_are_files_too() {
    let database = Database::new().await;
    udaconnect(&database, &["seed", "--persons", "60", "--days", "1"]).await;
    let server = Server::start(&database).await;
    let day = "start_date=2026-06-01&end_date=2026-06-01";
    let (_, connections) = server.get(&format!("/api/persons/1/connections?{day}&limit=1000")).await;
    let connections = connections.as_array().unwrap();
    let strongest = &connections[0];
    let other = strongest["person"]["id"].as_i64().unwrap();
    let (_, encounters) = server.get(&format!("/api/persons/1/connections/{other}?{day}")).await;
    let encounters = encounters.as_array().unwrap();

    let (_, csv, _) = file(&server, &format!("/api/persons/1/connections?{day}&limit=1000"), "text/csv").await;
    assert_eq!(csv.lines().count(), 1 + connections.len());
    assert!(csv.starts_with("person_id,first_name,last_name,company_name,encounters,total_duration,"), "{csv}");
    let first = csv.lines().nth(1).unwrap();
    let last = format!(",{},{}", strongest["closest"]["latitude"], strongest["closest"]["longitude"]);
    assert!(first.starts_with(&format!("{other},")) && first.ends_with(&last), "{first} {strongest}");

    let path = format!("/api/persons/1/connections/{other}?{day}");
    let (_, geojson, _) = file(&server, &path, "application/geo+json").await;
    let geojson: serde_json::Value = serde_json::from_str(&geojson).unwrap();
    let features = geojson["features"].as_array().unwrap();
    assert_eq!(features.len(), encounters.len());
    assert_eq!(features[0]["properties"]["start"], encounters[0]["start"]);
    assert_eq!(features[0]["geometry"]["coordinates"][0], encounters[0]["closest"]["longitude"]);
    let (_, gpx, _) = file(&server, &path, "application/gpx+xml").await;
    assert_eq!(gpx.matches("<wpt ").count(), encounters.len());

    let path = format!("/api/persons/1/connection?{day}");
    let (_, nearby) = server.get(&path).await;
    let count = nearby.as_array().unwrap().len();
    assert!(count > 0);
    let (_, csv, _) = file(&server, &path, "text/csv").await;
    assert_eq!(csv.lines().count(), 1 + count);
    let (_, geojson, _) = file(&server, &path, "application/geo+json").await;
    let geojson: serde_json::Value = serde_json::from_str(&geojson).unwrap();
    assert_eq!(geojson["features"].as_array().unwrap().len(), count);
    let (_, empty, _) =
        file(&server, "/api/persons/1/connection?start_date=2027-01-01&end_date=2027-01-01", "text/csv").await;
    assert_eq!(empty.lines().count(), 1);
    assert_eq!(server.get("/api/persons/1/connection?start_date=2027-01-01&end_date=2027-01-01").await.1, json!([]));

    let all = udaconnect(
        &database,
        &["export", "--person", "1", "--encounters", "--start-date", "2026-06-01", "--end-date", "2026-06-01"],
    )
    .await;
    let sum: i64 = connections.iter().map(|connection| connection["encounters"].as_i64().unwrap()).sum();
    assert_eq!(all.lines().count() as i64, 1 + sum);
    let output = run(&["export", "--encounters"], &[("DATABASE_URL", &database.url())]).await;
    assert_eq!(output.status.code(), Some(2));
}
