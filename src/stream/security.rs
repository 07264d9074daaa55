//! How brokers are talked to, in the words of Kafka's own settings: with or without TLS, with or without a password.

use crate::domain::{Error, Result};
use crate::runtime::tls::{self, Verify};
use clap::ValueEnum;
use rskafka::client::{ClientBuilder, Credentials, SaslConfig};
use std::path::PathBuf;
use std::sync::Arc;

/// Whether connections are encrypted and how this program proves who it is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaSecurityArgs {
    /// How brokers are talked to; SSL means TLS, and that a broker's certificate must be right
    #[arg(long, env, value_name = "PROTOCOL", value_enum, ignore_case = true, default_value = "PLAINTEXT")]
    kafka_security_protocol: Protocol,
    /// File of the certificates (PEM) that brokers' own are checked against; without it those that the system trusts
    #[arg(long, env, value_name = "FILE")]
    kafka_ca_file: Option<PathBuf>,
    /// How the password is shown with SASL_PLAINTEXT and SASL_SSL
    #[arg(long, env, value_name = "MECHANISM", value_enum, ignore_case = true, default_value = "SCRAM-SHA-512")]
    kafka_sasl_mechanism: Mechanism,
    /// User for SASL_PLAINTEXT and SASL_SSL
    #[arg(long, env, value_name = "NAME")]
    kafka_username: Option<String>,
    /// The user's password; better in a file
    #[arg(long, env, value_name = "PASSWORD", hide_env_values = true, conflicts_with = "kafka_password_file")]
    kafka_password: Option<String>,
    /// File that holds the user's password (a mounted secret)
    #[arg(long, env, value_name = "FILE")]
    kafka_password_file: Option<PathBuf>,
}

/// Kafka's `security.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    #[value(name = "PLAINTEXT")]
    Plaintext,
    #[value(name = "SSL")]
    Ssl,
    #[value(name = "SASL_PLAINTEXT")]
    SaslPlaintext,
    #[value(name = "SASL_SSL")]
    SaslSsl,
}

/// Those of Kafka's values of `sasl.mechanism` that use a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mechanism {
    #[value(name = "PLAIN")]
    Plain,
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Who this program is, and how it shows that.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) mechanism: Mechanism,
    pub(super) username: String,
    pub(super) password: String,
}

/// The same, read and ready for use.
#[derive(Clone, Default)]
pub(super) struct Security {
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) login: Option<Login>,
}

impl KafkaSecurityArgs {
    pub(super) fn read(&self) -> Result<Security> {
        let (encrypted, known) = match self.kafka_security_protocol {
            Protocol::Plaintext => (false, false),
            Protocol::Ssl => (true, false),
            Protocol::SaslPlaintext => (false, true),
            Protocol::SaslSsl => (true, true),
        };
        if self.kafka_ca_file.is_some() && !encrypted {
            return Err(without("KAFKA_CA_FILE", "SSL or SASL_SSL"));
        }
        if self.kafka_username.is_some() && !known {
            return Err(without("KAFKA_USERNAME", "SASL_SSL or SASL_PLAINTEXT"));
        }
        let tls = encrypted.then(|| tls::client(Verify::Full, self.kafka_ca_file.as_deref()).map(Arc::new)).transpose();
        let tls = tls.map_err(|why| Error::invalid("KAFKA_CA_FILE", why))?;
        let login = if known { Some(self.login()?) } else { None };
        Ok(Security { tls, login })
    }

    fn login(&self) -> Result<Login> {
        let wanted = |field| Error::invalid(field, "must be given with SASL_PLAINTEXT and SASL_SSL");
        let username = self.kafka_username.clone().ok_or_else(|| wanted("KAFKA_USERNAME"))?;
        let password = match (&self.kafka_password, &self.kafka_password_file) {
            (Some(password), _) => password.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| {
                    Error::invalid("KAFKA_PASSWORD_FILE", format!("{} cannot be read: {error}", path.display()))
                })?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            (None, None) => return Err(wanted("KAFKA_PASSWORD_FILE")),
        };
        Ok(Login { mechanism: self.kafka_sasl_mechanism, username, password })
    }
}

fn without(field: &str, protocol: &str) -> Error {
    Error::invalid(field, format!("means nothing unless KAFKA_SECURITY_PROTOCOL is {protocol}"))
}

impl Security {
    /// The same for rskafka.
    pub(super) fn apply(&self, mut client: ClientBuilder) -> ClientBuilder {
        if let Some(tls) = &self.tls {
            client = client.tls_config(tls.clone());
        }
        if let Some(login) = &self.login {
            let credentials = Credentials::new(login.username.clone(), login.password.clone());
            client = client.sasl_config(match login.mechanism {
                Mechanism::Plain => SaslConfig::Plain(credentials),
                Mechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
                Mechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
            });
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        security: KafkaSecurityArgs,
    }

    fn read(line: &str) -> Result<Security> {
        let line = Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace()));
        line.unwrap_or_else(|error| panic!("{error}")).security.read()
    }

    #[test]
    fn what_belongs_together_must_be_given_together() {
        assert!(read("").is_ok_and(|security| security.tls.is_none() && security.login.is_none()));
        let plain = "--kafka-security-protocol sasl_plaintext --kafka-sasl-mechanism plain --kafka-username u";
        let login = read(&format!("{plain} --kafka-password p")).unwrap().login.unwrap();
        assert_eq!((login.mechanism, login.username.as_str(), login.password.as_str()), (Mechanism::Plain, "u", "p"));
        for (line, field) in [
            (plain, "KAFKA_PASSWORD_FILE"),
            ("--kafka-security-protocol SASL_SSL --kafka-ca-file Cargo.toml", "KAFKA_CA_FILE"),
            ("--kafka-security-protocol SASL_PLAINTEXT", "KAFKA_USERNAME"),
            ("--kafka-ca-file Cargo.toml", "KAFKA_CA_FILE"),
            ("--kafka-username u", "KAFKA_USERNAME"),
        ] {
            let error = read(line).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(field), "{line}: {error}");
        }
    }
}
