//! Secrets are used by their names, and shown nowhere.

use crate::common::{PATIENT, config, guest_plugin_with, route};
use limen_tests::{Answer, Client, Gateway, Origin, Setup, eventually};

const FIRST: &str = "PLANTED-first-2f9c1d";
const SECOND: &str = "PLANTED-second-8a41b7";
const FROM_ENV: &str = "PLANTED-env-c03e55";

const GRANTED: &str = r#"grants = { secrets = { webhook = "sign", stripe = "reveal", odd = "reveal" } }"#;
const PLANTED: &str = r#"
    [secret.webhook]
    file = "webhook.secret"
    [secret.stripe]
    env = "STRIPE_KEY"
    [secret.odd]
    file = "odd.secret"
    [secret.other]
    file = "webhook.secret"
"#;

fn config_with(origin: &Origin, secrets: &str, signs: &str, reveals: &str) -> String {
    let rest = [
        "[admin]\naddress = \"127.0.0.1:0\"\n[log]\nlevel = \"trace\"\naccess = true",
        secrets,
        &guest_plugin_with("hashes", &format!("{signs}\n{PATIENT}")),
        &guest_plugin_with("reveals", &format!("{reveals}\n{PATIENT}")),
        &route("/hashes", r#""hashes""#),
        &route("/anew", r#"{ use = "hashes", with = { holds_handle = true } }"#),
        &route("/echo", r#""reveals""#),
    ];
    config(origin, &rest.join("\n"))
}

fn setup(text: &str) -> Setup {
    Gateway::with(text)
        .file("webhook.secret", format!("{FIRST}\n"))
        .file("odd.secret", b"PLANTED\xff")
        .env("STRIPE_KEY", FROM_ENV)
}

async fn sign(gateway: &Gateway, secret: &str, tag: &str) -> Answer {
    let request = Client::http1().get(gateway.url("/hashes")).header("x-data", "hello").header("x-tag", tag);
    request.header("x-secret", secret).send().await
}

/// The HMAC-SHA-256 of `hello`.
fn hmac(secret: &str) -> String {
    use aws_lc_rs::hmac;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), b"hello");
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_policy_signs_and_verifies_without_seeing_the_secret() {
    let origin = Origin::start();
    let gateway = setup(&config_with(&origin, PLANTED, GRANTED, GRANTED)).start().await;
    let (first, second) = (hmac(FIRST), hmac(SECOND));
    let signed = sign(&gateway, "webhook", &first).await;
    assert_eq!(signed.header("x-signed"), Some(&*first), "the line break is no part of the secret");
    assert_eq!(signed.header("x-verified"), Some("Ok(true)"));
    assert_eq!(signed.header("x-configured"), Some("Err(Denied)"), "none in an image of configured memory");
    assert_eq!(sign(&gateway, "webhook", &second).await.header("x-verified"), Some("Ok(false)"));
    for denied in ["other", "unheard-of", ""] {
        let denied = sign(&gateway, denied, &first).await;
        assert_eq!(denied.header("x-signed"), Some("Denied"));
        assert_eq!(denied.header("x-verified"), Some("Err(Denied)"));
    }

    // Where there is no image, `configure` runs in each isolate, and there is none for it either.
    gateway.wait_for_log_containing("handles of the host open").await;
    let anew =
        Client::http1().get(gateway.url("/anew")).header("x-data", "hello").header("x-secret", "webhook");
    let anew = anew.send().await;
    assert_eq!(anew.header("x-configured"), Some("Err(Denied)"));
    assert_eq!(anew.header("x-signed"), Some(&*first), "the hooks have it");

    // What the library next door says of `hello`, with the key `key`.
    assert_eq!(signed.header("x-sha256").map(|hex| &hex[..16]), Some("2cf24dba5fb0a30e"));
    assert_eq!(signed.header("x-sha512").map(|hex| &hex[..16]), Some("9b71d224bd62f378"));
    assert_eq!(signed.header("x-hmac-sha256"), Some(&*hmac_with_key()));
    assert_eq!(signed.header("x-hmac-sha512").map(str::len), Some(128));
    assert_eq!(signed.header("x-equal"), Some("true false"));
}

fn hmac_with_key() -> String {
    hmac("key")
}

#[tokio::test]
async fn a_secret_is_replaced_while_it_is_used() {
    let origin = Origin::start();
    let gateway = setup(&config_with(&origin, PLANTED, GRANTED, GRANTED)).start().await;
    assert_eq!(sign(&gateway, "webhook", "").await.header("x-signed"), Some(&*hmac(FIRST)));

    // Its file changes, and nothing else.
    gateway.replace_file("webhook.secret", SECOND);
    eventually("the new value", async || {
        (sign(&gateway, "webhook", "").await.header("x-signed") == Some(&*hmac(SECOND))).then_some(())
    })
    .await;
    assert_eq!(sign(&gateway, "webhook", &hmac(FIRST)).await.header("x-verified"), Some("Ok(false)"));

    std::fs::write(gateway.path("old.secret"), FIRST).unwrap();
    let rotated = PLANTED.replacen(
        "file = \"webhook.secret\"",
        "file = \"webhook.secret\"\nprevious = { file = \"old.secret\" }",
        1,
    );
    gateway.write_config(config_with(&origin, &rotated, GRANTED, GRANTED));
    eventually("the previous value to be accepted", async || {
        (sign(&gateway, "webhook", &hmac(FIRST)).await.header("x-verified") == Some("Ok(true)")).then_some(())
    })
    .await;
    let both = sign(&gateway, "webhook", &hmac(SECOND)).await;
    assert_eq!(
        (both.header("x-verified"), both.header("x-signed")),
        (Some("Ok(true)"), Some(&*hmac(SECOND)))
    );
}

#[tokio::test]
async fn a_value_is_revealed_to_whom_it_is_granted() {
    let origin = Origin::start();
    let gateway = setup(&config_with(&origin, PLANTED, GRANTED, GRANTED)).start().await;
    let ask = async |secret: &str| {
        let asked = Client::http1().get(gateway.url("/echo")).header("x-secret", secret).send().await.json();
        asked["headers"].clone()
    };
    assert_eq!(ask("stripe").await["authorization"], format!("Bearer {FROM_ENV}"));
    assert_eq!(ask("webhook").await["x-error"], "Denied", "signing is not seeing");
    assert_eq!(ask("odd").await["x-error"], "NotText");
    assert_eq!(ask("other").await["x-error"], "Denied");
}

#[tokio::test]
async fn grants_are_checked_at_load() {
    let origin = Origin::start();
    for (signs, reveals, said) in [
        ("", GRANTED, "imports `secrets`, which it is not granted"),
        (GRANTED, "", "imports `secrets-reveal`, which it is not granted"),
        (
            GRANTED,
            r#"grants = { secrets = { webhook = "sign" } }"#,
            "imports `secrets-reveal`, which it is not granted",
        ),
        (GRANTED, r#"grants = { secrets = { stirpe = "reveal" } }"#, "no secret `stirpe`"),
        (GRANTED, r#"grants = { secrets = { stripe = "read" } }"#, "unknown value `read`"),
    ] {
        let refused = setup(&config_with(&origin, PLANTED, signs, reveals)).check().await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains(said), "{said:?} is not in {}", refused.stderr);
        assert!(!refused.stderr.contains("PLANTED"), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn no_secret_is_printed_anywhere() {
    let origin = Origin::start();
    // What can go wrong with secrets is told without them.
    let short = "[key_set.idp]\nsecret = \"webhook\"\n[key_set.broken]\njwks = \"webhook.secret\"\n\
                 [key_set.pem]\npem = [\"webhook.secret\"]\n[secret.unset]\nenv = \"NOT_SET_ANYWHERE\"\n";
    let wrong = config_with(&origin, &format!("{PLANTED}\n{short}"), GRANTED, GRANTED);
    let refused = setup(&wrong).check().await;
    for said in [
        "key set `idp`: secret `webhook`: a secret of less than 32 bytes",
        "key set `broken`: ",
        "key set `pem`: ",
        "secret `unset`: environment variable `NOT_SET_ANYWHERE` is not set",
    ] {
        assert!(refused.stderr.contains(said), "{said:?} is not in {}", refused.stderr);
    }
    assert!(!format!("{}{}", refused.stdout, refused.stderr).contains("PLANTED"), "{}", refused.stderr);

    let text = config_with(&origin, PLANTED, GRANTED, GRANTED);
    let gateway = setup(&text).start().await;
    let client = Client::http1();
    sign(&gateway, "webhook", &hmac(FIRST)).await;
    assert_eq!(client.get(gateway.url("/echo")).header("x-secret", "stripe").send().await.status, 200);
    gateway.write_config(&wrong);
    gateway.wait_for_log_containing("the new configuration is refused").await;
    let mut printed = gateway.log().join("\n");
    for page in ["/", "/config", "/plugins", "/routes", "/upstreams", "/metrics", "/reload"] {
        let page = client.get(gateway.admin_url(page)).send().await;
        assert_eq!(page.status, 200);
        printed.push_str(&page.text());
    }
    assert!(printed.contains("webhook") && !printed.contains("PLANTED"), "{printed}");
}
