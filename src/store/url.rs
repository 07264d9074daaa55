//! A `DATABASE_URL`, with what libpq's URLs say about TLS.

use crate::tls::{self, Verify};
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A `DATABASE_URL`, or why it is none. Its `Debug` shows no password.
///
/// A wrong one is kept and not refused by the command line's parser, which would repeat the text, password and all.
#[derive(Clone)]
pub struct DatabaseUrl(pub(super) Result<Parsed, String>);

/// What the text says.
#[derive(Clone)]
pub(super) struct Parsed {
    pub(super) config: tokio_postgres::Config,
    tls: Tls,
}

/// Whether and how connections are encrypted, in libpq's words: `sslmode` and `sslrootcert`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tls {
    mode: Mode,
    roots: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl std::str::FromStr for DatabaseUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(parse(text)))
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Ok(parsed) => f.write_str(&describe(&parsed.config)),
            Err(why) => f.write_str(why),
        }
    }
}

impl Parsed {
    /// What makes connections speak TLS; `None` where they must not. The error is a sentence for operators.
    pub(super) fn tls(&self) -> Result<Option<MakeRustlsConnect>, String> {
        let verify = match (self.tls.mode, &self.tls.roots) {
            (Mode::Disable, _) => return Ok(None),
            (Mode::Prefer, _) | (Mode::Require, None) => Verify::Nothing,
            // As libpq has it, for the sake of what was written for older versions of it.
            (Mode::Require, Some(_)) | (Mode::VerifyCa, _) => Verify::Chain,
            (Mode::VerifyFull, _) => Verify::Full,
        };
        let config = tls::client(verify, self.tls.roots.as_deref()).map_err(|why| format!("sslrootcert: {why}"))?;
        Ok(Some(MakeRustlsConnect::new(config)))
    }
}

fn parse(text: &str) -> Result<Parsed, String> {
    let (rest, tls) = take_tls(text)?;
    let mut config: tokio_postgres::Config = rest.parse().map_err(|e: tokio_postgres::Error| {
        let why = std::error::Error::source(&e).map(|s| format!(" ({s})")).unwrap_or_default();
        format!("is not a PostgreSQL URL such as postgres://user@host:5432/database{why}")
    })?;
    if config.get_hosts().is_empty() {
        return Err("names no host; write postgres://user@host:5432/database".to_owned());
    }
    config.ssl_mode(match tls.mode {
        Mode::Disable => SslMode::Disable,
        Mode::Prefer => SslMode::Prefer,
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
    });
    Ok(Parsed { config, tls })
}

/// Divides the text into what tokio-postgres understands and what is about TLS, of which it knows too little.
fn take_tls(text: &str) -> Result<(String, Tls), String> {
    let mut tls = Tls::default();
    let mut is_tls = |pair: &str, decode: fn(&str) -> String| -> Result<bool, String> {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => tls.mode = mode_of(mode)?,
            Some(("sslrootcert", path)) => {
                tls.roots = Some(decode(path)).filter(|path| path != "system").map(PathBuf::from);
            }
            _ => return Ok(false),
        }
        Ok(true)
    };
    let mut kept = Vec::new();
    let rest = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        // A password may hold a question mark.
        let host = text.find('@').map_or(0, |at| at + 1);
        let Some(question) = text[host..].find('?').map(|at| host + at) else { return Ok((text.to_owned(), tls)) };
        for pair in text[question + 1..].split('&') {
            if !is_tls(pair, |text| percent_decode_str(text).decode_utf8_lossy().into_owned())? {
                kept.push(pair);
            }
        }
        let mark = if kept.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", &text[..question], kept.join("&"))
    } else if text.contains(['\'', '\\']) {
        // Quoted values may hold spaces and what looks like a setting.
        text.to_owned()
    } else {
        for pair in text.split_whitespace() {
            if !is_tls(pair, str::to_owned)? {
                kept.push(pair);
            }
        }
        kept.join(" ")
    };
    Ok((rest, tls))
}

fn mode_of(text: &str) -> Result<Mode, String> {
    Ok(match text {
        "disable" => Mode::Disable,
        "prefer" => Mode::Prefer,
        "require" => Mode::Require,
        "verify-ca" => Mode::VerifyCa,
        "verify-full" => Mode::VerifyFull,
        _ => {
            let shown: String = text.chars().take(20).collect();
            return Err(format!("sslmode must be disable, prefer, require, verify-ca or verify-full; got {shown:?}"));
        }
    })
}

/// Where it leads and as whom, without the password.
pub(super) fn describe(config: &tokio_postgres::Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "?".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or("?");
    format!("{host}:{port}/{database} as {}", config.get_user().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(text: &str) -> (Mode, Option<String>, SslMode) {
        let parsed = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let roots = parsed.tls.roots.map(|path| path.display().to_string());
        (parsed.tls.mode, roots, parsed.config.get_ssl_mode())
    }

    #[test]
    fn urls_say_how_connections_are_encrypted() {
        assert_eq!(tls("postgres://u@h/d"), (Mode::Prefer, None, SslMode::Prefer));
        assert_eq!(tls("postgresql://u:p?w@h/d?sslmode=disable"), (Mode::Disable, None, SslMode::Disable));
        assert_eq!(
            tls("postgres://u@h/d?connect_timeout=3&sslmode=verify-full&sslrootcert=%2Fetc%2Fmy%20ca.pem"),
            (Mode::VerifyFull, Some("/etc/my ca.pem".to_owned()), SslMode::Require)
        );
        assert_eq!(
            tls("host=h user=u sslmode=verify-ca sslrootcert=/ca"),
            (Mode::VerifyCa, Some("/ca".to_owned()), SslMode::Require)
        );
        assert_eq!(tls("postgres://h/d?sslmode=verify-full&sslrootcert=system").1, None);
        assert_eq!(tls("host=h user=u password='a sslmode=disable'").0, Mode::Prefer);
    }

    #[test]
    fn what_is_not_about_tls_stays() {
        let parsed = parse("postgres://u:p@h:1/d?application_name=x&sslmode=require&options=-c%20jit%3Don")
            .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(parsed.config.get_application_name(), Some("x"));
        assert_eq!(parsed.config.get_options(), Some("-c jit=on"));
        assert_eq!(parsed.config.get_password(), Some("p".as_bytes()));
    }

    #[test]
    fn errors_say_what_may_be_written() {
        for (text, what) in [
            ("postgres://u@h/d?sslmode=verify", "sslmode must be disable, prefer"),
            ("postgres://u@h/d?color=red", "color"),
            ("nonsense", "is not a PostgreSQL URL"),
            ("postgres:///d", "names no host"),
        ] {
            let error = parse(text).err().unwrap_or_default();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
