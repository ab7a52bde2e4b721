//! Plugins and configuration change while requests go on: nobody notices but by the new answers.

use crate::common::{PATIENT, config, config_of_one_worker, guest_plugin, plugin, route};
use limen_tests::{Answer, Client, Gateway, Load, Origin, Report, body, eventually, guest, guest_version};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A new version is to be seen within two seconds; more only where two cores have other tests to run.
const SOON: Duration = Duration::from_secs(20);

/// `[plugin.NAME]` of a component in the gateway's own folder.
fn local_plugin(name: &str) -> String {
    plugin(name, PathBuf::from(format!("{name}.wasm")), PATIENT)
}

pub fn component(version: u32) -> Vec<u8> {
    std::fs::read(guest_version(version)).unwrap()
}

/// The guest `version` on every path, as a file that can be swapped.
async fn start(origin: &Origin) -> Gateway {
    let rest = [local_plugin("version"), route("/**", r#""version""#)].join("\n");
    Gateway::with(config(origin, &rest)).file("version.wasm", component(1)).start().await
}

/// What both hooks of an exchange said, and what the origin saw: `1 1 1` if they were one version.
fn versions(answer: &Answer) -> String {
    let header = |name| answer.header(name).unwrap_or("none").to_owned();
    let seen = answer.json()["headers"]["x-version-in"].as_str().unwrap_or("none").to_owned();
    format!("{seen} {} {}", header("x-version-request"), header("x-version"))
}

pub fn all(version: impl std::fmt::Display) -> String {
    format!("{version} {version} {version}")
}

/// Loads by HTTP/1.1 and HTTP/2, with new connections all the time.
pub struct Loads([Load; 2]);

impl Loads {
    fn start(gateway: &Gateway, path: &str) -> Loads {
        let url = gateway.url(path);
        Loads([Client::http1(), Client::http2()].map(|client| Load::start_with(&client, &url, 2, versions)))
    }

    /// The same with a pause before each request, which leaves the machine something to compile with.
    pub fn start_paced(gateway: &Gateway, path: &str, pause: Duration) -> Loads {
        let url = gateway.url(path);
        let clients = [Client::http1(), Client::http2()];
        Loads(clients.map(|client| Load::paced(&client, &url, 2, pause, versions)))
    }

    /// Waits until both have met this many further answers of this kind.
    pub async fn meet(&self, wanted: &str) {
        for load in &self.0 {
            let enough = load.report().answers.get(wanted).copied().unwrap_or_default() + 5;
            load.wait_for(|it| it.answers.get(wanted).copied().unwrap_or_default() >= enough).await;
        }
    }

    /// Nobody failed, and nobody met anything but these.
    pub fn stop(self, wanted: &[String]) {
        for Report { answers, .. } in self.reports() {
            let strange: Vec<_> = answers.keys().filter(|it| !wanted.contains(it)).collect();
            assert!(strange.is_empty(), "neither the old nor the new: {strange:?}");
        }
    }

    fn reports(self) -> Vec<Report> {
        let reports = self.0.map(Load::stop);
        reports.iter().for_each(Report::assert_no_failures);
        reports.into()
    }
}

pub async fn live(gateway: &Gateway) -> String {
    gateway.wait_for_log_containing("the configuration is live").await
}

#[tokio::test]
async fn a_plugin_is_swapped_under_load() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let loads = Loads::start(&gateway, "/");
    loads.meet(&all(1)).await;
    for version in [2, 3] {
        let begun = Instant::now();
        gateway.replace_file("version.wasm", component(version));
        loads.meet(&all(version)).await;
        assert!(begun.elapsed() < SOON, "version {version} was seen after {:?}", begun.elapsed());
    }
    loads.stop(&[1, 2, 3].map(all));
}

#[tokio::test]
async fn the_configuration_is_swapped_under_load() {
    let (blue, green) = (Origin::start(), Origin::start());
    let config_for = |origin: &Origin, mark: &str| {
        let attached = format!(r#"{{ use = "version", with = {{ version = {mark:?} }} }}"#);
        config(origin, &[guest_plugin("version"), route("/**", &attached)].join("\n"))
    };
    let gateway = Gateway::start(config_for(&blue, "blue")).await;
    let loads = Loads::start(&gateway, "/");
    loads.meet(&all("blue")).await;
    for _ in 0..3 {
        for (origin, mark) in [(&green, "green"), (&blue, "blue")] {
            let (begun, before) = (Instant::now(), origin.requests());
            gateway.write_config(config_for(origin, mark));
            loads.meet(&all(mark)).await;
            assert!(begun.elapsed() < SOON, "{mark} was seen after {:?}", begun.elapsed());
            assert!(origin.requests() > before, "the upstream changed with it");
        }
    }
    loads.stop(&["blue", "green"].map(all));
}

#[tokio::test]
async fn a_request_in_flight_ends_with_the_version_it_began_with() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let client = Client::http1();

    // The request hook has run when the origin has the request; the response hook waits for its body's end.
    let (feed, body) = body::fed();
    let swapping = async {
        assert!(feed.send("begun").await);
        eventually("the origin to be asked", async || (origin.requests() == 1).then_some(())).await;
        gateway.replace_file("version.wasm", component(2));
        eventually("version 2", async || {
            (versions(&client.get(gateway.url("/")).send().await) == all(2)).then_some(())
        })
        .await;
        assert!(feed.send(", ended").await);
        drop(feed);
    };
    let in_flight = client.post(gateway.url("/echo")).stream(body).send();
    let (in_flight, ()) = tokio::join!(in_flight, swapping);
    assert_eq!(versions(&in_flight), all(1));
    assert_eq!(in_flight.json()["body"], "begun, ended");
}

#[tokio::test]
async fn a_stream_and_its_connection_outlive_a_swap() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    for client in [Client::http1(), Client::http2()] {
        gateway.forget_log();
        let mut connection = client.connect(gateway.url("/")).await.unwrap();
        let mut stream = connection.get("/drip?seconds=2").open().await;
        let begun_with = stream.headers["x-version"].to_str().unwrap().to_owned();
        let mut text = stream.piece().await.unwrap().unwrap().to_vec();
        let next = if begun_with == "1" { 2 } else { 1 };
        gateway.replace_file("version.wasm", component(next));
        live(&gateway).await;
        while let Some(piece) = stream.piece().await.unwrap() {
            text.extend_from_slice(&piece);
        }
        assert_eq!(String::from_utf8(text).unwrap().lines().count(), 20);
        assert_eq!(
            versions(&connection.get("/").send().await),
            all(next),
            "the same connection, the new version"
        );
    }
}

#[tokio::test]
async fn a_half_written_component_keeps_the_last_good_version() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let loads = Loads::start(&gateway, "/");
    loads.meet(&all(1)).await;

    // In place, as a compiler that is killed leaves it.
    let half = &component(2)[..component(2).len() / 2];
    std::fs::write(gateway.path("version.wasm"), half).unwrap();
    let line = gateway.wait_for_log_containing("the last good one serves on: ").await;
    assert!(line.contains("plugin=\"version\"") && line.contains("the component is broken"), "{line}");
    let running = gateway.wait_for_log_containing("is ready").await;
    let live_id = line.split("live=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(running.contains(&format!("version={live_id}")), "{line} names the version of {running}");
    loads.meet(&all(1)).await;

    gateway.forget_log();
    std::fs::write(gateway.path("version.wasm"), "not WebAssembly").unwrap();
    let line = gateway.wait_for_log_containing("the last good one serves on: ").await;
    assert!(line.contains("not WebAssembly"), "{line}");
    loads.meet(&all(1)).await;

    std::fs::write(gateway.path("version.wasm"), component(2)).unwrap();
    loads.meet(&all(2)).await;
    loads.stop(&[1, 2].map(all));
}

#[tokio::test]
async fn a_component_that_is_not_granted_or_refuses_its_settings_keeps_the_last_good_version() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let ask = async || versions(&Client::http1().get(gateway.url("/")).send().await);
    for (bad, why) in [
        ("ungranted", "imports `counters`"),
        ("wrong-version", "version 9.9.0"),
        ("configure-loops", "configure"),
    ] {
        gateway.forget_log();
        gateway.replace_file("version.wasm", std::fs::read(limen_tests::guest(bad)).unwrap());
        let line = gateway.wait_for_log_containing("the last good one serves on: ").await;
        assert!(line.contains(why), "{line}");
        assert_eq!(ask().await, all(1));
    }
    gateway.replace_file("version.wasm", component(3));
    eventually("version 3", async || (ask().await == all(3)).then_some(())).await;
}

#[tokio::test]
async fn a_bad_plugin_does_not_block_another_s_update() {
    let origin = Origin::start();
    let rest = [
        local_plugin("one"),
        local_plugin("other"),
        route("/one", r#""one""#),
        route("/other", r#""other""#),
    ];
    let setup = Gateway::with(config(&origin, &rest.join("\n")));
    let gateway = setup.file("one.wasm", component(1)).file("other.wasm", component(1)).start().await;
    let ask = async |path: &str| versions(&Client::http1().get(gateway.url(path)).send().await);

    gateway.replace_file("one.wasm", b"\0asm\x0d\0\x01\0 and then nonsense");
    gateway.replace_file("other.wasm", component(2));
    eventually("the other's update", async || (ask("/other").await == all(2)).then_some(())).await;
    let line = gateway.wait_for_log_containing("the last good one serves on: ").await;
    assert!(line.contains("plugin=\"one\""), "{line}");
    assert_eq!(ask("/one").await, all(1));

    // Nor does it stay behind when the configuration changes, or is asked for again.
    gateway.forget_log();
    gateway.sighup();
    live(&gateway).await;
    assert_eq!((ask("/one").await, ask("/other").await), (all(1), all(2)));
    gateway.replace_file("one.wasm", component(3));
    eventually("its own update", async || (ask("/one").await == all(3)).then_some(())).await;
    assert_eq!(ask("/other").await, all(2));
}

#[tokio::test]
async fn an_invalid_configuration_changes_nothing() {
    let origin = Origin::start();
    let config_with = |mark: &str, more: &str| {
        let attached = format!(r#"{{ use = "version", with = {{ version = {mark:?} }} }}"#);
        config(&origin, &[&guest_plugin("version"), &route("/**", &attached), more].join("\n"))
    };
    let gateway = Gateway::start(config_with("old", "")).await;
    let loads = Loads::start(&gateway, "/");
    loads.meet(&all("old")).await;
    let taken = format!("[[listener]]\naddress = \"{}\"", origin.address());
    for (wrong, why) in [
        ("[[route]]\npath = \"/new\"\nupstream = \"nowhere\"", "nowhere"),
        ("this is not TOML", "error:"),
        (
            "[[route]]\npath = \"/new\"\nupstream = \"origin\"\npolicies = [{ use = \"version\", with = { version = 5 } }]",
            "settings of `version`",
        ),
        (&taken, "can't listen on"),
    ] {
        gateway.forget_log();
        gateway.write_config(config_with("new", wrong));
        gateway.wait_for_log_containing("the new configuration is refused, the running one serves on:").await;
        gateway.wait_for_log_containing(why).await;
        loads.meet(&all("old")).await;
    }
    gateway.write_config(config_with("good", ""));
    loads.meet(&all("good")).await;
    loads.stop(&["old", "good"].map(all));
}

#[tokio::test]
async fn sighup_asks_for_a_reload() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    for _ in 0..2 {
        gateway.forget_log();
        gateway.sighup();
        live(&gateway).await;
        assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);
    }
}

#[tokio::test]
async fn an_included_file_and_a_certificate_are_watched_too() {
    let origin = Origin::start();
    let (old, new) = (limen_tests::Certs::new(), limen_tests::Certs::new());
    let text = format!(
        r#"
        include = [{{ files = ["teams/*.toml"], may = ["route"] }}]
        [[listener]]
        address = "127.0.0.1:0"
        tls = {{ certificates = [{{ cert = "cert.pem", key = "key.pem" }}] }}
        [upstream.origin]
        endpoints = ["{origin}"]
        "#
    );
    let gateway = Gateway::with(text)
        .file("teams/a.toml", "[[route]]\npath = \"/a\"\nupstream = \"origin\"\n")
        .copy("cert.pem", &old.local().cert)
        .copy("key.pem", &old.local().key)
        .start()
        .await;
    let client = Client::http1().trusting(&old);
    assert_eq!(client.get(gateway.url("/a")).send().await.status, 200);
    assert_eq!(client.get(gateway.url("/b")).send().await.status, 404);

    gateway.replace_file("teams/b.toml", "[[route]]\npath = \"/b\"\nupstream = \"origin\"\n");
    eventually("the new file's route", async || {
        (client.get(gateway.url("/b")).send().await.status == 200).then_some(())
    })
    .await;

    gateway.replace_file("cert.pem", std::fs::read(&new.local().cert).unwrap());
    gateway.replace_file("key.pem", std::fs::read(&new.local().key).unwrap());
    let client = Client::http1().trusting(&new);
    eventually("the new certificate", async || client.get(gateway.url("/a")).try_send().await.ok()).await;
}

#[tokio::test]
async fn a_folder_that_is_removed_and_made_again_is_watched_again() {
    let origin = Origin::start();
    let rest =
        [plugin("version", "built/release/version.wasm", PATIENT), route("/**", r#""version""#)].join("\n");
    let setup = Gateway::with(config_of_one_worker(&origin, &rest));
    let gateway = setup.file("built/release/version.wasm", component(1)).start().await;
    let ask = async || versions(&Client::http1().get(gateway.url("/")).send().await);
    assert_eq!(ask().await, all(1));

    // As a build from scratch does it.
    for version in [2, 3] {
        std::fs::remove_dir_all(gateway.path("built/release")).unwrap();
        assert_eq!(ask().await, all(version - 1));
        std::fs::create_dir_all(gateway.path("built/release")).unwrap();
        std::fs::write(gateway.path("built/release/version.wasm"), component(version)).unwrap();
        eventually("the version of the new folder", async || (ask().await == all(version)).then_some(()))
            .await;
    }
}

/// A grant that is taken back is no reason to go on with a version that still has it: the new config is
/// refused, by name. And a component whose file is gone keeps nothing else from being updated.
#[tokio::test]
async fn grants_and_files_that_go_are_told_apart() {
    let origin = Origin::start();
    let config_with = |grants: &str, header: &str| {
        let keys = format!("grants = {{ counters = {grants} }}\n{PATIENT}");
        let counts = plugin("ungranted", guest("ungranted"), &keys);
        let copied = plugin("copied", "copied.wasm", PATIENT);
        let marks = format!(
            "{{ use = \"headers\", with = {{ response = {{ set = {{ x-mark = {header:?} }} }} }} }}, \"copied\""
        );
        config(
            &origin,
            &[counts, copied, route("/count", r#""ungranted""#), route("/mark", &marks)].join("\n"),
        )
    };
    let gateway = Gateway::with(config_with("true", "1")).copy("copied.wasm", guest("raw")).start().await;
    let mark = async || {
        let answer = Client::http1().get(gateway.url("/mark")).send().await;
        answer.header("x-mark").map(str::to_owned)
    };
    assert_eq!(mark().await.as_deref(), Some("1"));

    gateway.write_config(config_with("false", "2"));
    gateway.wait_for_log_containing("imports `counters`, which it is not granted").await;
    assert_eq!(mark().await.as_deref(), Some("1"));

    gateway.forget_log();
    std::fs::remove_file(gateway.path("copied.wasm")).unwrap();
    gateway.write_config(config_with("true", "3"));
    gateway.wait_for_log_containing("the last good one serves on").await;
    eventually("the rest of the config is live", async || mark().await.filter(|mark| mark == "3")).await;
}
