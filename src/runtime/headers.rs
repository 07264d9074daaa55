//! Headers that tell browsers what a page of ours may do and who may use it.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Adds them. `policy` is the content security policy; `own` is what the page may use of the device, as a permissions policy
/// writes it (`geolocation=(self)`), everything else is denied.
pub fn protect(headers: &mut HeaderMap, policy: &str, own: &str) {
    // Should one be no header, the strictest policy is right.
    let policy = HeaderValue::from_str(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    let permissions = format!("{own}, camera=(), microphone=(), payment=(), usb=(), browsing-topics=()");
    if let Ok(permissions) = HeaderValue::from_str(&permissions) {
        headers.insert(PERMISSIONS_POLICY, permissions);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Makers of map tiles want to know the page's origin; its path tells about persons and stays here.
        (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (OPENER_POLICY, "same-origin"),
        (RESOURCE_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
