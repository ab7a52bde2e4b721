use super::forwarded::CLIENT_CERT;
use super::*;
use crate::TlsFacts;
use crate::native::plain;
use serde_json::json;
use std::sync::Arc;

fn ada() -> ClientCertificate {
    ClientCertificate {
        subject: "CN=ada,O=Example".into(),
        issuer: "CN=internal".into(),
        fingerprint: "ab".repeat(32),
        dns_names: vec!["a.example.com".into(), "Ada.Clients.example.com".into()],
        uris: vec!["spiffe://example.com/ns/shop/ada".into()],
        ..ClientCertificate::default()
    }
}

/// The consumer, or none where the request is refused.
fn consumer(settings: Value, certificate: ClientCertificate) -> Option<String> {
    let policy = plain(build, &settings).unwrap();
    let mut exchange = Box::<Exchange>::default();
    let certificate = Some(certificate);
    exchange.client.tls =
        Some(Arc::new(TlsFacts { version: TlsFacts::V1_3, server_name: None, certificate }));
    exchange.enter(Phase::Request, 0);
    let Answer::Ready(verdict) = policy.call(Phase::Request, &mut exchange, &mut None) else { panic!() };
    (verdict.unwrap() == Verdict::Next).then(|| exchange.consumer.unwrap().id().to_owned())
}

#[test]
fn all_that_is_written_has_to_fit() {
    let allowed = |allow: Value| consumer(json!({ "allow": [allow] }), ada()).is_some();
    for allow in [
        json!({ "subject": "CN=ada,O=Example" }),
        json!({ "subject": "*,O=Example", "issuer": "CN=internal" }),
        json!({ "dns": "*.clients.example.com" }),
        json!({ "uri": "spiffe://example.com/ns/*/ada" }),
        json!({ "fingerprint": "AB:".repeat(32) }),
    ] {
        assert!(allowed(allow.clone()), "{allow}");
    }
    for allow in [
        json!({ "subject": "CN=ada" }),
        json!({ "subject": "CN=ada,O=Example", "issuer": "CN=other" }),
        json!({ "dns": "example.com" }),
        json!({ "dns": "a.example.comm" }),
        json!({ "email": "*" }),
        json!({ "fingerprint": "cd".repeat(32) }),
    ] {
        assert!(!allowed(allow.clone()), "{allow}");
    }
}

#[test]
fn the_consumer_has_a_name() {
    let named = |naming: &str| consumer(json!({ "consumer": naming }), ada());
    assert_eq!(named("subject").as_deref(), Some("CN=ada,O=Example"));
    assert_eq!(named("cn").as_deref(), Some("ada"));
    assert_eq!(named("dns").as_deref(), Some("a.example.com"));
    assert_eq!(named("uri").as_deref(), Some("spiffe://example.com/ns/shop/ada"));
    assert_eq!(named("email"), None);
    let fitted = json!({ "allow": [{ "dns": "Ada.*" }], "consumer": "dns" });
    assert_eq!(consumer(fitted, ada()).as_deref(), Some("Ada.Clients.example.com"));
    let called = json!({ "allow": [{ "uri": "*", "consumer": "batch" }] });
    assert_eq!(consumer(called, ada()).as_deref(), Some("batch"));
    let sly = ClientCertificate { subject: "O=x\\,CN=root,CN=eve".into(), ..ada() };
    assert_eq!(consumer(json!({ "consumer": "cn" }), sly), None, "no part stands for another");
}

#[test]
fn only_a_trusted_proxy_is_believed_and_only_what_can_be_read() {
    let asked = |is_proxied: bool, values: &[&str], settings: Value| {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        exchange.client.is_proxied = is_proxied;
        // The proxy's own, or the client's that speaks for itself.
        let certificate = Some(ada());
        exchange.client.tls =
            Some(Arc::new(TlsFacts { version: TlsFacts::V1_3, server_name: None, certificate }));
        for value in values {
            exchange.request.headers_mut().append(CLIENT_CERT, value.parse().unwrap());
        }
        exchange.enter(Phase::Request, 0);
        let _ = policy.call(Phase::Request, &mut exchange, &mut None);
        match &exchange.reply {
            None => Ok(exchange.consumer.map(|consumer| consumer.id().to_owned())),
            Some(reply) => Err(reply.denied.as_ref().unwrap().why.clone()),
        }
    };
    let settings = || json!({ "forwarded": "client-cert", "consumer": "cn", "optional": true });
    assert_eq!(asked(false, &[":bm9uZQ==:"], settings()), Ok(Some("ada".into())));
    assert_eq!(asked(true, &[], settings()), Ok(None), "it speaks for others, not for itself");
    assert_eq!(asked(true, &[":bm9uZQ==:"], json!({ "consumer": "cn" })), Ok(Some("ada".into())));
    for (values, why) in [
        (&[":bm9uZQ==:"][..], "holds no certificate"),
        (&[""], "is no `:Base64:`"),
        (&["bm9uZQ=="], "is no `:Base64:`"),
        (&[":bm9uZQ==:, :bm9uZQ==:"], "is no `:Base64:`"),
        (&[":bm9uZQ==:", ":bm9uZQ==:"], "more than once"),
    ] {
        let refused = asked(true, values, settings()).unwrap_err();
        assert!(refused.contains(why), "{values:?}: {refused}");
    }
}

/// What Envoy tells without `Cert`.
#[test]
fn what_is_told_of_a_certificate_is_enough_to_fit() {
    let consumer = |element: &str, settings: Value| {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        exchange.client.is_proxied = true;
        exchange.client.told_certificate = Some(Box::new(element.parse().unwrap()));
        exchange.enter(Phase::Request, 0);
        let _ = policy.call(Phase::Request, &mut exchange, &mut None);
        exchange.consumer.map(|consumer| consumer.id().to_owned())
    };
    let with = |allow: Value, naming: &str| json!({ "forwarded": "x-forwarded-client-cert", "allow": [allow], "consumer": naming });
    let hash = "ab".repeat(32);
    let ada = format!("By=p;Hash={hash};Subject=\"CN=ada,O=Example\";URI=spiffe://a/ada;DNS=a.example");
    assert_eq!(consumer(&ada, with(json!({ "fingerprint": hash }), "cn")).as_deref(), Some("ada"));
    assert_eq!(
        consumer(&ada, with(json!({ "subject": "*,O=Example" }), "dns")).as_deref(),
        Some("a.example")
    );
    assert_eq!(
        consumer(&ada, with(json!({ "uri": "spiffe://a/*" }), "uri")).as_deref(),
        Some("spiffe://a/ada")
    );
    // What is not told fits nothing, and names nobody.
    assert_eq!(consumer(&ada, with(json!({ "dns": "a.example", "issuer": "*" }), "cn")), None);
    assert_eq!(consumer(&ada, with(json!({ "dns": "a.example" }), "email")), None);
    assert_eq!(consumer("DNS=a.example", with(json!({ "dns": "a.example" }), "fingerprint")), None);
    assert_eq!(consumer("DNS=a.example", with(json!({ "dns": "a.example" }), "subject")), None);
    assert_eq!(consumer("DNS=a.example", with(json!({ "fingerprint": hash }), "dns")), None);
}

#[test]
fn mistakes_are_told() {
    let mistake = |settings: Value| plain(build, &settings).map(|_| ()).unwrap_err();
    for (settings, pointer, message) in [
        (json!({ "allow": [] }), "/allow", "nobody could pass"),
        (json!({ "allow": [{ "consumer": "x" }] }), "/allow/0", "says nothing"),
        (json!({ "allow": [{ "dns": "*.*" }] }), "/allow/0/dns", "more than one"),
        (json!({ "allow": [{ "fingerprint": "ab" }] }), "/allow/0/fingerprint", "not a SHA-256"),
        (json!({ "consumer": "name" }), "/consumer", "unknown variant"),
    ] {
        let wrong = mistake(settings);
        assert_eq!(wrong.pointer, pointer);
        assert!(wrong.message.contains(message), "{}", wrong.message);
    }
}
