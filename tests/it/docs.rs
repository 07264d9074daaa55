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

#[tokio::test]
async fn every_example_works_against_the_demo() {
    let database = Database::new().await;
    let seeded = run(&["seed", "--persons", "8", "--days", "2"], &[("DATABASE_URL", &database.url())]).await;
    assert!(seeded.status.success(), "{seeded:?}");
    let server = Server::with(&[("DATABASE_URL", &database.url()), ("OWNTRACKS_USERS", "ada/phone=1")]).await;
    let document = document(&server).await;
    assert_eq!(document["servers"][0]["url"], "/");
    let mut tried = 0;
    for (path, method, operation) in operations(&document) {
        // Ends what the others show; and receipts are for those who have Kafka.
        let skipped = method == "delete" || path.contains("/receipts/");
        let mut url = path.to_owned();
        let mut query = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let given =
                example(&document, parameter).map(|given| given.as_str().map_or(given.to_string(), str::to_owned));
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
        let url = format!("{}?{}", server.url(&url), query.join("&"));
        let bodies = operation.pointer("/requestBody/content").and_then(Value::as_object);
        let bodies: Vec<_> = bodies.into_iter().flatten().collect();
        for (kind, body) in &bodies {
            let shown = match example(&document, body) {
                Some(example) => example,
                // The same items, a line each.
                None if *kind == "application/x-ndjson" => {
                    let list = example(&document, bodies[0].1).unwrap_or_else(|| panic!("{method} {path}: no example"));
                    let lines: Vec<String> = list.as_array().unwrap().iter().map(Value::to_string).collect();
                    lines.join("\n").into()
                }
                None => panic!("{method} {path}: {kind} has no example"),
            };
            let text = shown.as_str().map_or_else(|| shown.to_string(), str::to_owned);
            let verb = method.to_uppercase().parse().unwrap();
            let request = server.http.request(verb, &url);
            let answer = request.header("content-type", kind.as_str()).body(text).send().await.unwrap();
            let status = answer.status().as_u16();
            let answer = answer.text().await.unwrap();
            assert!(matches!(status, 200 | 201), "{method} {url} {kind}: {status} {answer}");
            assert!(!answer.contains("refused\":1"), "{answer}");
            tried += 1;
        }
        if bodies.is_empty() && !skipped {
            let answer = server.http.get(&url).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{method} {url}");
            // Whether two of so few met is another question.
            let nothing = matches!(answer.text().await.unwrap().as_str(), "[]" | "");
            assert!(!nothing || path.contains("/connection"), "{url} shows nothing");
            tried += 1;
        }
        for (status, answer) in operation["responses"].as_object().unwrap() {
            for (kind, content) in answer.get("content").and_then(Value::as_object).into_iter().flatten() {
                assert!(content.get("schema").is_some() || content.get("example").is_some(), "{path} {status} {kind}");
            }
        }
    }
    assert!(tried >= 13, "{tried}");
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
