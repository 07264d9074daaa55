use super::limits::held;
use super::status::{self, page_size, wrong_token};
use crate::domain::{NewPerson, PersonId};
use crate::store::Store;
use crate::wire;
use crate::wire::proto::person_service_server::PersonService;
use crate::wire::proto::{
    CreatePersonRequest, CreatePersonResponse, DeletePersonRequest, DeletePersonResponse, GetPersonRequest,
    GetPersonResponse, ListPersonsRequest, ListPersonsResponse,
};
use tonic::{Request, Response, Status};

/// The attendees.
pub(super) struct Persons {
    pub store: Store,
}

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

#[tonic::async_trait]
impl PersonService for Persons {
    async fn create_person(
        &self,
        request: Request<CreatePersonRequest>,
    ) -> Result<Response<CreatePersonResponse>, Status> {
        let request = request.into_inner();
        let new = NewPerson::new(&request.first_name, &request.last_name, &request.company_name).map_err(status::of)?;
        let person = self.store.create_person(&new).await.map_err(status::of)?;
        Ok(Response::new(CreatePersonResponse { person: Some(wire::person(person)) }))
    }

    async fn get_person(&self, request: Request<GetPersonRequest>) -> Result<Response<GetPersonResponse>, Status> {
        let person = self.store.person(id(request.into_inner().id)?).await.map_err(status::of)?;
        Ok(Response::new(GetPersonResponse { person: Some(wire::person(person)) }))
    }

    async fn list_persons(
        &self,
        request: Request<ListPersonsRequest>,
    ) -> Result<Response<ListPersonsResponse>, Status> {
        let request = request.into_inner();
        let size = page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE).map_err(|error| status::of(error.into()))?;
        let after = match request.page_token.as_str() {
            "" => None,
            token => {
                let id = token.parse().ok().and_then(|id| PersonId::new(id, "page_token").ok());
                Some(id.ok_or_else(|| status::of(wrong_token(token).into()))?)
            }
        };
        let page = self.store.persons(&request.query, after, size).await.map_err(status::of)?;
        let answer = ListPersonsResponse {
            persons: page.items.into_iter().map(wire::person).collect(),
            next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
        };
        let names = answer.persons.iter().map(|p| p.first_name.len() + p.last_name.len() + p.company_name.len());
        let bytes = names.sum::<usize>() + size_of_val(&answer.persons[..]);
        held(answer, bytes)
    }

    async fn delete_person(
        &self,
        request: Request<DeletePersonRequest>,
    ) -> Result<Response<DeletePersonResponse>, Status> {
        self.store.delete_person(id(request.into_inner().id)?).await.map_err(status::of)?;
        Ok(Response::new(DeletePersonResponse {}))
    }
}

fn id(id: i64) -> Result<PersonId, Status> {
    PersonId::new(id, "id").map_err(|error| status::of(error.into()))
}
