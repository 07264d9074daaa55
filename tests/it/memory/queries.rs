//! What is asked: searches of thousands of words, and questions about more places than a crowd has.

use super::{enforce, people, store, within_the_limit};
use crate::support::{Database, Server};
use tonic::Code;
use udaconnect::codec::proto::ListPersonsRequest;
use udaconnect::codec::proto::person_service_client::PersonServiceClient;

async fn start() -> (Database, Server) {
    let database = Database::new().await;
    people(&database, 20).await;
    let server = Server::start(&database).await;
    enforce(server.program.process().unwrap());
    (database, server)
}

async fn search(what: &str, query: String) {
    let (_database, server) = start().await;
    let mut client = PersonServiceClient::connect(server.grpc.clone()).await.unwrap();
    let request = ListPersonsRequest { query: query.clone(), page_size: 10, page_token: String::new() };
    // When the process ends, the call does not say more than that.
    let answer = client.list_persons(request).await;
    within_the_limit(what, &server.program);
    if let Err(status) = answer {
        // A message that is refused before it has come whole breaks off the sending, and tonic tells of that.
        let refused = [Code::InvalidArgument, Code::OutOfRange, Code::ResourceExhausted, Code::Unknown];
        assert!(refused.contains(&status.code()), "{what}: {status:?}");
        assert!(status.message().len() < 2_000, "{what}: {status:?}");
    }
    // As much as an address may hold.
    let query: String = query.chars().take(7_000).collect();
    let url = reqwest::Url::parse_with_params(&server.url("/api/persons"), [("query", &query), ("q", &query)]).unwrap();
    let status = server.http.get(url).send().await.unwrap().status();
    assert!(status.as_u16() < 500, "{what}: {status}");
    within_the_limit(what, &server.program);
}

#[tokio::test]
async fn a_search_of_eight_thousand_words() {
    search("8,171 words", "a ".repeat(8_171)).await;
}

#[tokio::test]
async fn a_search_of_a_million_words() {
    search("a million words", "a ".repeat(1_000_000)).await;
}

#[tokio::test]
async fn a_search_of_one_long_word() {
    search("one word", "a".repeat(4_000_000)).await;
}

#[tokio::test]
async fn a_search_of_different_words_and_signs() {
    let words: String = (0..20_000).map(|number| format!("w{number} ")).collect();
    search("different words", words).await;
    search("signs", "%_\\'\" ".repeat(10_000)).await;
}

#[tokio::test]
async fn a_search_with_nul() {
    search("NUL", "a\0b".to_owned()).await;
}

/// Two persons were at as many places; each of these is asked by several at once.
async fn ask(what: &str, places: u32, step_m: f64, questions: &[&str]) {
    let (database, server) = start().await;
    store(&database, 1, places, step_m).await;
    store(&database, 2, places / 10, step_m).await;
    for question in questions {
        let url = server.url(&format!("/api/persons/1/{question}"));
        let asked = (0..4).map(|_| async {
            let answer = server.http.get(&url).send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            // A busy machine may not get an answer in time.
            assert_ne!(status, 500, "{what}: {question}: {text}");
        });
        futures_util::future::join_all(asked).await;
        within_the_limit(&format!("{what}: {question}"), &server.program);
    }
}

#[tokio::test]
async fn encounters_at_fifty_thousand_places_within_a_kilometre() {
    let day = "start_date=2026-06-01&end_date=2026-06-30&distance=1000";
    ask(
        "50,000 places",
        50_000,
        100.0,
        &[&format!("connections?{day}"), &format!("connections?{day}&within=P1D&gap=P1D")],
    )
    .await;
}

#[tokio::test]
async fn everybody_near_two_hundred_thousand_places() {
    let day = "start_date=2026-06-01&end_date=2026-06-30";
    ask(
        "200,000 places",
        200_000,
        30.0,
        &[&format!("connection?{day}"), &format!("connection?{day}&distance=1000"), &format!("connections?{day}")],
    )
    .await;
}

#[tokio::test]
async fn a_person_of_two_hundred_thousand_locations_in_every_form() {
    let database = Database::new().await;
    people(&database, 2).await;
    store(&database, 1, 200_000, 1.0).await;
    let server = Server::start(&database).await;
    enforce(server.program.process().unwrap());
    for form in ["text/csv", "application/geo+json", "application/gpx+xml", "application/json"] {
        let asked = (0..4).map(|_| async {
            let url = server.url("/api/persons/1/locations");
            let answer = server.http.get(url).header("accept", form).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{form}");
            answer.bytes().await.unwrap();
        });
        futures_util::future::join_all(asked).await;
        within_the_limit(form, &server.program);
    }
}
