//! How calls of policies go: by TLS and HTTP/2 like all that goes to an upstream, and in the trace of their
//! exchange.

use super::fetch::{ADMIN, PATIENT, ask, metric, start, told};
use crate::common::{config, guest_plugin_with, route};
use limen_tests::collector::{Span, attribute};
use limen_tests::{Certs, Client, Collector, Gateway, Origin};

#[tokio::test]
async fn calls_go_by_tls_and_http2() {
    let (certs, plain) = (Certs::new(), Origin::start());
    let origin = Origin::start_tls(&certs);
    let tls = format!("tls = {{ roots = {:?} }}", certs.ca());
    let upstreams = [
        ("auto", &origin, tls.clone(), "HTTP/2.0"),
        ("one", &origin, format!("{tls}\nprotocol = \"http1\""), "HTTP/1.1"),
        ("two", &origin, format!("{tls}\nprotocol = \"http2\""), "HTTP/2.0"),
        ("h2c", &plain, "protocol = \"http2\"".to_owned(), "HTTP/2.0"),
        ("strange", &origin, String::new(), ""),
    ];
    let names: Vec<_> = upstreams.iter().map(|(name, ..)| *name).collect();
    let written: String = upstreams
        .iter()
        .map(|(name, origin, keys, _)| {
            format!("[upstream.{name}]\nendpoints = [{:?}]\n{keys}\n", origin.url(""))
        })
        .collect();
    let keys = format!("grants = {{ fetch = {names:?} }}\nlimits = {{ {PATIENT} }}");
    let rest =
        [ADMIN, &written, &guest_plugin_with("fetches", &keys), &route("/**", "\"fetches\"")].join("\n");
    let gateway = Gateway::start(format!("[gateway]\nworkers = 1\n{}", config(&plain, &rest))).await;
    let of = |name: &'static str, what: &'static str| ask(&gateway, what).header("x-upstream", name);
    for (name, _, _, version) in &upstreams {
        let answer = of(name, "one").send().await.text();
        if version.is_empty() {
            // Whom the system does not trust.
            assert_eq!(answer, "Unreachable");
            continue;
        }
        let seen: serde_json::Value = serde_json::from_str(answer.split_once('\n').unwrap().1).unwrap();
        assert_eq!(seen["version"], *version, "{name}: {seen}");
        let host = if *version == "HTTP/2.0" { &seen["host"] } else { &seen["headers"]["host"] };
        assert!(host.as_str().unwrap().starts_with("127.0.0.1"), "{name}: {seen}");
        assert_eq!(of(name, "post").header("x-path", "/upload").send().await.text(), "200", "{name}");
        let pieces = of(name, "pieces").header("x-path", "/bytes/100000").send().await.text();
        assert_eq!(pieces, "pieces 100000", "{name}");
        assert_eq!(of(name, "one").header("x-path", "/hangup").send().await.text(), "Broken", "{name}");
    }
    // Many at a time share the connection.
    let made = "limen_endpoint_connections_made_total{limen_upstream=\"h2c\"";
    let before = metric(&gateway, made).await.unwrap();
    let at_once = of("h2c", "at-once").header("x-times", "30").header("x-path", "/slow?ms=50");
    assert_eq!(at_once.send().await.text(), "30 200");
    assert!(metric(&gateway, made).await.unwrap() <= before + 1.0);
}

fn id(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Client, policy, call: each is within the one before, and the upstream is told of the last.
#[tokio::test]
async fn a_call_is_a_span_within_its_hook() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";
    const SERVER: i32 = 2;
    const CLIENT: i32 = 3;
    let (origin, collector) = (Origin::start(), Collector::start().await);
    let traced = format!("[trace]\nendpoint = \"{}\"", collector.url());
    for (rest, flags) in [("", "01"), (&*traced, "00"), (&*traced, "01")] {
        let gateway = start(&origin, PATIENT, rest).await;
        let parent = format!("00-{TRACE}-{PARENT}-{flags}");
        let request = ask(&gateway, "one").header("traceparent", &parent).header("tracestate", "vendor=x");
        let answer = request.send().await.text();
        let echo: serde_json::Value = serde_json::from_str(answer.split_once('\n').unwrap().1).unwrap();
        let told = echo["headers"]["traceparent"].as_str().unwrap();
        assert_eq!(echo["headers"]["tracestate"], "vendor=x");
        if rest.is_empty() {
            assert_eq!(told, parent, "nobody here has a part in it");
            continue;
        }
        assert_ne!(told, parent);
        if flags == "00" {
            assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00"), "{told}");
            continue;
        }
        let server = collector.wait_for(1, |span| span.kind == SERVER).await.remove(0);
        let within = |outer: &Span| {
            let outer = outer.span_id.clone();
            move |span: &Span| span.parent_span_id == outer
        };
        let within_server = within(&server);
        let is_hook =
            |span: &Span| within_server(span) && attribute(span, "limen.phase").as_deref() == Some("request");
        let hook = collector.wait_for(1, is_hook).await.remove(0);
        assert_eq!(attribute(&hook, "limen.policy").as_deref(), Some("fetches"));
        let call = collector.wait_for(1, within(&hook)).await.remove(0);
        assert_eq!((call.kind, &*call.name, id(&call.trace_id)), (CLIENT, "GET", TRACE.to_owned()));
        assert_eq!(attribute(&call, "http.response.status_code").as_deref(), Some("200"));
        assert_eq!(attribute(&call, "server.port"), Some(origin.address().port().to_string()));
        assert_eq!(told, format!("00-{TRACE}-{}-01", id(&call.span_id)));
        assert!(hook.start_time_unix_nano <= call.start_time_unix_nano);
        assert!(call.end_time_unix_nano <= hook.end_time_unix_nano);
    }
    let spans = collector.spans();
    let of_kind = |kind| spans.iter().filter(|span| span.kind == kind).count();
    assert_eq!((of_kind(SERVER), of_kind(CLIENT)), (1, 1), "of the sampled one alone");
}

/// What its calls took is among what the upstream has answered.
#[tokio::test]
async fn calls_are_counted_at_their_upstream() {
    let origin = Origin::start();
    let gateway = start(&origin, PATIENT, "").await;
    for _ in 0..3 {
        told(&gateway, "one", "/fetched").await;
    }
    let counted = "http_client_request_duration_seconds_count{limen_upstream=\"origin\"";
    assert_eq!(metric(&gateway, counted).await, Some(3.0));
    assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);
    assert_eq!(metric(&gateway, counted).await, Some(4.0));
}
