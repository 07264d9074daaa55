//! REST: persons are created, read, searched and erased.

use super::Response;
use super::extract::{self, below, path_person};
use super::json::{NewPersonJson, PersonJson};
use super::query::{Limit, Query, parameters};
use super::routes::operations;
use super::server::page;
use crate::codec::{Fields, Listed};
use crate::domain::{Error, NewPerson, Search};
use crate::service::AtEvent;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};

/// The largest body of a single person or location, bytes.
pub const MAX_BODY: usize = 64 << 10;
const MAX_PAGE: u32 = 1_000;

operations!(create, list, get, delete);

parameters! {
    /// Which persons a list holds.
    pub struct PersonsQuery {
        /// At most 20 words that must each occur in a name or the company; case, accents, apostrophes and hyphens do not matter
        #[param(max_length = 200)]
        q: String,
        /// The most persons in this page; 1000 when absent
        #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
        limit: Limit<MAX_PAGE>,
        /// Where the page begins; from the Link header of the page before
        cursor: String,
    }
}

/// Add a person
#[utoipa::path(
    post,
    path = "/persons",
    operation_id = "create_person",
    tag = "persons",
    request_body = NewPersonJson,
    responses(
        (status = 201, description = "The person, with an id", body = PersonJson,
            headers(("Location" = String, description = "The person's path"))),
        (status = 400, description = "What was sent is not a person"),
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
    path = "/persons",
    operation_id = "list_persons",
    tag = "persons",
    params(PersonsQuery),
    responses(
        (status = 200, description = "Persons", body = [PersonJson],
            headers(("Link" = String, description = "The next page, with rel=\"next\"; absent on the last one"))),
        (status = 400, description = "A parameter is wrong"),
    )
)]
pub async fn list(request: HttpRequest, at: AtEvent) -> Response {
    let mut query = Query::<PersonsQuery>::of(&request)?;
    let words = query.given.q.take().unwrap_or_default();
    let search = query.check(Search::new("q", &words));
    let listed = Listed::persons(&words);
    let after = query.check(query.given.cursor.as_deref().map(|text| listed.person("cursor", text)).transpose());
    let (given, (search, after)) = query.finish(search.zip(after))?;
    let limit = given.limit.map_or(MAX_PAGE as usize, Limit::get);
    let persons = at.persons(&search, after, limit).await?;
    let next = persons.next.map(|id| listed.after_person(id));
    Ok(page(&request, persons.items.into_iter().map(PersonJson::from), next))
}

/// One person
#[utoipa::path(
    get,
    path = "/persons/{id}",
    operation_id = "get_person",
    tag = "persons",
    params(("id" = i64, Path, description = "The person's id", minimum = 1, example = 1)),
    responses(
        (status = 200, description = "The person", body = PersonJson),
        (status = 400, description = "The id is no id"),
        (status = 404, description = "Nobody has this id"),
    )
)]
pub async fn get(request: HttpRequest, at: AtEvent) -> Response {
    let person = at.person(path_person(&request, "id")?).await?;
    Ok(HttpResponse::Ok().json(PersonJson::from(person)))
}

/// Erase a person and every location of theirs
#[utoipa::path(
    delete,
    path = "/persons/{id}",
    operation_id = "delete_person",
    tag = "persons",
    params(("id" = i64, Path, description = "The person's id", minimum = 1, example = 300)),
    responses(
        (status = 204, description = "Erased"),
        (status = 400, description = "The id is no id"),
        (status = 404, description = "Nobody has this id"),
    )
)]
pub async fn delete(request: HttpRequest, at: AtEvent) -> Response {
    at.delete_person(path_person(&request, "id")?).await?;
    Ok(HttpResponse::NoContent().finish())
}
