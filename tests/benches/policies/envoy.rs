//! Envoy's side: one process, with a listener for each case and peer, since filters belong to listeners.

use crate::cases::{By, Case, Peer};
use crate::nginx::Origin;
use crate::process::{MEASURED, Process, Site, is_here};
use crate::words::Words;
use limen_tests::{Client, eventually};
use serde_json::Value;
use tempfile::TempDir;

const TYPES: &str = "type.googleapis.com/envoy.extensions.filters";

pub struct Envoy {
    process: Process,
    /// `listener_statuses` of its `/listeners`.
    listeners: Value,
}

impl Envoy {
    /// The one of `$ENVOY` or on the `PATH`, if there is one.
    pub async fn start(origin: &Origin, cases: &[&Case], words: &Words) -> Option<Envoy> {
        let program = std::env::var("ENVOY").unwrap_or_else(|_| "envoy".to_owned());
        if !is_here(&program) {
            eprintln!("left out: Envoy, for there is no `{program}`; ENVOY=PATH says where one is");
            return None;
        }
        let mut text = format!(
            "admin: {{ {} }}\nstatic_resources:\n  clusters:\n  - {{ name: origin, connect_timeout: 5s, load_assignment: {{ \
             cluster_name: origin, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ {} }} }}] }}] }} }}\n  listeners:\n{}",
            address(0),
            address(origin.port()),
            listener("plain", "", crate::cases::ORIGIN),
        );
        for case in cases {
            for (number, peer) in case.peers.iter().enumerate().filter(|(_, peer)| peer.by == By::Envoy) {
                text.push_str(&listener(&name(case, number), &filter(peer), peer.route));
            }
        }
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("envoy.yaml"), words.fill(&text)).unwrap();
        let announced = folder.path().join("admin");
        let options = "-c envoy.yaml --concurrency 1 --disable-hot-restart --log-level critical --admin-address-path admin";
        let options: Vec<_> = options.split(' ').collect();
        // Its path may be relative, and its folder is another one.
        let program = std::fs::canonicalize(&program).map_or(program, |path| path.display().to_string());
        let mut process = Process::start(MEASURED, &program, &options, folder);
        let listeners = eventually("Envoy to be ready", async || {
            process.assert_runs();
            let admin = std::fs::read_to_string(&announced).ok()?;
            let ask = async |path| Client::http1().get(format!("http://{admin}{path}")).try_send().await.ok();
            ask("/ready").await.filter(|answer| answer.status == 200)?;
            Some(ask("/listeners?format=json").await?.json()["listener_statuses"].take())
        })
        .await;
        Some(Envoy { process, listeners })
    }

    /// Where it does nothing but forward.
    pub fn plain(&self) -> Site {
        self.listening("plain")
    }

    /// Where it does what this peer of the case does.
    pub fn site(&self, case: &Case, peer: usize) -> Site {
        self.listening(&name(case, peer))
    }

    fn listening(&self, name: &str) -> Site {
        let listeners = self.listeners.as_array().expect("listeners");
        let listener = listeners.iter().find(|it| it["name"] == name).expect("a listener");
        let port = &listener["local_address"]["socket_address"]["port_value"];
        Site { url: format!("http://127.0.0.1:{port}"), pid: self.process.pid() }
    }
}

fn name(case: &Case, peer: usize) -> String {
    format!("{}-{peer}", case.segment())
}

fn address(port: u16) -> String {
    format!("address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}")
}

fn filter(peer: &Peer) -> String {
    match peer.filter.split_once('.') {
        None => String::new(),
        Some((name, _)) => {
            let Peer { filter, settings, .. } = peer;
            format!(
                "{{ name: envoy.filters.http.{name}, typed_config: {{ '@type': {TYPES}.http.{filter}, {settings} }} }},"
            )
        }
    }
}

fn listener(name: &str, filter: &str, route: &str) -> String {
    let address = address(0);
    format!(
        "  - {{ name: {name}, {address}, filter_chains: [{{ filters: [{{ name: http, typed_config: {{
         '@type': {TYPES}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: {name},
         route_config: {{ virtual_hosts: [{{ name: all, domains: ['*'], routes: [{{ {route} }}] }}] }},
         http_filters: [{filter} {{ name: envoy.filters.http.router, typed_config: {{
           '@type': {TYPES}.http.router.v3.Router }} }}] }} }}] }}] }}\n"
    )
}
