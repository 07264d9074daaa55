//! The OwnTracks app's HTTP mode: a phone sends without an app of ours.

use super::Response;
use super::body;
use super::extract;
use super::persons::MAX_BODY;
use super::problem::Problem;
use super::query::{Query, parameters};
use super::routes::operations;
use super::server::Settings;
use crate::codec::files::owntracks::{self, Message, Report};
use crate::domain::{Error, FieldError, LocationInput, NewPerson, PersonId, quoted, text};
use crate::service::AtEvent;
use crate::service::record::{Outcome, Refusal};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use anyhow::{Context, ensure};
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;

/// Whose the phones are that send by OwnTracks.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "OwnTracks")]
pub struct OwnTracksArgs {
    /// Whose phones are, comma-separated: USER/DEVICE=PERSON_ID
    #[arg(long, env, value_name = "USER/DEVICE=ID,…", value_delimiter = ',')]
    owntracks_users: Vec<String>,
    /// File with one USER/DEVICE=PERSON_ID a line; # begins a comment
    #[arg(long, env, value_name = "FILE")]
    owntracks_users_file: Option<PathBuf>,
    /// Create a person for a phone that is nobody's
    #[arg(long, env, value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    owntracks_create: bool,
}

/// Which phone is whose.
#[derive(Debug, Default)]
pub(super) struct OwnTracks {
    persons: HashMap<(String, String), PersonId>,
    create: bool,
}

impl OwnTracksArgs {
    /// The error names the option and the line.
    pub(super) fn read(&self) -> anyhow::Result<OwnTracks> {
        let mut known = OwnTracks { persons: HashMap::new(), create: self.owntracks_create };
        for text in self.owntracks_users.iter().filter(|text| !text.trim().is_empty()) {
            known.add(text).context("OWNTRACKS_USERS")?;
        }
        if let Some(path) = &self.owntracks_users_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("OWNTRACKS_USERS_FILE: {} cannot be read", path.display()))?;
            for (i, line) in text.lines().enumerate() {
                let line = line.split('#').next().unwrap_or_default().trim();
                if !line.is_empty() {
                    known.add(line).with_context(|| format!("OWNTRACKS_USERS_FILE: {}:{}", path.display(), i + 1))?;
                }
            }
        }
        Ok(known)
    }
}

impl OwnTracks {
    fn add(&mut self, text: &str) -> anyhow::Result<()> {
        let parsed = || {
            let (phone, id) = text.trim().split_once('=')?;
            let (user, device) = phone.trim().split_once('/')?;
            let id = PersonId::new(id.trim().parse().ok()?, "id").ok()?;
            (!user.is_empty() && !device.is_empty()).then(|| ((user.to_owned(), device.to_owned()), id))
        };
        let (phone, id) = parsed()
            .with_context(|| format!("must be USER/DEVICE=PERSON_ID, e.g. ada/phone=1; got {}", quoted(text)))?;
        let before = self.persons.insert(phone, id);
        ensure!(
            before.is_none_or(|before| before == id),
            "says of one phone that it is two persons': {}",
            quoted(text)
        );
        Ok(())
    }
}

operations!(record);

parameters! {
    /// Whose phone it is that sends.
    pub struct PhoneQuery {
        /// The user, if no header says it
        #[param(example = "ada")]
        u: String,
        /// The device, if no header says it
        #[param(example = "phone")]
        d: String,
    }
}

/// Record a location from the OwnTracks app
///
/// What the app sends in its HTTP mode; use this address as its URL. User and device come from the headers `X-Limit-U` and
/// `X-Limit-D`, which the app sends, from the parameters `u` and `d`, or from the message's `topic`. Whose they are is
/// configured (`OWNTRACKS_USERS`). Messages of other kinds are accepted and left alone.
#[utoipa::path(
    post,
    path = "/locations/owntracks",
    operation_id = "record_owntracks",
    tag = "locations",
    params(PhoneQuery),
    request_body(
        description = "A message of the app, with a `_type`",
        content_type = "application/json",
        content = Object,
        example = json!({"_type": "location", "lat": 35.0585, "lon": -106.5819, "tst": 1780401600, "acc": 12, "tid": "AD"})
    ),
    responses(
        (status = 200, description = "Stored, or of a kind that is left alone: an empty list, as there is nothing to tell the app", body = [Value]),
        (status = 400, description = "What was sent is not a message, or its location is wrong"),
        (status = 404, description = "The phone is nobody's"),
        (status = 415, description = "The body is packed in a way that is not understood"),
    )
)]
pub async fn record(
    request: HttpRequest,
    payload: web::Payload,
    at: AtEvent,
    settings: web::Data<Settings>,
) -> Response {
    let query = Query::<PhoneQuery>::of(&request)?.valid()?;
    // Whatever the type: the app says JSON, and bridges say nothing.
    let body = body::read(&request, payload, MAX_BODY).await?;
    let report = match owntracks::read(&extract::parse(&body, owntracks::FIELDS)?).map_err(Error::Invalid)? {
        Message::Location(report) => report,
        Message::Other => return Ok(nothing_to_tell()),
    };
    let (user, device) = phone(&request, &query, &report)?;
    let location = |person_id: i64| LocationInput {
        person_id,
        latitude: report.latitude,
        longitude: report.longitude,
        creation_time: Some(report.time),
        accuracy_m: report.accuracy_m,
    };
    // A person is created only for a location that can be stored.
    at.check(location(1)).map_err(as_the_app_names)?;
    let person = person(&at, &settings.owntracks, &user, &device).await?;
    match at.intake().record_one(location(person.get())).await? {
        // Who is stored by then is found out when it is stored; what cannot be is kept as a dead letter.
        Outcome::Stored { .. } | Outcome::Duplicate { .. } | Outcome::Queued { .. } => Ok(nothing_to_tell()),
        Outcome::Refused(Refusal::Fields(errors)) => Err(as_the_app_names(errors).into()),
        Outcome::Refused(Refusal::UnknownPerson(person)) => {
            let message = format!("{user}/{device} is person {person}, who does not exist; correct OWNTRACKS_USERS");
            Err(Problem::field(StatusCode::NOT_FOUND, "X-Limit-U", message))
        }
    }
}

fn nothing_to_tell() -> HttpResponse {
    HttpResponse::Ok().json(json!([]))
}

/// User and device. Headers first: the app sends them itself, while a topic is made of other settings.
fn phone(request: &HttpRequest, query: &PhoneQuery, report: &Report) -> Result<(String, String), Error> {
    let header = |name: &str| {
        let value = request.headers().get(name)?.to_str().ok()?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    let given = |header_name: &str, parameter: &Option<String>| header(header_name).or_else(|| parameter.clone());
    let topic = report.user_and_device();
    let user = given("X-Limit-U", &query.u).or_else(|| topic.map(|(user, _)| user.to_owned()));
    let device = given("X-Limit-D", &query.d).or_else(|| topic.map(|(_, device)| device.to_owned()));
    let mut errors = Vec::new();
    for (name, parameter, value) in [("X-Limit-U", "u", &user), ("X-Limit-D", "d", &device)] {
        match value {
            None => errors.push(FieldError::new(
                name,
                format!("must be given: as a header, as the parameter {parameter}, or by the message's topic"),
            )),
            Some(text) if text.contains('/') => {
                errors.push(FieldError::new(name, format!("must not contain /; got {}", quoted(text))));
            }
            // What becomes a person's names, should they be created.
            Some(text) => errors.extend(text::name(name, text, 90).err()),
        }
    }
    match (user, device) {
        (Some(user), Some(device)) if errors.is_empty() => Ok((user, device)),
        _ => Err(Error::Invalid(errors)),
    }
}

async fn person(at: &AtEvent, known: &OwnTracks, user: &str, device: &str) -> Result<PersonId, Problem> {
    if let Some(person) = known.persons.get(&(user.to_owned(), device.to_owned())) {
        return Ok(*person);
    }
    let key = owntracks::key(user, device);
    if let Some(person) = at.person_by_key(&key).await? {
        return Ok(person);
    }
    if known.create {
        return Ok(at.person_by_key_or_new(key, NewPerson::new(user, device, "OwnTracks")?).await?);
    }
    let message = format!("{user}/{device} is nobody's phone; add {user}/{device}=PERSON_ID to OWNTRACKS_USERS");
    Err(Problem::field(StatusCode::NOT_FOUND, "X-Limit-U", message))
}

/// The domain's names of fields as the app's.
fn as_the_app_names(mut errors: Vec<FieldError>) -> Error {
    for error in &mut errors {
        let name = match error.field.as_str() {
            "latitude" => "lat",
            "longitude" => "lon",
            "creation_time" => "tst",
            "accuracy_m" => "acc",
            other => other,
        };
        error.field = name.to_owned();
    }
    Error::Invalid(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_configured_by_line() {
        let mut known = OwnTracks::default();
        known.add("ada/phone=1").unwrap();
        known.add(" ada/watch = 1 ").unwrap();
        assert_eq!(known.persons.len(), 2);
        for wrong in ["ada=1", "ada/phone", "ada/phone=0", "/phone=1", "ada/phone=2"] {
            assert!(known.add(wrong).is_err(), "{wrong}");
        }
    }
}
