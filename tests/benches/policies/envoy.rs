//! Envoy's side: one process, with a listener for each case and peer, since filters belong to listeners.

use crate::cases::{By, Case, Peer};
use crate::nginx::Origin;
use crate::process::{MEASURED, Process, Site, is_here};
use crate::tls::Tls;
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
    pub async fn start(origin: &Origin, cases: &[&Case], words: &Words, tls: &Tls) -> Option<Envoy> {
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
            listener("plain", "", crate::cases::ORIGIN, "")
                + &listener("plain-tls", "", crate::cases::ORIGIN, &socket(tls)),
        );
        for case in cases {
            let socket = if case.tls { socket(tls) } else { String::new() };
            for (number, peer) in case.peers.iter().enumerate().filter(|(_, peer)| peer.by == By::Envoy) {
                let (name, filters) = (name(case, number), filters(peer));
                text.push_str(&listener(&name, &case.roomy(&filters), peer.route, &socket));
                if case.room.is_some() {
                    text.push_str(&listener(&tight(&name), &case.tight(&filters), peer.route, &socket));
                }
            }
        }
        let folder = TempDir::new().unwrap();
        for (name, content) in cases.iter().filter_map(|case| case.file) {
            std::fs::write(folder.path().join(name), content.bytes()).unwrap();
        }
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

    /// Where it does nothing but forward what comes as this case's requests come.
    pub fn plain(&self, case: &Case) -> Site {
        self.listening(case, if case.tls { "plain-tls" } else { "plain" })
    }

    /// Where it does what this peer of the case does.
    pub fn site(&self, case: &Case, peer: usize) -> Site {
        self.listening(case, &name(case, peer))
    }

    /// Where it does that with room for one.
    pub fn tight_site(&self, case: &Case, peer: usize) -> Site {
        self.listening(case, &tight(&name(case, peer)))
    }

    fn listening(&self, case: &Case, name: &str) -> Site {
        let scheme = if case.tls { "https" } else { "http" };
        let listeners = self.listeners.as_array().expect("listeners");
        let listener = listeners.iter().find(|it| it["name"] == name).expect("a listener");
        let port = &listener["local_address"]["socket_address"]["port_value"];
        Site { url: format!("{scheme}://127.0.0.1:{port}"), pid: self.process.pid() }
    }
}

fn name(case: &Case, peer: usize) -> String {
    format!("{}-{peer}", case.segment())
}

fn tight(name: &str) -> String {
    format!("{name}-tight")
}

fn address(port: u16) -> String {
    format!("address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}")
}

fn filters(peer: &Peer) -> String {
    let filters = [(peer.filter, peer.settings)].into_iter().chain(peer.then);
    let filters = filters.filter_map(|(of_type, settings)| {
        let (name, _) = of_type.split_once('.')?;
        Some(format!(
            "{{ name: envoy.filters.http.{name}, typed_config: {{ '@type': {TYPES}.http.{of_type}, {settings} }} }},"
        ))
    });
    filters.collect()
}

fn listener(name: &str, filters: &str, route: &str, socket: &str) -> String {
    let address = address(0);
    format!(
        "  - {{ name: {name}, {address}, filter_chains: [{{ {socket} filters: [{{ name: http, typed_config: {{
         '@type': {TYPES}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: {name},
         route_config: {{ virtual_hosts: [{{ name: all, domains: ['*'], routes: [{{ {route} }}] }}] }},
         http_filters: [{filters} {{ name: envoy.filters.http.router, typed_config: {{
           '@type': {TYPES}.http.router.v3.Router }} }}] }} }}] }}] }}\n"
    )
}

/// What makes a listener speak TLS, with clients that show a certificate.
fn socket(tls: &Tls) -> String {
    let (ca, [cert, key]) = (tls.ca(), tls.server());
    format!(
        "transport_socket: {{ name: tls, typed_config: {{
           '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext,
           require_client_certificate: true, common_tls_context: {{
             tls_certificates: [{{ certificate_chain: {{ filename: {cert} }}, private_key: {{ filename: {key} }} }}],
             validation_context: {{ trusted_ca: {{ filename: {ca} }} }} }} }} }},"
    )
}
