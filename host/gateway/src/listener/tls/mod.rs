//! TLS for a listener: what is set up at load, and what a handshake tells.

mod certificates;
mod ciphers;
mod client_auth;
mod facts;

use std::sync::Arc;

use limen_config::{ConfigError, ForwardCertificate, TlsVersion};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;

use certificates::Certificates;
use client_auth::ClientAuth;
pub use facts::{Handshake, certificate, facts};

/// HTTP/2 in ALPN (RFC 9113, section 3.1).
pub const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Only TLS 1.3.
const NEW: &[&SupportedProtocolVersion] = &[&version::TLS13];
const NEW_AND_OLD: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// The TLS of one listener, from the files as they are now.
pub struct Tls {
    pub acceptor: TlsAcceptor,
    pub forward: ForwardCertificate,
    certificates: Arc<Certificates>,
    tickets: Tickets,
}

/// What lets clients resume their sessions, over reloads.
#[derive(Clone)]
struct Tickets {
    /// What the clients were verified by: tickets vouch for clients, and are worth no more than that.
    verified_by: [u8; 32],
    producer: Arc<dyn ProducesTickets>,
}

impl Tls {
    /// Reads certificates, keys and lists. A certificate that can't be used is an error, or stays what
    /// it was in the `previous` TLS of this listener.
    pub fn build(tls: &limen_config::Tls, previous: Option<&Tls>) -> Result<Tls, ConfigError> {
        let wrong = |error: rustls::Error| {
            ConfigError::new(tls.place.clone(), format!("TLS can't be set up: {error}"))
        };
        let mut provider = aws_lc_rs::default_provider();
        if let Some(wanted) = &tls.ciphers {
            provider.cipher_suites = ciphers::choose(wanted)?;
        }
        let provider: Arc<CryptoProvider> = Arc::new(provider);
        let before = previous.map(|previous| &*previous.certificates);
        let certificates = Arc::new(Certificates::load(&tls.certificates, &provider, before)?);
        let versions = match tls.min_version {
            TlsVersion::Tls12 => NEW_AND_OLD,
            TlsVersion::Tls13 => NEW,
        };
        let versions = ciphers::versions(versions, &provider.cipher_suites);
        if versions.is_empty() {
            let error =
                ConfigError::new(tls.place.clone(), "no cipher suite for the versions of TLS that remain");
            return Err(error.hint("`min_version = \"1.3\"` needs one of TLS 1.3 in `ciphers`"));
        }
        let client_auth =
            tls.client_auth.as_ref().map(|auth| ClientAuth::load(auth, &provider)).transpose()?;
        let tickets =
            Tickets::new(client_auth.as_ref(), previous.map(|previous| &previous.tickets)).map_err(wrong)?;

        let config =
            ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions).map_err(wrong)?;
        let config = match client_auth {
            Some(auth) => config.with_client_cert_verifier(auth.verifier),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
        // Tickets need no memory here, and are good at every worker.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if tls.resumption {
            config.ticketer = tickets.producer.clone();
        } else {
            config.send_tls13_tickets = 0;
        }
        // Records are encrypted as they are written: more than one ahead is only memory.
        config.max_fragment_size = None;
        Ok(Tls {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            forward: tls.client_auth.as_ref().map_or(ForwardCertificate::Off, |auth| auth.forward),
            certificates,
            tickets,
        })
    }
}

impl Tickets {
    fn new(auth: Option<&ClientAuth>, previous: Option<&Tickets>) -> Result<Tickets, rustls::Error> {
        let mut verified_by = Sha256::new();
        for part in auth.iter().flat_map(|auth| &auth.made_of) {
            verified_by.update((part.len() as u64).to_le_bytes());
            verified_by.update(part);
        }
        let verified_by = verified_by.finalize().into();
        match previous {
            Some(previous) if previous.verified_by == verified_by => Ok(previous.clone()),
            _ => Ok(Tickets { verified_by, producer: aws_lc_rs::Ticketer::new()? }),
        }
    }
}
