use crate::support::{Database, Server};
use serde_json::{Value, json};

fn person(first: &str, last: &str, company: &str) -> Value {
    json!({"first_name": first, "last_name": last, "company_name": company})
}

#[tokio::test]
async fn a_person_is_added_read_listed_and_erased() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let response = server
        .http
        .post(server.url("/api/persons"))
        .json(&person(" Zoë ", "O’Brien", "Ünïted & Co"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let added: Value = response.json().await.unwrap();
    let id = added["id"].as_i64().unwrap();
    assert_eq!(added, json!({"id": id, "first_name": "Zoë", "last_name": "O’Brien", "company_name": "Ünïted & Co"}));
    assert_eq!(location, format!("/api/persons/{id}"));
    assert_eq!(server.get(&location).await, (200, added.clone()));
    assert_eq!(server.get("/api/persons").await, (200, json!([added])));

    let other = server.person().await;
    for who in [id, other] {
        let location = json!({"person_id": who, "latitude": 35.0, "longitude": -106.5});
        assert_eq!(server.post("/api/locations", &location).await.0, 201);
    }
    assert_eq!(server.delete(&location).await, (204, Value::Null));
    assert_eq!(server.get(&location).await.0, 404);
    assert_eq!(server.get(&format!("{location}/locations")).await.0, 404);
    assert_eq!(server.delete(&location).await.0, 404);
    assert_eq!(database.number("SELECT count(*) FROM location").await, 1, "the other person's");
}

#[tokio::test]
async fn persons_are_found_by_words_of_any_case() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for (first, last, company) in
        [("Ada", "Lovelace", "Engines"), ("Élodie", "Adams", "100% Pure_Data"), ("Alan", "Turing", "Bletchley")]
    {
        assert_eq!(server.post("/api/persons", &person(first, last, company)).await.0, 201);
    }
    let found = async |query: &str| -> Vec<String> {
        let url = reqwest::Url::parse_with_params(&server.url("/api/persons"), [("q", query)]).unwrap();
        let persons: Vec<Value> = server.http.get(url).send().await.unwrap().json().await.unwrap();
        persons.iter().map(|person| person["first_name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found("ada").await, ["Ada", "Élodie"]);
    assert_eq!(found("LOVE ada").await, ["Ada"]);
    assert_eq!(found("élodie").await, ["Élodie"]);
    assert_eq!(found("100% e_d").await, ["Élodie"], "wildcards stand for themselves");
    assert_eq!(found("%").await, ["Élodie"]);
    assert_eq!(found("nobody").await, [""; 0]);
    assert_eq!(found("").await.len(), 3);
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_while_persons_are_added() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for _ in 0..5 {
        server.person().await;
    }
    let mut seen = Vec::new();
    let mut next = Some("/api/persons?limit=2&q=ada".to_owned());
    while let Some(path) = next {
        let response = server.http.get(server.url(&path)).send().await.unwrap();
        next = crate::support::next_page(&response);
        let page: Vec<Value> = response.json().await.unwrap();
        seen.extend(page.iter().map(|person| person["id"].as_i64().unwrap()));
        if seen.len() < 8 {
            server.person().await;
        }
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert!(seen.len() >= 8, "those that were added behind the page are seen: {seen:?}");
}

#[tokio::test]
async fn the_last_page_has_no_link() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for _ in 0..4 {
        server.person().await;
    }
    let sizes: Vec<usize> = server.pages("/api/persons?limit=2").await.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2]);
}

/// What somebody is found by, and by what not.
async fn found(server: &Server, query: &str) -> Vec<String> {
    let url = reqwest::Url::parse_with_params(&server.url("/api/persons"), [("q", query)]).unwrap();
    let persons: Vec<Value> = server.http.get(url).send().await.unwrap().json().await.unwrap();
    persons.iter().map(|person| person["last_name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn persons_are_found_as_people_type_them() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for (first, last, company) in [
        ("Jens", "Sørensen", "Ærø Færge"),
        ("Pat", "O’Brien", "AT&T"),
        ("Ana", "Kovács", "Magyar"),
        ("Ayşe", "Yılmaz", "İstanbul"),
        ("Thomas", "Khan", "Node.js"),
        ("Linh", "Nguye\u{302}\u{303}n", "NFD"),
        ("Jean-Luc", "van Dyke", "Größe & Söhne"),
        ("Łukasz", "Đorđević", "ﬁne Ｗｉｄｅ"),
        ("Иван", "Ёлкин", "Завод"),
        ("Ελένη", "Παπαδοπούλου", "ΟΔΟΣ"),
        ("小龍", "李", "株式会社ガーデン"),
        ("عَبْدُ", "أحمد", "شركة"),
        ("علی\u{200c}رضا", "کریمی", "تهران"),
        ("שָׁלוֹם", "כהן", "חברה"),
        ("राम", "शर्मा", "कंपनी"),
    ] {
        let (status, answer) = server.post("/api/persons", &person(first, last, company)).await;
        assert_eq!(status, 201, "{answer}");
    }
    for (last, queries) in [
        ("Sørensen", &["Sorensen", "SØRENSEN", "sørensen jens", "aero", "ÆRØ"][..]),
        ("O’Brien", &["O'Brien", "obrien", "O’BRIEN", "o`brien", "brien pat", "AT&T", "att", "at t"]),
        ("Kovács", &["Kovacs", "kovács", "Kova\u{301}cs", "KOVÁCS"]),
        ("Yılmaz", &["Yilmaz", "YILMAZ", "yılmaz", "ayse", "istanbul", "ISTANBUL"]),
        ("Khan", &["Khan, Thomas", "Thomas Khan", "khan,thomas", "khan;", "nodejs", "node.js"]),
        ("Nguye\u{302}\u{303}n", &["Nguyễn", "nguyen", "NGUYE\u{302}\u{303}N"]),
        ("van Dyke", &["Jean-Luc", "jeanluc", "jean luc", "Jean‐Luc", "vandyke", "grosse", "größe", "GRÖSSE", "sohne"]),
        ("Đorđević", &["Lukasz", "łukasz", "dordevic", "Đorđević", "fine wide"]),
        ("Ёлкин", &["Ёлкин", "елкин", "ИВАН", "завод"]),
        ("Παπαδοπούλου", &["παπαδοπουλου", "ελενη", "οδος", "ΟΔΟΣ"]),
        ("李", &["李", "小龍", "株式会社", "ガーデン"]),
        ("أحمد", &["احمد", "أحمد", "عبد"]),
        ("کریمی", &["علیرضا", "علی\u{200c}رضا", "کریمی", "كريمي"]),
        ("כהן", &["שלום", "כהן"]),
        ("शर्मा", &["राम", "शर्मा"]),
    ] {
        for query in queries {
            assert_eq!(found(&server, query).await, [last], "{query}");
        }
    }
    for nobody in ["Sorensenn", "brian", "khan thomasina", "रम", "ガテン"] {
        assert_eq!(found(&server, nobody).await, [""; 0], "{nobody}");
    }
    for everybody in ["", " , ", "'", "-"] {
        assert_eq!(found(&server, everybody).await.len(), 15, "{everybody}: no word");
    }
}

#[tokio::test]
async fn whoever_an_older_program_adds_is_found_too() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let old = database.client().await;
    old.batch_execute(
        "INSERT INTO person (first_name, last_name, company_name) VALUES ('Søren', 'Ångström', 'Ø');
         INSERT INTO person (external_key, first_name, last_name, company_name)
             SELECT * FROM unnest(ARRAY['k'], ARRAY['Zoë'], ARRAY['Ångström'], ARRAY['Ø']) ON CONFLICT DO NOTHING;
         UPDATE person SET first_name = 'Chloé' WHERE first_name = 'Zoë'",
    )
    .await
    .unwrap();
    assert_eq!(found(&server, "soren angstrom").await.len(), 1);
    assert_eq!(found(&server, "chloe").await.len(), 1);
    assert_eq!(found(&server, "zoe").await.len(), 0);
    assert_eq!(old.query("SELECT FROM person WHERE search_text LIKE '%ngstr%'", &[]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_search_among_a_hundred_thousand_uses_the_index() {
    let database = Database::new().await;
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO person (first_name, last_name, company_name)
                 SELECT 'Søren ' || i, initcap(substr(md5(i::text), 1, 8)), 'Company ' || i % 500
                 FROM generate_series(1, 100000) AS i;
             ANALYZE person;
             SET random_page_cost = 1.1",
        )
        .await
        .unwrap();
    // The statement of the program, with the parameter known and not: prepared ones come to the latter.
    client
        .batch_execute(
            "PREPARE search (text, text) AS
             SELECT id, first_name, last_name, company_name FROM person WHERE id > 0
             AND (TRUE AND person.search LIKE search_pattern($1) AND person.search LIKE search_pattern($2))
             ORDER BY id LIMIT 101",
        )
        .await
        .unwrap();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        client.batch_execute(&format!("SET plan_cache_mode = {mode}")).await.unwrap();
        let rows = client.query("EXPLAIN EXECUTE search ('C4CA4238', 'sören')", &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(
            plan.iter().any(|line| line.contains("Bitmap Index Scan on person_search_folded")),
            "{mode}: {plan:#?}"
        );
    }
    let server = Server::start(&database).await;
    assert_eq!(found(&server, "C4CA4238, sören").await, ["C4ca4238"]);
}

#[tokio::test]
async fn names_that_hide_or_reorder_are_refused() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for (name, number) in [
        ("\u{202e}gpj.exe", "U+202E"),
        ("\u{200b}", "U+200B"),
        ("Ada\u{200d}", "U+200D"),
        ("a\u{0}b", "U+0000"),
        ("a\u{1b}[2J", "U+001B"),
        ("\u{3164}", "U+3164"),
    ] {
        for field in ["first_name", "last_name", "company_name"] {
            let mut body = person("Ada", "Lovelace", "Engines");
            body[field] = json!(name);
            let (status, problem) = server.post("/api/persons", &body).await;
            let error = &problem["errors"][0];
            assert_eq!((status, error["field"].as_str()), (400, Some(field)), "{name:?}: {problem}");
            assert!(error["message"].as_str().unwrap().contains(number), "{problem}");
        }
    }
    for name in ["علی\u{200c}رضا", "👩\u{200d}🔬", "Nguye\u{302}\u{303}n", "O'Brien", "שָׁלוֹם", &"x".repeat(200)]
    {
        let (status, answer) = server.post("/api/persons", &person(name, name, name)).await;
        assert_eq!((status, answer["first_name"].as_str()), (201, Some(name)), "{answer}");
    }
}
