//! `/livez`, `/readyz` and `/metrics`: the same for every role that speaks HTTP.

use super::{metrics, reading};
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::{HttpResponse, web};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a dependency may take to say that it is well.
const PATIENCE: Duration = Duration::from_secs(2);

/// The media type of Prometheus's text format.
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
type Gauges = Arc<dyn Fn() + Send + Sync>;

/// What a role depends on, by name, and how to ask each whether it is well.
#[derive(Clone, Default)]
pub struct Probes {
    checks: Vec<(&'static str, Check)>,
    /// Shown like the others, but the role is ready without them.
    optional: Vec<&'static str>,
    gauges: Vec<Gauges>,
    draining: CancellationToken,
}

impl Probes {
    /// `draining` is cancelled when the role is about to end: it is not ready from then on.
    pub fn new(draining: CancellationToken) -> Self {
        Self { draining, ..Self::default() }
    }

    /// Adds a dependency. The error is a sentence for operators; it is shown to whoever may ask, so it must hold no secret.
    pub fn dependency<F>(mut self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || check().boxed())));
        self
    }

    /// Adds a dependency without which a part of the role still works, so that it must stay reachable: it is asked and shown, and
    /// does not decide.
    pub fn optional_dependency<F>(mut self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.optional.push(name);
        self.dependency(name, check)
    }

    /// Adds what is to be measured whenever somebody reads `/metrics`.
    pub fn gauges(mut self, measure: impl Fn() + Send + Sync + 'static) -> Self {
        self.gauges.push(Arc::new(measure));
        self
    }

    /// What `/readyz` says: whether the role is ready, and why not.
    pub async fn readiness(&self) -> (bool, Value) {
        let (well, checks) = self.ask().await;
        let (ready, status) = match (self.draining.is_cancelled(), well) {
            (true, _) => (false, "draining"),
            (false, true) => (true, "ready"),
            (false, false) => (false, "not ready"),
        };
        (ready, json!({"status": status, "checks": checks}))
    }

    /// What `/metrics` says, in Prometheus's text format.
    pub fn metrics(&self) -> String {
        self.gauges.iter().for_each(|measure| measure());
        let recorder = metrics::recorder();
        recorder.run_upkeep();
        recorder.render()
    }

    /// Whether every dependency is well, and what each said: `"ok"` or what is wrong.
    async fn ask(&self) -> (bool, Map<String, Value>) {
        let answers = join_all(self.checks.iter().map(|(name, check)| async move {
            let answer = tokio::time::timeout(PATIENCE, check()).await;
            (*name, answer.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs()))))
        }))
        .await;
        let ready = answers.iter().all(|(name, answer)| answer.is_ok() || self.optional.contains(name));
        let said = |answer: Result<(), String>| answer.map_or_else(Value::String, |()| "ok".into());
        (ready, answers.into_iter().map(|(name, answer)| (name.to_owned(), said(answer))).collect())
    }
}

/// Adds the three paths to a server, under each of these prefixes: `""` for the root, where probes look.
pub fn routes(probes: Probes, prefixes: &'static [&'static str]) -> impl FnOnce(&mut web::ServiceConfig) {
    // From the start, so that nothing is counted before anybody looks.
    metrics::recorder();
    move |config| {
        config.app_data(web::Data::new(probes));
        for prefix in prefixes {
            config
                .route(&format!("{prefix}/livez"), reading().to(livez))
                .route(&format!("{prefix}/readyz"), reading().to(readyz))
                .route(&format!("{prefix}/metrics"), reading().to(render));
        }
    }
}

/// The process runs; asks nobody.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({"status": "alive"}))
}

/// 200 while every dependency is well and the process is not about to end, else 503; each is named.
async fn readyz(probes: web::Data<Probes>) -> HttpResponse {
    let (ready, said) = probes.readiness().await;
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if !ready {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response.insert_header((CACHE_CONTROL, "no-store")).json(said)
}

async fn render(probes: web::Data<Probes>) -> HttpResponse {
    HttpResponse::Ok().content_type(METRICS_TYPE).body(probes.metrics())
}
