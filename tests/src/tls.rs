//! TLS connections to look at: what a handshake agreed on, and the bytes after it.

use std::io;
use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub use rustls;

use crate::eventually::within;

/// A connection whose handshake is done.
pub struct Session {
    pub stream: TlsStream<TcpStream>,
}

/// Shakes hands, asking for this server name (an address is none: then nothing is asked for).
pub async fn connect(
    address: impl AsRef<str>,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<Session> {
    let connecting = async {
        let socket = TcpStream::connect(address.as_ref()).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = tokio_rustls::TlsConnector::from(config.clone()).connect(name, socket).await?;
        Ok(Session { stream })
    };
    within("the TLS handshake", connecting).await
}

impl Session {
    /// What the server showed.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.stream.get_ref().1.peer_certificates().unwrap()[0]
    }

    /// Such as `TLSv1_3`.
    pub fn version(&self) -> String {
        format!("{:?}", self.stream.get_ref().1.protocol_version().unwrap())
    }

    /// Such as `TLS13_AES_128_GCM_SHA256`.
    pub fn suite(&self) -> String {
        format!("{:?}", self.stream.get_ref().1.negotiated_cipher_suite().unwrap().suite())
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// Verifies as usual, and keeps the OCSP response that came with the certificate.
#[derive(Debug)]
pub struct Stapled {
    usual: Arc<WebPkiServerVerifier>,
    ocsp: Mutex<Vec<u8>>,
}

impl Stapled {
    /// For clients that trust this authority.
    pub fn new(authority: CertificateDer<'static>) -> Arc<Stapled> {
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        Arc::new(Stapled { usual, ocsp: Mutex::default() })
    }

    /// What came with the last certificate.
    pub fn ocsp(&self) -> Vec<u8> {
        self.ocsp.lock().unwrap().clone()
    }
}

impl ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.ocsp.lock().unwrap() = ocsp_response.to_vec();
        self.usual.verify_server_cert(end_entity, intermediates, server_name, &[], now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// As certificates are called by.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = match suite {
        rustls::SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        rustls::SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
    };
    hash.hash(bytes).as_ref().to_vec()
}
