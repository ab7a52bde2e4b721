//! TLS for a listener: certificates by server name, ALPN for HTTP/2 and HTTP/1.1.

use std::sync::Arc;

use limen_config::{Certificate, ConfigError, Tls};
use limen_policy::TlsFacts;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use tokio_rustls::TlsAcceptor;

/// Reads the certificates and keys of a listener; each pair must fit.
pub fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ConfigError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let keys = tls.certificates.iter().map(|pair| Ok(Arc::new(certified_key(pair, &provider)?)));
    let certificates = Certificates(keys.collect::<Result<_, ConfigError>>()?);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::new(tls.place.clone(), format!("TLS can't be set up: {error}")))?;
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What policies may know of a handshake.
pub fn facts(connection: &ServerConnection) -> TlsFacts {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    TlsFacts { version, server_name: connection.server_name().map(str::to_owned) }
}

/// The certificates of a listener: the first that is valid for the name the client asks for, else
/// the first.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok())
            .and_then(|name| self.0.iter().find(|key| is_valid_for(key, &name)));
        named.or_else(|| self.0.first()).cloned()
    }
}

fn is_valid_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.cert.first().and_then(|der| webpki::EndEntityCert::try_from(der).ok());
    certificate.is_some_and(|certificate| certificate.verify_is_valid_for_subject_name(name).is_ok())
}

fn certified_key(pair: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, ConfigError> {
    let wrong = |what: String| ConfigError::new(pair.place.clone(), what);
    let (cert, key) = (pair.cert.display(), pair.key.display());
    let chain = CertificateDer::pem_file_iter(&pair.cert)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|error| {
            wrong(format!("could not read certificates from {cert}: {error}"))
                .expected("a PEM file, the server's own certificate first")
        })?;
    if chain.is_empty() {
        return Err(wrong(format!("no certificate in {cert}"))
            .expected("a PEM file with `BEGIN CERTIFICATE` blocks, the server's own certificate first"));
    }
    let private = PrivateKeyDer::from_pem_file(&pair.key).map_err(|error| {
        wrong(format!("could not read a private key from {key}: {error}"))
            .expected("a PEM file with a `BEGIN PRIVATE KEY` block")
    })?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| {
        wrong(format!("the certificate {cert} and the key {key} can't be used: {error}"))
            .hint("is this the key that the certificate was made for?")
    })
}
