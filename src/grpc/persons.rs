//! gRPC: persons are created, read, listed and erased.

use super::at;
use super::limits::held;
use super::status::{self, page_size};
use crate::codec::proto::person_service_server::PersonService;
use crate::codec::proto::{
    CreatePersonRequest, CreatePersonResponse, DeletePersonRequest, DeletePersonResponse, GetPersonRequest,
    GetPersonResponse, ListPersonsRequest, ListPersonsResponse,
};
use crate::codec::{self, Listed};
use crate::domain::{NewPerson, PersonId, Search};
use crate::service::Service;
use tonic::{Request, Response, Status};

/// The attendees.
pub(super) struct Persons {
    pub service: Service,
}

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

#[tonic::async_trait]
impl PersonService for Persons {
    async fn create_person(
        &self,
        request: Request<CreatePersonRequest>,
    ) -> Result<Response<CreatePersonResponse>, Status> {
        let at = at(&self.service, request.metadata()).await?;
        let request = request.into_inner();
        let new = NewPerson::new(&request.first_name, &request.last_name, &request.company_name).map_err(status::of)?;
        let person = at.create_person(&new).await.map_err(status::of)?;
        Ok(Response::new(CreatePersonResponse { person: Some(codec::person(person)) }))
    }

    async fn get_person(&self, request: Request<GetPersonRequest>) -> Result<Response<GetPersonResponse>, Status> {
        let at = at(&self.service, request.metadata()).await?;
        let person = at.person(id(request.into_inner().id)?).await.map_err(status::of)?;
        Ok(Response::new(GetPersonResponse { person: Some(codec::person(person)) }))
    }

    async fn list_persons(
        &self,
        request: Request<ListPersonsRequest>,
    ) -> Result<Response<ListPersonsResponse>, Status> {
        let at = at(&self.service, request.metadata()).await?;
        let request = request.into_inner();
        let size = page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE).map_err(|error| status::of(error.into()))?;
        let search = Search::new("query", &request.query).map_err(|error| status::of(error.into()))?;
        let listed = Listed::persons(&request.query);
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(listed.person("page_token", token).map_err(|error| status::of(error.into()))?),
        };
        let page = at.persons(&search, after, size).await.map_err(status::of)?;
        let answer = ListPersonsResponse {
            persons: page.items.into_iter().map(codec::person).collect(),
            next_page_token: page.next.map(|id| listed.after_person(id)).unwrap_or_default(),
        };
        let names = answer.persons.iter().map(|p| p.first_name.len() + p.last_name.len() + p.company_name.len());
        let bytes = names.sum::<usize>() + size_of_val(&answer.persons[..]);
        held(answer, bytes)
    }

    async fn delete_person(
        &self,
        request: Request<DeletePersonRequest>,
    ) -> Result<Response<DeletePersonResponse>, Status> {
        let at = at(&self.service, request.metadata()).await?;
        at.delete_person(id(request.into_inner().id)?).await.map_err(status::of)?;
        Ok(Response::new(DeletePersonResponse {}))
    }
}

fn id(id: i64) -> Result<PersonId, Status> {
    PersonId::new(id, "id").map_err(|error| status::of(error.into()))
}
