use super::limits::held;
use super::status::{self, range, within_time};
use crate::domain::{EncounterRule, Error, FieldError, PersonId, Result};
use crate::meetings::{self, Question};
use crate::store::Store;
use crate::wire::proto::connection_service_server::ConnectionService;
use crate::wire::proto::{
    self, ListConnectionsRequest, ListConnectionsResponse, ListEncountersRequest, ListEncountersResponse,
};
use crate::wire::{connection, encounter, from_duration};
use chrono::TimeDelta;
use futures_util::stream::{self, BoxStream, StreamExt};
use prost_types::{Duration as WireDuration, Timestamp};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Whom a person met.
pub(super) struct Connections {
    pub store: Store,
    /// How long a question may take.
    pub timeout: Duration,
}

#[tonic::async_trait]
impl ConnectionService for Connections {
    type ListConnectionsStream = BoxStream<'static, Result<ListConnectionsResponse, Status>>;

    async fn list_connections(
        &self,
        request: Request<ListConnectionsRequest>,
    ) -> Result<Response<Self::ListConnectionsStream>, Status> {
        let request = request.into_inner();
        let mut errors = Vec::new();
        let question =
            question(&mut errors, request.person_id, request.from.as_ref(), request.to.as_ref(), request.rule.as_ref());
        let min_duration = keep(&mut errors, length(request.min_duration.as_ref(), "min_duration"));
        let limit = match usize::try_from(request.limit) {
            Ok(0) => Some(usize::MAX),
            Ok(limit) => Some(limit),
            Err(_) => {
                let message = format!("must be 1 or more, or 0 for all; got {}", request.limit);
                errors.push(FieldError::new("limit", message));
                None
            }
        };
        let ((question, min_duration), limit) =
            finish(errors, question.zip(min_duration).zip(limit)).map_err(status::of)?;
        let found = meetings::connections(&self.store, question, min_duration.unwrap_or_default(), None, limit);
        let page = within_time(self.timeout, found).await.map_err(status::of)?;
        /// What one connection takes, about, with the names of the person.
        const ONE: usize = 300;
        let bytes = page.items.len() * ONE;
        let answers = page
            .items
            .into_iter()
            .map(|(met, person)| Ok(ListConnectionsResponse { connection: Some(connection(&met, person)) }));
        held(stream::iter(answers).boxed(), bytes)
    }

    async fn list_encounters(
        &self,
        request: Request<ListEncountersRequest>,
    ) -> Result<Response<ListEncountersResponse>, Status> {
        let request = request.into_inner();
        let mut errors = Vec::new();
        let question =
            question(&mut errors, request.person_id, request.from.as_ref(), request.to.as_ref(), request.rule.as_ref());
        let other = keep(&mut errors, PersonId::new(request.other_person_id, "other_person_id"));
        let (question, other) = finish(errors, question.zip(other)).map_err(status::of)?;
        let found = within_time(self.timeout, meetings::encounters(&self.store, question, other));
        let encounters: Vec<_> = found.await.map_err(status::of)?.iter().map(encounter).collect();
        let bytes = size_of_val(&encounters[..]);
        held(ListEncountersResponse { encounters }, bytes)
    }
}

/// What both calls ask alike; everything that is wrong is added to `errors`.
fn question(
    errors: &mut Vec<FieldError>,
    person_id: i64,
    from: Option<&Timestamp>,
    to: Option<&Timestamp>,
    rule: Option<&proto::EncounterRule>,
) -> Option<Question> {
    let person = keep(errors, PersonId::new(person_id, "person_id"));
    let range = range(from, to).map_err(|wrong| errors.extend(wrong)).ok();
    let rule = rule.copied().unwrap_or_default();
    let within = keep(errors, length(rule.within.as_ref(), "rule.within"));
    let gap = keep(errors, length(rule.gap.as_ref(), "rule.gap"));
    let checked = within.zip(gap).and_then(|(within, gap)| {
        let named = |error: FieldError| match error.field.as_str() {
            "distance" => FieldError::new("rule.distance_m", error.message),
            other => FieldError::new(format!("rule.{other}"), error.message),
        };
        EncounterRule::new(rule.distance_m, within, gap)
            .map_err(|error| errors.extend(error.into_fields("rule").into_iter().map(named)))
            .ok()
    });
    let ((person, range), rule) = person.zip(range).zip(checked)?;
    Some(Question { person, range, rule })
}

fn length(given: Option<&WireDuration>, field: &str) -> Result<Option<TimeDelta>, FieldError> {
    given.map(|given| from_duration(given, field)).transpose()
}

fn keep<T>(errors: &mut Vec<FieldError>, result: Result<T, FieldError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

fn finish<T>(errors: Vec<FieldError>, value: Option<T>) -> Result<T> {
    match value {
        Some(value) if errors.is_empty() => Ok(value),
        _ => Err(Error::Invalid(errors)),
    }
}
