//! Who we are: shown to those who may see it, and to nobody else.

use super::registry::{CACHE, text};
use super::{component, serves};
use limen_tests::oci::{Artifact, Ask, Registry, Reply};
use limen_tests::{Gateway, Origin, Setup};

/// `ada:lovelace`
const BASIC: &str = "Basic YWRhOmxvdmVsYWNl";
const LOGIN: &str = "plain_http = true\nusername = 'ada'\npassword = 'ada'";

fn set_up(origin: &Origin, registry: &Registry, artifact: &Artifact, of_registry: &str) -> Setup {
    let reference = format!("{registry}/policies/version@{}", artifact.digest());
    let text = text(origin, CACHE, &reference, of_registry) + "[secret.ada]\nfile = 'ada'\n";
    Gateway::with(text).file("ada", "lovelace\n")
}

fn shows(ask: &Ask, authorization: &str) -> bool {
    ask.authorization.as_deref() == Some(authorization)
}

/// Nothing that was said has any of it.
fn assert_secret(said: &str) {
    for secret in ["lovelace", "YWRhOmxvdmVsYWNl", "t0ken"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}

#[tokio::test]
async fn basic_credentials_are_shown_where_they_are_asked_for() {
    let origin = Origin::start();
    let artifact = Artifact::of(&component(1), None);
    let stored = artifact.clone();
    let storage = Registry::start(move |ask| Reply::of(stored.at(&ask.path))).await;
    let (at, held) = (storage.to_string(), artifact.clone());
    let registry = Registry::start(move |ask| match (shows(ask, BASIC), ask.path.rsplit_once("/blobs/")) {
        (false, _) => Reply::challenge("Basic realm=\"x\"".to_owned()),
        (true, Some((_, digest))) => Reply::redirect(format!("http://{at}/bucket/{digest}")),
        (true, None) => Reply::of(held.at(&ask.path)),
    })
    .await;
    let gateway = set_up(&origin, &registry, &artifact, LOGIN).start().await;
    serves(&gateway, "1").await;
    assert_secret(&gateway.log().join("\n"));
    // The first request showed nothing, and whoever it was sent on to was shown nothing.
    assert_eq!(registry.asked()[0].authorization, None);
    assert!(storage.asked().iter().all(|ask| ask.authorization.is_none()));
}

#[tokio::test]
async fn a_token_is_asked_for_with_credentials_and_for_this_repository_alone() {
    let origin = Origin::start();
    let artifact = Artifact::of(&component(1), None);
    let tokens = Registry::start(|ask| match shows(ask, BASIC) {
        true => Reply::Whole(br#"{"access_token": "t0ken"}"#.to_vec()),
        false => Reply::status(401),
    })
    .await;
    let realm = format!("http://{tokens}/token?account=x");
    let held = artifact.clone();
    let registry = Registry::start(move |ask| match shows(ask, "Bearer t0ken") {
        true => Reply::of(held.at(&ask.path)),
        false => {
            Reply::challenge(format!("Bearer realm=\"{realm}\",service=\"a b\",scope=\"registry:catalog:*\""))
        }
    })
    .await;
    let gateway = set_up(&origin, &registry, &artifact, LOGIN).start().await;
    serves(&gateway, "1").await;
    assert_secret(&gateway.log().join("\n"));
    let asked: Vec<_> = tokens.asked().into_iter().map(|ask| ask.path).collect();
    assert_eq!(asked, ["/token?account=x&service=a+b&scope=repository%3Apolicies%2Fversion%3Apull"]);
    // The credentials themselves the registry never saw.
    assert!(registry.asked().iter().all(|ask| !shows(ask, BASIC)));
}

#[tokio::test]
async fn what_is_not_accepted_is_told_without_a_word_of_it() {
    let origin = Origin::start();
    let artifact = Artifact::of(&component(1), None);
    let check = async |challenge: String, of_registry: &str, config: &str| {
        let registry = Registry::start(move |_| Reply::challenge(challenge.clone())).await;
        let setup = set_up(&origin, &registry, &artifact, of_registry);
        let config = config.replace("HOST", &registry.to_string());
        let checked = setup.file("config.json", config).check().await;
        assert!(!checked.status.success());
        assert_secret(&(checked.stdout + &checked.stderr));
        (checked.stderr, registry.asked().len())
    };
    let (said, asked) = check("Basic realm=x".to_owned(), LOGIN, "").await;
    assert!(said.contains("do the credentials") && asked == 2, "{asked}: {said}");

    let answers = [
        (Reply::Whole(b"[]".to_vec()), "an answer without a token"),
        (Reply::Whole(b"{\"token\": 1}".to_vec()), "an answer without a token"),
        (Reply::Whole(b"{\"token\": \"\\n\"}".to_vec()), "an answer without a token"),
        (Reply::Whole(vec![b' '; 100_000]), "more than 65536 bytes"),
        (Reply::status(403), "it answers 403"),
        (Reply::redirect("http://127.0.0.1:1/".to_owned()), "it answers 307"),
        // A token that is of no use is not asked for twice.
        (Reply::Whole(b"{\"token\": \"t0ken\"}".to_vec()), "it answers 401"),
    ];
    for (answer, expected) in answers {
        let tokens = Registry::start(move |_| answer.clone()).await;
        let (said, _) = check(format!("Bearer realm=\"http://{tokens}/\""), LOGIN, "").await;
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(tokens.asked().len() <= 3, "{}", tokens.asked().len());
    }

    let docker = "plain_http = true\ndocker_config = 'config.json'";
    for (config, expected) in [
        ("lovelace", "not JSON (line 1, column 1)"),
        (r#"{"auths": {"other": {"auth": "YWRhOmxvdmVsYWNl"}}}"#, "it has no login to"),
        (r#"{"auths": {"HOST": {}}, "credsStore": "lovelace"}"#, "kept by a helper"),
    ] {
        let (said, asked) = check("Basic".to_owned(), docker, config).await;
        assert!(said.contains(expected) && asked == 0, "{asked}: {said}");
    }
    let (said, asked) =
        check("Basic".to_owned(), docker, r#"{"auths": {"HOST": {"auth": "YWRhOmxvdmVsYWNl"}}}"#).await;
    assert!(said.contains("do the credentials") && asked == 2, "{asked}: {said}");
}
