//! With the registry that most others are made of, and the tool that fills it.

use super::registry::{CACHE, text};
use super::serves;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use limen_tests::oci::{Login, RealRegistry, Registry, Reply};
use limen_tests::{Certs, Gateway, Origin, guest_version};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// A layout with the guest `version`, tagged `1.0`, as `limen policy pack` makes it.
async fn layout() -> TempDir {
    let (dir, guest) = (TempDir::new().unwrap(), guest_version(1));
    let [file, layout] = [guest.as_path(), dir.path()].map(|path| path.to_str().unwrap());
    let packed = Gateway::with("").finish(&["policy", "pack", file, layout, "--tag", "1.0"]).await;
    assert!(packed.status.success(), "{}", packed.stderr);
    dir
}

#[tokio::test]
async fn what_skopeo_pushed_is_served() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let Some(registry) = RealRegistry::start(&certs, &Login::Anybody) else { return };
    let layout = layout().await;
    let digest = registry.push(layout.path(), "1.0", "policies/version", &[]);

    let roots = format!("roots = {:?}", certs.ca());
    let reference = format!("{}/policies/version:1.0", registry.name());
    // A tag is not enough, and how to find its digest is told.
    let tagged = Gateway::with(text(&origin, CACHE, &reference, &roots)).check().await;
    assert!(tagged.stderr.contains("without a digest"), "{}", tagged.stderr);
    let oci = format!("oci://{reference}");
    assert!(tagged.stderr.contains(&format!("limen policy inspect {oci}")), "{}", tagged.stderr);
    let other = text(&origin, CACHE, &format!("{}/other@{digest}", registry.name()), &roots);
    let inspect = ["policy", "inspect", "--config", "limen.toml", &oci];
    let shown = Gateway::with(other).finish(&inspect).await;
    let exact = format!("{reference}@{digest}");
    assert!(shown.stdout.contains(&format!("oci://{exact}\n")), "{} {}", shown.stdout, shown.stderr);

    let gateway = Gateway::start(text(&origin, CACHE, &exact, &roots)).await;
    serves(&gateway, "1").await;
    let missing = text(&origin, CACHE, &format!("{}/missing@{digest}", registry.name()), &roots);
    let missing = Gateway::with(missing).check().await;
    assert!(missing.stderr.contains("(MANIFEST_UNKNOWN: "), "{}", missing.stderr);
}

#[tokio::test]
async fn with_user_and_password() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let Some(registry) = RealRegistry::start(&certs, &Login::Basic("ada", "lovelace")) else { return };
    let layout = layout().await;
    let digest = registry.push(layout.path(), "1.0", "policies/version", &["--dest-creds", "ada:lovelace"]);
    let roots = format!("roots = {:?}", certs.ca());
    let reference = format!("{}/policies/version@{digest}", registry.name());
    let anybody = Gateway::with(text(&origin, CACHE, &reference, &roots)).check().await;
    assert!(anybody.stderr.contains("wants to see credentials"), "{}", anybody.stderr);

    let login = format!("{roots}\nusername = 'ada'\npassword = 'registry'");
    let secret = text(&origin, CACHE, &reference, &login) + "[secret.registry]\nenv = 'REGISTRY_PASSWORD'\n";
    let wrong = Gateway::with(&secret).env("REGISTRY_PASSWORD", "babbage").check().await;
    assert!(wrong.stderr.contains("do the credentials"), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("babbage"), "{}", wrong.stderr);
    let gateway = Gateway::with(secret).env("REGISTRY_PASSWORD", "lovelace").start().await;
    serves(&gateway, "1").await;

    // As `skopeo login` writes it.
    let config = format!(r#"{{"auths": {{"{}": {{"auth": "YWRhOmxvdmVsYWNl"}}}}}}"#, registry.name());
    let login = format!("{roots}\ndocker_config = 'config.json'");
    let setup = Gateway::with(text(&origin, CACHE, &reference, &login)).file("config.json", config);
    serves(&setup.start().await, "1").await;
}

#[tokio::test]
async fn with_tokens() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let signer = certs.issue(&["tokens"]);
    let key = std::fs::read(&signer.key).unwrap();
    let chain = vec![STANDARD.encode(signer.der())];
    let tokens = Registry::start_tls(&certs, move |ask| {
        let actions: &[&str] = if ask.path.contains("push") { &["pull", "push"] } else { &["pull"] };
        Reply::Whole(format!(r#"{{"token": "{}"}}"#, token(&key, &chain, actions)).into_bytes())
    })
    .await;
    let realm = format!("https://localhost:{}/token", tokens.port());
    let login = Login::Token { realm: &realm, cert: &certs.ca() };
    let Some(registry) = RealRegistry::start(&certs, &login) else { return };
    let layout = layout().await;
    // The server of tokens is on this thread.
    let pushing = move || (registry.push(layout.path(), "1.0", "policies/version", &[]), registry);
    let (digest, registry) = tokio::task::spawn_blocking(pushing).await.unwrap();
    let roots = format!("roots = {:?}", certs.ca());
    let reference = format!("{}/policies/version@{digest}", registry.name());
    let gateway = Gateway::start(text(&origin, CACHE, &reference, &roots)).await;
    serves(&gateway, "1").await;
    assert!(tokens.asked().last().unwrap().path.contains("scope=repository%3Apolicies%2Fversion%3Apull"));
}

/// As the registry's documentation has it, with the certificate of its key in the head.
fn token(key: &[u8], chain: &[String], actions: &[&str]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = serde_json::json!({
        "iss": "tests", "sub": "", "aud": "registry", "jti": "1",
        "iat": now, "nbf": now - 60, "exp": now + 300,
        "access": [{ "type": "repository", "name": "policies/version", "actions": actions }],
    });
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.x5c = Some(chain.to_vec());
    let key = jsonwebtoken::EncodingKey::from_ec_pem(key).unwrap();
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}
