//! gRPC: calls that are no streams, and what goes around them.

use crate::support::{DEADLINE, Database, Server, eventually, location};
use prost_types::Timestamp;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_types::StatusExt;
use udaconnect::codec::proto::connection_service_client::ConnectionServiceClient;
use udaconnect::codec::proto::location_service_client::LocationServiceClient;
use udaconnect::codec::proto::person_service_client::PersonServiceClient;
use udaconnect::codec::proto::record_location_response::Outcome;
use udaconnect::codec::proto::{
    CreatePersonRequest, DeletePersonRequest, EncounterRule, GetPersonRequest, ListConnectionsRequest,
    ListEncountersRequest, ListLocationsRequest, ListPersonsRequest, NewLocation, RecordLocationRequest,
};

async fn channel(server: &Server) -> Channel {
    Channel::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap()
}

/// The fields that a status says are wrong.
fn violations(status: &tonic::Status) -> Vec<String> {
    let details = status.get_error_details();
    let bad = details.bad_request().unwrap_or_else(|| panic!("no BadRequest in {status:?}"));
    bad.field_violations.iter().map(|violation| violation.field.clone()).collect()
}

#[tokio::test]
async fn a_location_is_recorded_listed_and_stored_once() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let mut client = LocationServiceClient::new(channel(&server).await);
    let record = RecordLocationRequest { location: Some(location(person, 1)) };
    let first = client.record_location(record).await.unwrap().into_inner().outcome;
    assert!(matches!(first, Some(Outcome::Id(_))), "{first:?}");
    assert_eq!(client.record_location(record).await.unwrap().into_inner().outcome, first, "a resend is a success");
    for number in 2..=5 {
        client.record_location(RecordLocationRequest { location: Some(location(person, number)) }).await.unwrap();
    }

    // As REST shows it: latitude is latitude.
    let (_, rest) = server.get(&format!("/api/persons/{person}/locations")).await;
    assert_eq!(rest.as_array().unwrap().len(), 5);
    assert_eq!((rest[0]["latitude"].as_f64(), rest[0]["longitude"].as_f64()), (Some(35.000001), Some(-106.500001)));

    // In pages, within a half-open range.
    let mut request = ListLocationsRequest {
        person_id: person,
        from: Some(Timestamp { seconds: 1_780_000_002, nanos: 0 }),
        to: Some(Timestamp { seconds: 1_780_000_005, nanos: 0 }),
        page_size: 2,
        page_token: String::new(),
    };
    let mut seconds = Vec::new();
    loop {
        let page = client.list_locations(request.clone()).await.unwrap().into_inner();
        seconds.extend(page.locations.iter().map(|location| location.creation_time.unwrap().seconds - 1_780_000_000));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seconds, [2, 3, 4]);
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut client = LocationServiceClient::new(channel(&server).await);
    let wrong = NewLocation { latitude: Some(91.0), longitude: None, accuracy_m: Some(-1.0), ..location(0, 1) };
    let status = client.record_location(RecordLocationRequest { location: Some(wrong) }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(violations(&status), ["location.longitude"], "what is missing comes first");
    let wrong = NewLocation { latitude: Some(91.0), accuracy_m: Some(-1.0), ..location(0, 1) };
    let status = client.record_location(RecordLocationRequest { location: Some(wrong) }).await.unwrap_err();
    let mut fields = violations(&status);
    fields.sort();
    assert_eq!(fields, ["location.accuracy_m", "location.latitude", "location.person_id"]);
    assert!(status.message().contains("91"), "{status:?}");
    let status = client.record_location(RecordLocationRequest { location: None }).await.unwrap_err();
    assert_eq!(violations(&status), ["location"]);
    let status =
        client.record_location(RecordLocationRequest { location: Some(location(123_456, 1)) }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);

    let request = ListLocationsRequest {
        person_id: -1,
        page_size: 10_001,
        page_token: "x".to_owned(),
        from: Some(Timestamp { seconds: i64::MAX, nanos: -1 }),
        to: None,
    };
    let status = client.list_locations(request).await.unwrap_err();
    assert_eq!(violations(&status), ["person_id", "from", "page_size", "page_token"]);
}

#[tokio::test]
async fn connections_and_encounters_are_those_of_rest() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let (ada, grace) = (server.person().await, server.person().await);
    let mut locations = LocationServiceClient::new(channel(&server).await);
    // Side by side for ten minutes, an hour apart twice.
    for start in [0, 3_600] {
        for minute in 0..=10 {
            for person in [ada, grace] {
                let time = Timestamp { seconds: 1_780_000_000 + start + minute * 60, nanos: 0 };
                let location = NewLocation { creation_time: Some(time), ..location(person, 1) };
                locations.record_location(RecordLocationRequest { location: Some(location) }).await.unwrap();
            }
        }
    }
    let mut client = ConnectionServiceClient::new(channel(&server).await);
    let request = ListConnectionsRequest { person_id: ada, ..Default::default() };
    let mut stream = client.list_connections(request).await.unwrap().into_inner();
    let met = stream.message().await.unwrap().unwrap().connection.unwrap();
    assert!(stream.message().await.unwrap().is_none());
    assert_eq!((met.person.unwrap().id, met.encounters, met.total_duration.unwrap().seconds), (grace, 2, 1_200));
    assert_eq!(met.closest.unwrap().distance_m, 0.0);
    let request_both = ListEncountersRequest { person_id: grace, other_person_id: ada, ..Default::default() };
    let encounters = client.list_encounters(request_both).await.unwrap().into_inner().encounters;
    let starts: Vec<_> = encounters.iter().map(|encounter| encounter.start.unwrap().seconds - 1_780_000_000).collect();
    assert_eq!(starts, [0, 3_600]);
    assert!(met.met.is_empty());
    let with = ListConnectionsRequest { include_encounters: true, ..request };
    let mut stream = client.list_connections(with).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().connection.unwrap().met, encounters);
    assert!(stream.message().await.unwrap().is_none());
    let (_, rest) = server.get(&format!("/api/persons/{ada}/connections")).await;
    assert_eq!(
        (rest[0]["encounters"].as_i64(), rest[0]["total_duration"].as_f64()),
        (Some(2), Some(1_200.0)),
        "{rest}"
    );

    let rule = EncounterRule {
        distance_m: Some(0.0),
        gap: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        within: None,
    };
    let wrong = ListConnectionsRequest { person_id: 0, rule: Some(rule), limit: -1, ..request };
    let status = client.list_connections(wrong).await.unwrap_err();
    assert_eq!(violations(&status), ["person_id", "rule.distance_m", "rule.gap", "limit"]);
}

#[tokio::test]
async fn persons_are_added_read_listed_and_erased() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut client = PersonServiceClient::new(channel(&server).await);
    let mut ids = Vec::new();
    for name in ["Ada", "Grace", "Mary"] {
        let request =
            CreatePersonRequest { first_name: name.into(), last_name: "Test".into(), company_name: "Engines".into() };
        ids.push(client.create_person(request).await.unwrap().into_inner().person.unwrap().id);
    }
    let person = client.get_person(GetPersonRequest { id: ids[1] }).await.unwrap().into_inner().person.unwrap();
    assert_eq!(person.first_name, "Grace");
    let first = ListPersonsRequest { query: "engines".into(), page_size: 2, page_token: String::new() };
    let first = client.list_persons(first).await.unwrap().into_inner();
    let second = ListPersonsRequest { query: "engines".into(), page_size: 2, page_token: first.next_page_token };
    let second = client.list_persons(second).await.unwrap().into_inner();
    let listed: Vec<_> = first.persons.iter().chain(&second.persons).map(|person| person.id).collect();
    assert_eq!((listed, second.next_page_token.as_str()), (ids.clone(), ""));

    client.delete_person(DeletePersonRequest { id: ids[1] }).await.unwrap();
    let gone = client.get_person(GetPersonRequest { id: ids[1] }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let nameless = client.create_person(CreatePersonRequest::default()).await.unwrap_err();
    assert_eq!(violations(&nameless), ["first_name", "last_name", "company_name"]);
}

#[tokio::test]
async fn the_server_describes_itself_and_its_health() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = channel(&server).await;
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let mut ask = async |question| -> ServerReflectionResponse {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut answers = reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap()
    };
    let Some(MessageResponse::ListServicesResponse(services)) =
        ask(MessageRequest::ListServices(String::new())).await.message_response
    else {
        panic!("no list of services")
    };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    for name in [
        "udaconnect.v1.LocationService",
        "udaconnect.v1.PersonService",
        "udaconnect.v1.ConnectionService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    let symbol = ask(MessageRequest::FileContainingSymbol("udaconnect.v1.NewLocation".to_owned())).await;
    assert!(matches!(symbol.message_response, Some(MessageResponse::FileDescriptorResponse(_))), "{symbol:?}");

    for service in ["", "udaconnect.v1.LocationService", "udaconnect.v1.PersonService"] {
        eventually("health", || async {
            let request = HealthCheckRequest { service: service.to_owned() };
            let answer = HealthClient::new(channel.clone()).check(request).await;
            answer.is_ok_and(|answer| answer.into_inner().status == 1).then_some(())
        })
        .await;
    }

    // On the same port, for those who speak only HTTP/1.
    let get = async |path: &str| server.http.get(format!("{}{path}", server.grpc)).send().await.unwrap();
    assert_eq!(get("/livez").await.status(), 200);
    assert_eq!(get("/readyz").await.status(), 200);
    let metrics = get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("udaconnect_grpc_calls_total{method=\"/grpc.health.v1.Health/Check\",code=\"0\"}"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_deadline_is_kept() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    // Whoever inserts waits for this.
    let blocking = database.client().await;
    blocking.batch_execute("BEGIN; LOCK TABLE location IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut client = LocationServiceClient::new(channel(&server).await);
    let mut request = Request::new(RecordLocationRequest { location: Some(location(person, 1)) });
    request.metadata_mut().insert("grpc-timeout", "200m".parse().unwrap());
    let status = tokio::time::timeout(DEADLINE, client.record_location(request)).await.unwrap().unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    blocking.batch_execute("COMMIT").await.unwrap();
}
