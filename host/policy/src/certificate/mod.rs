//! What certificates of clients say of them.

mod name;

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What a client's certificate says of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// As text (RFC 4514).
    pub subject: String,
    pub issuer: String,
    /// In hexadecimal digits.
    pub serial: String,
    /// The SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
    pub dns_names: Vec<String>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

impl ClientCertificate {
    /// Reads one (DER) that somebody has verified; none if it is no certificate, or more than one.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut facts = ClientCertificate {
            subject: name::text(certificate.subject()),
            issuer: name::text(certificate.issuer()),
            serial: hexadecimal(certificate.raw_serial()),
            ..Self::unreadable(der)
        };
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        for alternative in alternatives.iter().flat_map(|found| &found.value.general_names) {
            match alternative {
                GeneralName::DNSName(name) => facts.dns_names.push((*name).to_owned()),
                GeneralName::URI(uri) => facts.uris.push((*uri).to_owned()),
                GeneralName::RFC822Name(email) => facts.emails.push((*email).to_owned()),
                GeneralName::IPAddress(bytes) => facts.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Some(facts)
    }

    /// One of which nothing is known but which it is.
    pub fn unreadable(der: &[u8]) -> Self {
        let fingerprint = hexadecimal(digest(&SHA256, der).as_ref());
        ClientCertificate { fingerprint, ..ClientCertificate::default() }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(v6)
}
