use super::Response;
use super::extract::{self, Query, below, path_person};
use super::json::{NewPerson as NewPersonJson, PersonJson};
use super::problem::ProblemJson;
use super::server::page;
use crate::codec::{Fields, Listed};
use crate::domain::{Error, NewPerson, Search};
use crate::service::AtEvent;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};

/// The largest body of a single person or location, bytes.
pub const MAX_BODY: usize = 64 << 10;
const MAX_PAGE: usize = 1_000;

/// Add a person
#[utoipa::path(
    post,
    path = "/api/persons",
    operation_id = "create_person",
    tag = "persons",
    request_body = NewPersonJson,
    responses(
        (status = 201, description = "The person, with an id", body = PersonJson,
            headers(("Location" = String, description = "The person's path"))),
        (status = 400, description = "What was sent is not a person", body = ProblemJson, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = ProblemJson, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemJson, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON, or packed in a way that is not understood", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn create(request: HttpRequest, payload: web::Payload, at: AtEvent) -> Response {
    // `id` may be there, as in an answer that is sent back; the store gives ids.
    const KNOWN: &[&str] = &["id", "first_name", "last_name", "company_name"];
    let body = extract::json(&request, payload, MAX_BODY, KNOWN).await?;
    let mut fields = Fields::of(body, "body", KNOWN).map_err(Error::Invalid)?;
    let names = (fields.text("first_name"), fields.text("last_name"), fields.text("company_name"));
    // What can be read is checked even if the rest cannot: one answer names everything.
    let text = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    let person = NewPerson::new(&text(&names.0), &text(&names.1), &text(&names.2))
        .map_err(|error| error.into_fields("body").into_iter().for_each(|error| fields.push(error)))
        .ok();
    let person = fields.finish(person).map_err(Error::Invalid)?;
    let person = at.create_person(&person).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, below(&request, &format!("persons/{}", person.id))))
        .json(PersonJson::from(person)))
}

/// List persons, by id
///
/// The `Link` header holds the address of the next page while there is one. Pages neither repeat nor skip a person when
/// others are added between them.
#[utoipa::path(
    get,
    path = "/api/persons",
    operation_id = "list_persons",
    tag = "persons",
    params(
        ("q" = Option<String>, Query, description = "At most 20 words that must each occur in a name or the company; case, accents, apostrophes and hyphens do not matter", max_length = 200),
        ("limit" = Option<u32>, Query, description = "The most persons in this page; 1000 when absent", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "Where the page begins; from the Link header of the page before"),
    ),
    responses(
        (status = 200, description = "Persons", body = [PersonJson],
            headers(("Link" = String, description = "The next page, with rel=\"next\"; absent on the last one"))),
        (status = 400, description = "A parameter is wrong", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn list(request: HttpRequest, at: AtEvent) -> Response {
    let query = Query::of(&request, &["q", "limit", "cursor"])?;
    let limit = query.limit(MAX_PAGE, MAX_PAGE)?;
    let words = query.get("q").unwrap_or_default();
    let search = Search::new("q", words).map_err(Error::from)?;
    let listed = Listed::persons(words);
    let after = query.get("cursor").map(|text| listed.person("cursor", text)).transpose().map_err(Error::from)?;
    let persons = at.persons(&search, after, limit).await?;
    let next = persons.next.map(|id| listed.after_person(id));
    Ok(page(&request, persons.items.into_iter().map(PersonJson::from), next))
}

/// One person
#[utoipa::path(
    get,
    path = "/api/persons/{id}",
    operation_id = "get_person",
    tag = "persons",
    params(("id" = i64, Path, description = "The person's id", minimum = 1, example = 1)),
    responses(
        (status = 200, description = "The person", body = PersonJson),
        (status = 400, description = "The id is no id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "Nobody has this id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn get(request: HttpRequest, at: AtEvent) -> Response {
    let person = at.person(path_person(&request, "id")?).await?;
    Ok(HttpResponse::Ok().json(PersonJson::from(person)))
}

/// Erase a person and every location of theirs
#[utoipa::path(
    delete,
    path = "/api/persons/{id}",
    operation_id = "delete_person",
    tag = "persons",
    params(("id" = i64, Path, description = "The person's id", minimum = 1, example = 300)),
    responses(
        (status = 204, description = "Erased"),
        (status = 400, description = "The id is no id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "Nobody has this id", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = ProblemJson, content_type = "application/problem+json"),
    )
)]
pub async fn delete(request: HttpRequest, at: AtEvent) -> Response {
    at.delete_person(path_person(&request, "id")?).await?;
    Ok(HttpResponse::NoContent().finish())
}
