//! What an author of policies does at a terminal, from nothing to a policy that is served.

mod bench;
mod cases;

use crate::common::{config, guest_plugin, guest_plugin_with, route};
use limen_tests::{Client, Finished, Gateway, Origin, Setup, eventually, guest, guest_version};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");

/// How long the way from an edit to an answer may take while other tests run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where all templates are built: the SDK only once.
fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("templates")
}

/// `limen policy new`, `cargo test`, `limen policy build`, `limen policy test`, and `limen run` on the configuration
/// that came with it.
async fn from_nothing(name: &'static str, origin: &Origin) -> Gateway {
    let setup = Gateway::with("").env("CARGO_TARGET_DIR", text(&target()));
    let policy = format!("my-{name}");
    let folder = setup.path(&policy);
    let made = setup.again().finish(&["policy", "new", &policy, "--template", name, "--sdk", SDK]).await;
    assert!(made.status.success(), "{}", made.stderr);
    // The versions of the guests, which this machine has.
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/guests/Cargo.lock"), folder.join("Cargo.lock"))
        .unwrap();

    // The SDK is built here, with all the time it takes.
    for arguments in
        [&["test", "--quiet"][..], &["build", "--quiet", "--release", "--target", "wasm32-wasip2"]]
    {
        let mut cargo = Command::new("cargo");
        cargo.args(arguments).current_dir(&folder).env("CARGO_TARGET_DIR", target());
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let built = setup.again().finish(&["policy", "build", &policy]).await;
    assert!(built.status.success(), "{}", built.stderr);
    assert!(built.stdout.starts_with(&format!("{policy} 0.1.0 ")), "{}", built.stdout);
    let component = built.stdout.lines().last().unwrap();
    let looked_into = setup.again().finish(&["policy", "inspect", &policy]).await;
    assert!(built.stdout.starts_with(&looked_into.stdout), "{}\n{}", built.stdout, looked_into.stdout);
    let (_, built) = told(&setup, &["policy", "build", &policy]).await;
    assert_eq!(
        (&built["name"], &built["component"]),
        (&policy.as_str().into(), &component.into()),
        "{built}"
    );
    let tested = setup.again().finish(&["policy", "test", &policy]).await;
    assert!(tested.status.success(), "{}\n{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("cases.toml") && tested.stdout.contains(" 0 failed"), "{}", tested.stdout);

    let toml = std::fs::read_to_string(folder.join("limen.toml")).unwrap();
    let toml = toml
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("http://127.0.0.1:9000", origin.url("").trim_end_matches('/'))
        .replace(&format!("target/wasm32-wasip2/release/my_{name}.wasm"), component);
    setup.file("limen.toml", toml).start().await
}

/// Edit, build, and the running gateway serves it: some 4 s of computing, 10 s at most where two cores have
/// nothing else to do. Here they have.
async fn an_edit_goes_live(name: &str, gateway: &Gateway) {
    let begun = Instant::now();
    let source = gateway.path(&format!("my-{name}/src/lib.rs"));
    let edited = std::fs::read_to_string(&source).unwrap().replace("\"x-gate\"", "\"x-other-gate\"");
    std::fs::write(source, edited).unwrap();
    let setup = gateway.successor().env("CARGO_TARGET_DIR", text(&target()));
    let built = setup.finish(&["policy", "build", &format!("my-{name}")]).await;
    assert!(built.status.success(), "{}", built.stderr);
    eventually("the new version", async || {
        let answer = Client::http1().get(gateway.url("/")).send().await.json();
        (answer["headers"]["x-other-gate"] == "north").then_some(())
    })
    .await;
    assert!(begun.elapsed() < PATIENCE, "from the edit to the first answer: {:?}", begun.elapsed());
}

/// One after the other: they share what is built.
#[tokio::test]
async fn every_template_is_a_policy_that_serves() {
    let origin = Origin::start();
    let client = Client::http1();

    let headers = from_nothing("headers", &origin).await;
    let answer = client.get(headers.url("/")).send().await;
    assert_eq!(answer.json()["headers"]["x-gate"], "north");
    an_edit_goes_live("headers", &headers).await;

    let auth = from_nothing("auth", &origin).await;
    let refused = client.get(auth.url("/")).send().await;
    assert_eq!((refused.status.as_u16(), refused.header("www-authenticate")), (401, Some("Bearer")));
    let passed = client.get(auth.url("/")).header("authorization", "Bearer change-me-please").send().await;
    assert_eq!(passed.status, 200);

    let body = from_nothing("body", &origin).await;
    for (json, status) in [("{}", 422), ("[", 400), (r#"{ "name": "Ada" }"#, 200)] {
        let ask = client.post(body.url("/")).header("content-type", "application/json").body(json);
        assert_eq!(ask.send().await.status, status, "{json}");
    }

    let stream = from_nothing("stream", &origin).await;
    let short = client.get(stream.url("/bytes/1000000")).send().await;
    assert_eq!(short.body.len(), 1_000_000);
    assert!(client.get(stream.url("/bytes/1000001")).try_send().await.is_err());
    stream.wait_for_log_containing("the response has more than 1000000 bytes").await;
}

/// `limen policy ...` where nothing is needed but its arguments.
async fn policy(arguments: &[&str]) -> Finished {
    Gateway::with("").finish(&[&["policy"], arguments].concat()).await
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn what_a_component_is_can_be_seen() {
    let ungranted = guest("ungranted");
    let shown = policy(&["inspect", text(&ungranted)]).await;
    for expected in
        ["ungranted 0.1.0", "sha256", "phases    request", "counters", "grants    counters = true"]
    {
        assert!(shown.stdout.contains(expected), "{expected}: {}", shown.stdout);
    }
    let json = policy(&["inspect", "--json", text(&ungranted)]).await;
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["grants"], serde_json::json!(["counters = true"]));
    assert_eq!(json["size"], std::fs::metadata(&ungranted).unwrap().len());
    assert_eq!(json["contract"], "0.1.0");
    assert_eq!(json["wasi"], serde_json::json!([]));

    // What it has of WASI is something that it imports as well.
    let chance = guest("chance");
    let shown = policy(&["inspect", text(&chance)]).await;
    assert!(shown.stdout.contains("  wasi:random/random: random numbers\n"), "{}", shown.stdout);
    let json = policy(&["inspect", "--json", text(&chance)]).await;
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let random = serde_json::json!({ "interface": "wasi:random/random", "behind": "random numbers" });
    assert!(json["wasi"].as_array().unwrap().contains(&random), "{json}");
}

#[tokio::test]
async fn what_another_version_does_differently_can_be_seen() {
    let (one, two, counter) = (guest_version(1), guest_version(2), guest("ungranted"));
    let same = policy(&["inspect", text(&one), "--diff", text(&one)]).await;
    assert!(same.stdout.contains("no difference"), "{}", same.stdout);
    let bytes = policy(&["inspect", text(&two), "--diff", text(&one)]).await;
    assert!(bytes.stdout.contains("sha256") && !bytes.stdout.contains("grants"), "{}", bytes.stdout);
    let grants = policy(&["inspect", text(&counter), "--diff", text(&one)]).await;
    assert!(grants.stdout.contains("+ counters = true"), "{}", grants.stdout);
    let chance = policy(&["inspect", text(&guest("chance")), "--diff", text(&one)]).await;
    assert!(chance.stdout.contains("+ wasi:random/random: random numbers"), "{}", chance.stdout);
}

/// What a command prints with `--json`.
async fn told(setup: &Setup, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let finished = setup.again().finish(&[arguments, &["--json"]].concat()).await;
    let told = serde_json::from_str(&finished.stdout);
    (finished.status.code(), told.unwrap_or_else(|error| panic!("{error}: {finished:?}")))
}

#[tokio::test]
async fn machines_are_told_what_came_of_it() {
    let origin = Origin::start();
    let version = guest_version(1);
    let rest = format!("{}\n{}", guest_plugin("ungranted"), route("/**", "\"ungranted\""));
    let bad = config(&origin, &rest);
    let good = config(&origin, &format!("{}\n{}", guest_plugin("version"), route("/**", "\"version\"")));
    let setup = Gateway::with("").file("good.toml", good).file("bad.toml", &bad);

    let (status, checked) = told(&setup, &["check", "good.toml"]).await;
    assert_eq!((status, &checked["ok"]), (Some(0), &true.into()), "{checked}");
    assert_eq!((&checked["routes"], &checked["plugins"]), (&1.into(), &1.into()), "{checked}");

    let (status, refused) = told(&setup, &["check", "bad.toml"]).await;
    let error = &refused["errors"][0];
    assert_eq!((status, &refused["ok"]), (Some(1), &false.into()), "{refused}");
    assert_eq!(
        (&error["file"], &error["key"]),
        (&"bad.toml".into(), &"plugin.ungranted".into()),
        "{refused}"
    );
    let line = error["line"].as_u64().unwrap() as usize;
    assert!(bad.lines().nth(line - 1).unwrap().contains("[plugin.ungranted]"), "{refused}");
    assert!(error["column"].as_u64().unwrap() > 0, "{refused}");
    assert!(error["message"].as_str().unwrap().contains("imports `counters`"), "{refused}");
    assert!(error["hint"].as_str().unwrap().contains("counters = true"), "{refused}");

    let check = ["policy", "check", text(&version), "--config", "good.toml"];
    let (status, taken) = told(&setup, &check).await;
    assert_eq!(
        (status, &taken["plugin"], &taken["attached"]),
        (Some(0), &"version".into(), &1.into()),
        "{taken}"
    );
    let (status, refused) = told(&setup, &[&check[..], &["--plugin", "none"]].concat()).await;
    assert_eq!(status, Some(1));
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("no plugin `none`"), "{refused}");

    let (status, packed) = told(&setup, &["policy", "pack", text(&version), "dist", "--tag", "1"]).await;
    assert_eq!((status, &packed["component"]), (Some(0), &"oci-layout:dist:1".into()), "{packed}");
    assert!(packed["digest"].as_str().unwrap().starts_with("sha256:"), "{packed}");
    assert_eq!(packed["signed"], false);

    let (status, refused) = told(&setup, &["policy", "build", "."]).await;
    assert_eq!(status, Some(1));
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("no Cargo.toml"), "{refused}");
}

#[tokio::test]
async fn nonsense_is_no_component() {
    let setup = Gateway::with("").file("text.wasm", "hello").file("empty.wasm", "");
    for (file, said) in
        [("text.wasm", "not WebAssembly"), ("empty.wasm", "empty"), ("none.wasm", "could not read")]
    {
        let refused = setup.again().finish(&["policy", "inspect", file]).await;
        assert!(!refused.status.success());
        assert!(refused.stderr.contains(said), "{file}: {}", refused.stderr);
    }
    for command in ["test", "bench", "build"] {
        let absent = policy(&[command, "/nope"]).await;
        assert_eq!(absent.status.code(), Some(1));
        assert!(absent.stderr.contains("/nope is not there"), "{command}: {}", absent.stderr);
    }
    let unknown = policy(&["new", "x", "--template", "magic"]).await;
    assert!(unknown.stderr.contains("headers, auth, body, stream"), "{}", unknown.stderr);
    let name = policy(&["new", "Not-A-Name"]).await;
    assert!(name.stderr.contains("no name for a policy"), "{}", name.stderr);
}

#[tokio::test]
async fn whether_a_gateway_would_take_it_can_be_asked() {
    let origin = Origin::start();
    let with = |keys: &str| {
        let rest = [guest_plugin_with("counter", keys), guest_plugin("rig"), route("/**", r#""counter""#)]
            .join("\n");
        Gateway::with(config(&origin, &rest))
    };
    let ask = ["policy", "check", text(&guest("counter"))].map(str::to_owned);
    let ask: Vec<_> = ask.iter().map(String::as_str).collect();
    let granted = with("grants = { counters = true }").finish(&ask).await;
    assert!(granted.stdout.contains("as `counter`"), "{} {}", granted.stdout, granted.stderr);

    let other = with("grants = { counters = true }");
    let unsaid = other.again().finish(&["policy", "check", text(&guest("traps"))]).await;
    assert!(unsaid.stderr.contains("Say it with --plugin"), "{}", unsaid.stderr);
    let said = other.again().finish(&["policy", "check", text(&guest("ungranted")), "--plugin", "rig"]).await;
    assert!(!said.status.success() && said.stderr.contains("not granted"), "{}", said.stderr);
    let unknown = other.again().finish(&["policy", "check", text(&guest("rig")), "--plugin", "nobody"]).await;
    assert!(unknown.stderr.contains("no plugin `nobody`"), "{}", unknown.stderr);
}
