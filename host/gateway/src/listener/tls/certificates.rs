//! The certificates of a listener: which one for which name is settled at load.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use limen_config::{Certificate, ConfigError};
use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Those with the same name: one, or one for each kind of key.
type Keys = Vec<Arc<CertifiedKey>>;

#[derive(Debug)]
pub struct Certificates {
    exact: HashMap<String, Keys>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Keys>,
    default: Keys,
    /// By their files, for the next time that these are read.
    loaded: HashMap<(PathBuf, PathBuf), Arc<CertifiedKey>>,
}

impl Certificates {
    /// Each pair must fit, or have fitted `before`.
    pub fn load(
        pairs: &[Certificate],
        provider: &CryptoProvider,
        before: Option<&Certificates>,
    ) -> Result<Certificates, ConfigError> {
        let mut certificates = Certificates {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Vec::new(),
            loaded: HashMap::new(),
        };
        let mut default = None;
        for pair in pairs {
            let files = (pair.cert.clone(), pair.key.clone());
            let key = match certified_key(pair, provider) {
                Ok(key) => Arc::new(key),
                Err(error) => match before.and_then(|before| before.loaded.get(&files)) {
                    Some(last_good) => {
                        tracing::error!(
                            "the new certificate can't be used, the last good one serves on: {error}"
                        );
                        last_good.clone()
                    }
                    None => return Err(error),
                },
            };
            if default.is_none() || pair.default {
                default = Some(key.clone());
            }
            for name in key.cert.first().map(names).unwrap_or_default() {
                let same = match name.strip_prefix("*.") {
                    Some(parent) => certificates.wildcard.entry(parent.to_owned()).or_default(),
                    None => certificates.exact.entry(name).or_default(),
                };
                if !same.iter().any(|other| Arc::ptr_eq(other, &key)) {
                    same.push(key.clone());
                }
            }
            certificates.loaded.insert(files, key);
        }
        let default: Keys = default.into_iter().collect();
        // Of another kind, but for the same names.
        let names = default.first().and_then(|key| key.cert.first()).map(names).unwrap_or_default();
        let twins = names.first().and_then(|name| certificates.keys(name)).cloned().unwrap_or_default();
        let twins = twins.into_iter().filter(|twin| !default.iter().any(|key| Arc::ptr_eq(key, twin)));
        certificates.default = default.iter().cloned().chain(twins).collect();
        Ok(certificates)
    }

    /// Those for this name, in lower case.
    fn keys(&self, name: &str) -> Option<&Keys> {
        let in_wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(in_wildcard)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has brought it into lower case.
        let keys = hello.server_name().and_then(|name| self.keys(name)).unwrap_or(&self.default);
        suitable(keys, hello.signature_schemes())
    }
}

/// The first that the client can verify. If it knows none, rustls says so in its own words.
fn suitable(keys: &[Arc<CertifiedKey>], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
    let known = keys.iter().find(|key| key.key.choose_scheme(schemes).is_some());
    known.or_else(|| keys.first()).cloned()
}

/// The names that a certificate is for, in lower case: its DNS names, or its common name if it has none.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.iter().flat_map(|found| &found.value.general_names);
    let dns = alternatives.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let names: Vec<_> = dns.collect();
    if !names.is_empty() {
        return names;
    }
    let common = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    common.map(str::to_ascii_lowercase).into_iter().collect()
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
    let mut certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| {
        wrong(format!("the certificate {cert} and the key {key} can't be used: {error}"))
            .hint("is this the key that the certificate was made for?")
    })?;
    certified.ocsp = pair.ocsp.as_deref().map(ocsp).transpose().map_err(|what| {
        wrong(what)
            .expected("an OCSP response in DER, as the authority sends it")
            .hint("`openssl ocsp -respout` writes one")
    })?;
    Ok(certified)
}

/// A staple is checked by clients; here, only that it is none of the usual mistakes.
fn ocsp(file: &Path) -> Result<Vec<u8>, String> {
    let response = std::fs::read(file)
        .map_err(|error| format!("could not read the OCSP response {}: {error}", file.display()))?;
    // OCSPResponse (RFC 6960, section 4.2.1): a SEQUENCE that begins with the status, an ENUMERATED.
    let (_, sequence) = x509_parser::der_parser::der::parse_der(&response)
        .map_err(|_| format!("not an OCSP response: {}", file.display()))?;
    let status = sequence.as_sequence().ok().and_then(|parts| parts.first()?.as_u32().ok());
    match status {
        Some(0) => Ok(response),
        Some(status) => {
            Err(format!("the OCSP response {} says that it failed: status {status}", file.display()))
        }
        None => Err(format!("not an OCSP response: {}", file.display())),
    }
}
