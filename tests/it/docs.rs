//! The documentation that the API brings: whoever looks can try everything at once.

use crate::support::{Database, Server, run};
use serde_json::{Value, json};

async fn document(server: &Server) -> Value {
    server.get("/openapi.json").await.1
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// What Swagger UI fills in for a parameter or a body of a type.
fn example<'a>(document: &'a Value, part: &'a Value) -> Option<Value> {
    if let Some(example) = part.get("example") {
        return Some(example.clone());
    }
    let mut schema = part.get("schema")?;
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        schema = document.pointer(name.strip_prefix('#').unwrap()).unwrap();
    }
    if let Some(example) = schema.get("example") {
        return Some(example.clone());
    }
    let properties = schema.get("properties")?.as_object()?;
    let fields = properties.iter().map(|(name, schema)| Some((name.clone(), schema.get("example")?.clone())));
    Some(Value::Object(fields.collect::<Option<_>>()?))
}

/// The request that the document's examples make of an operation: its address and its bodies by content type. A body without an
/// example is lines of JSON, and has the items of the first one, a line each.
fn asked(document: &Value, (path, method, operation): (&str, &str, &Value)) -> (String, Vec<(String, String)>) {
    let mut url = path.to_owned();
    let mut query = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let given = example(document, parameter).map(|given| given.as_str().map_or(given.to_string(), str::to_owned));
        let given = match (given, parameter["required"].as_bool()) {
            (Some(given), _) => given,
            (None, Some(true)) => panic!("{method} {path}: {name} has no example"),
            (None, _) => continue,
        };
        match parameter["in"].as_str() {
            Some("path") => url = url.replace(&format!("{{{name}}}"), &given),
            Some("query") => query.push(format!("{name}={given}")),
            other => panic!("{other:?}"),
        }
    }
    let bodies = operation.pointer("/requestBody/content").and_then(Value::as_object);
    let bodies: Vec<_> = bodies.into_iter().flatten().collect();
    let texts = bodies.iter().map(|(kind, body)| {
        let shown = match example(document, body) {
            Some(example) => example,
            None if *kind == "application/x-ndjson" => {
                let list = example(document, bodies[0].1).unwrap_or_else(|| panic!("{method} {path}: no example"));
                let lines: Vec<String> = list.as_array().unwrap().iter().map(Value::to_string).collect();
                lines.join("\n").into()
            }
            None => panic!("{method} {path}: {kind} has no example"),
        };
        (kind.to_string(), shown.as_str().map_or_else(|| shown.to_string(), str::to_owned))
    });
    let texts = texts.collect();
    (if query.is_empty() { url } else { format!("{url}?{}", query.join("&")) }, texts)
}

/// The fields that an answer of this schema has always.
fn required<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a str> {
    let schema = match schema.get("$ref").and_then(Value::as_str) {
        Some(name) => document.pointer(name.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    };
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Below which path there is of each event what without it is the default one's.
const OF_EVENT: &str = "/api/events/{event}/";

#[tokio::test]
async fn every_example_works_against_the_demo() {
    // Each by itself, since what one of them deletes is gone for the other.
    assert!(play(|path| !path.starts_with(OF_EVENT)).await >= 24);
    assert!(play(|path| path.starts_with(OF_EVENT)).await >= 16);
}

/// Tries the examples of the operations whose paths are meant against a demo of their own; how many there were.
async fn play(meant: impl Fn(&str) -> bool) -> usize {
    let database = Database::new().await;
    // As many persons as the demo has: one of the last is erased.
    let seeded = run(&["seed", "--persons", "300", "--days", "2"], &[("DATABASE_URL", &database.url())]).await;
    assert!(seeded.status.success(), "{seeded:?}");
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_USERS", "ada/phone=1")]).await;
    let document = document(&server).await;
    assert_eq!(document["servers"][0]["url"], "/");
    let mut operations: Vec<_> = operations(&document).filter(|(path, ..)| meant(path)).collect();
    // What ends that which others show comes last.
    operations.sort_by_key(|(_, method, _)| *method == "delete");
    let mut tried = 0;
    for (path, method, operation) in operations {
        // Receipts are for those who have Kafka; everybody else is told that there are none.
        let expected = if path.contains("/receipts/") {
            "404"
        } else {
            let statuses = operation["responses"].as_object().unwrap().keys();
            statuses.into_iter().find(|status| status.starts_with('2')).expect("some answer is good")
        };
        let (url, bodies) = asked(&document, (path, method, operation));
        let bodies = if bodies.is_empty() { vec![None] } else { bodies.into_iter().map(Some).collect() };
        for body in bodies {
            let mut request = server.http.request(method.to_uppercase().parse().unwrap(), server.url(&url));
            if let Some((kind, text)) = &body {
                request = request.header("content-type", kind).body(text.clone());
            }
            let answer = request.send().await.unwrap();
            let status = answer.status().as_str().to_owned();
            let text = answer.text().await.unwrap();
            assert_eq!(status, expected, "{method} {url} {body:?}: {text}");
            assert!(!text.contains("refused\":1"), "{text}");
            // Whether two of so few met is another question.
            assert!(
                !matches!(text.as_str(), "[]") || path.contains("/connection") || body.is_some(),
                "{url} shows nothing"
            );
            if let Some(schema) = operation.pointer(&format!("/responses/{status}/content/application~1json/schema")) {
                let answer: Value = serde_json::from_str(&text).unwrap();
                let (answer, schema) = match answer.get(0) {
                    Some(first) => (first, &schema["items"]),
                    None => (&answer, schema),
                };
                for field in required(&document, schema) {
                    assert!(answer.get(field).is_some(), "{method} {url}: no {field} in {answer}");
                }
            }
            tried += 1;
        }
    }
    tried
}

#[tokio::test]
async fn the_checked_in_document_is_what_the_code_says() {
    let printed = run(&["openapi"], &[]).await;
    assert!(printed.status.success(), "{printed:?}");
    let printed = String::from_utf8(printed.stdout).unwrap();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let differs = printed.lines().zip(kept.lines()).find(|(printed, kept)| printed != kept);
    assert!(printed == kept, "docs/openapi.json is not what the code says ({differs:?}); `make openapi` renews it");
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let served = server.http.get(server.url("/openapi.json")).send().await.unwrap().text().await.unwrap();
    assert_eq!(served.trim_end(), kept.trim_end());
}

#[tokio::test]
async fn what_is_documented_is_served_and_nothing_else() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let document = document(&server).await;
    let mut ids = std::collections::BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let mut documented: Vec<String> = methods.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        if documented.iter().any(|method| method == "GET") {
            documented.push("HEAD".to_owned());
        }
        documented.sort();
        let answer = server.http.request(reqwest::Method::OPTIONS, server.url(path)).send().await.unwrap();
        let mut served: Vec<&str> = answer.headers()["allow"].to_str().unwrap().split(", ").collect();
        served.sort_unstable();
        assert_eq!(served, documented, "{path}");
        for (_, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is the id of two operations");
        }
    }
    // The handlers that have documentation are those that are served, and what is served goes through it.
    let mut documented = 0;
    let mut open = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        documented += code.lines().filter(|line| line.starts_with("#[utoipa::path(")).count();
        let registers = ["web::resource(", "web::scope(", ".service("].iter().any(|call| code.contains(call));
        assert!(
            !registers || name == "routes.rs" || name == "server.rs",
            "{name} serves by itself; list the handler in operations!(…), so that it is documented"
        );
    }
    let (of_event, others): (Vec<_>, Vec<_>) =
        operations(&document).map(|(path, ..)| path).partition(|path| path.starts_with(OF_EVENT));
    assert_eq!(others.len(), documented, "a handler is documented and not listed in operations!(…)");
    // What there is of the default event, there is of each.
    let kinds = ["/api/persons", "/api/locations", "/api/receipts"];
    let of_default = others.iter().filter(|path| kinds.iter().any(|kind| path.starts_with(kind)));
    let of_default: Vec<String> = of_default.map(|path| path.replacen("/api/", OF_EVENT, 1)).collect();
    assert_eq!(of_event, of_default);
}

#[tokio::test]
async fn problems_are_documented_by_one_response() {
    let printed = run(&["openapi"], &[]).await;
    let document: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let schema = &document["components"]["responses"]["Problem"]["content"]["application/problem+json"]["schema"];
    assert_eq!(schema, &json!({"$ref": "#/components/schemas/Problem"}));
    for (path, method, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let is_problem = status.starts_with(['4', '5']);
            assert_eq!(is_problem, response["$ref"] == "#/components/responses/Problem", "{method} {path} {status}");
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path} {status}");
            for (kind, content) in response.get("content").and_then(Value::as_object).into_iter().flatten() {
                assert!(content.get("schema").is_some() || content.get("example").is_some(), "{path} {status} {kind}");
            }
        }
        let has_body = operation.get("requestBody").is_some();
        let always = ["405", "429", "503"].iter().map(|status| (*status, true));
        for (status, expected) in always.chain([("408", has_body), ("413", has_body), ("415", has_body)]) {
            assert_eq!(responses.contains_key(status), expected, "{method} {path} {status}");
        }
    }
}

#[tokio::test]
async fn who_is_lost_is_told_where_to_look() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (status, index) = server.get("/api").await;
    assert_eq!(
        (status, &index["documentation"]["href"], &index["openapi"]["href"]),
        (200, &json!("/"), &json!("/openapi.json"))
    );
    let links = index["links"].as_array().unwrap();
    assert_eq!(links.len(), operations(&document(&server).await).count());
    assert!(links.iter().all(|link| link["description"].as_str().is_some_and(|text| !text.is_empty())), "{index}");
    for path in ["/nothing", "/api/nothing", "/api/persons/1/nothing", "/a/b/c"] {
        let (status, problem) = server.get(path).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(status == 404 && detail.contains("/openapi.json") && detail.contains("documentation"), "{problem}");
    }
}

#[tokio::test]
async fn the_documentations_page_is_guarded_as_the_web_app_is() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for path in ["/", "/swagger-ui-bundle.js", "/swagger-initializer.js"] {
        let answer = server.http.get(server.url(path)).send().await.unwrap();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.headers()[name], value, "{path} {name}");
        }
        assert!(answer.headers().contains_key("permissions-policy"));
    }
}
