//! `[listener.tls]`

use std::path::PathBuf;

use super::ClientAuth;
use crate::section::{Section, section};
use crate::value::{Value, boolean, choice, readable_file, some, table};
use crate::{Place, TlsVersion};

section! {
    /// `[listener.tls]`: TLS 1.3 and 1.2. HTTP/2 and HTTP/1.1 are agreed on by ALPN; a client that
    /// offers neither speaks HTTP/1.1.
    pub struct Tls(section) {
        /// `certificates` (required): at least one. A client gets the one with the name it asks for: an
        /// exact name before a wildcard, which stands for one label; of several with that name, the
        /// first with a kind of key that the client knows (so that an ECDSA and an RSA one can stand
        /// side by side). A client that asks for another name, or for none, gets the default one.
        pub certificates: Vec<Certificate> = certificates(section),

        /// `min_version`: "1.2" (default) or "1.3".
        pub min_version: TlsVersion = section.or("min_version", choice(TlsVersion::CHOICES), TlsVersion::Tls12),

        /// `ciphers`: the cipher suites that may be agreed on, the preferred ones first, by their names
        /// in the IANA registry. Default: all that there are here, each with forward secrecy and AEAD:
        /// TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256 (TLS 1.3), and
        /// TLS_ECDHE_ECDSA_WITH_ or TLS_ECDHE_RSA_WITH_ those three (TLS 1.2).
        pub ciphers: Option<Vec<CipherSuite>> = section.optional("ciphers", some(CipherSuite::read)),

        /// `client_auth`: clients show certificates too. Default: they aren't asked.
        pub client_auth: Option<ClientAuth> = section.optional("client_auth", table(ClientAuth::read)),

        /// `resumption`: a client that comes again may skip most of the handshake, by a ticket that is
        /// good for 12 hours at most and survives reloads (but for one that changes `client_auth` or its
        /// files: then everybody is verified anew). Default true.
        pub resumption: bool = section.or("resumption", boolean, true),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

section! {
    /// One of `certificates`: `{ cert = "api.pem", key = "api.key" }`. Paths are relative to the
    /// file that names them; all files must be readable. When they change they are read again; those
    /// that can't be used then are told in the log, and the old ones serve on.
    pub struct Certificate(section) {
        /// `cert` (required): a PEM file with the certificate and those that lead to its root.
        pub cert: PathBuf = section.required("cert", readable_file),

        /// `key` (required): a PEM file with the private key.
        pub key: PathBuf = section.required("key", readable_file),

        /// `ocsp`: a file with the authority's OCSP response in DER, stapled to the certificate for clients
        /// that ask for it. Keeping it fresh is up to whoever writes it. Default: none.
        pub ocsp: Option<PathBuf> = section.optional("ocsp", readable_file),

        /// `default`: the one for clients that ask for a name that no certificate has, or for none. One at
        /// most; if none is, the first.
        pub default: bool = section.or("default", boolean, false),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

impl Tls {
    /// Every file that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs =
            self.certificates.iter().flat_map(|pair| [&pair.cert, &pair.key].into_iter().chain(&pair.ocsp));
        pairs.chain(self.client_auth.iter().flat_map(|auth| std::iter::once(&auth.ca).chain(&auth.crl)))
    }
}

/// A cipher suite by name. Which names there are, whoever speaks TLS knows.
#[derive(Debug, Clone)]
pub struct CipherSuite {
    pub name: String,
    /// Where it stands in the file.
    pub place: Place,
}

impl CipherSuite {
    fn read(value: &Value<'_>) -> Option<CipherSuite> {
        let name = value.text("the name of a cipher suite, like \"TLS_AES_256_GCM_SHA384\"")?;
        Some(CipherSuite { name, place: value.place() })
    }
}

fn certificates(section: &Section<'_>) -> Option<Vec<Certificate>> {
    let certificates = section.required("certificates", some(table(Certificate::read)))?;
    let mut defaults = certificates.iter().enumerate().filter(|(_, certificate)| certificate.default);
    let (first, second) = (defaults.next(), defaults.next());
    let (Some((_, first)), Some((second, _))) = (first, second) else { return Some(certificates) };
    let item = section.get("certificates")?.items("an array")?.nth(second)?;
    item.fail(
        item.error("a second certificate with `default = true`")
            .expected("one default certificate at most")
            .hint(format!("the first is at {}", first.place)),
    )
}
