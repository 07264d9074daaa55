//! Stands for [`trace`](super) in a build without OpenTelemetry, and does nothing.

use tracing::Span;

/// Never.
pub fn enabled() -> bool {
    false
}

/// Nothing.
pub fn adopt<'a>(_span: &Span, _header: impl Fn(&str) -> Option<&'a str>) {}

/// Nothing.
pub fn rename(_span: &Span, _name: String) {}

/// None.
pub fn parent() -> Option<String> {
    None
}

/// Nothing.
pub fn link(_span: &Span, _trace_parent: &str) {}
