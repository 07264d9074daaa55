//! The API's description: its operations, the OpenAPI document made of them, and Swagger UI, served from the binary.

use super::problem::{self, Problem, ProblemJson, no_such_path};
use super::routes::{self, Mount, Operation, Path, operations};
use super::{connections, events, locations, owntracks, persons, receipts};
use crate::runtime::headers::protect;
use actix_web::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, web};
use anyhow::Context;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::io::Write;
use std::sync::{Arc, LazyLock};
use utoipa::{OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "UdaConnect",
        description = "Whom did I meet, where, when and for how long? Times are UTC, coordinates WGS 84, distances metres and \
            durations seconds. Errors are RFC 9457 problem details."
    ),
    tags(
        (name = "events", description = "Conferences; persons and locations are their event's"),
        (name = "persons", description = "Attendees"),
        (name = "locations", description = "Where they were"),
        (name = "connections", description = "Whom they met"),
        (name = "service", description = "How this server is"),
    ),
    servers(
        (url = "/", description = "This server"),
        (url = "http://127.0.0.1:30001", description = "This machine, after make run"),
    ),
    components(schemas(ProblemJson)),
)]
struct Document;

/// What is served, and where: the routes and the document are made of this.
static MOUNTS: LazyLock<Vec<(Mount, Vec<Operation>)>> = LazyLock::new(|| {
    // What comes most often first: each path before the one that matches is tried.
    let of_event = || {
        let operations = [
            locations::operations(),
            owntracks::operations(),
            persons::operations(),
            connections::operations(),
            receipts::operations(),
        ];
        operations.into_iter().flatten().collect()
    };
    vec![
        // Of the default event.
        (Mount::at("/api"), of_event()),
        (events::MOUNT, of_event()),
        (Mount::at("/api"), events::operations()),
        (Mount::at(""), operations()),
    ]
});

operations!(index, health, openapi);

/// Every path that is documented.
pub fn paths() -> &'static [Path] {
    static PATHS: LazyLock<Vec<Path>> =
        LazyLock::new(|| MOUNTS.iter().flat_map(|(mount, operations)| routes::paths(*mount, operations)).collect());
    &PATHS
}

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document = Document::openapi();
    let components = document.components.get_or_insert_default();
    components.responses.insert(problem::RESPONSE.to_owned(), problem::response().into());
    let document =
        MOUNTS.iter().fold(document, |document, (mount, operations)| routes::document(document, *mount, operations));
    document.to_pretty_json().expect("the document is made of texts and numbers")
});

/// Print the OpenAPI document of the REST API
#[derive(Clone, Debug, clap::Args)]
pub struct OpenApiArgs {}

/// Writes the document to standard output.
pub fn print(OpenApiArgs {}: OpenApiArgs) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", *DOCUMENT).context("standard output")
}

/// This document
#[utoipa::path(get, path = "/openapi.json", operation_id = "get_openapi", tag = "service", responses((status = 200, description = "OpenAPI 3.1", body = Value)))]
pub async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

/// Whether the API is up, as the proof of concept answered it
#[utoipa::path(get, path = "/api/health", operation_id = "get_health", tag = "service", responses((status = 200, description = "It is", body = String, content_type = "application/json", example = json!("healthy"))))]
pub async fn health() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json("healthy")
}

/// What there is.
#[derive(Serialize, ToSchema)]
pub struct Index {
    #[schema(example = "UdaConnect")]
    name: String,
    description: String,
    documentation: Link,
    openapi: Link,
    /// Every operation.
    links: Vec<OperationLink>,
}

/// Something to read.
#[derive(Serialize, ToSchema)]
pub struct Link {
    #[schema(example = "/openapi.json")]
    href: &'static str,
    description: &'static str,
}

/// An operation.
#[derive(Serialize, ToSchema)]
pub struct OperationLink {
    #[schema(example = "GET")]
    method: String,
    /// Its path; what stands in braces is to be filled in.
    #[schema(example = "/api/persons/{id}")]
    href: String,
    #[schema(example = "One person")]
    description: String,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(&DOCUMENT).expect("it was written as JSON");
    let none = Map::new();
    let paths = document["paths"].as_object().unwrap_or(&none);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let links = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| OperationLink {
            method: method.to_uppercase(),
            href: path.clone(),
            description: text(&operation["summary"]),
        })
    });
    Index {
        name: text(&document["info"]["title"]),
        description: text(&document["info"]["description"]),
        documentation: Link { href: "/", description: "To read and to try out" },
        openapi: Link { href: "/openapi.json", description: "The same for programs" },
        links: links.collect(),
    }
});

/// What there is: every path with its methods
#[utoipa::path(get, path = "/api", operation_id = "list_operations", tag = "service", responses((status = 200, description = "Links", body = Index)))]
pub async fn index() -> HttpResponse {
    HttpResponse::Ok().json(&*INDEX)
}

/// What Swagger UI's page may do: it asks this server only, and sets styles and pictures of its own by script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Swagger UI's files; everything else that is asked for and is nothing ends here, too.
pub async fn swagger_ui(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    static CONFIG: LazyLock<Arc<utoipa_swagger_ui::Config<'static>>> = LazyLock::new(|| {
        Arc::new(utoipa_swagger_ui::Config::from("/openapi.json").try_it_out_enabled(true).validator_url("none"))
    });
    match utoipa_swagger_ui::serve(&path, CONFIG.clone()) {
        Ok(Some(file)) => {
            let tag = format!("\"{}-{}\"", env!("CARGO_PKG_VERSION"), file.bytes.len());
            if request.headers().get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes()) {
                return Ok(HttpResponse::NotModified().finish());
            }
            let mut response = HttpResponse::Ok()
                .content_type(file.content_type)
                .insert_header((CACHE_CONTROL, "no-cache"))
                .insert_header((ETAG, tag))
                .body(match file.bytes {
                    // Sent from where it is.
                    Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                    Cow::Owned(bytes) => bytes.into(),
                });
            protect(response.headers_mut(), POLICY, "geolocation=()");
            Ok(response)
        }
        Ok(None) | Err(_) => no_such_path(request).await,
    }
}
