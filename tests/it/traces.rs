//! Spans: linked over the gateway, exported by OTLP, and never in anybody's way.

use crate::common::{config, guest_plugin, guest_plugin_with, route};
use limen_tests::collector::{Span, attribute};
use limen_tests::{Client, Collector, Gateway, Load, Origin};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn trace(collector: &Collector, keys: &str) -> String {
    format!("[trace]\nendpoint = \"{}\"\n{keys}\n", collector.url())
}

fn of_path(path: &str) -> impl Fn(&Span) -> bool {
    move |span| attribute(span, "url.path").as_deref() == Some(path)
}

#[tokio::test]
async fn a_trace_goes_on_through_the_gateway() {
    let (origin, collector) = (Origin::start(), Collector::start().await);
    let keys = "service_name = \"edge\"\nheaders = { authorization = \"Bearer let-me-in\" }";
    let rest = [trace(&collector, keys), route("/things/{id}", "")].join("\n");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    for (client, version) in [(Client::http1(), "1.1"), (Client::http2(), "2")] {
        let path = format!("/things/{version}");
        let request = client.get(gateway.url(&format!("{path}?q=1&token=s3cret")));
        let request = request.header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
        let answer = request.header("tracestate", "vendor=x").header("user-agent", "me/1").send().await;
        assert_eq!(answer.status, 200);

        let server = collector.wait_for(1, of_path(&path)).await.remove(0);
        let is_child = |span: &Span| span.parent_span_id == server.span_id;
        let attempt = collector.wait_for(1, is_child).await.remove(0);
        assert_eq!((server.kind, attempt.kind), (SERVER, CLIENT));
        assert_eq!((hex(&server.trace_id), hex(&attempt.trace_id)), (TRACE.to_owned(), TRACE.to_owned()));
        assert_eq!(hex(&server.parent_span_id), PARENT);
        assert_eq!((&*server.name, &*attempt.name), ("GET /things/{id}", "GET"));
        let told = &answer.json()["headers"];
        assert_eq!(told["traceparent"], format!("00-{TRACE}-{}-01", hex(&attempt.span_id)));
        assert_eq!(told["tracestate"], "vendor=x");
        for (key, value) in [
            ("http.request.method", "GET"),
            ("url.scheme", "http"),
            ("url.query", "q=1&token=[redacted]"),
            ("http.route", "/things/{id}"),
            ("http.response.status_code", "200"),
            ("network.protocol.version", version),
            ("client.address", "127.0.0.1"),
            ("server.address", "127.0.0.1"),
            ("user_agent.original", "me/1"),
        ] {
            assert_eq!(attribute(&server, key).as_deref(), Some(value), "{key}");
        }
        assert_eq!(attribute(&attempt, "http.response.status_code").as_deref(), Some("200"));
        assert_eq!(attribute(&attempt, "server.port"), Some(origin.address().port().to_string()));
        assert!(server.start_time_unix_nano <= attempt.start_time_unix_nano);
        assert!(attempt.end_time_unix_nano <= server.end_time_unix_nano);
        assert!(server.status.is_none() && attribute(&server, "error.type").is_none());
    }
    assert_eq!(collector.services()[0], "edge");
    let (path, headers) = collector.exports().remove(0);
    assert_eq!(path, "/v1/traces");
    assert_eq!(headers["authorization"], "Bearer let-me-in");
    assert_eq!(headers["content-type"], "application/x-protobuf");
}

#[tokio::test]
async fn what_is_not_sampled_is_not_exported() {
    let (origin, collector) = (Origin::start(), Collector::start().await);
    let rest = [trace(&collector, "sample = 0"), route("/**", "")].join("\n");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let client = Client::http1();
    // Nobody asks for it; somebody says no; somebody says nonsense; somebody says yes.
    for (path, parent, flags) in [
        ("/none", None, "00"),
        ("/no", Some(format!("00-{TRACE}-{PARENT}-00")), "00"),
        ("/nonsense", Some(format!("00-{TRACE}-{PARENT}")), "00"),
        ("/yes", Some(format!("00-{TRACE}-{PARENT}-01")), "01"),
    ] {
        let mut request = client.get(gateway.url(path));
        if let Some(parent) = &parent {
            request = request.header("traceparent", parent).header("tracestate", "vendor=x");
        }
        let told = request.send().await.json()["headers"].clone();
        let sent = told["traceparent"].as_str().unwrap();
        let parts: Vec<_> = sent.split('-').collect();
        assert_eq!((parts.len(), parts[0], parts[3]), (4, "00", flags), "{path}: {sent}");
        assert_eq!(parts[1] == TRACE, ["/no", "/yes"].contains(&path), "{path}: {sent}");
        assert_ne!(parts[2], PARENT);
        assert_eq!(told["tracestate"] == "vendor=x", ["/no", "/yes"].contains(&path), "{path}: {told}");
    }
    collector.wait_for(2, |span| hex(&span.trace_id) == TRACE).await;
    assert_eq!(collector.spans().len(), 2, "the exchange that was to be, and its attempt");
}

#[tokio::test]
async fn failures_are_errors_of_their_spans() {
    let (origin, collector) = (Origin::start(), Collector::start().await);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!(
        "[upstream.gone]\nendpoints = [\"http://{nobody}\"]\n[[route]]\npath = \"/gone\"\nupstream = \"gone\"\n"
    );
    let rest = [trace(&collector, ""), gone].join("\n");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    assert_eq!(Client::http1().get(gateway.url("/gone")).send().await.status, 502);
    assert_eq!(Client::http1().get(gateway.url("/nowhere")).send().await.status, 404);
    let server = collector.wait_for(1, of_path("/gone")).await.remove(0);
    let attempt = collector.wait_for(1, |span| span.parent_span_id == server.span_id).await.remove(0);
    assert_eq!(attribute(&server, "error.type").as_deref(), Some("502"));
    assert_eq!(attribute(&server, "limen.reason").as_deref(), Some("upstream_unreachable"));
    assert_eq!(attribute(&attempt, "error.type").as_deref(), Some("connect"));
    assert_eq!((server.status.unwrap().code, attempt.status.unwrap().code), (2, 2));
    let nowhere = collector.wait_for(1, of_path("/nowhere")).await.remove(0);
    assert!(nowhere.status.is_none() && attribute(&nowhere, "http.route").is_none());
    assert_eq!(nowhere.name, "GET");
}

/// A collector that answers errors, one that is gone, and one that takes everything and says nothing.
#[tokio::test]
async fn a_bad_collector_disturbs_nobody() {
    let origin = Origin::start();
    let refusing = Collector::start().await;
    refusing.refuse(400);
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mute_url = format!("http://{}", mute.local_addr().unwrap());
    for url in [refusing.url(), mute_url, format!("http://{gone}")] {
        let rest = format!("[trace]\nendpoint = \"{url}\"\ntimeout = \"100ms\"\n{}", route("/**", ""));
        let gateway = Gateway::start(config(&origin, &rest)).await;
        let load = Load::start(&Client::http1(), &gateway.url("/"), 4);
        load.wait_for_more(500).await;
        gateway.wait_for_log_containing("spans were not exported").await;
        load.wait_for_more(100).await;
        load.stop().assert_no_failures();
    }
    assert!(!refusing.exports().is_empty());
}

/// What each policy did and how long that took is a span, and a field of the access log.
#[tokio::test]
async fn policies_show_what_they_did() {
    let (origin, collector) = (Origin::start(), Collector::start().await);
    let log = "[log.access]\nformat = \"json\"\nfields = [\"path\", \"policies\"]\n";
    let edit = "{ use = \"headers\", with = { response = { set = { x = \"1\" } } } }";
    let rest = [
        log.to_owned(),
        trace(&collector, ""),
        guest_plugin("traps"),
        route("/edited", edit),
        route("/trap", &format!("{edit}, \"traps\"")),
        route("/plain", ""),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    for (path, status) in [("/edited", 200), ("/trap", 503), ("/plain", 200)] {
        let request = Client::http1().get(gateway.url(path)).header("x-naughty", "unreachable");
        assert_eq!(request.send().await.status, status, "{path}");
    }
    let server = collector.wait_for(1, of_path("/trap")).await.remove(0);
    let of_policy = |name: &'static str| {
        let server = server.span_id.clone();
        move |span: &Span| {
            span.parent_span_id == server && attribute(span, "limen.policy").as_deref() == Some(name)
        }
    };
    let trap = collector.wait_for(1, of_policy("traps")).await.remove(0);
    assert_eq!((trap.kind, &*trap.name), (INTERNAL, "policy traps"));
    assert_eq!(attribute(&trap, "limen.phase").as_deref(), Some("request"));
    assert_eq!(attribute(&trap, "limen.outcome").as_deref(), Some("failed"));
    assert_eq!(trap.status.unwrap().code, 2);
    assert!(server.start_time_unix_nano <= trap.start_time_unix_nano);
    assert!(trap.start_time_unix_nano < trap.end_time_unix_nano);
    assert!(trap.end_time_unix_nano <= server.end_time_unix_nano);
    let edited = collector.wait_for(1, of_policy("headers")).await.remove(0);
    assert_eq!(attribute(&edited, "limen.phase").as_deref(), Some("response"));

    let told = async |path: &str| {
        let line = gateway.wait_for_log(|line| line.contains(&format!("\"path\":\"{path}\""))).await;
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        line["policies"].as_str().map(str::to_owned)
    };
    let edited = told("/edited").await.unwrap();
    assert!(edited.starts_with("headers response ") && edited.ends_with("us"), "{edited}");
    let trapped = told("/trap").await.unwrap();
    assert!(trapped.contains("traps request ") && trapped.contains("us failed"), "{trapped}");
    assert_eq!(told("/plain").await, None);
}

#[tokio::test]
async fn a_tick_is_a_trace_of_its_own_with_what_it_calls() {
    let (origin, collector) = (Origin::start(), Collector::start().await);
    let granted = "grants = { fetch = [\"origin\"], kv = [\"sessions\"] }\ntick = \"100ms\"\n\
                   limits = { cpu = \"2s\", wall = \"10s\" }";
    let fails = "{ use = \"ticks\", with = { naughty = \"fail\" } }";
    let rest = |policies: &str| {
        let rest =
            ["[store.sessions]".to_owned(), guest_plugin_with("ticks", granted), route("/**", policies)];
        rest.join("\n")
    };
    let traced = [trace(&collector, ""), rest("\"ticks\"")].join("\n");
    let gateway = Gateway::start(config(&origin, &traced)).await;
    let is_tick = |span: &Span| span.name == "tick ticks";
    let tick = collector.wait_for(1, is_tick).await.remove(0);
    assert_eq!((tick.kind, tick.parent_span_id.is_empty(), &tick.status), (INTERNAL, true, &None));
    for (key, value) in [("limen.policy", "ticks"), ("limen.phase", "tick"), ("limen.outcome", "next")] {
        assert_eq!(attribute(&tick, key).as_deref(), Some(value), "{key}");
    }
    let is_call = |span: &Span| span.parent_span_id == tick.span_id;
    let call = collector.wait_for(1, is_call).await.remove(0);
    assert_eq!((call.kind, &*call.name, &call.trace_id), (CLIENT, "GET", &tick.trace_id));
    assert!(tick.start_time_unix_nano <= call.start_time_unix_nano);
    assert!(call.end_time_unix_nano <= tick.end_time_unix_nano);
    gateway.write_config(config(&origin, &[trace(&collector, ""), rest(fails)].join("\n")));
    let failed = |span: &Span| is_tick(span) && span.status.is_some();
    let failed = collector.wait_for(1, failed).await.remove(0);
    assert_eq!(attribute(&failed, "error.type").as_deref(), Some("failed"));
    assert_ne!(failed.trace_id, tick.trace_id);
}
