//! Which certificate a client gets, and what may be agreed on.

use super::{config, entry, tls};
use limen_tests::tls::{Stapled, connect};
use limen_tests::{Certs, Client, Gateway, Origin, eventually};
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

#[tokio::test]
async fn each_name_gets_its_certificate_and_strangers_the_default_one() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let wildcard = certs.issue(&["*.example.com"]);
    let exact = certs.issue(&["api.example.com", "api.example.org"]);
    let entries = [entry(&wildcard, ""), entry(&exact, ""), entry(certs.local(), ", default = true")];
    let gateway = Gateway::start(config(&origin, &tls(&entries, ""))).await;

    // What they ask for is not what the default one is for: whoever is not to verify it.
    let mut trusting = certs.client_config_with(None, &[&TLS13]);
    trusting.dangerous().set_certificate_verifier(Anybody::new());
    let trusting = Arc::new(trusting);
    for (asked, shown) in [
        ("api.example.com", &exact),
        ("API.EXAMPLE.ORG", &exact),
        ("www.example.com", &wildcard),
        ("a.b.example.com", certs.local()),
        ("example.com", certs.local()),
        ("unknown.test", certs.local()),
        ("127.0.0.1", certs.local()),
    ] {
        let session = connect(gateway.addr("it"), &trusting, asked).await.unwrap();
        assert!(session.certificate() == shown.der(), "another certificate for {asked}");
    }
}

#[tokio::test]
async fn versions_and_cipher_suites_are_those_of_the_config() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let of = |name: &str, keys: &str| {
        let tls = tls(&[entry(certs.local(), "")], keys);
        format!("[[listener]]\nname = {name:?}\naddress = \"127.0.0.1:0\"\n{tls}\n")
    };
    let gateway = Gateway::start(
        [
            config(&origin, ""),
            of("any", ""),
            of("new", "min_version = \"1.3\""),
            of("chacha", "ciphers = [\"TLS_CHACHA20_POLY1305_SHA256\"]"),
            of("old", "ciphers = [\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"]"),
        ]
        .join("\n"),
    )
    .await;
    let new = Arc::new(certs.client_config_with(None, &[&TLS13]));
    let old = Arc::new(certs.client_config_with(None, &[&TLS12]));
    let agreed = async |listener: &str, config| {
        let session = connect(gateway.addr(listener), config, "localhost").await.ok()?;
        Some(format!("{} {}", session.version(), session.suite()))
    };
    assert!(agreed("any", &new).await.unwrap().starts_with("TLSv1_3 TLS13_AES_256_GCM_SHA384"));
    assert!(agreed("any", &old).await.unwrap().starts_with("TLSv1_2 TLS_ECDHE_ECDSA_WITH_AES_256"));
    assert!(agreed("new", &new).await.is_some());
    assert_eq!(agreed("new", &old).await, None);
    assert_eq!(agreed("chacha", &new).await.as_deref(), Some("TLSv1_3 TLS13_CHACHA20_POLY1305_SHA256"));
    assert_eq!(agreed("chacha", &old).await, None);
    assert_eq!(agreed("old", &new).await, None);
    let suite = agreed("old", &old).await;
    assert_eq!(suite.as_deref(), Some("TLSv1_2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"));
    gateway.wait_for_log(|line| line.contains("TLS handshake failed") && line.contains("127.0.0.1:")).await;
}

#[tokio::test]
async fn what_tls_can_not_be_made_of_is_told_at_its_place() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let other = certs.issue(&["other.test"]);
    let mismatched = format!("{{ cert = {:?}, key = {:?} }}", certs.local().cert, other.key);
    for (tls, told) in [
        (
            tls(&[entry(certs.local(), "")], "ciphers = [\"TLS_AES_128_GCM_SHA265\"]"),
            &["unknown cipher suite `TLS_AES_128_GCM_SHA265`", "did you mean `TLS_AES_128_GCM_SHA256`?"][..],
        ),
        (
            tls(
                &[entry(certs.local(), "")],
                "min_version = \"1.3\"\nciphers = [\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"]",
            ),
            &["no cipher suite for the versions of TLS that remain"],
        ),
        (tls(&[mismatched], ""), &["can't be used", "is this the key that the certificate was made for?"]),
        (
            tls(&[entry(certs.local(), &format!(", ocsp = {:?}", certs.ca()))], ""),
            &["not an OCSP response", "an OCSP response in DER"],
        ),
        (
            tls(&[entry(certs.local(), "")], &format!("client_auth = {{ ca = {:?} }}", certs.local().key)),
            &["no certificate in", "those of the authorities"],
        ),
    ] {
        let checked = Gateway::with(config(&origin, &tls)).check().await;
        assert!(!checked.status.success(), "{tls}");
        let said = format!("{}{}", checked.stdout, checked.stderr);
        assert!(told.iter().all(|told| said.contains(told)), "{said}");
    }
}

#[tokio::test]
async fn an_ocsp_response_is_stapled() {
    let (origin, certs) = (Origin::start(), Certs::new());
    // OCSPResponse (RFC 6960, section 4.2.1): the status `successful`, and no bytes; nobody looks further.
    let response = [0x30, 0x03, 0x0a, 0x01, 0x00];
    let tls = tls(&[entry(certs.local(), ", ocsp = \"staple.der\"")], "");
    let gateway = Gateway::with(config(&origin, &tls)).file("staple.der", response).start().await;
    let authority = rustls::pki_types::pem::PemObject::from_pem_file(certs.ca()).unwrap();
    for version in [&TLS12, &TLS13] {
        let stapled = Stapled::new(rustls::pki_types::CertificateDer::clone(&authority));
        let mut client = certs.client_config_with(None, &[version]);
        client.dangerous().set_certificate_verifier(stapled.clone());
        connect(gateway.addr("it"), &Arc::new(client), "localhost").await.unwrap();
        assert_eq!(stapled.ocsp(), response);
    }
}

#[tokio::test]
async fn a_broken_pair_changes_nothing_of_its_own_and_everything_else() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let (old, new) = (certs.issue(&["old.test", "localhost"]), certs.issue(&["new.test", "localhost"]));
    let tls = tls(&["{ cert = \"cert.pem\", key = \"key.pem\" }".to_owned()], "");
    let text = config(&origin, &tls);
    let gateway = Gateway::with(&text).copy("cert.pem", &old.cert).copy("key.pem", &old.key).start().await;
    let client = Arc::new(certs.client_config_with(None, &[&TLS13]));
    let shown = async || {
        connect(gateway.addr("it"), &client, "localhost").await.unwrap().certificate().clone().into_owned()
    };
    assert!(shown().await == *old.der());

    // The half of a pair, with another change of the config.
    gateway.replace_file("cert.pem", std::fs::read(&new.cert).unwrap());
    gateway.write_config(format!(
        "{text}\n[[route]]\npath = \"/more\"\nname = \"more\"\nupstream = \"origin\"\n"
    ));
    gateway.wait_for_log_containing("the new certificate can't be used, the last good one serves on").await;
    gateway.wait_for_log_containing("routes=2").await;
    assert!(shown().await == *old.der());

    // The other half.
    gateway.replace_file("key.pem", std::fs::read(&new.key).unwrap());
    eventually("the new certificate", async || (shown().await == *new.der()).then_some(())).await;
    let client = Client::http2().trusting(&certs).server_name("localhost");
    assert_eq!(client.get(gateway.url("/")).send().await.status, 200);
}

/// Verifies nothing.
#[derive(Debug)]
struct Anybody(rustls::crypto::CryptoProvider);

impl Anybody {
    fn new() -> Arc<Anybody> {
        Arc::new(Anybody(rustls::crypto::aws_lc_rs::default_provider()))
    }
}

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
