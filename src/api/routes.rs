//! The route table: each handler stands together with its documentation, so that what is served is what is documented.

use super::problem;
use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::{HttpRequest, HttpResponse, Resource, Route, web};
use utoipa::openapi::path::{self, HttpMethod, Parameter, PathItem};
use utoipa::openapi::{Components, OpenApi, Ref, RefOr, Response};

/// A handler, and the documentation that stands before it: method, path, parameters and answers.
pub struct Operation {
    /// Below the mount's prefix.
    path: String,
    method: HttpMethod,
    documentation: path::Operation,
    components: Components,
    route: fn() -> Route,
}

/// Makes a module's `operations()` from its handlers, each of which has a `#[utoipa::path(…)]`.
macro_rules! operations {
    ($($handler:ident),+ $(,)?) => {
        /// What this module serves.
        pub fn operations() -> Vec<$crate::api::routes::Operation> {
            vec![$({
                #[derive(utoipa::OpenApi)]
                #[openapi(paths($handler))]
                struct Document;
                $crate::api::routes::Operation::new(
                    <Document as utoipa::OpenApi>::openapi(),
                    || actix_web::web::to($handler),
                )
            }),+]
        }
    };
}
pub(super) use operations;

impl Operation {
    /// `document` documents this operation and no other.
    pub fn new(document: OpenApi, route: fn() -> Route) -> Self {
        let (path, item) = document.paths.paths.into_iter().next().expect("a handler's documentation has a path");
        let (method, documentation) = only(item);
        let components = document.components.unwrap_or_default();
        Self { path, method, documentation, components, route }
    }
}

/// Where operations are served: below which path, and what tells them there from the same ones elsewhere.
#[derive(Clone, Copy)]
pub struct Mount {
    /// What stands before each operation's path; it may hold parameters, such as `{event}`.
    pub prefix: &'static str,
    /// What stands after each operation's id, since an id is one operation's.
    pub id_suffix: &'static str,
    /// The documentation of the prefix's parameters.
    pub parameters: fn() -> Vec<Parameter>,
    /// What 404 says when it is the prefix that names nothing.
    pub missing: Option<&'static str>,
}

impl Mount {
    /// At a path without parameters, with the ids as they are.
    pub const fn at(prefix: &'static str) -> Self {
        Self { prefix, id_suffix: "", parameters: Vec::new, missing: None }
    }
}

/// Adds operations to the document, as they are served at the mount.
pub fn document(mut document: OpenApi, mount: Mount, operations: &[Operation]) -> OpenApi {
    let components = document.components.get_or_insert_default();
    for operation in operations {
        let mut documentation = with_problems(&operation.path, operation.documentation.clone(), mount.missing);
        documentation.operation_id = documentation.operation_id.map(|id| id + mount.id_suffix);
        let parameters = (mount.parameters)().into_iter().map(RefOr::T);
        let parameters: Vec<_> = parameters.chain(documentation.parameters.take().into_iter().flatten()).collect();
        documentation.parameters = (!parameters.is_empty()).then_some(parameters);
        let item = PathItem::new(operation.method.clone(), documentation);
        let path = format!("{}{}", mount.prefix, operation.path);
        document.paths.paths.entry(path).or_default().merge_operations(item);
        for (name, schema) in &operation.components.schemas {
            components.schemas.entry(name.clone()).or_insert_with(|| schema.clone());
        }
    }
    document
}

/// A path, and the operations that it takes.
pub struct Path {
    pattern: String,
    /// The methods as the `Allow` header lists them.
    allow: String,
    routes: Vec<(Method, fn() -> Route)>,
}

/// The paths of the operations at a mount. Those without parameters of their own come first, since each
/// path before the one that matches is tried, and matches if it can.
pub fn paths(mount: Mount, operations: &[Operation]) -> Vec<Path> {
    let mut paths: Vec<Path> = Vec::new();
    for operation in operations {
        let pattern = format!("{}{}", mount.prefix, operation.path);
        let at = paths.iter().position(|path| path.pattern == pattern).unwrap_or_else(|| {
            paths.push(Path { pattern, allow: String::new(), routes: Vec::new() });
            paths.len() - 1
        });
        let methods = match operation.method {
            // The server leaves out the body of what HEAD asks for.
            HttpMethod::Get => vec![Method::GET, Method::HEAD],
            HttpMethod::Post => vec![Method::POST],
            HttpMethod::Put => vec![Method::PUT],
            HttpMethod::Patch => vec![Method::PATCH],
            HttpMethod::Delete => vec![Method::DELETE],
            HttpMethod::Options | HttpMethod::Head | HttpMethod::Trace => {
                unreachable!("these are answered for every path")
            }
        };
        paths[at].routes.extend(methods.into_iter().map(|method| (method, operation.route)));
    }
    for path in &mut paths {
        path.routes.sort_by_key(|(method, _)| order(method));
        let names: Vec<&str> = path.routes.iter().map(|(method, _)| method.as_str()).collect();
        path.allow = names.join(", ");
    }
    paths.sort_by_key(|path| path.pattern[mount.prefix.len()..].contains('{'));
    paths
}

impl Path {
    /// The service that answers at this path.
    pub fn resource(&'static self) -> Resource {
        let routes = self.routes.iter().map(|(method, route)| route().method(method.clone()));
        resource(&self.pattern, &self.allow, routes)
    }
}

/// A path, what it takes, and what it says to those who ask for something else.
pub fn resource(pattern: &str, allow: &'static str, routes: impl IntoIterator<Item = Route>) -> Resource {
    let resource = routes.into_iter().fold(web::resource(pattern), Resource::route);
    resource.default_service(web::to(move |request: HttpRequest| async move {
        if request.method() == Method::OPTIONS {
            return Ok(HttpResponse::NoContent().insert_header((ALLOW, allow)).finish());
        }
        Err::<HttpResponse, _>(problem::wrong_method(request.method(), allow))
    }))
}

/// In which order `Allow` lists methods.
fn order(method: &Method) -> usize {
    let order = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    order.iter().position(|known| known == method).unwrap_or(order.len())
}

/// The one operation of a path of one operation.
fn only(item: PathItem) -> (HttpMethod, path::Operation) {
    [
        (HttpMethod::Get, item.get),
        (HttpMethod::Post, item.post),
        (HttpMethod::Put, item.put),
        (HttpMethod::Patch, item.patch),
        (HttpMethod::Delete, item.delete),
    ]
    .into_iter()
    .find_map(|(method, operation)| Some((method, operation?)))
    .expect("a handler's documentation has one of these methods")
}

/// Every answer that is a problem becomes a reference to the one problem response; those that any operation of this kind may
/// give are added. What the handler's documentation says of a status is kept as its description; `missing` is added to that of 404.
fn with_problems(path: &str, mut operation: path::Operation, missing: Option<&str>) -> path::Operation {
    let body = operation.request_body.is_some();
    let parameters = operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty());
    let general = [
        ("400", body || parameters, "Something that was sent is wrong; the answer names it"),
        ("404", path.contains('{'), "There is nothing of this name"),
        ("404", missing.is_some(), missing.unwrap_or_default()),
        ("405", true, "The path does not take this method"),
        ("408", body, "The body did not come in time"),
        ("413", body, "The body is too large"),
        ("415", body, "The body is of another type, or packed in a way that is not understood"),
        ("429", true, "Too much at once; nothing was done"),
        ("503", true, "The database is away, or an answer takes too long"),
    ];
    let responses = &mut operation.responses.responses;
    for (status, _, description) in general.into_iter().filter(|(_, applies, _)| *applies) {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Response::new(description)));
    }
    for (status, response) in responses.iter_mut() {
        if status.starts_with(['4', '5']) {
            let description = match response {
                RefOr::T(response) => std::mem::take(&mut response.description),
                RefOr::Ref(reference) => std::mem::take(&mut reference.description),
            };
            let description = match missing {
                Some(missing) if status == "404" && description != missing => {
                    format!("{description}, or {}", missing.to_lowercase())
                }
                _ => description,
            };
            let mut reference = Ref::from_response_name(problem::RESPONSE);
            reference.description = description;
            *response = RefOr::Ref(reference);
        }
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use utoipa::openapi::path::{ParameterBuilder, ParameterIn};

    /// One thing
    #[utoipa::path(get, path = "/things/{id}", operation_id = "get_thing", params(("id" = i64, Path)), responses((status = 200), (status = 404, description = "No such thing")))]
    async fn get() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    /// Add a thing
    #[utoipa::path(post, path = "/things", operation_id = "create_thing", request_body = String, responses((status = 201)))]
    async fn create() -> HttpResponse {
        HttpResponse::Created().finish()
    }

    operations!(get, create);

    #[test]
    fn operations_may_be_mounted_twice() {
        let event = || vec![ParameterBuilder::new().name("event").parameter_in(ParameterIn::Path).build()];
        let below = Mount {
            prefix: "/api/events/{event}",
            id_suffix: "_of_event",
            parameters: event,
            missing: Some("No such event"),
        };
        let operations = operations();
        let both = document(OpenApi::default(), Mount::at("/api"), &operations);
        let both: Value = serde_json::to_value(document(both, below, &operations)).unwrap();
        let paths: Vec<&String> = both["paths"].as_object().unwrap().keys().collect();
        assert_eq!(
            paths,
            ["/api/events/{event}/things", "/api/events/{event}/things/{id}", "/api/things", "/api/things/{id}"]
        );
        let get = &both["paths"]["/api/events/{event}/things/{id}"]["get"];
        assert_eq!(get["operationId"], "get_thing_of_event");
        let names: Vec<&Value> = get["parameters"].as_array().unwrap().iter().map(|given| &given["name"]).collect();
        assert_eq!(names, ["event", "id"]);
        assert_eq!(get["responses"]["404"]["description"], "No such thing, or no such event");
        let create = &both["paths"]["/api/events/{event}/things"]["post"];
        assert_eq!(create["responses"]["404"]["description"], "No such event");
        assert!(both["paths"]["/api/things"]["post"]["responses"].get("404").is_none());
        let served = paths_of(below, &operations);
        assert_eq!(
            served,
            [("/api/events/{event}/things", "POST"), ("/api/events/{event}/things/{id}", "GET, HEAD")]
                .map(|(path, allow)| (path.to_owned(), allow.to_owned()))
        );
    }

    fn paths_of(mount: Mount, operations: &[Operation]) -> Vec<(String, String)> {
        paths(mount, operations).into_iter().map(|path| (path.pattern, path.allow)).collect()
    }

    #[test]
    fn problems_are_one_response_each_with_its_own_words() {
        let document: Value = serde_json::to_value(document(OpenApi::default(), Mount::at(""), &operations())).unwrap();
        let (get, create) = (&document["paths"]["/things/{id}"]["get"], &document["paths"]["/things"]["post"]);
        let problem = |description: &str| json!({"$ref": "#/components/responses/Problem", "description": description});
        assert_eq!(get["responses"]["404"], problem("No such thing"));
        assert_eq!(get["responses"]["429"], problem("Too much at once; nothing was done"));
        assert!(get["responses"].get("413").is_none());
        assert_eq!(create["responses"]["413"], problem("The body is too large"));
        assert!(create["responses"].get("404").is_none());
    }
}
