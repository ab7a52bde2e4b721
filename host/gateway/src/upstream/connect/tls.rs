//! TLS to endpoints: whom to trust, what to show, which protocol to agree on.

use std::io;
use std::path::Path;
use std::sync::Arc;

use limen_config::{ConfigError, TlsVersion, UpstreamProtocol, UpstreamTls, Verify};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::roots;

/// How an upstream's endpoints are spoken to over TLS. Its sessions are resumed by all workers.
pub struct Tls {
    connector: TlsConnector,
    /// Instead of the endpoint's host.
    server_name: Option<String>,
    /// What the files said, and the settings beside them.
    identity: [u8; 32],
}

impl Tls {
    /// Reads the files. `previous` is used again where nothing has changed: it knows sessions.
    pub fn new(upstream: &str, terms: &UpstreamTls, previous: Option<&Tls>) -> Result<Self, ConfigError> {
        let files = Files::read(terms)?;
        let identity = files.identity(terms);
        let known = previous.filter(|previous| previous.identity == identity);
        let connector = match known {
            Some(known) => known.connector.clone(),
            None => TlsConnector::from(Arc::new(config(upstream, terms, &files)?)),
        };
        Ok(Tls { connector, server_name: terms.server_name.clone(), identity })
    }

    pub fn is_like(&self, other: &Tls) -> bool {
        self.identity == other.identity
    }

    /// The handshake on a connection to this host.
    pub async fn handshake(
        &self,
        host: &str,
        protocol: UpstreamProtocol,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| io::Error::other(format!("`{name}` is no name that a certificate could be for")))?;
        let (http1, http2) = (b"http/1.1".to_vec(), b"h2".to_vec());
        let offer = match protocol {
            UpstreamProtocol::Auto => vec![http2, http1],
            UpstreamProtocol::Http1 => vec![http1],
            UpstreamProtocol::Http2 => vec![http2],
        };
        self.connector.with_alpn(offer).connect(name, stream).await
    }
}

/// The files of an upstream's `tls`, read once, so that what is checked is what is used.
struct Files {
    roots: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Files {
    fn read(terms: &UpstreamTls) -> Result<Self, ConfigError> {
        let read = |path: &Option<std::path::PathBuf>| {
            let Some(path) = path else { return Ok(None) };
            std::fs::read(path)
                .map(Some)
                .map_err(|error| wrong(terms, format!("could not read {}: {error}", path.display())))
        };
        Ok(Files { roots: read(&terms.roots)?, cert: read(&terms.cert)?, key: read(&terms.key)? })
    }

    fn identity(&self, terms: &UpstreamTls) -> [u8; 32] {
        let UpstreamTls { roots: _, server_name, cert: _, key: _, min_version, verify, place: _ } = terms;
        let mut digest = Sha256::new();
        for file in [&self.roots, &self.cert, &self.key] {
            digest.update(file.as_ref().map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
            digest.update(file.as_deref().unwrap_or_default());
        }
        digest.update(format!("{server_name:?} {min_version:?} {verify:?}"));
        digest.finalize().into()
    }
}

fn config(upstream: &str, terms: &UpstreamTls, files: &Files) -> Result<ClientConfig, ConfigError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[&SupportedProtocolVersion] = match terms.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|error| wrong(terms, format!("TLS can't be set up: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(match terms.verify {
            Verify::Certificate => {
                let roots = match (&terms.roots, &files.roots) {
                    (Some(path), Some(pem)) => Arc::new(named_roots(terms, path, pem)?),
                    _ => system_roots(terms)?,
                };
                WebPkiServerVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| wrong(terms, format!("these roots can't be used: {error}")))?
            }
            Verify::Nothing => {
                tracing::warn!(
                    upstream,
                    "danger_accept_any_certificate: whoever answers for its endpoints is taken for them"
                );
                Arc::new(AnyCertificate(provider))
            }
        });
    match (&terms.cert, &files.cert, &terms.key, &files.key) {
        (Some(cert), Some(chain), Some(key), Some(secret)) => {
            let chain = certificates(terms, cert, chain)?;
            let private = PrivateKeyDer::from_pem_slice(secret).map_err(|error| {
                wrong(terms, format!("could not read a private key from {}: {error}", key.display()))
                    .expected("a PEM file with a `BEGIN PRIVATE KEY` block")
            })?;
            builder.with_client_auth_cert(chain, private).map_err(|error| {
                let (cert, key) = (cert.display(), key.display());
                wrong(terms, format!("the certificate {cert} and the key {key} can't be used: {error}"))
                    .hint("is this the key that the certificate was made for?")
            })
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn named_roots(terms: &UpstreamTls, path: &Path, pem: &[u8]) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(terms, path, pem)? {
        roots.add(certificate).map_err(|error| {
            wrong(terms, format!("{} has a certificate that can be no root: {error}", path.display()))
        })?;
    }
    Ok(roots)
}

fn certificates(
    terms: &UpstreamTls,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let path = path.display();
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(wrong(terms, format!("no certificate in {path}"))
            .expected("a PEM file with `BEGIN CERTIFICATE` blocks")),
        Err(error) => Err(wrong(terms, format!("could not read certificates from {path}: {error}"))
            .expected("a PEM file with `BEGIN CERTIFICATE` blocks")),
    }
}

/// The roots that this machine trusts.
fn system_roots(terms: &UpstreamTls) -> Result<Arc<RootCertStore>, ConfigError> {
    let roots = roots::of_system();
    if roots.is_empty() {
        return Err(wrong(terms, "this system trusts no certificates at all".to_owned()).hint(
            "install the package `ca-certificates`, or name a file of `roots` in [upstream.NAME.tls]",
        ));
    }
    Ok(roots)
}

fn wrong(terms: &UpstreamTls, what: String) -> ConfigError {
    ConfigError::new(terms.place.clone(), what)
}

/// Takes any certificate, but still has the other side prove that it is its own.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
