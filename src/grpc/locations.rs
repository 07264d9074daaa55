//! gRPC: locations are recorded, singly or as a stream, and listed.

use super::at;
use super::incoming::Known;
use super::limits::held;
use super::status::{self, page_size, range, within, within_time};
use super::stream;
use crate::codec::proto::location_service_server::LocationService;
use crate::codec::proto::record_location_response::Outcome as Recorded;
use crate::codec::proto::{
    ListLocationsRequest, ListLocationsResponse, RecordLocationRequest, RecordLocationResponse, StreamLocationsRequest,
};
use crate::codec::{self, Listed};
use crate::domain::{Error, PersonId, Result, TimeRange};
use crate::service::record::{Outcome, Refusal};
use crate::service::{LocationPosition, Service};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// Where attendees were.
pub(super) struct Locations {
    pub service: Service,
    /// How long a call may take that is no stream.
    pub timeout: Duration,
    pub shutdown: CancellationToken,
}

const DEFAULT_PAGE: usize = 1_000;
const MAX_PAGE: usize = 10_000;

#[tonic::async_trait]
impl LocationService for Locations {
    async fn record_location(
        &self,
        request: Request<RecordLocationRequest>,
    ) -> Result<Response<RecordLocationResponse>, Status> {
        let at = at(&self.service, request.metadata()).await?;
        let message = request.into_inner().location;
        let message = message.ok_or_else(|| status::of(Error::invalid("location", "is required")))?;
        let intake = at.intake();
        let outcome = within_time(self.timeout, intake.record_one(codec::draft(&message))).await.map_err(status::of)?;
        let outcome = match outcome {
            Outcome::Stored { id } | Outcome::Duplicate { id } => Recorded::Id(id),
            Outcome::Queued { receipt } => Recorded::Receipt(receipt.to_string()),
            Outcome::Refused(Refusal::Fields(errors)) => return Err(status::of(within("location", errors))),
            Outcome::Refused(Refusal::UnknownPerson(person)) => {
                return Err(status::of(Error::NotFound { what: "person", id: person.get() }));
            }
        };
        Ok(Response::new(RecordLocationResponse { outcome: Some(outcome) }))
    }

    type StreamLocationsStream = stream::Acknowledgements;

    async fn stream_locations(
        &self,
        request: Request<Streaming<StreamLocationsRequest>>,
    ) -> Result<Response<Self::StreamLocationsStream>, Status> {
        let at = at(&self.service, request.metadata()).await?;
        let deadline = stream::deadline(request.metadata());
        let connection = request.extensions().get::<Known>().cloned();
        Ok(Response::new(stream::run(request.into_inner(), at.intake(), deadline, connection, self.shutdown.clone())))
    }

    async fn list_locations(
        &self,
        request: Request<ListLocationsRequest>,
    ) -> Result<Response<ListLocationsResponse>, Status> {
        let at = at(&self.service, request.metadata()).await?;
        let query = LocationQuery::of(&request.into_inner()).map_err(status::of)?;
        let LocationQuery { person, range, after, size } = query;
        let page = within_time(self.timeout, at.locations(person, range, after, size)).await.map_err(status::of)?;
        let listed = Listed::locations(person, range);
        let token = |next: LocationPosition| listed.after_location(next.creation_time, next.id);
        let answer = ListLocationsResponse {
            locations: page.items.iter().map(codec::location).collect(),
            next_page_token: page.next.map(token).unwrap_or_default(),
        };
        let bytes = answer.locations.len() * size_of::<codec::proto::Location>();
        held(answer, bytes)
    }
}

/// A page of a person's locations.
struct LocationQuery {
    person: PersonId,
    range: TimeRange,
    after: Option<LocationPosition>,
    size: usize,
}

impl LocationQuery {
    fn of(request: &ListLocationsRequest) -> Result<Self> {
        let person = PersonId::new(request.person_id, "person_id");
        let range = range(request.from.as_ref(), request.to.as_ref());
        let size = page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE);
        let after = match (request.page_token.as_str(), &person, &range) {
            ("", ..) => Ok(None),
            (token, Ok(person), Ok(range)) => {
                let position = Listed::locations(*person, *range).location("page_token", *range, token);
                position.map(|(creation_time, id)| Some(LocationPosition { creation_time, id }))
            }
            // Of which list it must be is not known, but its form is.
            (token, ..) => Listed::check_location("page_token", token).map(|()| None),
        };
        match (person, range, size, after) {
            (Ok(person), Ok(range), Ok(size), Ok(after)) => Ok(Self { person, range, after, size }),
            (person, range, size, after) => {
                let mut errors: Vec<_> = person.err().into_iter().chain(range.err().unwrap_or_default()).collect();
                errors.extend(size.err().into_iter().chain(after.err()));
                Err(Error::Invalid(errors))
            }
        }
    }
}
