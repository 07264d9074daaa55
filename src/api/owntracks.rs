//! The HTTP mode of the OwnTracks app: its phones send locations without an app of ours.

use super::Response;
use super::body;
use super::extract::not_json;
use super::problem::Problem;
use super::query::{Query, parameters};
use super::routes::operations;
use super::server::Settings;
use crate::codec;
use crate::codec::files::owntracks::{self, Message, Report};
use crate::domain::{Error, FieldError, LocationDraft, LocationInput, NewPerson, PersonId, quoted, text};
use crate::service::AtEvent;
use crate::service::record::{Batch, Outcome, Refusal};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use anyhow::{Context, ensure};
use metrics::counter;
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;

/// The largest body, bytes: some thousand messages of a phone that was out of reach.
const MAX_BODY: usize = 1 << 20;
/// What errors of one request may take, bytes; only the first is told of.
const MAX_ERRORS: usize = 4 << 10;

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
    persons: HashMap<Phone, PersonId>,
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
/// configured (`OWNTRACKS_USERS`). Several messages may come as a list.
///
/// The app sends whatever is not answered with 200 again and again, and nothing else before it. So all is answered with 200 that no
/// repetition would make good: messages of other kinds and encrypted ones, what is damaged or wrong, and what is no fix: at (0, 0)
/// exactly, with a negative `acc`, or from before 2000. It is counted and logged. An error means that the phone is to keep what it
/// has, because the server or its configuration will change.
#[utoipa::path(
    post,
    path = "/locations/owntracks",
    operation_id = "record_owntracks",
    tag = "locations",
    params(PhoneQuery),
    request_body(
        description = "A message of the app, with a `_type`, or a list of such messages",
        content_type = "application/json",
        content = Object,
        example = json!({"_type": "location", "lat": 35.0585, "lon": -106.5819, "tst": 1780401600, "acc": 12, "tid": "AD"})
    ),
    responses(
        (status = 200, description = "Stored, or left alone because it cannot be: an empty list, as there is nothing to tell the app", body = [Value]),
        (status = 400, description = "It is not said whose phone it is"),
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
    let intake = at.intake();
    let new_batch = || intake.batch().with_errors_up_to(MAX_ERRORS);
    let (mut batch, mut persons, mut problem) = (new_batch(), HashMap::new(), None);
    for message in messages(&body) {
        if batch.is_full() {
            let full = std::mem::replace(&mut batch, new_batch());
            problem = problem.or(settle(&at, full, &persons).await?);
        }
        let report = match message {
            Ok(report) => report,
            Err(errors) => {
                batch.add(errors);
                continue;
            }
        };
        let location = |person_id: i64| LocationInput {
            person_id,
            latitude: report.latitude,
            longitude: report.longitude,
            creation_time: Some(report.time),
            accuracy_m: report.accuracy_m,
        };
        // A person is created only for a location that can be stored.
        if at.check(location(1)).is_err() {
            batch.add(location(1));
            continue;
        }
        let phone = match phone(&request, &query, &report) {
            Ok(phone) => phone,
            Err(error) => {
                problem = problem.or(Some(error.into()));
                continue;
            }
        };
        let person = match persons.get(&phone) {
            Some(person) => *person,
            None => {
                let person = person(&at, &settings.owntracks, &phone).await?;
                persons.insert(phone.clone(), person);
                person
            }
        };
        match person {
            Some(person) => batch.add(location(person.get())),
            None => problem = problem.or_else(|| Some(nobodys(&phone))),
        }
    }
    problem = problem.or(settle(&at, batch, &persons).await?);
    problem.map_or_else(|| Ok(HttpResponse::Ok().json(json!([]))), Err)
}

/// The locations of a body's messages, and what is wrong with those that are none; nothing of the others.
fn messages(body: &[u8]) -> Vec<Result<Report, LocationDraft>> {
    let mut messages = Vec::new();
    let mut read = |value| match owntracks::read(&value) {
        Ok(Message::Location(report)) => match report.no_fix() {
            Some(why) => {
                counter!("udaconnect_no_fix_total", "door" => "owntracks", "reason" => why.name()).increment(1);
            }
            None => messages.push(Ok(report)),
        },
        Ok(Message::Other) => {}
        Err(errors) => messages.push(Err(errors.into())),
    };
    let list = codec::list(body, owntracks::FIELDS, |value| {
        read(value);
        true
    });
    let whole = match list {
        Ok(Some(())) => return messages,
        Ok(None) => codec::object(body, owntracks::FIELDS).map(read),
        // What stands before the damage is as good as ever.
        Err(error) => Err(error),
    };
    if let Err(error) = whole {
        messages.push(Err(not_json(&error).into_fields("body").into()));
    }
    messages
}

/// A phone, by user and device.
type Phone = (String, String);

/// Stores what can be stored of a batch, notes what cannot, and tells of what the configuration is in the way of.
async fn settle(
    at: &AtEvent,
    batch: Batch,
    persons: &HashMap<Phone, Option<PersonId>>,
) -> Result<Option<Problem>, Problem> {
    if batch.is_empty() {
        return Ok(None);
    }
    let (mut first, mut count, mut problem) = (None, 0, None);
    for outcome in at.intake().record(batch).await? {
        match outcome {
            // Who is stored by then is found out when it is stored; what cannot be is kept as a dead letter.
            Outcome::Stored { .. } | Outcome::Duplicate { .. } | Outcome::Queued { .. } => {}
            Outcome::Refused(Refusal::Fields(errors)) => {
                first.get_or_insert(errors);
                count += 1;
            }
            Outcome::Refused(Refusal::UnknownPerson(person)) => {
                let phone = persons.iter().find(|(_, known)| **known == Some(person));
                let phone = phone.map(|((user, device), _)| format!("{user}/{device}")).unwrap_or_default();
                let message = format!("{phone} is person {person}, who does not exist; correct OWNTRACKS_USERS");
                problem = Some(Problem::field(StatusCode::NOT_FOUND, "X-Limit-U", message));
            }
        }
    }
    if let Some(errors) = first {
        let reason = as_the_app_names(errors).to_string();
        tracing::warn!(reason, count, "what a phone sent cannot be stored and was left");
    }
    Ok(problem)
}

/// User and device. Headers first: the app sends them itself, while a topic is made of other settings.
fn phone(request: &HttpRequest, query: &PhoneQuery, report: &Report) -> Result<Phone, Error> {
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

/// Whose a phone is; `None` when it is nobody's.
async fn person(at: &AtEvent, known: &OwnTracks, phone: &Phone) -> Result<Option<PersonId>, Problem> {
    if let Some(person) = known.persons.get(phone) {
        return Ok(Some(*person));
    }
    let (user, device) = phone;
    let key = owntracks::key(user, device);
    if let Some(person) = at.person_by_key(&key).await? {
        return Ok(Some(person));
    }
    if known.create {
        return Ok(Some(at.person_by_key_or_new(key, NewPerson::new(user, device, "OwnTracks")?).await?));
    }
    Ok(None)
}

fn nobodys((user, device): &Phone) -> Problem {
    let message = format!("{user}/{device} is nobody's phone; add {user}/{device}=PERSON_ID to OWNTRACKS_USERS");
    Problem::field(StatusCode::NOT_FOUND, "X-Limit-U", message)
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
