//! TLS: what gateways show, and the certificates of their clients.

use limen_tests::rcgen::{CertificateParams, SanType};
use limen_tests::{Certs, Client, Pair};

/// Whose certificate lets pass.
pub const ADA: &str = "ada";
/// Whose does not.
pub const EVE: &str = "eve";

pub struct Tls {
    certs: Certs,
    clients: [(&'static str, Pair); 2],
}

impl Tls {
    pub fn new() -> Tls {
        let certs = Certs::new();
        let clients = [ADA, EVE].map(|name| {
            let mut about = CertificateParams::default();
            let uri = format!("spiffe://example.com/{name}");
            about.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
            (name, certs.issue_client(name, about))
        });
        Tls { certs, clients }
    }

    /// A path, of the authority's certificate.
    pub fn ca(&self) -> String {
        self.certs.ca().display().to_string()
    }

    /// Paths of what gateways show, certificate and key.
    pub fn server(&self) -> [String; 2] {
        files(self.certs.local())
    }

    /// Paths of what this client shows.
    pub fn client_files(&self, name: &str) -> [String; 2] {
        files(self.pair(name))
    }

    pub fn client(&self, name: &str) -> Client {
        Client::http1().showing(&self.certs, self.pair(name))
    }

    fn pair(&self, name: &str) -> &Pair {
        let found = self.clients.iter().find(|(known, _)| *known == name);
        found.map(|(_, pair)| pair).expect("a client with a certificate")
    }
}

fn files(pair: &Pair) -> [String; 2] {
    [&pair.cert, &pair.key].map(|path| path.display().to_string())
}
