//! Tells the upstream all that it knows of the client's certificate.

use limen::client_certificate as certificate;
use limen::prelude::*;

struct Certificate;

#[limen::policy]
impl Certificate {
    fn configure() -> Result<Self> {
        Ok(Certificate)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let known = json!({
            "subject": certificate::subject(),
            "issuer": certificate::issuer(),
            "serial": certificate::serial(),
            "fingerprint": certificate::fingerprint(),
            "dns": certificate::dns_names(),
            "uris": certificate::uris(),
            "emails": certificate::emails(),
            "addresses": certificate::addresses(),
        });
        request.set_header("x-certificate", &known.to_string())?;
        Ok(Flow::Next)
    }
}
