//! Client certificates: who may connect, and what upstreams are told.

use super::{entry, tls};
use limen_tests::rcgen::{CertificateParams, DnType, SanType};
use limen_tests::{Certs, Client, Gateway, Origin, Pair};
use serde_json::Value;

const HEADER: &str = "x-forwarded-client-cert";
/// What an origin that knows headers as variables takes for the same.
const ALIAS: &str = "x_forwarded_client_cert";

/// A client's certificate with a bit of everything.
fn ada(certs: &Certs) -> Pair {
    let mut about = CertificateParams::new(vec!["ada.example.com".to_owned()]).unwrap();
    about.distinguished_name =
        rcgen_name(&[(DnType::OrganizationName, "Engines, Ltd."), (DnType::CommonName, "Ada")]);
    about.subject_alt_names.push(SanType::URI("spiffe://example.com/ada".try_into().unwrap()));
    about.subject_alt_names.push(SanType::Rfc822Name("ada@example.com".try_into().unwrap()));
    about.subject_alt_names.push(SanType::IpAddress("192.0.2.7".parse().unwrap()));
    about.serial_number = Some(7.into());
    certs.issue_client("ada", about)
}

fn rcgen_name(parts: &[(DnType, &str)]) -> limen_tests::rcgen::DistinguishedName {
    let mut name = limen_tests::rcgen::DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), *value);
    }
    name
}

fn listener(certs: &Certs, name: &str, client_auth: &str) -> String {
    let client_auth = format!("client_auth = {{ ca = {:?}, {client_auth} }}", certs.ca());
    let tls = tls(&[entry(certs.local(), "")], &client_auth);
    format!("[[listener]]\nname = {name:?}\naddress = \"127.0.0.1:0\"\n{tls}\n")
}

fn told(echo: &Value) -> Vec<String> {
    let values = &echo["headers"][HEADER];
    match values {
        Value::Array(values) => values.iter().map(|value| value.as_str().unwrap().to_owned()).collect(),
        Value::String(value) => vec![value.clone()],
        _ => vec![],
    }
}

#[tokio::test]
async fn clients_without_a_certificate_meet_what_the_mode_says() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let strangers = Certs::new();
    let gateway = Gateway::start(
        super::config(&origin, "")
            + &[
                listener(&certs, "required", r#"mode = "required""#),
                listener(&certs, "optional", r#"mode = "optional""#),
            ]
            .join("\n"),
    )
    .await;
    let with = Client::http1().showing(&certs, &ada(&certs));
    let without = Client::http2().trusting(&certs);
    let stranger = Client::http1().showing(&certs, &ada(&strangers));
    for (client, listener, served) in [
        (&with, "required", true),
        (&with, "optional", true),
        (&without, "required", false),
        (&without, "optional", true),
        (&stranger, "required", false),
        (&stranger, "optional", false),
    ] {
        let answer = client.get(gateway.url_of(listener, "/")).try_send().await;
        assert_eq!(answer.is_ok_and(|answer| answer.status == 200), served, "{listener}");
    }
    gateway.wait_for_log(|line| line.contains("TLS handshake failed") && line.contains("required")).await;
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_also_when_the_list_comes_later() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let list = certs.revoke(&[99]);
    let gateway =
        Gateway::with(super::config(&origin, "") + &listener(&certs, "mtls", r#"crl = ["list.pem"]"#))
            .copy("list.pem", &list)
            .start()
            .await;
    let client = Client::http1().showing(&certs, &ada(&certs));
    assert_eq!(client.get(gateway.url_of("mtls", "/")).send().await.status, 200);

    gateway.replace_file("list.pem", std::fs::read(certs.revoke(&[7, 99])).unwrap());
    // The client would resume its session: a ticket is worth no more than the certificate.
    limen_tests::eventually("the certificate to be refused", async || {
        client.get(gateway.url_of("mtls", "/")).try_send().await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn upstreams_are_told_who_the_client_is_and_by_nobody_else() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let gateway = Gateway::start(
        super::config(&origin, "")
            + &[
                listener(&certs, "off", r#"mode = "optional""#),
                listener(&certs, "set", r#"mode = "optional", forward = "set""#),
                listener(&certs, "append", r#"mode = "optional", forward = "append""#),
            ]
            .join("\n"),
    )
    .await;
    let pair = ada(&certs);
    let hash: String =
        limen_tests::tls::sha256(pair.der()).iter().map(|byte| format!("{byte:02x}")).collect();
    let element = format!(
        "Hash={hash};Subject=\"CN=Ada,O=Engines\\, Ltd.\";URI=spiffe://example.com/ada;DNS=ada.example.com"
    );
    let said = "Hash=aa;Subject=\"CN=Forged\"";
    for client in [Client::http1(), Client::http2()] {
        let ask = async |client: &Client, listener: &str| {
            let request = client.get(gateway.url_of(listener, "/")).header(HEADER, said);
            let echo = request.header(ALIAS, said).send().await.json();
            assert_eq!(echo["headers"][ALIAS], Value::Null, "{listener}");
            told(&echo)
        };
        let (with, without) = (client.clone().showing(&certs, &pair), client.clone().trusting(&certs));
        assert!(ask(&client, "it").await.is_empty());
        assert!(ask(&with, "off").await.is_empty());
        assert!(ask(&without, "set").await.is_empty());
        assert!(ask(&without, "append").await.is_empty());
        assert_eq!(ask(&with, "set").await, [element.as_str()]);
        assert_eq!(ask(&with, "append").await.join(","), format!("{said},{element}"));
    }
    // Nor can a client have it taken away, as if it were for its connection only.
    let client = Client::http1().showing(&certs, &pair);
    let request = client.get(gateway.url_of("set", "/")).header("connection", HEADER);
    assert_eq!(told(&request.send().await.json()), [element.as_str()]);
}

#[tokio::test]
async fn policies_know_the_clients_certificate() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let plugin = crate::common::guest_plugin("certificate");
    let config = format!(
        r#"
        {plugin}
        [upstream.origin]
        endpoints = ["{origin}"]
        [[route]]
        policies = ["certificate"]
        upstream = "origin"
        {}
        "#,
        listener(&certs, "mtls", r#"mode = "optional""#)
    );
    let gateway = Gateway::start(config).await;
    let pair = ada(&certs);
    let known = async |client: Client| {
        let answer = client.get(gateway.url("/")).send().await.json();
        serde_json::from_str::<Value>(answer["headers"]["x-certificate"].as_str().unwrap()).unwrap()
    };
    let hash: String =
        limen_tests::tls::sha256(pair.der()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        known(Client::http2().showing(&certs, &pair)).await,
        serde_json::json!({
            "subject": "CN=Ada,O=Engines\\, Ltd.",
            "issuer": "CN=limen tests",
            "serial": "07",
            "fingerprint": hash,
            "dns": ["ada.example.com"],
            "uris": ["spiffe://example.com/ada"],
            "emails": ["ada@example.com"],
            "addresses": ["192.0.2.7"],
        })
    );
    let nobody = known(Client::http1().trusting(&certs)).await;
    assert_eq!(nobody["subject"], Value::Null);
    assert_eq!(nobody["dns"], serde_json::json!([]));
}
