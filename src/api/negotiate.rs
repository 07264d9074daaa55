//! Content negotiation: whether an answer is JSON or one of the files' formats.

use super::problem::Problem;
use crate::codec::files::Media;
use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::ACCEPT;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    File(Media),
}

/// In the order of our preference, for who takes several equally.
const FORMS: &[Form] = &[Form::Json, Form::File(Media::GeoJson), Form::File(Media::Csv), Form::File(Media::Gpx)];

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::File(media) => media.content_type(),
        }
    }
}

/// The form that the `Accept` header wants most (RFC 9110, 12.5.1); 406 if it wants none that there is.
pub fn form(request: &HttpRequest) -> Result<Form, Problem> {
    let given: Vec<&str> = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok()).collect();
    let given = given.join(",");
    let ranges: Vec<Range> = given.split(',').filter_map(Range::parse).collect();
    if given.trim().is_empty() {
        return Ok(Form::Json);
    }
    let wanted = FORMS.iter().map(|form| (*form, weight(&ranges, form.name())));
    // The first of equals: `max_by` would take the last.
    let best = wanted.rev().max_by_key(|(_, weight)| *weight).filter(|(_, weight)| *weight > 0);
    best.map(|(form, _)| form).ok_or_else(|| {
        let names: Vec<&str> = FORMS.iter().map(|form| form.name()).collect();
        Problem::field(
            StatusCode::NOT_ACCEPTABLE,
            "Accept",
            format!("must allow one of {}; got {}", names.join(", "), crate::domain::quoted(&given)),
        )
    })
}

/// How much a type is wanted, in thousandths: as the most specific range says that holds it.
fn weight(ranges: &[Range], name: &str) -> u32 {
    ranges
        .iter()
        .filter_map(|range| Some((range.specificity(name)?, range.weight)))
        .max_by_key(|(specificity, _)| *specificity)
        .map_or(0, |(_, weight)| weight)
}

/// One range of an `Accept` header.
struct Range {
    name: String,
    weight: u32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| name.contains('/'))?.to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let weight = match quality {
            None => 1.0,
            Some(text) => text.parse::<f64>().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
        };
        Some(Self { name, weight: (weight * 1_000.0).round() as u32 })
    }

    fn specificity(&self, name: &str) -> Option<u8> {
        match self.name.split_once('/')? {
            ("*", "*") => Some(0),
            (kind, "*") => (name.split('/').next() == Some(kind)).then_some(1),
            _ => (self.name == name).then_some(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn what_is_wanted_most_is_given() {
        let csv = Form::File(Media::Csv);
        let geojson = Form::File(Media::GeoJson);
        for (accept, expected) in [
            ("", Form::Json),
            ("*/*", Form::Json),
            ("text/csv", csv),
            ("Text/CSV; header=present", csv),
            ("text/*", csv),
            ("application/gpx+xml;q=0.5, application/geo+json;q=0.9", geojson),
            ("application/json;q=0.1, text/csv;q=0.2", csv),
            ("application/*;q=0.5, application/json;q=0", geojson),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Form::Json),
            ("application/geo+json, application/json", Form::Json),
            ("text/csv;q=2, */*;q=0.1", Form::Json),
        ] {
            let request = TestRequest::default().insert_header((ACCEPT, accept)).to_http_request();
            assert_eq!(form(&request).unwrap(), expected, "{accept}");
        }
        for accept in ["text/html", "application/json;q=0", "nonsense", "image/*"] {
            let request = TestRequest::default().insert_header((ACCEPT, accept)).to_http_request();
            assert!(form(&request).is_err(), "{accept}");
        }
    }
}
