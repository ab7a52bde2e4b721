//! A certificate authority of its own for each test, and what it has signed, as PEM files.

pub use rcgen;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
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

impl Pair {
    /// The certificate itself.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }
}

impl Certs {
    #[expect(clippy::new_without_default, reason = "it writes files")]
    pub fn new() -> Certs {
        let dir = TempDir::new().unwrap();
        let mut about = CertificateParams::new(vec![]).unwrap();
        about.distinguished_name.push(rcgen::DnType::CommonName, "limen tests");
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        about.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
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

    /// A certificate for a client, made as the test says, in files with this name.
    pub fn issue_client(&self, file: &str, about: CertificateParams) -> Pair {
        sign(&self.authority, self.dir.path(), file, about)
    }

    /// A list of revoked certificates: these serial numbers, as a PEM file.
    pub fn revoke(&self, serials: &[u64]) -> PathBuf {
        let far = rcgen::date_time_ymd(2099, 1, 1);
        let revoked = serials.iter().map(|&serial| rcgen::RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: rcgen::date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: far,
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let file = self.dir.path().join("revoked.pem");
        std::fs::write(&file, list.signed_by(&self.authority).unwrap().pem().unwrap()).unwrap();
        file
    }

    /// What a client does that trusts this authority, shows a certificate if it has one, and speaks these
    /// versions.
    pub fn client_config_with(
        &self,
        pair: Option<&Pair>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.as_ref().der().clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match pair {
            Some(Pair { chain, secret, .. }) => {
                config.with_client_auth_cert(chain.clone(), secret.clone_key()).unwrap()
            }
            None => config.with_no_client_auth(),
        }
    }

    /// What a client does that trusts this authority and no other.
    pub(crate) fn client_config(&self) -> rustls::ClientConfig {
        self.client_config_with(None, rustls::DEFAULT_VERSIONS)
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

    /// As [`Certs::server_config`], for clients that show a certificate of this authority and no others.
    pub(crate) fn demanding_server_config(&self) -> rustls::ServerConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.as_ref().der().clone()).unwrap();
        let builder =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let Pair { chain, secret, .. } = &self.local;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(builder.build().unwrap())
            .with_single_cert(chain.clone(), secret.clone_key())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

fn issue(authority: &CertifiedIssuer<'static, KeyPair>, dir: &Path, file: &str, names: &[&str]) -> Pair {
    let names: Vec<String> = names.iter().map(|&it| it.to_owned()).collect();
    sign(authority, dir, file, CertificateParams::new(names).unwrap())
}

fn sign(
    authority: &CertifiedIssuer<'static, KeyPair>,
    dir: &Path,
    file: &str,
    about: CertificateParams,
) -> Pair {
    let own_key = KeyPair::generate().unwrap();
    let certificate = about.signed_by(&own_key, authority).unwrap();
    let (cert, key) = (dir.join(format!("{file}.pem")), dir.join(format!("{file}.key")));
    std::fs::write(&cert, certificate.pem()).unwrap();
    std::fs::write(&key, own_key.serialize_pem()).unwrap();
    let secret = PrivatePkcs8KeyDer::from(own_key.serialize_der()).into();
    Pair { cert, key, chain: vec![certificate.der().clone()], secret }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
