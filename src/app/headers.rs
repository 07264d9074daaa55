//! The security headers of the web app: what its page may do, and which servers it may talk to.

use super::settings::{ApiUrl, AppArgs};
use crate::runtime::headers::protect;
use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};

/// Adds them.
pub fn add(headers: &mut HeaderMap, args: &AppArgs, api_port: u16, request: &HttpRequest) {
    protect(headers, &policy(args, api_port, request), "geolocation=(self)");
}

fn policy(args: &AppArgs, api_port: u16, request: &HttpRequest) -> String {
    let api = match &args.api_url {
        Some(ApiUrl::SamePage) => String::new(),
        Some(ApiUrl::Elsewhere { origin, .. }) => format!(" {origin}"),
        None => beside(request, api_port),
    };
    // Leaflet replaces a tile that is no longer needed by an empty picture, which is a data: address.
    let pictures = args.map_tile_url.as_ref().map_or(String::new(), |tiles| format!(" data: {}", tiles.origin));
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{pictures}; connect-src 'self'{api}; \
         manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// The API on the host by which the visitor knows this server. Without a scheme it is that of the page, or a safer one.
fn beside(request: &HttpRequest, port: u16) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    // A policy cannot name an IPv6 address.
    if host.starts_with('[') {
        return format!(" *:{port}");
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    // What else a client writes there must not get into the policy.
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    if is_name { format!(" {name}:{port}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn connect(args: &AppArgs, host: &'static str) -> String {
        let request = TestRequest::default().insert_header((header::HOST, host)).to_http_request();
        let policy = policy(args, 30_001, &request);
        policy.split("; ").find_map(|part| part.strip_prefix("connect-src ")).unwrap().to_owned()
    }

    #[test]
    fn the_page_may_talk_to_the_api_and_to_nobody_else() {
        let beside = AppArgs::default();
        assert_eq!(connect(&beside, "127.0.0.1:30000"), "'self' 127.0.0.1:30001");
        assert_eq!(connect(&beside, "event.example.org"), "'self' event.example.org:30001");
        assert_eq!(connect(&beside, "[::1]:30000"), "'self' *:30001");
        assert_eq!(connect(&beside, "a; script-src *"), "'self'");
        let api = ApiUrl::Elsewhere { url: "https://x.org/api".to_owned(), origin: "https://x.org".to_owned() };
        let elsewhere = AppArgs { api_url: Some(api), ..AppArgs::default() };
        assert_eq!(connect(&elsewhere, "127.0.0.1:30000"), "'self' https://x.org");
        let same = AppArgs { api_url: Some(ApiUrl::SamePage), ..AppArgs::default() };
        assert_eq!(connect(&same, "127.0.0.1:30000"), "'self'");
    }
}
