//! A certificate authority of its own for each test, and what it has signed, as PEM files.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A test's own authority, with one certificate for `localhost` and the loopback addresses.
pub struct Certs {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    local: Pair,
}

/// A certificate and its key, as PEM files.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    secret: PrivateKeyDer<'static>,
}

impl Certs {
    #[expect(clippy::new_without_default, reason = "it writes files")]
    pub fn new() -> Certs {
        let dir = TempDir::new().unwrap();
        let mut about = CertificateParams::new(vec![]).unwrap();
        about.distinguished_name.push(rcgen::DnType::CommonName, "limen tests");
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(about, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        let local = issue(&authority, dir.path(), "local", &["localhost", "127.0.0.1", "::1"]);
        Certs { dir, authority, local }
    }

    /// The authority's certificate, which clients are to trust.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The certificate for `localhost` and the loopback addresses.
    pub fn local(&self) -> &Pair {
        &self.local
    }

    /// A further certificate, in files named after its first name.
    pub fn issue(&self, names: &[&str]) -> Pair {
        issue(&self.authority, self.dir.path(), names[0], names)
    }

    /// What a client does that trusts this authority and no other.
    pub(crate) fn client_config(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.as_ref().der().clone()).unwrap();
        rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// What a server does that shows [`Certs::local`], speaking HTTP/2 and HTTP/1.1.
    pub(crate) fn server_config(&self) -> rustls::ServerConfig {
        let Pair { chain, secret, .. } = &self.local;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.clone(), secret.clone_key())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

fn issue(authority: &CertifiedIssuer<'static, KeyPair>, dir: &Path, file: &str, names: &[&str]) -> Pair {
    let names: Vec<String> = names.iter().map(|&it| it.to_owned()).collect();
    let own_key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&own_key, authority).unwrap();
    let (cert, key) = (dir.join(format!("{file}.pem")), dir.join(format!("{file}.key")));
    std::fs::write(&cert, certificate.pem()).unwrap();
    std::fs::write(&key, own_key.serialize_pem()).unwrap();
    let secret = PrivatePkcs8KeyDer::from(own_key.serialize_der()).into();
    Pair { cert, key, chain: vec![certificate.der().clone()], secret }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
