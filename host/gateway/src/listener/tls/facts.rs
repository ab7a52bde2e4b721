//! What a handshake told: once per connection.

use std::net::IpAddr;

use limen_policy::{ClientCertificate, TlsFacts};
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{H2, name};

/// How a connection began.
pub struct Handshake {
    pub facts: TlsFacts,
    /// Whether HTTP/2 was agreed on.
    pub http2: bool,
    pub resumed: bool,
}

pub fn facts(connection: &ServerConnection) -> Handshake {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => TlsFacts::V1_2,
        _ => TlsFacts::V1_3,
    };
    let facts = TlsFacts {
        version,
        server_name: connection.server_name().map(str::to_owned),
        certificate: connection.peer_certificates().and_then(|chain| chain.first()).map(certificate),
    };
    Handshake {
        facts,
        http2: connection.alpn_protocol() == Some(H2),
        resumed: matches!(connection.handshake_kind(), Some(HandshakeKind::Resumed)),
    }
}

/// What a verified certificate says.
pub fn certificate(der: &CertificateDer<'_>) -> ClientCertificate {
    let mut facts = ClientCertificate {
        fingerprint: Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect(),
        ..ClientCertificate::default()
    };
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return facts };
    facts.subject = name::text(certificate.subject());
    facts.issuer = name::text(certificate.issuer());
    facts.serial = certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
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
    facts
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(v6)
}
