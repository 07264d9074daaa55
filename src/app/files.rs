//! The built web app. Each file is there as it is, and the larger ones also compressed beside it (`.br`, `.gz`).

use actix_web::HttpRequest;
use actix_web::http::header::{AcceptEncoding, ContentEncoding, Encoding, EntityTag, Header};
use rust_embed::{Embed, EmbeddedFile};
use std::borrow::Cow;

/// What `npm run build` made. Empty when it has not run before this program was built.
#[derive(Embed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

/// The page that every view begins with.
pub const INDEX: &str = "index.html";

/// A file in the coding that the client likes best.
pub struct Asset {
    pub bytes: Cow<'static, [u8]>,
    pub content_type: &'static str,
    /// None: as it is.
    pub coding: Option<ContentEncoding>,
    /// Differs for each coding, as the bytes do.
    pub tag: EntityTag,
}

/// Whether the web app is in this program.
pub fn built() -> bool {
    Dist::get(INDEX).is_some()
}

/// A file by its path, without a slash before it. The compressed forms have no paths of their own.
pub fn find(path: &str, request: &HttpRequest) -> Option<Asset> {
    let content_type = content_type(path)?;
    let compressed = preferred(request).and_then(|coding| {
        let ending = if coding == ContentEncoding::Brotli { "br" } else { "gz" };
        Some((Dist::get(&format!("{path}.{ending}"))?, Some(coding)))
    });
    let (file, coding) = compressed.or_else(|| Some((Dist::get(path)?, None)))?;
    let tag = tag(&file, coding);
    Some(Asset { bytes: file.data, content_type, coding, tag })
}

/// The compression that the client likes best; None for none.
fn preferred(request: &HttpRequest) -> Option<ContentEncoding> {
    let accepted = AcceptEncoding::parse(request).ok()?;
    match accepted.negotiate([Encoding::brotli(), Encoding::gzip(), Encoding::identity()].iter())? {
        Encoding::Known(coding @ (ContentEncoding::Brotli | ContentEncoding::Gzip)) => Some(coding),
        Encoding::Known(_) | Encoding::Unknown(_) => None,
    }
}

fn tag(file: &EmbeddedFile, coding: Option<ContentEncoding>) -> EntityTag {
    let hash: String = file.metadata.sha256_hash()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    EntityTag::new_strong(format!("{hash}{}", coding.map_or("", |_| "z")))
}

/// The types that the build makes. Everything else is none of the app's files.
fn content_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        _ => return None,
    })
}
