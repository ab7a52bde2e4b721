//! HTTP as a proxy has to speak it: who asks, by which path, how much, for how long.

use crate::common::{assert_problem, config, config_of_one_worker, route};
use http::{Method, StatusCode};
use limen_tests::{Client, Gateway, Origin, body, wire};
use serde_json::Value;

fn clients() -> [Client; 2] {
    [Client::http1(), Client::http2()]
}

/// A gateway with these keys in `[gateway]`, and one route to an origin that echoes.
async fn echoing(origin: &Origin, keys: &str) -> Gateway {
    Gateway::start(format!("[gateway]\n{keys}\n{}", config(origin, &route("/**", "")))).await
}

const CLAIMS: &[(&str, &str)] = &[
    ("x-forwarded-for", "192.0.2.7, 198.51.100.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "claimed.test"),
    ("x-real-ip", "192.0.2.7"),
    ("forwarded", "for=192.0.2.7"),
    ("x_forwarded_for", "192.0.2.7"),
    ("x-forwarded-user", "root"),
];

/// The headers that the origin got, of a request which claims all kinds of things.
async fn claiming(client: &Client, gateway: &Gateway) -> Value {
    let mut request = client.get(gateway.url("/")).host("api.test");
    for (name, value) in CLAIMS {
        request = request.header(name, value);
    }
    let answer = request.send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("via").is_none_or(|via| via == "1.1 limen"));
    answer.json()["headers"].clone()
}

#[tokio::test]
async fn what_strangers_say_of_themselves_is_replaced() {
    let origin = Origin::start();
    let gateway = echoing(&origin, "").await;
    let address = gateway.addr("plain");
    let port = address.rsplit_once(':').unwrap().1;
    for client in clients() {
        let headers = claiming(&client, &gateway).await;
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "api.test");
        assert_eq!(headers["x-forwarded-port"], port);
        assert_eq!(headers["host"], "api.test");
        assert!(headers["via"].as_str().unwrap().ends_with(" limen"), "{headers}");
        for gone in ["x-real-ip", "forwarded", "x_forwarded_for", "x-forwarded-user"] {
            assert!(headers[gone].is_null(), "{gone}: {headers}");
        }
    }
}

#[tokio::test]
async fn trusted_proxies_are_believed() {
    let origin = Origin::start();
    let keys = r#"trusted_proxies = ["127.0.0.0/8", "198.51.100.0/24"]
        forwarded = ["x-forwarded", "x-real-ip", "forwarded"]"#;
    let gateway = echoing(&origin, keys).await;
    for client in clients() {
        let headers = claiming(&client, &gateway).await;
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7, 198.51.100.1, 127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "claimed.test");
        assert_eq!(headers["x-real-ip"], "192.0.2.7");
        assert_eq!(headers["forwarded"], "for=192.0.2.7, for=127.0.0.1;proto=http;host=\"api.test\"");
        assert!(headers["via"].is_null());
    }
}

#[tokio::test]
async fn the_client_behind_a_trusted_proxy_is_the_one_logged() {
    let origin = Origin::start();
    let rest = format!("[log]\naccess = true\n{}", route("/**", ""));
    let text = format!("[gateway]\ntrusted_proxies = [\"127.0.0.1\"]\n{}", config(&origin, &rest));
    let gateway = Gateway::start(text).await;
    let request = Client::http1().get(gateway.url("/who")).header("x-forwarded-for", "192.0.2.7");
    assert_eq!(request.send().await.status, 200);
    gateway.wait_for_log(|line| line.contains("/who") && line.contains("192.0.2.7")).await;
}

#[tokio::test]
async fn a_request_in_circles_is_stopped() {
    let origin = Origin::start();
    let gateway = echoing(&origin, "").await;
    let around = |times: usize| vec!["1.1 limen"; times].join(", ");
    let ask = |times| Client::http1().get(gateway.url("/")).header("via", &around(times)).send();
    assert_eq!(ask(7).await.status, 200);
    assert_problem(&ask(8).await, 508);
}

#[tokio::test]
async fn an_upstream_is_asked_for_the_host_it_wants() {
    let origin = Origin::start();
    let of = |name: &str, host: &str| {
        format!(
            "[upstream.{name}]\nendpoints = [\"{origin}\"]\nhost = {host:?}\n\
             [[route]]\npath = \"/{name}\"\nupstream = \"{name}\"\n"
        )
    };
    let rest = [of("keep", "keep"), of("endpoint", "endpoint"), of("named", "users.internal:81")].join("\n");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    for client in clients() {
        let address = origin.address().to_string();
        for (path, host) in [("/keep", "api.test"), ("/endpoint", &*address), ("/named", "users.internal:81")]
        {
            let answer = client.get(gateway.url(path)).host("api.test").send().await.json();
            let headers = &answer["headers"];
            assert_eq!(headers["host"], host);
            assert_eq!(headers["x-forwarded-host"], "api.test");
        }
    }
}

#[tokio::test]
async fn the_operator_says_how_paths_are_spelt() {
    let origin = Origin::start();
    let keys = r#"path = { dot_segments = "refuse", encoded_slashes = "decode", empty_segments = "keep" }"#;
    let gateway = echoing(&origin, keys).await;
    let ask = async |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        wire::exchange(gateway.addr("plain"), request).await
    };
    assert!(ask("/a/../b").await.starts_with("HTTP/1.1 400 "));
    assert!(ask("/a%2Fb//c").await.contains(r#""path": "/a/b//c""#));
    assert!(ask("http://b/x?y=%zz").await.contains(r#""query": "y=%zz""#));
}

#[tokio::test]
async fn options_of_everything_are_the_gateway_s_own() {
    let origin = Origin::start();
    let gateway = echoing(&origin, "").await;
    let ask = async |method: &str| {
        let request = format!("{method} * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        wire::exchange(gateway.addr("plain"), request).await
    };
    assert!(ask("OPTIONS").await.starts_with("HTTP/1.1 204 "));
    assert!(ask("GET").await.starts_with("HTTP/1.1 400 "));
    assert_eq!(origin.requests(), 0);
    let traced = Client::http1().request(Method::TRACE, gateway.url("/")).send().await;
    assert_problem(&traced, 405);
}

const LIMIT: u64 = 100_000;

/// One route with a limit of its own, one with that of `[defaults]`, one with none.
async fn limited(origin: &Origin) -> Gateway {
    let routes = format!(
        "[defaults]\nlimits = {{ body = {LIMIT} }}\n\
         [[route]]\npath = \"/small/**\"\nlimits = {{ body = \"1kB\" }}\nupstream = \"origin\"\n\
         [[route]]\npath = \"/upload\"\nupstream = \"origin\"\n\
         [[route]]\npath = \"/any/**\"\nlimits = {{ body = \"none\" }}\nupstream = \"origin\"\n"
    );
    Gateway::start(config_of_one_worker(origin, &routes)).await
}

#[tokio::test]
async fn a_body_beyond_the_route_s_limit_is_refused() {
    let origin = Origin::start();
    let gateway = limited(&origin).await;
    for client in clients() {
        let before = origin.requests();
        for (path, length) in [("/small/x", 1001), ("/upload", LIMIT + 1), ("/upload", 100 * LIMIT)] {
            let answer = client.post(gateway.url(path)).stream(body::sized(length)).send().await;
            assert_problem(&answer, 413);
        }
        assert_eq!(origin.requests(), before, "its length is known beforehand");
        for length in [LIMIT + 1, 100 * LIMIT] {
            let answer = client.post(gateway.url("/upload")).stream(body::chunked(length)).send().await;
            assert_problem(&answer, 413);
        }
        for body in [body::sized(LIMIT), body::chunked(LIMIT)] {
            let answer = client.post(gateway.url("/upload")).stream(body).send().await;
            assert_eq!((answer.status, answer.text()), (StatusCode::OK, LIMIT.to_string()));
        }
        let any = client.post(gateway.url("/any/x")).stream(body::chunked(3 * LIMIT)).send().await;
        assert_eq!(any.status, 200);
    }
}

#[tokio::test]
async fn who_asks_before_sending_too_much_sends_nothing() {
    let origin = Origin::start();
    let gateway = limited(&origin).await;
    let head = "POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\nexpect: 100-continue\r\n\r\n";
    let answer = wire::exchange(gateway.addr("plain"), head).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_body_is_asked_for_once_somebody_wants_it() {
    let origin = Origin::start();
    let gateway = limited(&origin).await;
    let head = "POST /any/x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\
                connection: close\r\n\r\nhi";
    let answer = wire::exchange(gateway.addr("plain"), head).await;
    assert!(answer.contains(r#""body": "hi""#) && !answer.contains(r#""expect""#), "{answer}");
}

async fn timed(origin: &Origin, timeout: &str) -> Gateway {
    let keys = format!("[[route]]\ntimeout = {{ {timeout} }}\nupstream = \"origin\"\n");
    Gateway::start(config(origin, &keys)).await
}

#[tokio::test]
async fn a_request_has_its_time() {
    let origin = Origin::start();
    let gateway = timed(&origin, "request = \"300ms\"").await;
    for client in clients() {
        assert_problem(&client.get(gateway.url("/slow?ms=60000")).send().await, 504);
        // From the head of the response on it takes as long as it takes.
        assert_eq!(client.get(gateway.url("/drip?seconds=1")).send().await.text().lines().count(), 10);

        let (feed, pieces) = body::fed();
        let stalling = async { assert!(feed.send("a piece").await) };
        let upload = client.post(gateway.url("/upload")).stream(pieces).send();
        let (answer, ()) = tokio::join!(upload, stalling);
        assert_problem(&answer, 408);
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_not_waited_for() {
    let origin = Origin::start();
    let gateway = timed(&origin, "body_idle = \"300ms\"").await;
    for client in clients() {
        let (feed, pieces) = body::fed();
        let stalling = async { assert!(feed.send("a piece").await) };
        let upload = client.post(gateway.url("/upload")).stream(pieces).send();
        let (answer, ()) = tokio::join!(upload, stalling);
        assert_problem(&answer, 408);
        drop(feed);
    }
}

#[tokio::test]
async fn a_request_of_http2_names_its_host() {
    let origin = Origin::start();
    let gateway = echoing(&origin, "").await;
    let mut http2 = wire::Http2::connect(gateway.addr("plain")).await;
    // GET, http, "/", by their numbers in HPACK's table; and nothing else.
    let head = wire::frame(wire::HEADERS, wire::END_HEADERS | wire::END_STREAM, 1, &[0x82, 0x86, 0x84]);
    http2.send(&head).await.unwrap();
    let answer = http2.wait_for(|frame| frame.kind == wire::HEADERS).await;
    assert_eq!(answer.payload.first(), Some(&0x8c), "400, by its number in HPACK's table");
}
