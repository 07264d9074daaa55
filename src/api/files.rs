//! A person's locations as a file, made while it is sent.

use super::problem::Problem;
use crate::codec::files::{LocationWriter, Media};
use crate::domain::{Error, EventId, Location, Page, Person, TimeRange};
use crate::store::{LocationPosition, Store};
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_DISPOSITION, VARY};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::stream;

/// How many locations are asked for at a time.
const PART: usize = 5_000;

/// Begins an answer in a file's format; `name` is the file's, without its extension.
pub fn begin(response: &mut HttpResponseBuilder, media: Media, name: &str) {
    let header = match media {
        Media::Csv => "text/csv; charset=utf-8; header=present".to_owned(),
        Media::GeoJson | Media::Gpx => media.content_type().to_owned(),
    };
    response
        .content_type(header)
        .insert_header((VARY, "Accept"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.{}\"", media.extension())));
}

/// All locations from this page on or, where `whole` is not set, those of the page.
pub fn locations(
    request: &HttpRequest,
    mut response: HttpResponseBuilder,
    media: Media,
    (store, person, range): (Store, Person, TimeRange),
    page: Page<Location, LocationPosition>,
    whole: bool,
) -> Result<HttpResponse, Problem> {
    begin(&mut response, media, &format!("locations-{}", person.id));
    if request.method() == Method::HEAD {
        return Ok(response.finish());
    }
    let listing =
        Listing { store, person, range, whole, writer: LocationWriter::new(media), state: State::Begin(page) };
    Ok(response.streaming(stream::try_unfold(listing, |mut listing| async move {
        match listing.next().await {
            Ok(bytes) => Ok(bytes.map(|bytes| (bytes, listing))),
            Err(error) => {
                // Too late for a status: the broken-off body has to tell.
                tracing::warn!(%error, "a file of locations was broken off");
                Err(error)
            }
        }
    })))
}

struct Listing {
    store: Store,
    person: Person,
    range: TimeRange,
    whole: bool,
    writer: LocationWriter,
    state: State,
}

enum State {
    Begin(Page<Location, LocationPosition>),
    After(LocationPosition),
    Ended,
}

impl Listing {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut bytes = Vec::new();
        let page = match std::mem::replace(&mut self.state, State::Ended) {
            State::Begin(page) => {
                self.writer.begin(&mut bytes).map_err(internal)?;
                // Keys are other systems' numbers: the operator's, not for everybody who may ask here.
                self.writer.person(&mut bytes, &self.person, None).map_err(internal)?;
                page
            }
            State::After(position) => {
                match self.store.event(EventId::FIRST).locations(self.person.id, self.range, Some(position), PART).await
                {
                    // Deleted while it was sent: there is no more.
                    Err(Error::NotFound { .. }) => Page { items: Vec::new(), next: None },
                    page => page?,
                }
            }
            State::Ended => return Ok(None),
        };
        for location in &page.items {
            self.writer.location(&mut bytes, location).map_err(internal)?;
        }
        match page.next.filter(|_| self.whole) {
            Some(next) => self.state = State::After(next),
            None => self.writer.end(&mut bytes).map_err(internal)?,
        }
        Ok(Some(bytes.into()))
    }
}

pub fn internal(error: std::io::Error) -> Error {
    Error::Internal(error.to_string())
}
