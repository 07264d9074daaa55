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
