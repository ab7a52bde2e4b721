//! Components from OCI registries: what comes, what is kept of it, and registries that do as they please.

use super::{Keys, component, is_there, serves};
use crate::common::{PATIENT, config, plugin, route};
use limen_tests::oci::{Artifact, Ask, Registry, Reply};
use limen_tests::{Certs, Client, Finished, Gateway, Origin, Setup};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub const CACHE: &str = "code_cache = { folder = 'code' }";

/// The guest `version` on every path, from this registry by this reference; and what is said of the registry.
pub fn text(origin: &Origin, of_gateway: &str, reference: &str, of_registry: &str) -> String {
    let host = reference.split('/').next().unwrap();
    let rest = plugin("version", format!("oci://{reference}"), PATIENT) + &route("/**", r#""version""#);
    let config = config(origin, &rest);
    format!(
        "[gateway]\nworkers = 1\n{of_gateway}\n[admin]\naddress = '127.0.0.1:0'\n[registry.{host:?}]\n{of_registry}\n{config}"
    )
}

fn set_up(origin: &Origin, of_gateway: &str, registry: &Registry, artifact: &Artifact) -> Setup {
    let reference = format!("{registry}/policies/version:1.0@{}", artifact.digest());
    Gateway::with(text(origin, of_gateway, &reference, "plain_http = true"))
}

/// A registry that has these, and a switch that makes it answer otherwise.
async fn registry(artifacts: Vec<Artifact>, otherwise: Arc<AtomicUsize>) -> Registry {
    Registry::start(move |ask| match otherwise.load(Ordering::Relaxed) {
        0 => Reply::of(artifacts.iter().find_map(|it| it.at(&ask.path))),
        status => Reply::status(u16::try_from(status).unwrap()),
    })
    .await
}

#[tokio::test]
async fn it_is_downloaded_once_and_then_the_registry_is_not_needed() {
    let (origin, status) = (Origin::start(), Arc::<AtomicUsize>::default());
    let artifact = Artifact::of(&component(1), None);
    let registry = registry(vec![artifact.clone()], status.clone()).await;
    let mut gateway = set_up(&origin, CACHE, &registry, &artifact).start().await;
    serves(&gateway, "1").await;
    let plugins = Client::http1().get(gateway.admin_url("/plugins")).send().await.json();
    let reference = format!("oci://{registry}/policies/version:1.0@{}", artifact.digest());
    assert_eq!(plugins[0]["component"], reference, "{plugins}");
    let asked: Vec<_> = registry.asked().into_iter().map(|ask| ask.path).collect();
    let layer = format!("/v2/policies/version/blobs/sha256:{}", super::sha256(1));
    assert_eq!(asked, [format!("/v2/policies/version/manifests/{}", artifact.digest()), layer]);
    gateway.sighup();
    gateway.wait_for_log_containing("the configuration is live").await;
    gateway.sigterm();
    assert!(gateway.wait_exit().await.success());

    status.store(500, Ordering::Relaxed);
    let again = gateway.successor().start().await;
    serves(&again, "1").await;
    assert_eq!(registry.asked().len(), 2);

    // What was kept and is damaged is got again.
    status.store(0, Ordering::Relaxed);
    let kept = again.path("code").join(format!("{}.blob", super::sha256(1)));
    fs::write(&kept, "damaged").unwrap();
    again.sighup();
    again.wait_for_log_containing("it is damaged").await;
    again.wait_for_log_containing("the configuration is live").await;
    assert_eq!(fs::read(&kept).unwrap(), component(1));
    assert_eq!(registry.asked().len(), 3);
}

#[tokio::test]
async fn with_nowhere_to_keep_it_it_is_remembered_while_the_gateway_runs() {
    let origin = Origin::start();
    let artifact = Artifact::of(&component(1), None);
    let registry = registry(vec![artifact.clone()], Arc::default()).await;
    let gateway = set_up(&origin, "code_cache = { size = 0 }", &registry, &artifact).start().await;
    for _ in 0..2 {
        gateway.forget_log();
        gateway.sighup();
        gateway.wait_for_log_containing("the configuration is live").await;
    }
    serves(&gateway, "1").await;
    assert_eq!(registry.asked().len(), 2);
}

#[tokio::test]
async fn one_that_does_not_answer_is_a_mistake_at_start_and_asked_again_later() {
    let (origin, status) = (Origin::start(), Arc::<AtomicUsize>::default());
    let [one, two] = [1, 2].map(|version| Artifact::of(&component(version), None));
    let registry = registry(vec![one.clone(), two.clone()], status.clone()).await;
    status.store(503, Ordering::Relaxed);
    let refused = set_up(&origin, CACHE, &registry, &one).run().await;
    assert!(!refused.status.success());
    assert!(
        refused.stderr.contains("it answers 503") && refused.stderr.contains("limen.toml:"),
        "{}",
        refused.stderr
    );

    status.store(0, Ordering::Relaxed);
    let gateway = set_up(&origin, CACHE, &registry, &one).start().await;
    serves(&gateway, "1").await;
    status.store(503, Ordering::Relaxed);
    let text = fs::read_to_string(gateway.path("limen.toml")).unwrap();
    gateway.write_config(text.replace(&one.digest(), &two.digest()));
    gateway.wait_for_log_containing("the last good one serves on").await;
    serves(&gateway, "1").await;
    // No file changes now.
    status.store(0, Ordering::Relaxed);
    serves(&gateway, "2").await;
}

/// What `limen check` says when the registry answers like this.
async fn check(
    origin: &Origin,
    script: impl Fn(&Ask) -> Reply + Send + Sync + 'static,
) -> (Finished, Registry) {
    let artifact = Artifact::of(&component(1), None);
    let registry = Registry::start(script).await;
    let reference = format!("{registry}/policies/version@{}", artifact.digest());
    let text = text(origin, CACHE, &reference, "plain_http = true\ntimeout = '3s'");
    let started = Instant::now();
    let checked = Gateway::with(text).check().await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    (checked, registry)
}

#[tokio::test]
async fn whatever_a_registry_does_ends_soon_and_is_told() {
    let origin = Origin::start();
    let good = Artifact::of(&component(1), None);
    let refuses = async |reply: Reply, said: &str, asked: usize| {
        let (checked, registry) = check(&origin, move |_| reply.clone()).await;
        assert!(!checked.status.success());
        assert!(checked.stderr.contains(said), "{said}: {}", checked.stderr);
        assert!(checked.stderr.len() < 3000, "{}", checked.stderr);
        let paths: Vec<_> = registry.asked().into_iter().map(|ask| ask.path).collect();
        assert_eq!(paths.len(), asked, "{said}: {paths:?}");
    };
    refuses(Reply::Whole(b"{}".to_vec()), "is something else", 1).await;
    refuses(Reply::Whole(vec![b' '; 5 << 20]), "more than 4194304 bytes", 1).await;
    refuses(Reply::Endless, "more than 4194304 bytes", 1).await;
    refuses(Reply::Cut(good.manifest.clone()), "the connection broke", 3).await;
    refuses(Reply::Nonsense, "the connection broke", 3).await;
    refuses(Reply::Drip, "not within its timeout, 3s", 1).await;
    refuses(Reply::status(404), "is it there by this digest?", 1).await;
    refuses(Reply::status(429), "it answers 429", 3).await;
    refuses(Reply::status(204), "it answers 204", 1).await;
    refuses(Reply::status(302), "a redirect to nowhere", 1).await;
    refuses(Reply::redirect("/v2/x".to_owned()), "more than 5 redirects", 6).await;
    refuses(Reply::redirect("ftp://127.0.0.1/x".to_owned()), "which is not `https`", 1).await;
    refuses(Reply::redirect("http://u:p@127.0.0.1/x".to_owned()), "a redirect to nowhere", 1).await;
    refuses(Reply::challenge("Negotiate".to_owned()), "says not what it wants", 1).await;
    refuses(Reply::challenge("Basic realm=x".to_owned()), "wants to see credentials", 1).await;
    refuses(Reply::challenge("Bearer realm=\"http://evil.example/\"".to_owned()), "can't be asked", 1).await;
    let said = br#"{"errors":[{"code":"DENIED","message":"not you\u001b[31m"}]}"#.to_vec();
    refuses(Reply::Head(403, ("x", String::new()), said), "(DENIED: not you[31m)", 1).await;
}

#[tokio::test]
async fn layers_are_believed_as_far_as_their_digests_go() {
    let origin = Origin::start();
    let good = Artifact::of(&component(1), None);
    for (layer, said) in [
        (Reply::Whole([&component(1)[..], b"x"].concat()), "the answer has more than"),
        (Reply::Whole(component(1)[1..].to_vec()), "not as many as its manifest says"),
        (Reply::Whole([&component(1)[1..], b"x"].concat()), "is something else"),
        (Reply::Endless, "answer has more than"),
    ] {
        let good = good.clone();
        let script = move |ask: &Ask| match ask.path.contains("/blobs/") {
            true => layer.clone(),
            false => Reply::of(good.at(&ask.path)),
        };
        let (checked, _registry) = check(&origin, script).await;
        assert!(!checked.status.success());
        assert!(checked.stderr.contains(said), "{said}: {}", checked.stderr);
    }
}

#[tokio::test]
async fn a_manifest_that_lies_about_sizes_is_not_waited_for() {
    let origin = Origin::start();
    let huge = br#"{"layers":[{"mediaType":"application/wasm","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":18446744073709551615}]}"#;
    let registry = Registry::start(move |ask| match ask.path.contains("/blobs/") {
        true => Reply::Endless,
        false => Reply::Whole(huge.to_vec()),
    })
    .await;
    let reference = format!("{registry}/policies/version@{}", limen_tests::oci::digest(huge));
    let checked = Gateway::with(text(&origin, CACHE, &reference, "plain_http = true")).check().await;
    assert!(checked.stderr.contains("has more than 262144 KiB"), "{}", checked.stderr);
}

#[tokio::test]
async fn redirects_are_followed_to_where_blobs_are() {
    let origin = Origin::start();
    let artifact = Artifact::of(&component(1), None);
    let stored = artifact.clone();
    let storage = Registry::start(move |ask| Reply::of(stored.at(&ask.path))).await;
    let (at, named) = (storage.to_string(), artifact.clone());
    let registry = Registry::start(move |ask| match ask.path.rsplit_once('/') {
        Some((before, digest)) if before.ends_with("/blobs") => {
            Reply::redirect(format!("http://{at}/bucket/{digest}"))
        }
        _ => Reply::of(named.at(&ask.path)),
    })
    .await;
    let gateway = set_up(&origin, CACHE, &registry, &artifact).start().await;
    serves(&gateway, "1").await;
    assert_eq!(storage.asked().len(), 1);
}

#[tokio::test]
async fn tls_is_asked_for_and_verified() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let artifact = Artifact::of(&component(1), None);
    let held = artifact.clone();
    let registry = Registry::start_tls(&certs, move |ask| match ask.path.contains("/away/") {
        true => Reply::redirect("http://127.0.0.1:1/x".to_owned()),
        false => Reply::of(held.at(&ask.path)),
    })
    .await;
    let check = async |repository: &str, of_registry: &str| {
        let reference = format!("localhost:{}/{repository}/version@{}", registry.port(), artifact.digest());
        Gateway::with(text(&origin, CACHE, &reference, of_registry)).check().await
    };
    let roots = format!("roots = {:?}", certs.ca());
    let trusted = check("policies", &roots).await;
    assert!(trusted.status.success(), "{}", trusted.stderr);
    let away = check("away", &roots).await;
    assert!(away.stderr.contains("a redirect to http, which is not `https`"), "{}", away.stderr);
    let others = Certs::new();
    let unknown = check("policies", &format!("roots = {:?}", others.ca())).await;
    assert!(unknown.stderr.contains("no TLS: invalid peer certificate"), "{}", unknown.stderr);

    let plain = Registry::start(|_| Reply::status(404)).await;
    let reference = format!("{plain}/policies/version@{}", artifact.digest());
    let plain = Gateway::with(text(&origin, CACHE, &reference, &roots)).check().await;
    assert!(plain.stderr.contains("plain_http = true"), "{}", plain.stderr);
}

#[tokio::test]
async fn many_come_at_the_same_time_and_signatures_with_them() {
    if !is_there("minisign", "-v") {
        return;
    }
    let (origin, keys) = (Origin::start(), Keys::make());
    let artifacts: Vec<_> = (0..12)
        .map(|number| {
            let component = component(1 + number % 2);
            let signature = keys.signature(&component, "");
            Artifact::of_layers(&[
                ("application/wasm", &component),
                ("application/vnd.minisign.signature", signature.as_bytes()),
                ("text/plain", number.to_string().as_bytes()),
            ])
        })
        .collect();
    let held = artifacts.clone();
    let registry = Registry::start(move |ask| match held.iter().find_map(|it| it.at(&ask.path)) {
        Some(bytes) => Reply::Late(bytes.to_vec()),
        None => Reply::status(404),
    })
    .await;
    let plugins: String = artifacts
        .iter()
        .enumerate()
        .map(|(number, it)| {
            plugin(&format!("p{number}"), format!("oci://{registry}/p{number}@{}", it.digest()), PATIENT)
        })
        .collect();
    let rest = format!(
        "[registry.{:?}]\nplain_http = true\n{plugins}{}",
        registry.to_string(),
        route("/**", r#""p3""#)
    );
    let config = config(&origin, &rest);
    let text = format!("[gateway]\nworkers = 1\ntrust = [{:?}]\n{CACHE}\n{config}", keys.public());
    let gateway = Gateway::start(text).await;
    serves(&gateway, "2").await;
    // Two components, two signatures, twelve manifests; what several want may be asked for by each.
    assert!((16..=36).contains(&registry.asked().len()), "{}", registry.asked().len());
    assert!((2..=4).contains(&registry.most_busy()), "{}", registry.most_busy());
}

/// A configuration with twelve plugins of one artifact, for which a registry has two seconds each; the route calls one
/// of them.
fn twelve(registry: &str, artifact: &Artifact, origin: &Origin, called: &str, path: &str) -> String {
    let plugins: String = (0..12)
        .map(|number| {
            let from = format!("oci://{registry}/p{number}@{}", artifact.digest());
            plugin(&format!("p{number}"), from, PATIENT)
        })
        .collect();
    let of_registry = format!("[registry.{registry:?}]\nplain_http = true\ntimeout = '2s'");
    let rest = format!("{of_registry}\n{plugins}{}{}", route("/**", &format!("{called:?}")), route(path, ""));
    format!("[gateway]\nworkers = 1\n{CACHE}\n{}", config(origin, &rest))
}

#[tokio::test]
async fn one_that_is_silent_is_waited_for_once_and_other_changes_apply() {
    let (origin, silent) = (Origin::start(), Arc::<AtomicUsize>::default());
    let artifacts: Vec<_> = [1, 2].map(|version| Artifact::of(&component(version), None)).into();
    let (held, is_silent) = (artifacts.clone(), silent.clone());
    let registry = Registry::start(move |ask| match is_silent.load(Ordering::Relaxed) {
        0 => Reply::of(held.iter().find_map(|it| it.at(&ask.path))),
        _ => Reply::Drip,
    })
    .await;
    let text = |artifact: &Artifact, path: &str| twelve(&registry.to_string(), artifact, &origin, "p3", path);
    let gateway = Gateway::start(text(&artifacts[0], "/before")).await;
    serves(&gateway, "1").await;
    silent.store(1, Ordering::Relaxed);
    let asked = registry.asked().len();
    gateway.forget_log();
    gateway.write_config(text(&artifacts[1], "/after"));
    gateway.wait_for_log_containing("getting oci://").await;
    gateway.wait_for_log_containing("it has just left another plugin waiting for too long").await;
    gateway.wait_for_log_containing("the configuration is live").await;
    // Four at a time are got; nobody else asked.
    assert!((1..=4).contains(&(registry.asked().len() - asked)), "{:?}", registry.asked());
    serves(&gateway, "1").await;
    let answer = Client::http1().get(gateway.url("/after")).send().await;
    assert_eq!(answer.header("x-version"), None, "the route is there");
}

#[tokio::test]
async fn one_that_is_slow_is_asked_for_the_others_all_the_same() {
    let (origin, slow) = (Origin::start(), Arc::<AtomicUsize>::default());
    let artifacts: Vec<_> = [1, 2].map(|version| Artifact::of(&component(version), None)).into();
    let (held, is_slow) = (artifacts.clone(), slow.clone());
    let registry = Registry::start(move |ask| {
        // As many as are got at a time.
        let first = ["/p0/blobs", "/p1/blobs", "/p2/blobs", "/p3/blobs"];
        match is_slow.load(Ordering::Relaxed) == 1 && first.iter().any(|path| ask.path.contains(path)) {
            true => Reply::Drip,
            false => Reply::of(held.iter().find_map(|it| it.at(&ask.path))),
        }
    })
    .await;
    let text = |artifact: &Artifact| twelve(&registry.to_string(), artifact, &origin, "p9", "/other");
    let gateway = Gateway::start(text(&artifacts[0])).await;
    serves(&gateway, "1").await;
    slow.store(1, Ordering::Relaxed);
    gateway.forget_log();
    gateway.write_config(text(&artifacts[1]));
    gateway.wait_for_log_containing("the configuration is live").await;
    serves(&gateway, "2").await;
}
