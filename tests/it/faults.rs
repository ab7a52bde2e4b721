//! Faults while traffic flows: clients meet only what could not be saved, and afterwards all is as before.

use crate::common::listener;
use limen_tests::raw::{RawOrigin, Reply};
use limen_tests::{Act, Answer, Certs, Client, Dns, Gateway, Load, Origin, Scripted, eventually};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Clients of each protocol, each with one connection at a time.
const CLIENTS: usize = 6;
/// What a fault or a calm lasts, in requests.
const STRETCH: u64 = 300;
/// What may be there more than before: connections that are kept, threads that were needed.
const MORE_FILES: usize = 8 * CLIENTS;
const MORE_MEMORY: u64 = 48 << 20;

/// A gateway under the load of clients of HTTP/1.1 and HTTP/2.
struct Traffic {
    gateway: Gateway,
    loads: Vec<Load>,
    files: usize,
    memory: u64,
}

impl Traffic {
    async fn start(gateway: Gateway) -> Traffic {
        let url = gateway.url("/json");
        Self::of(gateway, &url, &[Client::http1(), Client::http2()]).await
    }

    /// Begins when all is well.
    async fn of(gateway: Gateway, url: &str, clients: &[Client]) -> Traffic {
        let (files, memory) = (files(&gateway), gateway.rss_bytes());
        let loads = clients.iter().map(|client| Load::start_with(client, url, CLIENTS, essence)).collect();
        let traffic = Traffic { gateway, loads, files, memory };
        traffic.go_on().await;
        traffic.loads.iter().for_each(|load| load.report().assert_no_failures());
        traffic
    }

    /// Lets each client ask for a while, whatever the answers.
    async fn go_on(&self) {
        for load in &self.loads {
            load.wait_for_more(STRETCH).await;
        }
    }

    /// Waits until nobody meets a failure any more.
    async fn is_well_again(&self) {
        for load in &self.loads {
            eventually("a time without failures", async || {
                let before = load.report().failed;
                load.wait_for_more(STRETCH).await;
                (load.report().failed == before).then_some(())
            })
            .await;
        }
    }

    /// Whether somebody has met one of these.
    async fn wait_for_failures(&self) {
        for load in &self.loads {
            load.wait_for(|report| report.failed > 0).await;
        }
    }

    /// Ends it. Answers what the clients have met that was no success: statuses, and 0 for an answer that
    /// broke off. Nothing is left behind.
    async fn end(self) -> BTreeSet<u16> {
        let Traffic { mut gateway, loads, files: before, memory } = self;
        let mut met = BTreeSet::new();
        for load in loads {
            let report = load.stop();
            assert!(report.answers.len() <= 1, "answers that are not whole: {:?}", report.answers);
            let told: u64 = report.statuses.values().sum();
            met.extend(report.statuses.keys().copied().chain((report.failed > told).then_some(0)));
        }
        for gauge in
            ["limen_listener_open_connections", "limen_endpoint_requests", "limen_upstream_limited_requests"]
        {
            eventually(&format!("{gauge} to be 0"), async || {
                (read(&gateway, gauge).await == 0.0).then_some(())
            })
            .await;
        }
        eventually("files to be closed", async || (files(&gateway) <= before + MORE_FILES).then_some(()))
            .await;
        let more = gateway.rss_bytes().saturating_sub(memory);
        assert!(more <= MORE_MEMORY, "{more} bytes of memory more than before");
        let log = gateway.log();
        let panic = log.iter().find(|line| line.contains("panicked"));
        assert!(panic.is_none() && gateway.is_running(), "{panic:?}");
        met
    }
}

/// What whole answers have in common: some origins number theirs.
fn essence(answer: &Answer) -> String {
    let text = answer.text();
    if text.trim().parse::<u64>().is_ok() { "a number".to_owned() } else { text }
}

/// How many it has open.
fn files(gateway: &Gateway) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).unwrap().count()
}

/// The sum of a gauge, whatever its labels.
async fn read(gateway: &Gateway, gauge: &str) -> f64 {
    let text = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    let samples = text.lines().filter(|line| line.starts_with(&format!("{gauge}{{")));
    let values: Vec<f64> = samples.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(!values.is_empty(), "no {gauge} in {text}");
    values.iter().sum()
}

/// A config whose upstream counts what is under way.
fn config(endpoints: &[&str], keys: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|url| format!("{url:?}")).collect();
    format!(
        "[gateway]\nworkers = 2\n[admin]\naddress = \"127.0.0.1:0\"\n{}[upstream.group]\n\
         endpoints = [{}]\nbalance = \"least-requests\"\nlimits = {{ requests = 1000 }}\n{keys}\n\
         [[route]]\nupstream = \"group\"\n",
        listener(),
        endpoints.join(", ")
    )
}

/// What they met is none but these.
fn assert_only(met: BTreeSet<u16>, allowed: &[u16]) {
    assert!(met.iter().all(|status| allowed.contains(status)), "met {met:?}, not only {allowed:?}");
}

#[tokio::test]
async fn an_endpoint_is_killed_and_started_again() {
    let (stays, mut goes) = (Origin::start(), Origin::start());
    let address = goes.address().to_string();
    let config = config(&[&stays.url(""), &format!("http://{address}")], "");
    let traffic = Traffic::start(Gateway::start(config).await).await;
    for _ in 0..3 {
        drop(goes);
        traffic.go_on().await;
        goes = Origin::start_on(&address).unwrap();
        eventually("it to be asked again", async || (goes.requests() > 0).then_some(())).await;
        traffic.is_well_again().await;
    }
    // What was under way on a new connection may have been seen: it is not sent twice.
    assert_only(traffic.end().await, &[502]);
}

/// An origin that does another thing as long as the switch is on.
async fn switched(act: Act) -> (Scripted, Arc<AtomicBool>) {
    let switch = Arc::<AtomicBool>::default();
    let is_on = switch.clone();
    let origin = Scripted::start(move |_, _| match is_on.load(Ordering::Relaxed) {
        true => act,
        false => Act::Answer(200),
    });
    (origin.await, switch)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_stalls() {
    let (origin, switch) = switched(Act::Silence).await;
    let (spare, _) = switched(Act::Silence).await;
    let keys = "timeout = { first_byte = \"300ms\" }\noutlier = { failures = 3, ejection = \"1s\" }";
    let config = config(&[&origin.to_string(), &spare.to_string()], keys);
    let traffic = Traffic::start(Gateway::start(config).await).await;
    switch.store(true, Ordering::Relaxed);
    traffic.wait_for_failures().await;
    // The others are served by whoever is well.
    traffic.go_on().await;
    switch.store(false, Ordering::Relaxed);
    traffic.is_well_again().await;
    let before = origin.requests();
    eventually("it to be asked again", async || (origin.requests() > before).then_some(())).await;
    assert_only(traffic.end().await, &[504]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_resets_in_the_middle_of_bodies() {
    let (origin, switch) = switched(Act::ResetInBody).await;
    let traffic = Traffic::start(Gateway::start(config(&[&origin.to_string()], "")).await).await;
    switch.store(true, Ordering::Relaxed);
    traffic.wait_for_failures().await;
    traffic.loads[0].wait_for_more(30).await;
    switch.store(false, Ordering::Relaxed);
    traffic.is_well_again().await;
    assert_only(traffic.end().await, &[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_talks_nonsense() {
    let switch = Arc::<AtomicBool>::default();
    let is_on = switch.clone();
    let origin = RawOrigin::start(move |_| match is_on.load(Ordering::Relaxed) {
        true => Reply::Keep(b"\x16\x03\x01\0\xff is no HTTP\r\n\r\n".to_vec()),
        false => Reply::Keep(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()),
    })
    .await;
    let traffic = Traffic::start(Gateway::start(config(&[&origin.url()], "")).await).await;
    for _ in 0..3 {
        switch.store(true, Ordering::Relaxed);
        traffic.go_on().await;
        switch.store(false, Ordering::Relaxed);
        traffic.is_well_again().await;
    }
    assert_only(traffic.end().await, &[502]);
}

/// The name moves, and where it was nobody is any more.
#[tokio::test]
async fn a_name_moves_and_its_old_place_dies() {
    let first = Origin::start();
    let port = first.address().port();
    let second = Origin::start_on(&format!("127.0.0.2:{port}")).unwrap();
    let dns = Dns::start();
    dns.set("users.test", &["127.0.0.1"]);
    let resolver = format!("[gateway.resolver]\nservers = [\"{}\"]\nmin_ttl = \"100ms\"\n", dns.address());
    let config = config(&[&format!("http://users.test:{port}")], "");
    let traffic =
        Traffic::start(Gateway::start(config.replace("[admin]", &format!("{resolver}[admin]"))).await);
    let traffic = traffic.await;
    dns.set("users.test", &["127.0.0.2"]);
    drop(first);
    traffic.is_well_again().await;
    assert!(second.requests() > 0);
    // Until its time to live is over.
    assert_only(traffic.end().await, &[502]);
}

/// The upstream's by one that nobody knows and back again, the listener's by another good one.
#[tokio::test]
async fn certificates_are_swapped() {
    let (certs, strangers) = (Certs::new(), Certs::new());
    let origin = Origin::start_tls(&certs);
    let address = origin.address().to_string();
    let tls = format!("tls = {{ roots = {:?} }}", certs.ca());
    let secure = "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n[listener.tls]\n\
                  certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }]\n";
    let text = config(&[&origin.url("")], &tls).replace(listener(), &format!("{}{secure}", listener()));
    let local = certs.local();
    let gateway = Gateway::with(text).copy("cert.pem", &local.cert).copy("key.pem", &local.key).start().await;
    let url = gateway.url_of("tls", "/json").replace("127.0.0.1", "localhost");
    let clients = [Client::http1().trusting(&certs), Client::http2().trusting(&certs)];
    let traffic = Traffic::of(gateway, &url, &clients).await;

    let other = certs.issue(&["localhost", "127.0.0.1"]);
    for (cert, key) in [(&other.cert, &other.key), (&local.cert, &local.key)] {
        traffic.gateway.forget_log();
        traffic.gateway.replace_file("cert.pem", std::fs::read(cert).unwrap());
        traffic.gateway.replace_file("key.pem", std::fs::read(key).unwrap());
        traffic.gateway.wait_for_log_containing("the configuration is live").await;
        traffic.go_on().await;
    }
    traffic.loads.iter().for_each(|load| load.report().assert_no_failures());

    drop(origin);
    let stranger = Origin::start_tls_on(&address, &strangers).unwrap();
    traffic.wait_for_failures().await;
    traffic.go_on().await;
    assert_eq!(stranger.requests(), 0, "whoever cannot be verified is told nothing");
    drop(stranger);
    let _origin = Origin::start_tls_on(&address, &certs).unwrap();
    traffic.is_well_again().await;
    assert_only(traffic.end().await, &[502]);
}

/// Reloads that change how the upstream is connected to and balanced, and endpoints that come and go.
#[tokio::test]
async fn the_configuration_is_loaded_again_and_again() {
    let origins = [Origin::start(), Origin::start()];
    let [one, two] = origins.each_ref().map(|origin| origin.url(""));
    let traffic = Traffic::start(Gateway::start(config(&[&one], "")).await).await;
    for number in 0..6 {
        let keys = format!("pool = {{ idle = {} }}\nretries = {{ max = {} }}", 10 + number, number % 3 + 1);
        let endpoints: &[&str] = if number % 2 == 0 { &[&two] } else { &[&one, &two] };
        traffic.gateway.forget_log();
        traffic.gateway.write_config(config(endpoints, &keys));
        traffic.gateway.wait_for_log_containing("the configuration is live").await;
        for load in &traffic.loads {
            load.wait_for_more(100).await;
        }
    }
    assert_only(traffic.end().await, &[]);
}
