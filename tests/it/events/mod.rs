//! Events: made, changed, deleted, and apart from each other.

mod apart;
mod dates;
mod lifecycle;

use crate::support::{Database, Server, run};
use serde_json::{Value, json};
use tonic::Request;
use tonic::transport::Channel;

async fn channel(server: &Server) -> Channel {
    Channel::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap()
}

/// A call about this event.
fn about<T>(event: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("udaconnect-event", event.parse().unwrap());
    request
}

/// Adds an event of this slug with these settings, and tells its id.
async fn create(server: &Server, slug: &str, mut settings: Value) -> i64 {
    settings["slug"] = slug.into();
    if settings.get("name").is_none() {
        settings["name"] = format!("The {slug} days").into();
    }
    let (status, event) = server.post("/api/events", &settings).await;
    assert_eq!(status, 201, "{event}");
    event["id"].as_i64().unwrap()
}

/// Adds a person below this path, and tells their id.
async fn person(server: &Server, below: &str) -> i64 {
    let ada = json!({"first_name": "Ada", "last_name": "Lovelace", "company_name": "Engines"});
    let (status, person) = server.post(&format!("{below}/persons"), &ada).await;
    assert_eq!(status, 201, "{person}");
    person["id"].as_i64().unwrap()
}

/// The fields of a problem.
fn fields(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

/// Runs the program on this database; the status, and all that it has written.
async fn cli(database: &Database, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments, &[("DATABASE_URL", &database.url())]).await;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code(), text)
}
