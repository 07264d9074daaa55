//! The API's own description: OpenAPI from the code, and Swagger UI from the binary.

use super::problem::{Problem, no_such_path};
use super::{connections, events, locations, owntracks, persons, receipts, server};
use crate::runtime::headers::protect;
use actix_web::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use utoipa::OpenApi;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{self, Required};

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
    servers((url = "/", description = "This server")),
    paths(
        persons::create, persons::list, persons::get, persons::delete,
        locations::record, locations::record_batch, owntracks::record, locations::get, locations::delete, locations::of_person,
        receipts::get,
        events::list, events::create, events::get, events::change, events::delete,
        connections::days, connections::list, connections::between, connections::nearby,
        server::health,
    )
)]
struct Document;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    of_events(Document::openapi()).to_pretty_json().expect("the document is made of texts and numbers")
});

/// Adds what there is of the default event once more, below each event.
fn of_events(mut document: openapi::OpenApi) -> openapi::OpenApi {
    let of_default = document.paths.paths.iter().filter_map(|(path, item)| {
        let below = path
            .strip_prefix("/api/")
            .filter(|below| ["persons", "locations", "receipts"].iter().any(|kind| below.starts_with(kind)))?;
        let mut item = item.clone();
        let operations = [&mut item.get, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let event = ParameterBuilder::new()
                .name("event")
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some("The event's slug"))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .example(Some("default".into()))
                .build();
            operation.parameters.get_or_insert_default().insert(0, event.into());
            operation.operation_id = operation.operation_id.take().map(|id| format!("{id}_of_event"));
        }
        Some((format!("/api/events/{{event}}/{below}"), item))
    });
    let of_events: Vec<_> = of_default.collect();
    document.paths.paths.extend(of_events);
    document
}

/// The document that `/openapi.json` shows.
pub async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

/// What there is, for who looks at `/api`: each path with its methods, from the document.
static INDEX: LazyLock<String> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(&DOCUMENT).expect("it was written as JSON");
    let none = Map::new();
    let paths = document["paths"].as_object().unwrap_or(&none);
    let links = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| {
            json!({"method": method.to_uppercase(), "href": path, "description": operation["summary"]})
        })
    });
    let index = json!({
        "name": document["info"]["title"],
        "description": document["info"]["description"],
        "documentation": {"href": "/", "description": "To read and to try out"},
        "openapi": {"href": "/openapi.json", "description": "The same for programs"},
        "links": links.collect::<Vec<_>>(),
    });
    format!("{index:#}")
});

/// What `/api` shows.
pub async fn index() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(INDEX.as_str())
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
