//! What a handshake told: once per connection.

use limen_policy::{ClientCertificate, TlsFacts};
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

use super::H2;

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
    ClientCertificate::read(der).unwrap_or_else(|| ClientCertificate::unreadable(der))
}
