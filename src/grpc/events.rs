//! gRPC: events, and which event a call is about.

use super::limits::held;
use super::status::{self, page_size, within_time};
use crate::codec::proto::event_service_server::EventService;
use crate::codec::proto::{
    self, CreateEventRequest, CreateEventResponse, DeleteEventRequest, DeleteEventResponse, GetEventRequest,
    GetEventResponse, ListEventsRequest, ListEventsResponse, UpdateEventRequest, UpdateEventResponse,
};
use crate::codec::{Listed, all_wrong, event, event_change, wrong_paths};
use crate::domain::text::shown_at_most;
use crate::domain::{Error, NewEvent, Result, Slug};
use crate::service::{AtEvent, Service};
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// The events.
pub(super) struct Events {
    pub service: Service,
    /// How long a call may take.
    pub timeout: Duration,
}

/// What names the event that a call is about.
const METADATA: &str = "udaconnect-event";
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

/// What can be done at the event that the call names, or at the default one.
pub(super) async fn at(service: &Service, metadata: &MetadataMap) -> Result<AtEvent, Status> {
    let at = match metadata.get(METADATA) {
        None => service.at_default().await,
        Some(given) => match given.to_str().ok().and_then(|text| Slug::new(METADATA, text).ok()) {
            Some(slug) => service.at_slug(&slug).await,
            None => Err(no_event(&String::from_utf8_lossy(given.as_bytes()))),
        },
    };
    at.map_err(status::of)
}

/// What is no slug is no event's.
fn no_event(text: &str) -> Error {
    Error::UnknownEvent(shown_at_most(text, 2 * Slug::MAX_CHARS))
}

fn slug(text: &str) -> Result<Slug> {
    Slug::new("slug", text).map_err(|_| no_event(text))
}

#[tonic::async_trait]
impl EventService for Events {
    async fn create_event(
        &self,
        request: Request<CreateEventRequest>,
    ) -> Result<Response<CreateEventResponse>, Status> {
        let given = request.into_inner().event.unwrap_or_default();
        let (about, unread) = event_change(&given, |_| true);
        let new = match (NewEvent::new(&given.slug, about), unread.is_empty()) {
            (Ok(new), true) => new,
            (checked, _) => {
                let wrong = checked.err().map(|error| named(error.into_fields("event"))).unwrap_or_default();
                return Err(status::of(status::within("event", all_wrong(unread, wrong))));
            }
        };
        let created = self.service.create_event(&new).await.map_err(status::of)?;
        Ok(Response::new(CreateEventResponse { event: Some(event(&created)) }))
    }

    async fn get_event(&self, request: Request<GetEventRequest>) -> Result<Response<GetEventResponse>, Status> {
        let slug = slug(&request.into_inner().slug).map_err(status::of)?;
        let found = self.service.event(&slug).await.map_err(status::of)?;
        Ok(Response::new(GetEventResponse { event: Some(event(&found)) }))
    }

    async fn list_events(&self, request: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        let request = request.into_inner();
        let size = page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE).map_err(|error| status::of(error.into()))?;
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(Listed::events().event("page_token", token).map_err(|error| status::of(error.into()))?),
        };
        let page = self.service.events(after, size).await.map_err(status::of)?;
        let events: Vec<proto::Event> = page.items.iter().map(event).collect();
        let next_page_token = page.next.map(|id| Listed::events().after_event(id)).unwrap_or_default();
        let bytes = events.iter().map(|event| size_of_val(event) + event.name.len() + event.slug.len()).sum();
        held(ListEventsResponse { events, next_page_token }, bytes)
    }

    async fn update_event(
        &self,
        request: Request<UpdateEventRequest>,
    ) -> Result<Response<UpdateEventResponse>, Status> {
        let request = request.into_inner();
        let given = request.event.unwrap_or_default();
        let slug = slug(&given.slug).map_err(status::of)?;
        let paths = request.update_mask.unwrap_or_default().paths;
        let wrong = wrong_paths(&paths);
        if !wrong.is_empty() {
            return Err(status::of(Error::Invalid(wrong)));
        }
        let (change, errors) = event_change(&given, |name| paths.iter().any(|path| path == name));
        if !errors.is_empty() {
            return Err(status::of(status::within("event", errors)));
        }
        let changed = self.service.change_event(&slug, change).await;
        let changed = changed.map_err(|error| match error {
            Error::Invalid(errors) => status::of(status::within("event", named(errors))),
            other => status::of(other),
        })?;
        Ok(Response::new(UpdateEventResponse { event: Some(event(&changed)) }))
    }

    async fn delete_event(
        &self,
        request: Request<DeleteEventRequest>,
    ) -> Result<Response<DeleteEventResponse>, Status> {
        let request = request.into_inner();
        let slug = slug(&request.slug).map_err(status::of)?;
        let deleted = within_time(self.timeout, self.service.delete_event(&slug, request.force));
        deleted.await.map_err(status::of)?;
        Ok(Response::new(DeleteEventResponse {}))
    }
}

/// The fields as they are called in the message.
fn named(errors: Vec<crate::domain::FieldError>) -> Vec<crate::domain::FieldError> {
    let name = |mut error: crate::domain::FieldError| {
        if ["distance_m", "within", "gap"].contains(&error.field.as_str()) {
            error.field = format!("rule.{}", error.field);
        }
        error
    };
    errors.into_iter().map(name).collect()
}
