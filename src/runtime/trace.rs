//! Traces over OTLP, if an operator asks for them: a request's way through REST or gRPC, Kafka and the database.

use super::telemetry::BoxedLayer;
use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Where traces go. The variables are those of every OpenTelemetry program.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceArgs {
    /// Collector that takes traces as OTLP over gRPC, e.g. http://otel-collector:4317; without it there are none
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", global = true)]
    otlp_endpoint: Option<String>,
    /// Share of the requests that are traced, unless the caller has decided
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "0 TO 1", default_value_t = 1.0, value_parser = ratio, global = true)]
    trace_ratio: f64,
    /// What this process is called in traces; without it udaconnect and the role
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME", global = true)]
    trace_service: Option<String>,
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

/// Sends what is left when the process ends.
pub struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        // A collector that is away must not be the end of anything.
        if let Err(error) = self.0.shutdown() {
            tracing::debug!(%error, "traces are lost");
        }
    }
}

/// A layer that sends spans, if an endpoint is given. Must be called in a runtime. The error is a sentence for operators.
pub fn layer(args: &TraceArgs, role: &str) -> Result<Option<(BoxedLayer, Traces)>, String> {
    let Some(endpoint) = &args.otlp_endpoint else { return Ok(None) };
    let wrong = |why: &dyn std::fmt::Display| {
        format!("OTEL_EXPORTER_OTLP_ENDPOINT: {endpoint:?} is no address such as http://otel-collector:4317 ({why})")
    };
    if !endpoint.starts_with("http://") {
        return Err(wrong(&"it must begin with http://"));
    }
    let exporter =
        SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(|error| wrong(&error))?;
    let name = args.trace_service.clone().unwrap_or_else(|| format!("udaconnect {role}"));
    let resource = Resource::builder()
        .with_service_name(name)
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(args.trace_ratio))))
        .with_resource(resource)
        .build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    ENABLED.store(true, Ordering::Relaxed);
    // Our own spans only: those of libraries would be hundreds a request.
    let ours = Targets::new().with_target("udaconnect", LevelFilter::INFO);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("udaconnect")).with_filter(ours);
    Ok(Some((Box::new(layer), Traces(provider))))
}

/// Whether this process makes traces.
pub fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Makes a span a child of the one that the headers name (`traceparent`), if they do.
pub fn adopt<'a>(span: &Span, header: impl Fn(&str) -> Option<&'a str>) {
    let Some(value) = header("traceparent") else { return };
    // Fails only for a span that is not traced.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&Carrier(value.to_owned())));
}

/// Names a span by what turned out to be asked for; as a field it would be too late once the span has begun.
pub fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
}

/// The current span, as `traceparent` names it; none while nothing is traced.
pub fn parent() -> Option<String> {
    if !enabled() {
        return None;
    }
    let context = Span::current().context();
    if !context.span().span_context().is_sampled() {
        return None;
    }
    let mut carrier = Carrier(String::new());
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    Some(carrier.0)
}

/// Says that a span has to do with another trace: many records are stored together.
pub fn link(span: &Span, trace_parent: &str) {
    let context = TraceContextPropagator::new().extract(&Carrier(trace_parent.to_owned()));
    let linked = context.span().span_context().clone();
    if linked.is_valid() {
        span.add_link(linked);
    }
}

/// The one header that is used; `tracestate` is for vendors, of which we are none.
struct Carrier(String);

impl Extractor for Carrier {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then_some(self.0.as_str())
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

impl Injector for Carrier {
    fn set(&mut self, key: &str, value: String) {
        if key == "traceparent" {
            self.0 = value;
        }
    }
}
