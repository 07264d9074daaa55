//! A request is found again wherever it went: by its id in answers, records and log lines, and by its trace.

use crate::support::{DEADLINE, Database, Server, TOPIC, command, eventually, run};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};
use udaconnect::codec::proto::RecordLocationRequest;
use udaconnect::codec::proto::location_service_client::LocationServiceClient;

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    mock
}

async fn through_kafka(database: &Database, bootstrap: &str, more: &[(&str, &str)]) -> Server {
    let url = database.url();
    let mut variables = vec![("DATABASE_URL", url.as_str()), ("KAFKA_BOOTSTRAP", bootstrap)];
    variables.extend_from_slice(more);
    let server = Server::with(&variables).await;
    eventually("readiness", || async { (server.get_any("/readyz").await == 200).then_some(()) }).await;
    server
}

/// The log lines that say why a record was set aside.
fn set_aside(log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == "a record is set aside").collect()
}

#[tokio::test]
async fn the_id_of_a_request_goes_with_its_locations_to_whoever_stores_them() {
    let database = Database::new().await;
    let mock = cluster();
    let server = through_kafka(&database, &mock.bootstrap_servers(), &[]).await;
    // Of persons who do not exist, so that the consumer has something to say.
    let body = json!({"person_id": 777, "latitude": 35.0, "longitude": -106.5});
    let request = server.http.post(server.url("/api/locations")).header("x-request-id", "from-rest").json(&body);
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-request-id"]), (202, &"from-rest".parse().unwrap()));

    let location = crate::support::location(778, 1);
    let mut request = Request::new(RecordLocationRequest { location: Some(location) });
    request.metadata_mut().insert("x-request-id", MetadataValue::from_static("from-grpc"));
    let mut client = LocationServiceClient::connect(server.grpc.clone()).await.unwrap();
    let answer = client.record_location(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "from-grpc");

    let told = eventually("both dead letters", || async {
        let told = set_aside(&server.program.log());
        (told.len() == 2).then_some(told)
    })
    .await;
    for (id, person) in [("from-rest", 777), ("from-grpc", 778)] {
        let line = told.iter().find(|line| line["request_id"] == id).unwrap_or_else(|| panic!("{id}: {told:?}"));
        assert!(line["reason"].as_str().unwrap().contains(&format!("the id {person}")), "{line}");
        assert!(line["offset"].is_i64() && line["partition"] == 0, "{line}");
    }

    // Without one of their own, every request gets an id; what is none is not taken.
    for given in ["", "two words"] {
        let answer = server.http.get(server.url("/health")).header("x-request-id", given).send().await.unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap();
        assert!(id.len() > 5 && !id.contains(' '), "{id}");
    }
}

/// Takes traces, as a collector does.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let name = attributes.iter().find(|attribute| attribute.key == "service.name").map(|a| format!("{a:?}"));
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans.map(|span| (name.clone().unwrap_or_default(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, url)
    }

    async fn span(&self, name: &str) -> (String, Span) {
        let begin = Instant::now();
        loop {
            if let Some(found) = self.0.lock().unwrap().iter().find(|(_, span)| span.name == name) {
                return found.clone();
            }
            assert!(begin.elapsed() < DEADLINE, "no span {name:?} among {:?}", self.names());
            tokio::time::sleep(Duration::from_millis(10)).await; // polls
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, span)| span.name.clone()).collect()
    }
}

#[tokio::test]
async fn a_trace_leads_from_the_caller_through_kafka_to_the_transaction() {
    let database = Database::new().await;
    let mock = cluster();
    let (collector, url) = Collector::start().await;
    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let mut server = through_kafka(&database, &mock.bootstrap_servers(), &endpoint).await;
    let person = server.person().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let body = json!({"person_id": person, "latitude": 35.0, "longitude": -106.5});
    let answer = server
        .http
        .post(server.url("/api/locations"))
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();

    let (service, request) = collector.span("POST /api/locations").await;
    assert!(service.contains("udaconnect standalone"), "{service}");
    assert_eq!(
        (hex(&request.trace_id), hex(&request.parent_span_id)),
        (trace.to_owned(), "00f067aa0ba902b7".to_owned())
    );
    let (_, stored) = collector.span("store batch").await;
    let links: Vec<_> = stored.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect();
    assert_eq!(links, [(trace.to_owned(), hex(&request.span_id))]);

    // What is left is sent at the end; probes were not traced at all.
    assert_eq!(server.get("/api/persons").await.0, 200);
    server.program.signal(libc::SIGTERM);
    assert!(server.program.ended().await.success());
    collector.span("GET /api/persons").await;
    assert!(!collector.names().iter().any(|name| name.contains("readyz")), "{:?}", collector.names());
}

#[tokio::test]
async fn a_collector_that_is_away_stops_nothing_and_a_wrong_one_is_named() {
    let database = Database::new().await;
    let mut server = Server::with(&[
        ("DATABASE_URL", &database.url()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ])
    .await;
    server.person().await;
    server.program.signal(libc::SIGTERM);
    assert!(server.program.ended().await.success(), "{}", server.program.log());

    let variables = [("DATABASE_URL", "postgres://u@127.0.0.1:1/d"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")];
    let output = run(&["serve-api", "--check-config"], &variables).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let ratio = command(&["migrate", "--check-config"]).env("OTEL_TRACES_SAMPLER_ARG", "2").output().await.unwrap();
    assert!(String::from_utf8_lossy(&ratio.stderr).contains("from 0 to 1"));
}
