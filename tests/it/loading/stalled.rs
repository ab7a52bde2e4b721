//! Reloads that have to wait for a registry: what is told meanwhile, and that they hold nothing up.

use super::registry::{CACHE, text};
use super::{component, serves};
use crate::common::{PATIENT, config, plugin, route};
use limen_tests::oci::{Artifact, Ask, Registry, Reply};
use limen_tests::{Answer, Client, Finished, Gateway, Origin, eventually, limen};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;
use tokio::sync::watch;

/// A registry that holds its answers back while it is told to: it accepts, and says nothing.
struct Stalled {
    registry: Registry,
    lets_go: watch::Sender<bool>,
    artifacts: [Artifact; 2],
}

impl Stalled {
    async fn start() -> Stalled {
        let artifacts = [1, 2].map(|version| Artifact::of(&component(version), None));
        let (lets_go, is_let_go) = watch::channel(true);
        let held = artifacts.clone();
        let script = move |ask: &Ask| {
            let found = Reply::of(held.iter().find_map(|it| it.at(&ask.path)));
            Reply::Held(is_let_go.clone(), Box::new(found))
        };
        Stalled { registry: Registry::start(script).await, lets_go, artifacts }
    }

    fn let_go(&self, whether: bool) {
        self.lets_go.send_replace(whether);
    }

    /// A configuration with one version of its component, and a route of its own.
    fn text(&self, origin: &Origin, version: usize, path: &str) -> String {
        let digest = self.artifacts[version - 1].digest();
        let reference = format!("{}/policies/version:{version}.0@{digest}", self.registry);
        let text = text(origin, CACHE, &reference, "plain_http = true\ntimeout = '1h'");
        format!("{text}{}[log]\naudit = 'audit.log'\n", route(path, ""))
    }
}

/// A gateway that serves version 1, and waits for version 2.
async fn waiting(origin: &Origin, stalled: &Stalled) -> Gateway {
    let gateway = Gateway::start(stalled.text(origin, 1, "/first")).await;
    serves(&gateway, "1").await;
    stalled.let_go(false);
    gateway.forget_log();
    gateway.write_config(stalled.text(origin, 2, "/second"));
    gateway.wait_for_log_containing("getting oci://").await;
    gateway
}

async fn reload(gateway: &Gateway, more: &[&str]) -> Finished {
    let admin = gateway.admin_url("").trim_start_matches("http://").to_owned();
    gateway.successor().finish(&[&["reload", "--admin", &admin], more].concat()).await
}

async fn status(gateway: &Gateway, path: &str) -> Option<String> {
    let answer = Client::http1().get(gateway.url(path)).send().await;
    answer.header("x-version").map(str::to_owned)
}

/// `limen reload` that has told something of what goes on.
struct Watching {
    child: Child,
    stderr: BufReader<ChildStderr>,
    first: String,
}

impl Watching {
    async fn begin(gateway: &Gateway, more: &[&str]) -> Watching {
        let admin = gateway.admin_url("").trim_start_matches("http://").to_owned();
        let mut command = Command::new(limen());
        command.args(["reload", "--admin", &admin]).args(more).current_dir(gateway.path(""));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let read = tokio::task::spawn_blocking(move || {
            let mut first = String::new();
            stderr.read_line(&mut first).unwrap();
            Watching { child, stderr, first }
        });
        read.await.unwrap()
    }

    async fn end(mut self) -> Finished {
        let read = tokio::task::spawn_blocking(move || {
            self.stderr.read_to_string(&mut self.first).unwrap();
            let output = self.child.wait_with_output().unwrap();
            let stdout = String::from_utf8(output.stdout).unwrap();
            Finished { status: output.status, stdout, stderr: self.first }
        });
        read.await.unwrap()
    }
}

#[tokio::test]
async fn a_newer_configuration_is_not_held_up_by_the_download_of_an_older_one() {
    let (origin, stalled) = (Origin::start(), Stalled::start().await);
    let gateway = waiting(&origin, &stalled).await;
    let waiting = Watching::begin(&gateway, &[]).await;
    gateway.write_config(stalled.text(&origin, 1, "/third"));
    let waited = waiting.end().await;
    gateway.wait_for_log_containing("is given up for what they say now").await;
    assert!(waited.status.success(), "{waited:?}");
    let told: Vec<_> = waited.stderr.lines().collect();
    let from = format!("downloading {}/policies/version:2.0", stalled.registry);
    assert_eq!(told, [&*from, "the files have changed again: loading what they say now"], "{waited:?}");
    assert!(waited.stdout.starts_with("the configuration is live"), "{waited:?}");
    assert_eq!(status(&gateway, "/third").await, None, "its own route is there");
    assert_eq!(status(&gateway, "/second").await.as_deref(), Some("1"), "nobody has seen the one between");
    assert_eq!(gateway.log().iter().filter(|line| line.contains("the configuration is live")).count(), 1);
}

/// What it was given up for may be over when it is: nobody else would ever load what it was to load.
#[tokio::test]
async fn what_is_given_up_is_loaded_again_though_the_files_are_as_they_were() {
    let (origin, stalled) = (Origin::start(), Stalled::start().await);
    let gateway = waiting(&origin, &stalled).await;
    let (config, away) = (gateway.path("limen.toml"), gateway.path("away"));
    std::fs::rename(&config, &away).unwrap();
    gateway.wait_for_log_containing("is given up for what they say now").await;
    std::fs::rename(&away, &config).unwrap();
    stalled.let_go(true);
    serves(&gateway, "2").await;
    assert_eq!(status(&gateway, "/second").await, None, "its own route is there");
}

#[tokio::test]
async fn changes_that_never_end_keep_nothing_from_going_live_for_ever() {
    let (origin, stalled) = (Origin::start(), Stalled::start().await);
    let gateway = waiting(&origin, &stalled).await;
    for number in 0.. {
        gateway.forget_log();
        let text = stalled.text(&origin, 2, &format!("/{number}"));
        gateway.write_config(text.replace("timeout = '1h'", "timeout = '5s'"));
        // It is given up and begun anew, or is not.
        let (anew, live) = ("getting oci://", "the configuration is live");
        let next = gateway.wait_for_log(|line| line.contains(anew) || line.contains(live)).await;
        if next.contains(live) {
            break;
        }
        assert!(number < 20, "{:?}", gateway.log());
    }
}

#[tokio::test]
async fn who_asks_while_nothing_changed_waits_for_what_is_under_way() {
    let (origin, stalled) = (Origin::start(), Stalled::start().await);
    let gateway = waiting(&origin, &stalled).await;
    let one = Watching::begin(&gateway, &["--json"]).await;
    let other = Watching::begin(&gateway, &[]).await;
    gateway.sighup();
    gateway.wait_for_log_containing("SIGHUP").await;
    stalled.let_go(true);
    let (one, other) = (one.end().await, other.end().await);
    assert!(one.status.success() && other.status.success(), "{one:?} {other:?}");
    let told: Value = serde_json::from_str(&one.stdout).expect("one document");
    assert_eq!((&told["ok"], &told["kept_back"]), (&true.into(), &Value::Array(vec![])));
    serves(&gateway, "2").await;
    let asked = stalled.registry.asked();
    assert_eq!(asked.len(), 4, "a manifest and a layer of each version, once: {asked:?}");
    assert_eq!(gateway.log().iter().filter(|line| line.contains("getting oci://")).count(), 1);
    let audit = std::fs::read_to_string(gateway.path("audit.log")).unwrap();
    let audit: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let by = audit.iter().filter(|line| line["what"] == "config").map(|line| &line["by"]["via"]);
    assert_eq!(by.take(2).collect::<Vec<_>>(), ["start", "files"], "who waits for it is not its author");
}

#[tokio::test]
async fn steps_are_told_while_they_are_taken() {
    let (origin, stalled) = (Origin::start(), Stalled::start().await);
    let gateway = waiting(&origin, &stalled).await;
    let waiting = Watching::begin(&gateway, &[]).await;
    stalled.let_go(true);
    let told = waiting.end().await;
    assert!(told.status.success(), "{told:?}");
    let size = component(2).len() as f64 / 1024.0;
    let from = format!("downloading {}/policies/version:2.0", stalled.registry);
    let whole = format!("{from} ({size:.1} of {size:.1} KiB)");
    let lines: Vec<_> = told.stderr.lines().collect();
    assert_eq!(lines, [&*from, &*whole, "compiling version", "configuring version for /**"], "{told:?}");

    // The same as a stream, of a version that is known.
    let asking = || Client::http1().post(gateway.admin_url("/reload"));
    let plain = asking().send().await;
    assert_eq!(plain.header("content-type"), Some("application/json"));
    let streamed = asking().header("accept", "application/x-ndjson").send().await;
    assert_eq!(
        (streamed.status.as_u16(), streamed.header("content-type")),
        (200, Some("application/x-ndjson"))
    );
    let done = done(&streamed);
    assert_eq!((&done["status"], &done["answer"]["ok"]), (&200.into(), &true.into()), "{done}");
    gateway.write_config("no = 'sense'");
    let refused = asking().header("accept", "application/x-ndjson").send().await;
    let answer = &self::done(&refused)["answer"];
    assert_eq!((&answer["status"], &answer["ok"]), (&422.into(), &false.into()), "{answer}");
    let refused = reload(&gateway, &[]).await;
    assert!(!refused.status.success() && refused.stdout.contains("limen.toml:1:1"), "{refused:?}");
}

/// What the last line says.
fn done(answer: &Answer) -> Value {
    let text = answer.text();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["step"], "done", "{text}");
    last
}

#[tokio::test]
async fn a_gateway_that_ends_meanwhile_is_told_from_one_that_refuses() {
    let (origin, stalled) = (Origin::start(), Stalled::start().await);
    let gateway = waiting(&origin, &stalled).await;
    let waiting = Watching::begin(&gateway, &["--json"]).await;
    gateway.signal(rustix::process::Signal::KILL);
    let told = waiting.end().await;
    assert_eq!((told.status.code(), &*told.stdout), (Some(1), ""), "{told:?}");
    assert!(told.stderr.contains("before it said what became of it"), "{told:?}");
}

/// Several that say nothing are waited for at the same time, and so are all components of one that is slow.
#[tokio::test]
async fn a_reload_waits_for_one_timeout_and_not_for_a_sum() {
    let origin = Origin::start();
    let artifacts = [1, 2].map(|version| Artifact::of(&component(version), None));
    let (slow, is_slow) = watch::channel(false);
    let mut registries = Vec::new();
    for number in 0..6 {
        let (held, is_slow) = (artifacts.clone(), is_slow.clone());
        let script = move |ask: &Ask| match (*is_slow.borrow(), number, ask.path.contains("/blobs/")) {
            (false, ..) | (true, 0, false) => Reply::of(held.iter().find_map(|it| it.at(&ask.path))),
            (true, 0, true) => Reply::Drip,
            (true, ..) => Reply::Held(watch::channel(false).1, Box::new(Reply::Nonsense)),
        };
        registries.push(Registry::start(script).await);
    }
    let text = |artifact: &Artifact| {
        let digest = artifact.digest();
        let many = (0..12).map(|number| {
            plugin(
                &format!("many{number}"),
                format!("oci://{}/many{number}@{digest}", registries[0]),
                PATIENT,
            )
        });
        let others = registries.iter().skip(1).enumerate().map(|(number, registry)| {
            plugin(&format!("other{number}"), format!("oci://{registry}/other@{digest}"), PATIENT)
        });
        let terms = registries.iter().map(|registry| {
            format!("[registry.{:?}]\nplain_http = true\ntimeout = '3s'\n", registry.to_string())
        });
        let rest = terms.chain(many).chain(others).collect::<String>() + &route("/**", r#""many0""#);
        format!(
            "[gateway]\nworkers = 1\n{CACHE}\n[admin]\naddress = '127.0.0.1:0'\n{}",
            config(&origin, &rest)
        )
    };
    let gateway = Gateway::start(text(&artifacts[0])).await;
    serves(&gateway, "1").await;
    slow.send_replace(true);
    gateway.forget_log();
    gateway.write_config(text(&artifacts[1]));
    gateway.wait_for_log_containing("the configuration is live").await;
    let last = eventually("the reload is on record", async || {
        let reloads = Client::http1().get(gateway.admin_url("/reload")).send().await.json();
        reloads.get("last").cloned()
    })
    .await;
    assert_eq!(last["kept_back"].as_array().unwrap().len(), 17, "{last}");
    let took = Duration::from_millis(last["took_ms"].as_u64().unwrap());
    assert!(took < Duration::from_millis(5500), "{took:?}");
    serves(&gateway, "1").await;
}
