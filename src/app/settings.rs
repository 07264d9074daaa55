//! The web app's settings: where the API is, which tiles the map shows, and where the event is.

use serde::Serialize;
use url::Url;

/// How the web app behaves, wherever it runs.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Web app")]
pub struct AppArgs {
    /// Where browsers reach the REST API, e.g. https://api.example.org, or / for the web app's own address; without it
    /// they look on the web app's host, at the API's port
    #[arg(long, env, value_name = "URL", value_parser = api_url)]
    pub api_url: Option<ApiUrl>,
    /// Map tiles, e.g. https://tile.example.org/{z}/{x}/{y}.png; without it the map has a plain ground
    #[arg(long, env, value_name = "URL", value_parser = tile_url)]
    pub map_tile_url: Option<TileUrl>,
    /// What the makers of the map tiles want to be shown beside them, as HTML
    #[arg(long, env, value_name = "HTML")]
    pub map_attribution: Option<String>,
    /// The event's time zone, e.g. America/Denver, in which times are shown; without it the visitor's own
    #[arg(long, env, value_name = "ZONE", value_parser = time_zone)]
    pub event_time_zone: Option<String>,
    /// Connections to the web app that may be open; further ones wait
    #[arg(long, env, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub app_max_connections: u32,
}

/// The API's address as browsers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiUrl {
    /// That of the page.
    SamePage,
    /// Another one; without a slash at its end.
    Elsewhere { url: String, origin: String },
}

/// A template of tile addresses, and their origin as a content security policy writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileUrl {
    pub template: String,
    pub origin: String,
}

/// What the page asks for before anything else, as `/config.json`.
#[derive(Debug, Serialize)]
pub struct PageConfig<'a> {
    api_url: Option<&'a str>,
    api_port: u16,
    map_tile_url: Option<&'a str>,
    map_attribution: Option<&'a str>,
    time_zone: Option<&'a str>,
}

impl AppArgs {
    pub fn page_config(&self, api_port: u16) -> PageConfig<'_> {
        PageConfig {
            api_url: self.api_url.as_ref().map(|url| match url {
                ApiUrl::SamePage => "/",
                ApiUrl::Elsewhere { url, .. } => url.as_str(),
            }),
            api_port,
            map_tile_url: self.map_tile_url.as_ref().map(|tiles| tiles.template.as_str()),
            map_attribution: self.map_attribution.as_deref(),
            time_zone: self.event_time_zone.as_deref(),
        }
    }
}

fn web_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then_some(url)
}

fn api_url(text: &str) -> Result<ApiUrl, String> {
    if text == "/" {
        return Ok(ApiUrl::SamePage);
    }
    match web_address(text).filter(|url| url.query().is_none()) {
        Some(url) => Ok(ApiUrl::Elsewhere {
            url: url.as_str().trim_end_matches('/').to_owned(),
            origin: url.origin().ascii_serialization(),
        }),
        None => Err("must be an address such as https://api.example.org, or /".to_owned()),
    }
}

fn tile_url(text: &str) -> Result<TileUrl, String> {
    let wrong = || "must be an address with {z}, {x} and {y}, e.g. https://tile.example.org/{z}/{x}/{y}.png".to_owned();
    if !["{z}", "{x}", "{y}"].iter().all(|part| text.contains(part)) {
        return Err(wrong());
    }
    // {s} stands for one of several hosts, and is no part of a host's name itself.
    let url = web_address(&text.replacen("{s}", "tile-host", 1)).ok_or_else(wrong)?;
    let origin = url.origin().ascii_serialization().replacen("//tile-host.", "//*.", 1);
    if origin.contains("tile-host") {
        return Err("{s} must be the first part of the host, e.g. https://{s}.example.org/{z}/{x}/{y}.png".to_owned());
    }
    Ok(TileUrl { template: text.to_owned(), origin })
}

/// Only the form is checked: which zones there are is known by the browser, which shows its own when it does not know one.
fn time_zone(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/');
    if (1..=64).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("must be the name of a time zone, e.g. America/Denver or UTC".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_api() {
        assert_eq!(api_url("/"), Ok(ApiUrl::SamePage));
        let at = |url: &str, origin: &str| Ok(ApiUrl::Elsewhere { url: url.to_owned(), origin: origin.to_owned() });
        assert_eq!(api_url("https://api.example.org/"), at("https://api.example.org", "https://api.example.org"));
        assert_eq!(
            api_url("http://example.org:8080/uda/"),
            at("http://example.org:8080/uda", "http://example.org:8080")
        );
        for wrong in ["", "api.example.org", "ftp://example.org", "https://", "https://u:p@example.org", "https://a/?b"]
        {
            assert!(api_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_tiles() {
        let origin = |text: &str| tile_url(text).map(|tiles| tiles.origin);
        assert_eq!(origin("https://tile.example.org/{z}/{x}/{y}.png"), Ok("https://tile.example.org".to_owned()));
        assert_eq!(origin("https://{s}.example.org:8443/{z}/{x}/{y}"), Ok("https://*.example.org:8443".to_owned()));
        for wrong in [
            "https://tile.example.org/",
            "/{z}/{x}/{y}.png",
            "https://a{s}.example.org/{z}/{x}/{y}",
            "javascript:{x}{y}{z}",
        ] {
            assert!(tile_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_time_zones() {
        for right in ["UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+7"] {
            assert!(time_zone(right).is_ok(), "{right}");
        }
        for wrong in ["", "Mountain Time", "\"; x"] {
            assert!(time_zone(wrong).is_err(), "{wrong}");
        }
    }
}
