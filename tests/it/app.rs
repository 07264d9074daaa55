//! The web app as browsers get it. Whether it is in the program depends on whether it was built before; both are tested.

use crate::support::Program;
use reqwest::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST,
    IF_NONE_MATCH, VARY,
};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

struct App {
    _program: Program,
    origin: String,
    http: Client,
}

impl App {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let program = Program::start(&["serve-app"], &[&[("LISTEN_ADDR", "127.0.0.1:0")], variables].concat());
        let messages = ["serving the web app", "the web app is not in this program; the page says how to build it"];
        let origin = format!("http://{}", program.logged_one_of(messages, "address").await);
        Self { _program: program, origin, http: Client::builder().no_proxy().build().unwrap() }
    }

    async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.origin)).send().await.unwrap()
    }
}

fn header(response: &Response, name: reqwest::header::HeaderName) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Paths of the scripts and styles that a page begins with.
fn assets(page: &str) -> Vec<String> {
    let paths = page.split('"').filter(|part| part.starts_with("/assets/"));
    paths.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_view_is_the_page_and_files_are_themselves() {
    let app = App::start(&[]).await;
    let page = app.get("/").await;
    if page.status() == 503 {
        let text = page.text().await.unwrap();
        assert!(text.contains("scripts/web.sh build"), "{text}");
        return;
    }
    assert_eq!(page.status(), 200);
    assert_eq!(header(&page, CACHE_CONTROL), "no-cache");
    let page = page.text().await.unwrap();
    for view in ["/people/1", "/people/1/with/2?from=2026-06-01", "/add", "/no-such-view"] {
        let answer = app.get(view).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap() == page), (200, true), "{view}");
    }
    // What a browser would take for a script or a picture must not be the page.
    for missing in
        ["/assets/gone-12345678.js", "/assets/", "/assets/x", "/robots.png", "/index.html.br", "/..%2fCargo.toml"]
    {
        assert_eq!(app.get(missing).await.status(), 404, "{missing}");
    }
    let found = assets(&page);
    assert!(found.len() >= 2, "{page}");
    for path in &found {
        let answer = app.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, CACHE_CONTROL), "public, max-age=31536000, immutable");
        let wanted = if path.ends_with(".js") { "text/javascript; charset=utf-8" } else { "text/css; charset=utf-8" };
        assert_eq!(header(&answer, CONTENT_TYPE), wanted);
    }
}

#[tokio::test]
async fn files_are_compressed_as_the_client_likes_and_are_not_sent_twice() {
    let app = App::start(&[]).await;
    let page = app.get("/").await;
    if page.status() == 503 {
        return;
    }
    let path = assets(&page.text().await.unwrap()).into_iter().find(|path| path.ends_with(".js")).unwrap();
    let url = format!("{}{path}", app.origin);
    let mut tags = Vec::new();
    let mut sizes = Vec::new();
    for (accepted, coding) in [("br, gzip", "br"), ("gzip", "gzip"), ("identity", ""), ("gzip;q=0, br;q=0", "")] {
        let answer = app.http.get(&url).header(ACCEPT_ENCODING, accepted).send().await.unwrap();
        assert_eq!(header(&answer, CONTENT_ENCODING), coding, "{accepted}");
        assert_eq!(header(&answer, VARY), "accept-encoding");
        let tag = header(&answer, ETAG);
        let again = app.http.get(&url).header(ACCEPT_ENCODING, accepted).header(IF_NONE_MATCH, &tag);
        let again = again.send().await.unwrap();
        assert_eq!((again.status().as_u16(), header(&again, ETAG)), (304, tag.clone()));
        tags.push(tag);
        sizes.push(answer.bytes().await.unwrap().len());
    }
    assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2] && sizes[2] == sizes[3], "{sizes:?}");
    assert!(tags[0] != tags[2] && tags[0] != tags[1] && tags[2] == tags[3], "{tags:?}");
}

#[tokio::test]
async fn the_page_learns_at_run_time_where_things_are_and_may_talk_to_them_only() {
    let plain = App::start(&[]).await;
    let config = plain.get("/config.json").await;
    assert_eq!(header(&config, CACHE_CONTROL), "no-cache");
    let nothing: Value = config.json().await.unwrap();
    assert_eq!(
        nothing,
        json!({"api_url": null, "api_port": 30001, "map_tile_url": null, "map_attribution": null, "time_zone": null})
    );
    let host = plain.http.get(&plain.origin).header(HOST, "event.example.org:8000").send().await.unwrap();
    let policy = header(&host, CONTENT_SECURITY_POLICY);
    assert!(policy.contains("connect-src 'self' event.example.org:30001;"), "{policy}");
    assert!(policy.contains("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"), "{policy}");

    let told = App::start(&[
        ("API_URL", "https://api.example.org/"),
        ("MAP_TILE_URL", "https://{s}.tile.example.org/{z}/{x}/{y}.png"),
        ("MAP_ATTRIBUTION", "© someone"),
        ("EVENT_TIME_ZONE", "America/Denver"),
    ])
    .await;
    let everything: Value = told.get("/config.json").await.json().await.unwrap();
    assert_eq!(
        everything,
        json!({
            "api_url": "https://api.example.org",
            "api_port": 30001,
            "map_tile_url": "https://{s}.tile.example.org/{z}/{x}/{y}.png",
            "map_attribution": "© someone",
            "time_zone": "America/Denver",
        })
    );
    let policy = header(&told.get("/").await, CONTENT_SECURITY_POLICY);
    assert!(policy.contains("img-src 'self' data: https://*.tile.example.org;"), "{policy}");
    assert!(policy.contains("connect-src 'self' https://api.example.org;"), "{policy}");
}

#[tokio::test]
async fn every_answer_is_guarded_and_only_reading_is_allowed() {
    let app = App::start(&[]).await;
    for path in ["/", "/config.json", "/assets/gone.js", "/livez", "/readyz", "/metrics"] {
        let answer = app.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(header(&answer, name.parse().unwrap()), value, "{path} {name}");
        }
        assert!(header(&answer, "permissions-policy".parse().unwrap()).starts_with("geolocation=(self)"));
        assert!(header(&answer, CONTENT_SECURITY_POLICY).contains("frame-ancestors 'none'"), "{path}");
    }
    assert_eq!(app.get("/readyz").await.status(), 200);
    for path in ["/", "/config.json"] {
        let url = format!("{}{path}", app.origin);
        let refused = app.http.request(Method::POST, &url).send().await.unwrap();
        assert_eq!((refused.status().as_u16(), header(&refused, ALLOW)), (405, "GET, HEAD".to_owned()));
        let head = app.http.request(Method::HEAD, &url).send().await.unwrap();
        assert_eq!(head.status(), app.get(path).await.status());
        assert!(head.bytes().await.unwrap().is_empty());
    }
}
