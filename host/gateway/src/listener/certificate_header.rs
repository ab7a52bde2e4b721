//! `X-Forwarded-Client-Cert`: what upstreams are told of a client's certificate, in Envoy's format.

use std::fmt::Write as _;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use limen_config::ForwardCertificate;
use limen_policy::ClientCertificate;

/// What becomes of the header on requests of one connection.
#[derive(Debug, PartialEq, Eq)]
pub enum CertificateHeader {
    /// Nobody is told anything.
    Remove,
    /// In place of what there is.
    Set(HeaderValue),
    /// After what there is: the client showed a certificate, and so may speak for others.
    Append(HeaderValue),
}

impl CertificateHeader {
    pub const NAME: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

    pub fn new(forward: ForwardCertificate, certificate: Option<&ClientCertificate>) -> Self {
        let element = certificate.and_then(|certificate| HeaderValue::try_from(element(certificate)).ok());
        match (forward, element) {
            (ForwardCertificate::Set, Some(element)) => CertificateHeader::Set(element),
            (ForwardCertificate::Append, Some(element)) => CertificateHeader::Append(element),
            _ => CertificateHeader::Remove,
        }
    }

    /// What was said last, and so by the peer.
    pub fn last(headers: &HeaderMap) -> Option<Box<HeaderValue>> {
        headers.get_all(Self::NAME).iter().next_back().cloned().map(Box::new)
    }

    /// Brings the header of a request that came by this connection into order. (`is_there`: it has been
    /// looked for.)
    pub fn settle(&self, headers: &mut HeaderMap, is_there: bool) {
        match self {
            CertificateHeader::Remove if is_there => drop(headers.remove(Self::NAME)),
            CertificateHeader::Remove => {}
            CertificateHeader::Set(element) => drop(headers.insert(Self::NAME, element.clone())),
            CertificateHeader::Append(element) => _ = headers.append(Self::NAME, element.clone()),
        }
    }
}

/// `Hash=...;Subject="...";URI=...;DNS=...`
fn element(certificate: &ClientCertificate) -> String {
    // In a subject (RFC 4514) quotes and backslashes are escaped already.
    let mut element = format!("Hash={};Subject=\"{}\"", certificate.fingerprint, certificate.subject);
    let uris = certificate.uris.iter().map(|uri| ("URI", uri));
    for (key, value) in uris.chain(certificate.dns_names.iter().map(|name| ("DNS", name))) {
        // Writing to a string does not fail.
        let _ = write!(element, ";{key}=");
        if value.contains([',', ';', '=', '"', '\\']) {
            element.push('"');
            escape(value, &mut element);
            element.push('"');
        } else {
            element.push_str(value);
        }
    }
    element
}

fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_as_envoy_writes_it() {
        let certificate = ClientCertificate {
            fingerprint: "468ed3".into(),
            subject: "CN=\\\"Ada\\\",OU=a\\,b".into(),
            uris: vec!["spiffe://example.com/ns/a".into(), "urn:a=b;c".into(), "urn:\"a\\".into()],
            dns_names: vec!["a.example.com".into()],
            ..ClientCertificate::default()
        };
        let header = CertificateHeader::new(ForwardCertificate::Set, Some(&certificate));
        let expected = "Hash=468ed3;Subject=\"CN=\\\"Ada\\\",OU=a\\,b\";URI=spiffe://example.com/ns/a;\
                        URI=\"urn:a=b;c\";URI=\"urn:\\\"a\\\\\";DNS=a.example.com";
        assert_eq!(header, CertificateHeader::Set(HeaderValue::from_static(expected)));
    }

    #[test]
    fn what_breaks_the_header_is_not_told() {
        let certificate =
            ClientCertificate { uris: vec!["urn:a\r\nx: y".into()], ..ClientCertificate::default() };
        let header = CertificateHeader::new(ForwardCertificate::Set, Some(&certificate));
        assert_eq!(header, CertificateHeader::Remove);
    }

    #[test]
    fn only_a_client_with_a_certificate_speaks_for_others() {
        let settled = |forward, certificate: Option<&ClientCertificate>| {
            let mut headers = HeaderMap::new();
            headers.insert(CertificateHeader::NAME, HeaderValue::from_static("Hash=1"));
            CertificateHeader::new(forward, certificate).settle(&mut headers, true);
            headers
                .get_all(CertificateHeader::NAME)
                .iter()
                .map(|value| value.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let certificate = ClientCertificate { fingerprint: "2".into(), ..ClientCertificate::default() };
        assert!(settled(ForwardCertificate::Off, Some(&certificate)).is_empty());
        assert!(settled(ForwardCertificate::Append, None).is_empty());
        assert_eq!(settled(ForwardCertificate::Set, Some(&certificate)), ["Hash=2;Subject=\"\""]);
        assert_eq!(
            settled(ForwardCertificate::Append, Some(&certificate)),
            ["Hash=1", "Hash=2;Subject=\"\""]
        );
    }
}
