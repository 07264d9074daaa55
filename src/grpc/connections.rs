//! gRPC: whom a person met, and the encounters of two persons.

use super::at;
use super::limits::held;
use super::status::{self, range, within_time};
use crate::codec::proto::connection_service_server::ConnectionService;
use crate::codec::proto::{
    self, ListConnectionsRequest, ListConnectionsResponse, ListEncountersRequest, ListEncountersResponse,
};
use crate::codec::{connection, encounter, from_duration};
use crate::domain::{Error, FieldError, MeetingRule, PersonId, Result};
use crate::meeting::EncounterRule;
use crate::service::meetings::{MAX_LISTED_ENCOUNTERS, MeetingQuery, Met, Part};
use crate::service::{AtEvent, Service};
use chrono::TimeDelta;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use prost_types::{Duration as WireDuration, Timestamp};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Whom a person met.
pub(super) struct Connections {
    pub service: Service,
    /// How long a query may take.
    pub timeout: Duration,
}

#[tonic::async_trait]
impl ConnectionService for Connections {
    type ListConnectionsStream = BoxStream<'static, Result<ListConnectionsResponse, Status>>;

    async fn list_connections(
        &self,
        request: Request<ListConnectionsRequest>,
    ) -> Result<Response<Self::ListConnectionsStream>, Status> {
        let at = at(&self.service, request.metadata()).await?;
        let request = request.into_inner();
        let mut errors = Vec::new();
        let query = meeting_query(
            &mut errors,
            at.rule(),
            request.person_id,
            request.from.as_ref(),
            request.to.as_ref(),
            request.rule.as_ref(),
        );
        let min_duration = keep(&mut errors, length(request.min_duration.as_ref(), "min_duration"));
        if min_duration.flatten().is_some_and(|length| length < TimeDelta::zero()) {
            errors.push(FieldError::new("min_duration", "must be 0 or more"));
        }
        let limit = match usize::try_from(request.limit) {
            Ok(0) => Some(usize::MAX),
            Ok(limit) => Some(limit),
            Err(_) => {
                let message = format!("must be 1 or more, or 0 for all; got {}", request.limit);
                errors.push(FieldError::new("limit", message));
                None
            }
        };
        let ((query, min_duration), limit) = finish(errors, query.zip(min_duration).zip(limit)).map_err(status::of)?;
        let part = Part {
            min_duration: min_duration.unwrap_or_default(),
            after: None,
            limit,
            encounters: request.include_encounters.then_some(MAX_LISTED_ENCOUNTERS),
        };
        let mut list = List { at, timeout: self.timeout, query, part, more: true };
        // The first page before the answer begins: by then it shows whether the query can be answered.
        let first = list.next().await?.unwrap_or_default();
        let rest = stream::try_unfold(list, |mut list| async move { Ok(list.next().await?.map(|page| (page, list))) });
        let pages = stream::once(std::future::ready(Ok::<_, Status>(first))).chain(rest);
        let answers = pages.map_ok(|page| stream::iter(page.into_iter().map(|met| Ok(response(met))))).try_flatten();
        Ok(Response::new(answers.boxed()))
    }

    async fn list_encounters(
        &self,
        request: Request<ListEncountersRequest>,
    ) -> Result<Response<ListEncountersResponse>, Status> {
        let at = at(&self.service, request.metadata()).await?;
        let request = request.into_inner();
        let mut errors = Vec::new();
        let query = meeting_query(
            &mut errors,
            at.rule(),
            request.person_id,
            request.from.as_ref(),
            request.to.as_ref(),
            request.rule.as_ref(),
        );
        let other = keep(&mut errors, PersonId::new(request.other_person_id, "other_person_id"));
        let (query, other) = finish(errors, query.zip(other)).map_err(status::of)?;
        let found = within_time(self.timeout, at.encounters(query, other));
        let encounters: Vec<_> = found.await.map_err(status::of)?.iter().map(encounter).collect();
        let bytes = size_of_val(&encounters[..]);
        held(ListEncountersResponse { encounters }, bytes)
    }
}

/// A long list of connections, asked for page by page.
struct List {
    at: AtEvent,
    timeout: Duration,
    query: MeetingQuery,
    part: Part,
    more: bool,
}

impl List {
    async fn next(&mut self) -> Result<Option<Vec<Met>>, Status> {
        if !self.more || self.part.limit == 0 {
            return Ok(None);
        }
        let found = within_time(self.timeout, self.at.connections(self.query, self.part));
        let page = found.await.map_err(status::of)?;
        self.more = page.next.is_some();
        self.part.after = page.next;
        self.part.limit -= page.items.len();
        Ok(Some(page.items))
    }
}

fn response(Met { connection: met, person, encounters }: Met) -> ListConnectionsResponse {
    let encounters = encounters.unwrap_or_default();
    ListConnectionsResponse { connection: Some(connection(&met, person, &encounters)) }
}

/// What both calls ask alike; everything that is wrong is added to `errors`.
fn meeting_query(
    errors: &mut Vec<FieldError>,
    defaults: MeetingRule,
    person_id: i64,
    from: Option<&Timestamp>,
    to: Option<&Timestamp>,
    rule: Option<&proto::EncounterRule>,
) -> Option<MeetingQuery> {
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
        EncounterRule::with_defaults(defaults, rule.distance_m, within, gap)
            .map_err(|error| errors.extend(error.into_fields("rule").into_iter().map(named)))
            .ok()
    });
    let ((person, range), rule) = person.zip(range).zip(checked)?;
    Some(MeetingQuery { person, range, rule })
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
