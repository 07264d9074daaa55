//! TLS to PostgreSQL and Kafka: how a server's certificate is checked, and against what.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// What is checked of a server's certificate; PostgreSQL's documentation has the words
/// (<https://www.postgresql.org/docs/current/libpq-ssl.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: nobody can listen, but anybody can answer.
    Nothing,
    /// That somebody trusted has signed it.
    Chain,
    /// That, and that it is for the name that was called.
    Full,
}

/// A configuration for connections; `roots` is a PEM file with the certificates that are trusted, the system's own without one.
/// The error is a sentence for operators, without the name of the setting.
pub fn client(verify: Verify, roots: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match verify {
        Verify::Full => builder.with_root_certificates(trusted(roots)?),
        Verify::Nothing => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Lenient { chain: None, provider }))
        }
        Verify::Chain => {
            let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(trusted(roots)?), provider.clone())
                .build()
                .map_err(|error| error.to_string())?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Lenient { chain: Some(chain), provider }))
        }
    };
    Ok(builder.with_no_client_auth())
}

fn trusted(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Some(path) = file else {
        let (added, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if added > 0 {
            Ok(store)
        } else {
            Err("this system trusts no certificates; name a file of them".to_owned())
        };
    };
    let wrong = |why: String| format!("{} {why}", path.display());
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if certificates.is_empty() {
        return Err(wrong("holds no certificate; PEM is wanted, from -----BEGIN CERTIFICATE----- on".to_owned()));
    }
    for certificate in certificates {
        store.add(certificate).map_err(|error| wrong(format!("holds a certificate that cannot be used: {error}")))?;
    }
    Ok(store)
}

/// Checks less than rustls would: the chain without the name, or nothing. That the server has the certificate's key it must show
/// all the same.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // Found out last, when everything else is right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        for (path, what) in [("/nowhere/ca.pem", "cannot be read"), ("Cargo.toml", "holds no certificate")] {
            let error = client(Verify::Full, Some(Path::new(path))).unwrap_err();
            assert!(error.contains(path) && error.contains(what), "{error}");
        }
        assert!(client(Verify::Nothing, None).is_ok());
    }
}
