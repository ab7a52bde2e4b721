//! `client-certificate`: what the client showed in the TLS handshake.

use limen_policy::ClientCertificate;

use super::bindings::limen::policy::client_certificate;
use crate::state::State;

impl State {
    fn certificate(&self) -> Option<&ClientCertificate> {
        self.exchange.client.tls.as_ref()?.certificate.as_ref()
    }

    fn names(&self, of: impl Fn(&ClientCertificate) -> &Vec<String>) -> Vec<String> {
        self.certificate().map(of).cloned().unwrap_or_default()
    }
}

impl client_certificate::Host for State {
    fn subject(&mut self) -> Option<String> {
        Some(self.certificate()?.subject.clone())
    }

    fn issuer(&mut self) -> Option<String> {
        Some(self.certificate()?.issuer.clone())
    }

    fn serial(&mut self) -> Option<String> {
        Some(self.certificate()?.serial.clone())
    }

    fn fingerprint(&mut self) -> Option<String> {
        Some(self.certificate()?.fingerprint.clone())
    }

    fn dns_names(&mut self) -> Vec<String> {
        self.names(|certificate| &certificate.dns_names)
    }

    fn uris(&mut self) -> Vec<String> {
        self.names(|certificate| &certificate.uris)
    }

    fn emails(&mut self) -> Vec<String> {
        self.names(|certificate| &certificate.emails)
    }

    fn addresses(&mut self) -> Vec<String> {
        let addresses = self.certificate().map(|certificate| certificate.addresses.iter());
        addresses.into_iter().flatten().map(ToString::to_string).collect()
    }
}
