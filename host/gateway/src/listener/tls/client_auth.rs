//! Who may connect: authorities, and lists of what they have revoked.

use std::path::Path;
use std::sync::Arc;

use limen_config::{ClientAuthMode, ConfigError};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

pub struct ClientAuth {
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// All that the verifier was made of.
    pub made_of: Vec<Vec<u8>>,
}

impl ClientAuth {
    pub fn load(
        auth: &limen_config::ClientAuth,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ClientAuth, ConfigError> {
        let wrong = |what: String| ConfigError::new(auth.place.clone(), what);
        let mut made_of = vec![match auth.mode {
            ClientAuthMode::Required => b"required".to_vec(),
            ClientAuthMode::Optional => b"optional".to_vec(),
        }];
        let mut roots = RootCertStore::empty();
        let ca = auth.ca.display();
        for certificate in read(&auth.ca, &mut made_of)
            .and_then(|pem| all(CertificateDer::pem_slice_iter(pem)))
            .map_err(&wrong)?
        {
            roots.add(certificate).map_err(|error| {
                wrong(format!("a certificate of {ca} can't be used: {error}"))
                    .expected("certificates of authorities")
            })?;
        }
        if roots.is_empty() {
            return Err(wrong(format!("no certificate in {ca}"))
                .expected("a PEM file with `BEGIN CERTIFICATE` blocks, those of the authorities"));
        }
        let mut lists = Vec::new();
        for file in &auth.crl {
            let found = read(file, &mut made_of)
                .and_then(|pem| all(CertificateRevocationListDer::pem_slice_iter(pem)))
                .map_err(&wrong)?;
            if found.is_empty() {
                return Err(wrong(format!("no list in {}", file.display()))
                    .expected("a PEM file with `BEGIN X509 CRL` blocks"));
            }
            lists.extend(found);
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).with_crls(lists);
        let builder = match auth.mode {
            ClientAuthMode::Required => builder,
            ClientAuthMode::Optional => builder.allow_unauthenticated(),
        };
        let verifier = builder
            .build()
            .map_err(|error| wrong(format!("clients' certificates can't be verified: {error}")))?;
        Ok(ClientAuth { verifier, made_of })
    }
}

fn read<'b>(file: &Path, made_of: &'b mut Vec<Vec<u8>>) -> Result<&'b [u8], String> {
    let pem = std::fs::read(file).map_err(|error| format!("could not read {}: {error}", file.display()))?;
    made_of.push(pem);
    Ok(made_of.last().map(Vec::as_slice).unwrap_or_default())
}

fn all<T>(found: impl Iterator<Item = Result<T, rustls::pki_types::pem::Error>>) -> Result<Vec<T>, String> {
    found.collect::<Result<_, _>>().map_err(|error| format!("not a PEM file: {error}"))
}
