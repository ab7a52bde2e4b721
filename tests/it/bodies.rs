//! Bodies: streamed in little memory, buffered only for a policy that asks, whole or not at all.

use crate::common::{BODIES, PATIENT, assert_problem, config, guest_plugin, guest_plugin_with, route};
use http::Method;
use limen_tests::client::causes;
use limen_tests::{Client, Gateway, Origin, body, wire};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const GIB: u64 = 1 << 30;
/// `limits.body` of the plugin `bodies`.
const LIMIT: u64 = 10_000;

/// The guest `bodies` with these settings, on some paths of one gateway.
async fn start(origin: &Origin) -> Gateway {
    let attached =
        |settings: &str, more: &str| format!("{{ use = \"bodies\", with = {{ {settings} }}{more} }}");
    let limits = format!("limits = {{ cpu = \"2s\", wall = \"10s\", body = {LIMIT} }}\n{BODIES}");
    let (upper, append) = ("response = \"upper\"", "response = { append = \"!\" }");
    let rest = [
        guest_plugin_with("bodies", &limits),
        guest_plugin("logs"),
        route("/request/upper", &attached("request = \"upper\"", "")),
        route("/request/append", &attached("request = { append = \"!\" }", "")),
        route("/request/keep", &attached("request = \"keep\"", "")),
        route("/both", &attached("request = \"upper\", response = { append = \"!\" }", "")),
        route("/json", &attached(upper, "")),
        route("/status/{code}", &attached(append, "")),
        route("/bytes/{count}", &attached(append, "")),
        route("/encoded", &attached(append, "")),
        // The same paths of the origin, for another host, with another `on_error`.
        skipping("/bytes/{count}", &attached("response = \"keep\"", ", on_error = \"skip\"")),
        skipping("/encoded", &attached(append, ", on_error = \"skip\"")),
        route("/plain/**", ""),
    ];
    Gateway::start(config(origin, &rest.join("\n"))).await
}

/// A route for the host `skip.test`.
fn skipping(path: &str, policies: &str) -> String {
    format!(
        "[[route]]\nhost = \"skip.test\"\npath = {path:?}\npolicies = [{policies}]\nupstream = \"origin\"\n"
    )
}

/// The most memory in use until it is stopped.
struct Peak {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Peak {
    fn watch(gateway: &Arc<Gateway>) -> Peak {
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (gateway, stop, peak) = (gateway.clone(), stop.clone(), peak.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    peak.fetch_max(gateway.rss_bytes(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        Peak { stop, peak, thread }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.peak.load(Ordering::Relaxed)
    }
}

/// A gateway whose route has a policy that only looks at heads, as most do.
async fn streaming(origin: &Origin) -> Arc<Gateway> {
    let rest = [guest_plugin("rig"), guest_plugin("logs"), route("/**", r#""rig", "logs""#)].join("\n");
    Arc::new(Gateway::start(config(origin, &rest)).await)
}

const ALLOWED: u64 = 32 << 20;

#[tokio::test]
async fn a_gibibyte_is_streamed_down_in_little_memory() {
    let origin = Origin::start();
    let gateway = streaming(&origin).await;
    let client = Client::http1();
    assert_eq!(client.get(gateway.url("/bytes/1")).send().await.body.len(), 1);
    let before = gateway.rss_bytes();
    let peak = Peak::watch(&gateway);
    let answer = client.get(gateway.url(&format!("/bytes/{GIB}"))).open().await;
    assert_eq!(answer.headers["content-length"], GIB.to_string());
    assert_eq!(answer.count().await.unwrap(), GIB);
    let grown = peak.end().saturating_sub(before);
    assert!(grown < ALLOWED, "grown by {grown} bytes");
}

#[tokio::test]
async fn a_gibibyte_is_streamed_up_in_little_memory() {
    let origin = Origin::start();
    let gateway = streaming(&origin).await;
    let client = Client::http1();
    assert_eq!(client.post(gateway.url("/upload")).body("1").send().await.text(), "1");
    let before = gateway.rss_bytes();
    let peak = Peak::watch(&gateway);
    let up = client.post(gateway.url("/upload?pattern")).stream(body::sized(GIB)).open();
    let answer = up.await.collect().await.unwrap();
    assert_eq!(answer.text(), GIB.to_string());
    let grown = peak.end().saturating_sub(before);
    assert!(grown < ALLOWED, "grown by {grown} bytes");
}

#[tokio::test]
async fn large_bodies_stream_over_http2_and_without_a_length() {
    const LENGTH: u64 = 128 << 20;
    let origin = Origin::start();
    let gateway = streaming(&origin).await;
    let before = gateway.rss_bytes();
    let peak = Peak::watch(&gateway);
    for client in [Client::http1(), Client::http2()] {
        let down = client.get(gateway.url(&format!("/bytes/{LENGTH}?chunked"))).open().await;
        assert_eq!(down.headers.get("content-length"), None);
        assert_eq!(down.count().await.unwrap(), LENGTH);
        let up = client.post(gateway.url("/upload?pattern")).stream(body::chunked(LENGTH)).send().await;
        assert_eq!(up.text(), LENGTH.to_string());
    }
    let grown = peak.end().saturating_sub(before);
    assert!(grown < ALLOWED, "grown by {grown} bytes");
}

#[tokio::test]
async fn a_client_that_does_not_read_fills_no_memory() {
    let origin = Origin::start();
    let gateway = streaming(&origin).await;
    let client = Client::http1();
    assert_eq!(client.get(gateway.url("/bytes/1")).send().await.body.len(), 1);
    let before = gateway.rss_bytes();
    let mut stalled = vec![];
    for _ in 0..4 {
        stalled.push(client.get(gateway.url(&format!("/bytes/{GIB}"))).open().await);
    }
    // Time enough for a gateway that reads ahead to read far more than it may.
    for _ in 0..20 {
        assert_eq!(client.get(gateway.url("/bytes/1000000")).open().await.count().await.unwrap(), 1_000_000);
    }
    let grown = gateway.rss_bytes().saturating_sub(before);
    assert!(grown < ALLOWED, "grown by {grown} bytes");
}

#[tokio::test]
async fn a_policy_changes_request_bodies() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    for client in [Client::http1(), Client::http2()] {
        for (path, content, arrived) in [
            ("upper", "hello", "HELLO"),
            ("append", "hello", "hello!"),
            ("keep", "hello", "hello"),
            ("append", "", "!"),
        ] {
            let answer = client.post(gateway.url(&format!("/request/{path}"))).body(content).send().await;
            let seen = answer.json();
            assert_eq!(seen["body"], arrived);
            assert_eq!(seen["headers"]["x-body-size"], content.len().to_string());
            assert_eq!(seen["headers"]["content-length"], arrived.len().to_string());
        }
        // In pieces, their length not told beforehand.
        let (feed, pieces) = body::fed();
        let feeding = async {
            for piece in ["one, ", "two, ", "three"] {
                assert!(feed.send(piece).await);
            }
            drop(feed);
        };
        let request = client.post(gateway.url("/request/append")).stream(pieces).send();
        let (answer, ()) = tokio::join!(request, feeding);
        let seen = answer.json();
        assert_eq!(seen["body"], "one, two, three!");
        assert_eq!(seen["headers"]["content-length"], "16");
        assert!(seen["headers"]["transfer-encoding"].is_null(), "{seen}");
    }
}

#[tokio::test]
async fn a_policy_changes_response_bodies() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    for client in [Client::http1(), Client::http2()] {
        let answer = client.get(gateway.url("/json")).send().await;
        assert!(answer.text().contains(r#""NAME": "OUTER""#), "{}", answer.text());
        let length = answer.body.len().to_string();
        assert_eq!(
            (answer.header("content-length"), answer.header("x-body-size")),
            (Some(&*length), Some(&*length))
        );

        for url in ["/bytes/3", "/bytes/3?chunked"] {
            let answer = client.get(gateway.url(url)).send().await;
            assert_eq!(answer.text(), "\0\u{1}\u{2}!");
            assert_eq!(
                (answer.header("content-length"), answer.header("x-body-size")),
                (Some("4"), Some("3"))
            );
        }
        let both = client.post(gateway.url("/both")).body("hello").send().await;
        assert!(both.text().contains(r#""body": "HELLO""#) && both.text().ends_with('!'), "{}", both.text());
    }
}

#[tokio::test]
async fn where_a_policy_reads_answers_the_origin_is_asked_for_them_unencoded() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let client = Client::http1();
    let asked = async |path: &str| {
        let request = client.get(gateway.url(path)).header("accept-encoding", "gzip, br");
        request.send().await.text()
    };
    assert!(asked("/both").await.contains(r#""accept-encoding": "identity""#));
    assert!(asked("/plain/x").await.contains(r#""accept-encoding": "gzip, br""#));
}

#[tokio::test]
async fn answers_without_a_body_stay_so() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    for client in [Client::http1(), Client::http2()] {
        // One connection: a body too many would be taken for the next answer.
        let mut connection = client.connect(gateway.url("/")).await.unwrap();
        for _ in 0..2 {
            for path in ["/json", "/bytes/100", "/status/200"] {
                let head = connection.request(Method::HEAD, path).send().await;
                assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{path}");
                // There is nothing to read, and so no telling how long it would have become.
                assert_eq!((head.header("x-body-size"), head.header("content-length")), (None, None));
            }
            for status in [204, 304] {
                let none = connection.get(&format!("/status/{status}")).send().await;
                assert_eq!((none.status.as_u16(), none.body.len()), (status, 0));
            }
            let empty = connection.get("/bytes/0").send().await;
            assert_eq!((empty.status.as_u16(), &*empty.text()), (200, "!"));
            assert_eq!(empty.header("x-body-size"), Some("0"));
        }
    }
}

#[tokio::test]
async fn a_request_body_over_the_limit_is_refused() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    for client in [Client::http1(), Client::http2()] {
        let before = origin.requests();
        for content in
            [body::sized(LIMIT + 1), body::chunked(LIMIT + 1), body::sized(4 << 20), body::chunked(4 << 20)]
        {
            let refused = client.post(gateway.url("/request/keep")).stream(content).send().await;
            assert_problem(&refused, 413);
        }
        assert_eq!(origin.requests(), before, "none of it goes further");
        for content in [body::sized(LIMIT), body::chunked(LIMIT)] {
            let fits = client.post(gateway.url("/request/keep")).stream(content).send().await;
            assert_eq!(fits.json()["headers"]["x-body-size"], LIMIT.to_string());
        }
    }
}

#[tokio::test]
async fn a_response_body_over_the_limit_is_the_policy_s_failure() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let long = LIMIT * 20;
    for client in [Client::http1(), Client::http2()] {
        for url in [format!("/bytes/{long}"), format!("/bytes/{long}?chunked")] {
            gateway.forget_log();
            assert_problem(&client.get(gateway.url(&url)).send().await, 503);
            gateway.wait_for_log_containing("longer than limits.body").await;

            // Skipped, it arrives unharmed, also what had been read of it before it was too long.
            let whole = client.get(gateway.url(&url)).host("skip.test").open().await;
            assert_eq!(whole.status, 200);
            assert_eq!(whole.headers.get("x-body-size"), None);
            assert_eq!(whole.count().await.unwrap(), long);
        }
        let fits = client.get(gateway.url(&format!("/bytes/{LIMIT}?chunked"))).host("skip.test").open().await;
        assert_eq!(fits.headers["x-body-size"], LIMIT.to_string());
        assert_eq!(fits.count().await.unwrap(), LIMIT);
    }
}

#[tokio::test]
async fn an_encoded_answer_is_never_passed_by_unseen() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    assert_problem(&Client::http1().get(gateway.url("/encoded")).send().await, 503);
    gateway.wait_for_log_containing("is encoded").await;
    let skipped = Client::http1().get(gateway.url("/encoded")).host("skip.test").send().await;
    assert_eq!((skipped.status.as_u16(), &*skipped.text()), (200, "squeezed"));
    assert_eq!(skipped.header("content-encoding"), Some("gzip"));
}

/// What broke off while a policy was reading it must not look whole to the client.
#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_on_as_whole() {
    let origin = Origin::start();
    let half = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhalf \r\n";
    let (breaking, _heads) = wire::server(half).await;
    let rest = format!(
        r#"
        {plugin}
        [upstream.breaking]
        endpoints = ["http://{breaking}"]
        [[route]]
        upstream = "breaking"
        policies = [{{ use = "bodies", with = {{ response = "keep" }} }}]
        [[route]]
        path     = "/skipped"
        upstream = "breaking"
        policies = [{{ use = "bodies", with = {{ response = "keep" }}, on_error = "skip" }}]
        "#,
        plugin = guest_plugin_with("bodies", &format!("{PATIENT}\n{BODIES}")),
    );
    let gateway = Gateway::start(config(&origin, &rest)).await;
    for client in [Client::http1(), Client::http2()] {
        gateway.forget_log();
        assert_problem(&client.get(gateway.url("/refused")).send().await, 503);
        gateway.wait_for_log_containing("broke off").await;
        // Before the head or after it: broken off it is.
        if let Ok(half) = client.get(gateway.url("/skipped")).try_open().await {
            assert!(half.collect().await.is_err());
        }
    }
}

/// A gateway whose upstream has these time limits.
async fn with_timeouts(origin: &Origin, timeout: &str) -> Gateway {
    let upstream = format!("[upstream.timed]\nendpoints = [\"{origin}\"]\ntimeout = {{ {timeout} }}\n");
    let route = "[[route]]\nupstream = \"timed\"\n";
    Gateway::start(config(origin, &format!("{}\n{upstream}\n{route}", guest_plugin_with("logs", PATIENT))))
        .await
}

#[tokio::test]
async fn an_upload_may_take_as_long_as_it_moves() {
    let origin = Origin::start();
    let gateway = with_timeouts(&origin, "first_byte = \"1s\"").await;
    let (feed, pieces) = body::fed();
    let slowly = async {
        for piece in 0..25 {
            assert!(feed.send(format!("{:9}\n", piece)).await, "cut off at piece {piece}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        drop(feed);
    };
    let upload = Client::http1().post(gateway.url("/upload")).stream(pieces).send();
    let (answer, ()) = tokio::join!(upload, slowly);
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "250"));
}

#[tokio::test]
async fn an_upload_that_stalls_is_the_client_s_fault() {
    let origin = Origin::start();
    let gateway = with_timeouts(&origin, "first_byte = \"200ms\"").await;
    let (feed, pieces) = body::fed();
    let stalling = async { assert!(feed.send("a piece").await) };
    let upload = Client::http1().post(gateway.url("/upload")).stream(pieces).send();
    let (answer, ()) = tokio::join!(upload, stalling);
    assert_problem(&answer, 408);
}

#[tokio::test]
async fn a_download_that_stalls_is_broken_off() {
    let origin = Origin::start();
    let gateway = with_timeouts(&origin, "idle = \"50ms\"").await;
    for client in [Client::http1(), Client::http2()] {
        let stalled = client.get(gateway.url("/drip?seconds=60")).open().await;
        assert_eq!(stalled.status, 200);
        let error = stalled.collect().await.map(|whole| whole.text()).unwrap_err();
        assert!(!causes(&*error).contains("no answer"), "{}", causes(&*error));
        gateway.wait_for_log_containing("did not move for 50ms").await;
    }
}
