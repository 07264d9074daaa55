//! HTTP itself: what is sent slowly, halfway, or not as it should be.

use crate::support::{DEADLINE, Database, Program, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.api.strip_prefix("http://").unwrap()).await.unwrap()
}

/// All that is answered to this until the server closes the connection.
async fn answer(mut connection: TcpStream, request: &[u8]) -> String {
    let _ = connection.write_all(request).await;
    let mut answer = Vec::new();
    let read = connection.read_to_end(&mut answer);
    let _ = tokio::time::timeout(DEADLINE, read).await.expect("the connection to be closed");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_and_the_connection_closed() {
    let database = Database::new().await;
    let url = database.url();
    for timeout in [[("BODY_TIMEOUT", "1")], [("REQUEST_TIMEOUT", "1")]] {
        let server = Server::with(&[&[("DATABASE_URL", url.as_str())], timeout.as_slice()].concat()).await;
        for path in ["/api/locations", "/api/locations/batch", "/api/persons", "/api/locations/owntracks"] {
            for body in
                ["content-length: 100\r\n\r\n{\"person_id\"", "transfer-encoding: chunked\r\n\r\n5\r\n{\"per\r\n"]
            {
                let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{body}");
                let answer = answer(connect(&server).await, request.as_bytes()).await;
                assert!(answer.starts_with("HTTP/1.1 408 "), "{timeout:?} {path}: {answer}");
                assert!(
                    answer.contains("application/problem+json") && answer.contains("\"field\":\"body\""),
                    "{answer}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_nobody_wants_does_not_keep_its_connection() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for (request, status) in
        [("GET /livez", 200), ("POST /nothing", 404), ("PUT /api/persons", 405), ("POST /api/locations", 415)]
    {
        for body in ["content-length: 100\r\n\r\nx", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
            let text = format!("{request} HTTP/1.1\r\nhost: x\r\n{body}");
            let answer = answer(connect(&server).await, text.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{text}: {answer}");
        }
    }
}

/// Requests that are wrong in ways in which no client library lets one be wrong.
const WRONG: &[&str] = &[
    "GET /api/persons/%FF HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /api/persons/%zz HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /api/persons/1%00 HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /api/persons?q=%FF%FE HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /api/persons?%zz=%&&&==&q HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /api/persons?cursor=%F0%9F HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /api/persons?limit=%EF%BC%91 HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET //api//persons HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET http://elsewhere.example/api/persons HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /api/persons HTTP/1.1\r\nhost: x\r\nrange: bytes=5-1,x\r\n\r\n",
    "GET /api/persons HTTP/1.1\r\nhost: x\r\naccept: \u{ff}\r\naccept-encoding: ;;;q=9\r\nif-none-match: \"\r\n\r\n",
    "GET /api/persons/1/locations HTTP/1.1\r\nhost: x\r\naccept: text/csv;q=nan, */*;q=-1\r\n\r\n",
    "GET /api/persons HTTP/1.1\r\nhost: x\r\nx-request-id: a\u{1b}[31m\r\n\r\n",
    "GET /api/persons HTTP/1.1\r\nhost: x\r\norigin: \u{202e}\r\n\r\n",
    "GET /api/persons HTTP/1.1\r\nhost: x\r\ncookie: =;=;=\r\n\r\n",
    "GET /api/persons HTTP/1.1\r\n\r\n",
    "GET /api/persons HTTP/1.0\r\n\r\n",
    "GET /api/persons HTTP/3.7\r\nhost: x\r\n\r\n",
    "NONSENSE /api/persons HTTP/1.1\r\nhost: x\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    "OPTIONS /api/persons HTTP/1.1\r\nhost: x\r\n\r\n",
    "CONNECT elsewhere.example:80 HTTP/1.1\r\nhost: x\r\n\r\n",
    "TRACE /api/persons HTTP/1.1\r\nhost: x\r\n\r\n",
    "HEAD / HTTP/1.1\r\nhost: x\r\n\r\n",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type:\r\ncontent-length: 2\r\n\r\n{}",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: \u{ff}\r\ncontent-length: 2\r\n\r\n{}",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\r\n",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-encoding: \u{ff}\r\ncontent-length: 2\r\n\r\n{}",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: nonsense\r\ncontent-length: 2\r\n\r\n{}",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: -1\r\n\r\n{}",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99999999999999999999\r\n\r\n{}",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: nonsense\r\n\r\n{}",
    "POST /api/locations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "\r\n\r\n\r\n\r\n",
    "nonsense",
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0",
];

#[tokio::test]
async fn nothing_that_is_sent_is_the_servers_fault_or_an_error_in_its_log() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let huge = format!("GET /api/persons?q={} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000));
    let huge_header = format!("GET /api/persons HTTP/1.1\r\nhost: x\r\nx-y: {}\r\n\r\n", "x".repeat(1 << 20));
    let many_headers = format!("GET /api/persons HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(5_000));
    let many_parameters = format!("GET /api/persons?{} HTTP/1.1\r\nhost: x\r\n\r\n", "a=&".repeat(30_000));
    let long_parameter = format!("GET /api/persons?{}=1 HTTP/1.1\r\nhost: x\r\n\r\n", "limit".repeat(20_000));
    let more = [huge, huge_header, many_headers, many_parameters, long_parameter];
    for request in WRONG.iter().copied().chain(more.iter().map(String::as_str)) {
        let mut connection = connect(&server).await;
        let _ = connection.write_all(request.as_bytes()).await;
        let _ = connection.shutdown().await;
        let answer = answer(connection, b"").await;
        let shown: String = request.chars().take(200).collect();
        assert!(!answer.starts_with("HTTP/1.1 5"), "{shown:?}: {answer}");
    }
    assert_eq!(server.get(&format!("/api/persons/{person}")).await.0, 200);
    let errors: Vec<_> =
        server.program.log().lines().filter(|line| line.contains("ERROR")).map(str::to_owned).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn head_is_answered_wherever_get_is_and_options_tell_what_is_possible() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let ask = async |method: &str, origin: &str, path: &str| {
        let request = server.http.request(method.parse().unwrap(), format!("{origin}{path}"));
        request.send().await.unwrap()
    };
    let here = format!("/api/persons/{person}");
    let paths = [
        "/",
        "/swagger-ui.css",
        "/api",
        "/api/",
        "/openapi.json",
        "/health",
        "/api/health",
        "/livez",
        "/readyz",
        "/metrics",
        "/api/readyz",
        "/api/persons",
        &here,
    ];
    for path in paths {
        let head = ask("HEAD", &server.api, path).await;
        assert_eq!(head.status().as_u16(), 200, "{path}");
        assert_eq!(
            head.headers()["content-type"],
            ask("GET", &server.api, path).await.headers()["content-type"],
            "{path}"
        );
        assert_eq!(head.headers()["x-content-type-options"], "nosniff", "{path}");
        assert!(head.bytes().await.unwrap().is_empty());
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(ask("HEAD", &server.grpc, path).await.status(), 200, "{path}");
    }
    let options = ask("OPTIONS", &server.api, "/api/persons").await;
    assert_eq!((options.status().as_u16(), &options.headers()["allow"]), (204, &"GET, HEAD, POST".parse().unwrap()));
}

#[tokio::test]
async fn what_the_log_says_stays_in_its_line() {
    let database = Database::new().await;
    let program = Program::start(
        &["standalone"],
        &[
            ("DATABASE_URL", &database.url()),
            ("API_LISTEN_ADDR", "127.0.0.1:0"),
            ("APP_LISTEN_ADDR", "127.0.0.1:0"),
            ("GRPC_LISTEN_ADDR", "127.0.0.1:0"),
            ("RUST_LOG", "info,udaconnect=debug,actix_http=trace,actix_server=debug"),
        ],
    );
    let api = program.logged("serving the API", "address").await;
    for _ in 0..300 {
        let mut connection = TcpStream::connect(&api).await.unwrap();
        let _ = connection.write_all("GET /\u{1b}[2J\u{202e} HTTP/1.1\r\nx\u{9b}y: \u{7}\r\n\r\n".as_bytes()).await;
        let _ = connection.shutdown().await;
        answer(connection, b"").await;
    }
    let log = program.log();
    assert!(log.lines().filter(|line| line.contains("\"ERROR\"") || line.contains("\"WARN\"")).count() <= 60, "{log}");
    assert!(log.lines().all(|line| line.len() < 9_000 && !line.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7}'])));
}
