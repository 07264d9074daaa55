//! The API against its own OpenAPI document, and the plans that its questions get.

use crate::support::{Database, Server, run};
use serde_json::Value;

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (_, document) = server.get("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path}");
            // That there is something at every path, whatever it says to an empty question.
            let path = path.replace("{id}", "1").replace("{other_id}", "2");
            let request = server.http.request(method.to_uppercase().parse().unwrap(), server.url(&path));
            let answer: Value = request.send().await.unwrap().json().await.unwrap_or_default();
            assert!(!answer["detail"].as_str().unwrap_or_default().contains("there is nothing at"), "{method} {path}");
            assert_ne!(answer["status"], 405, "{method} {path}");
        }
    }
    let page = server.http.get(server.url("/")).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("swagger-ui"));
    // Everything that the page loads comes from here, and is there.
    for part in page.split(['"', '\'']).filter(|part| part.ends_with(".js") || part.ends_with(".css")) {
        assert!(!part.contains("//"), "{part}");
        let file = server.http.get(server.url(&format!("/{}", part.trim_start_matches("./")))).send().await.unwrap();
        assert_eq!(file.status(), 200, "{part}");
    }
    let initializer =
        server.http.get(server.url("/swagger-initializer.js")).send().await.unwrap().text().await.unwrap();
    assert!(initializer.contains("/openapi.json"));
}

#[tokio::test]
#[ignore = "needs schemathesis (SCHEMATHESIS); make test installs it"]
async fn schemathesis_finds_no_defect() {
    let program = std::env::var("SCHEMATHESIS").expect("SCHEMATHESIS names the program");
    let database = Database::new().await;
    let seeded = run(&["seed", "--persons", "3", "--days", "1"], &[("DATABASE_URL", &database.url())]).await;
    assert!(seeded.status.success());
    let server = Server::start(&database).await;
    let examples = std::env::var("SCHEMATHESIS_EXAMPLES").unwrap_or_else(|_| "40".to_owned());
    // Not positive_data_acceptance: what is valid by its form may still be refused, such as an unknown person's location.
    let output = tokio::process::Command::new(program)
        .args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis.toml")])
        .args(["run", &server.url("/openapi.json"), "--max-examples", &examples, "--seed", "1"])
        .args(["--generation-database", ":memory:", "--no-color"])
        .env("PYTHONUNBUFFERED", "1")
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn a_persons_range_is_read_from_the_index_alone() {
    let database = Database::new().await;
    let seeded = run(&["seed", "--persons", "20", "--days", "3"], &[("DATABASE_URL", &database.url())]).await;
    assert!(seeded.status.success());
    let client = database.client().await;
    let plan: Vec<String> = client
        .query(
            "EXPLAIN SELECT id, person_id, creation_time, coordinate, accuracy_m FROM location WHERE event_id = 1 AND person_id = 7
             AND creation_time >= '2026-06-02' AND creation_time < '2026-06-03' ORDER BY creation_time, id LIMIT 101",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let plan = plan.join("\n");
    assert!(plan.contains("Index Only Scan"), "{plan}");
    assert!(!plan.contains("location_other"), "other months are not touched:\n{plan}");
}

#[tokio::test]
async fn functions_with_their_owners_rights_cannot_be_turned_against_them() {
    let database = Database::new().await;
    let client = database.client().await;
    let sql = "SELECT oid::regprocedure::text, coalesce(array_to_string(proconfig, '; '), ''),
            EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
                    WHERE grantee = 0 AND privilege_type = 'EXECUTE')
        FROM pg_proc WHERE prosecdef
            AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')
            AND pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)";
    let rows = client.query(sql, &[]).await.unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let (name, settings, public): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        let path = settings.split("; ").find_map(|setting| setting.strip_prefix("search_path=")).unwrap_or_default();
        // Nothing in which others may create something, and temporary objects last.
        assert_eq!(path, "pg_catalog, pg_temp", "{name}: {settings}");
        assert!(!public, "{name} may be called by everybody");
    }
}

#[tokio::test]
async fn roles_that_may_only_store_locations_can_begin_a_month() {
    let database = Database::empty().await;
    let client = database.client().await;
    let migrate = async |arguments: &[&str]| {
        let output = run(&[&["migrate"], arguments].concat(), &[("DATABASE_URL", &database.url())]).await;
        assert!(output.status.success(), "{output:?}");
    };
    migrate(&[]).await;
    // As it was before the function was closed to the public: what was granted then goes on working.
    migrate(&["--revert", &after_partitions(&client).await]).await;
    let role = format!("writer_{}", database.name);
    let stranger = format!("stranger_{}", database.name);
    let grants = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; CREATE ROLE {stranger} LOGIN PASSWORD 'x';
         GRANT SELECT, INSERT, UPDATE, DELETE ON location, person TO {role};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role};
         GRANT SELECT ON __diesel_schema_migrations TO {role}"
    );
    client.batch_execute(&grants).await.unwrap();
    migrate(&[]).await;
    let url = database.url_as(database.port(), &role, "x");
    let server = Server::with(&[("DATABASE_URL", &url)]).await;
    let person = server.person().await;
    let location = serde_json::json!({"person_id": person, "latitude": 1, "longitude": 101, "creation_time": "2026-06-02T10:00:00Z"});
    assert_eq!(server.post("/api/locations", &location).await.0, 201);
    assert_eq!(database.number("SELECT count(*) FROM location_2026_06").await, 1);
    drop(server);
    // Somebody else may not, and whoever may cannot make it use what is theirs.
    let denied = |error: tokio_postgres::Error| error.code().map(|code| code.code().to_owned());
    let connect = async |role: &str| {
        let url = database.url_as(database.port(), role, "x");
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let call = "SELECT location_make_partition('2026-01-01')";
    assert_eq!(denied(connect(&stranger).await.execute(call, &[]).await.unwrap_err()).as_deref(), Some("42501"));
    let writer = connect(&role).await;
    writer
        .batch_execute(
            "CREATE TEMP TABLE pg_inherits AS SELECT 1 AS inhrelid, 1 AS inhparent;
             CREATE FUNCTION pg_temp.to_char(date, text) RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$",
        )
        .await
        .unwrap();
    writer.execute(call, &[]).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM location_2026_01").await, 0);
    let owned = format!("DROP OWNED BY {role}, {stranger}; DROP ROLE {role}, {stranger}");
    client.batch_execute(&owned).await.unwrap();
}

/// How many migrations to revert until the one that closes the functions is gone.
async fn after_partitions(client: &tokio_postgres::Client) -> String {
    let sql = "SELECT count(*)::text FROM __diesel_schema_migrations WHERE version >= '20261125000002'";
    client.query_one(sql, &[]).await.unwrap().get(0)
}
