use super::{DEADLINE, Database, eventually};
use serde_json::Value;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The program with these arguments, and none of the settings of whoever runs the tests.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udaconnect"));
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    if let Ok(trace) = std::env::var("RUST_BACKTRACE") {
        command.env("RUST_BACKTRACE", trace);
    }
    command
}

/// How long the program waits for others, in seconds, where a test does not say otherwise: as long as it may. With the defaults a
/// machine that is busy with something else would look like a server that is away.
const PATIENT: [(&str, &str); 4] = [
    ("DATABASE_CONNECT_TIMEOUT", "60"),
    ("DATABASE_STATEMENT_TIMEOUT", "120"),
    ("GRPC_TIMEOUT", "34"),
    ("REQUEST_TIMEOUT", "34"),
];

/// Runs the program to its end.
pub async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let output = command(arguments).envs(variables.iter().copied()).output();
    tokio::time::timeout(DEADLINE, output).await.expect("the program ends").unwrap()
}

/// The program, running; killed at the end of the test.
pub struct Program {
    child: Child,
    /// What it has logged so far, a JSON object a line.
    log: Arc<Mutex<Vec<String>>>,
}

impl Program {
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command(arguments)
            .env("LOG_FORMAT", "json")
            .envs(PATIENT)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                written.lock().unwrap().push(line);
            }
        });
        Self { child, log }
    }

    /// A field of the first log line with this message.
    pub async fn logged(&self, message: &str, field: &str) -> String {
        eventually(&format!("the log line {message:?}\n{}", self.log()), || async {
            let log = self.log.lock().unwrap();
            log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|line| {
                (line["message"] == message).then(|| line[field].as_str().unwrap_or_default().to_owned())
            })
        })
        .await
    }

    /// A field of the first log line with one of these messages.
    pub async fn logged_one_of(&self, messages: [&str; 2], field: &str) -> String {
        let [first, second] = messages.map(|message| self.logged(message, field));
        tokio::select! {
            value = first => value,
            value = second => value,
        }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Its process; `None` when it has been waited for.
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub fn pid(&self) -> i32 {
        self.child.id().expect("it runs") as i32
    }

    /// What it has in memory that is in no file, now, bytes.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
    }

    pub fn signal(&self, signal: i32) {
        let pid = self.pid();
        // Safe: the process is our child and has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// The most memory that it has had so far, in bytes, where the system tells.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    }

    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("the program ends").unwrap()
    }
}

/// A `standalone` on ports that the system chose.
pub struct Server {
    pub program: Program,
    pub api: String,
    /// Where gRPC answers, as a URL.
    pub grpc: String,
    pub http: reqwest::Client,
}

impl Server {
    pub async fn start(database: &Database) -> Self {
        Self::with(&[("DATABASE_URL", &database.url())]).await
    }

    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let mut all: Vec<_> =
            ["API_LISTEN_ADDR", "APP_LISTEN_ADDR", "GRPC_LISTEN_ADDR"].map(|name| (name, "127.0.0.1:0")).into();
        // A machine that is busy with tests may take long to make connections.
        all.push(("DATABASE_CONNECT_TIMEOUT", "30"));
        all.extend_from_slice(variables);
        let program = Program::start(&["standalone"], &all);
        let api = format!("http://{}", program.logged("serving the API", "address").await);
        let grpc = format!("http://{}", program.logged("serving gRPC", "address").await);
        Self {
            program,
            api,
            grpc,
            http: reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap(),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(self.url(path)).send().await.unwrap()).await
    }

    /// The status alone, of whatever kind the answer is.
    pub async fn get_any(&self, path: &str) -> u16 {
        self.http.get(self.url(path)).send().await.unwrap().status().as_u16()
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        answer(self.http.delete(self.url(path)).send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.post(self.url(path)).json(body).send().await.unwrap()).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.patch(self.url(path)).json(body).send().await.unwrap()).await
    }

    /// A body as it is, of this type.
    pub async fn post_raw(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        answer(self.http.post(self.url(path)).header("content-type", content_type).body(body).send().await.unwrap())
            .await
    }

    /// Adds a person and tells their id.
    pub async fn person(&self) -> i64 {
        let person = serde_json::json!({"first_name": "Ada", "last_name": "Lovelace", "company_name": "Engines"});
        let (status, person) = self.post("/api/persons", &person).await;
        assert_eq!(status, 201, "{person}");
        person["id"].as_i64().unwrap()
    }

    /// Follows the links of a list to its end.
    pub async fn pages(&self, path: &str) -> Vec<Vec<Value>> {
        let mut pages = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let response = self.http.get(self.url(&path)).send().await.unwrap();
            next = next_page(&response);
            assert_eq!(response.status(), 200, "{path}");
            pages.push(response.json().await.unwrap());
        }
        pages
    }
}

/// The address in the `Link` header.
pub fn next_page(response: &reqwest::Response) -> Option<String> {
    let link = response.headers().get("link")?.to_str().unwrap();
    let (address, relation) = link.split_once('>').unwrap();
    assert_eq!(relation, "; rel=\"next\"");
    Some(address.strip_prefix('<').unwrap().to_owned())
}

async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    if status >= 400 {
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], status, "{text}");
        assert!(
            problem["detail"].is_string() && problem["title"].is_string() && problem["errors"].is_array(),
            "{text}"
        );
        return (status, problem);
    }
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
}
