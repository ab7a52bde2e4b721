//! Connections to upstreams: TLS and whom it trusts, HTTP/2, what is kept and what is not.

use crate::common::{assert_problem, config, config_of_one_worker};
use limen_tests::raw::{RawOrigin, Reply};
use limen_tests::{Certs, Client, Gateway, Origin, eventually};

/// A further upstream, its route, and more keys of it.
fn upstream(name: &str, endpoint: &str, keys: &str) -> String {
    format!(
        "[upstream.{name}]\nendpoints = [\"{endpoint}\"]\n{keys}\n\
         [[route]]\npath = \"/{name}/**\"\nupstream = \"{name}\"\n"
    )
}

fn clients() -> [Client; 2] {
    [Client::http1(), Client::http2()]
}

#[tokio::test]
async fn https_endpoints_are_verified() {
    let certs = Certs::new();
    let origin = Origin::start_tls(&certs);
    let ca = certs.ca();
    let others = Certs::new();
    let other = others.ca();
    let by_name = origin.url("").replace("127.0.0.1", "localhost");
    let rest = [
        upstream("good", &by_name, &format!("tls = {{ roots = {ca:?}, min_version = \"1.3\" }}")),
        upstream("by-address", &origin.url(""), &format!("tls = {{ roots = {ca:?} }}")),
        upstream("strange", &origin.url(""), &format!("tls = {{ roots = {other:?} }}")),
        upstream("system", &origin.url(""), ""),
        upstream(
            "misnamed",
            &origin.url(""),
            &format!("tls = {{ roots = {ca:?}, server_name = \"a.example\" }}"),
        ),
        upstream("clear", &origin.url("").replace("https:", "http:"), ""),
        upstream(
            "any",
            &by_name,
            "tls = { danger_accept_any_certificate = true, server_name = \"a.example\" }",
        ),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    gateway.wait_for_log_containing("danger_accept_any_certificate").await;
    for client in clients() {
        for path in ["/good/x", "/by-address/x", "/any/x"] {
            let answer = client.post(gateway.url(path)).body("in secret").send().await;
            assert_eq!((answer.status.as_u16(), &answer.json()["body"]), (200, &"in secret".into()));
        }
        for (path, why) in [
            ("/strange/x", "invalid peer certificate"),
            ("/system/x", "invalid peer certificate"),
            ("/misnamed/x", "not valid for name"),
        ] {
            gateway.forget_log();
            assert_problem(&client.get(gateway.url(path)).send().await, 502);
            gateway.wait_for_log(|line| line.contains("upstream: ") && line.contains(why)).await;
        }
        assert_problem(&client.get(gateway.url("/clear/x")).send().await, 502);
    }
}

#[tokio::test]
async fn the_protocol_is_agreed_on_or_configured() {
    let (certs, plain) = (Certs::new(), Origin::start());
    let origin = Origin::start_tls(&certs);
    let tls = format!("tls = {{ roots = {:?} }}", certs.ca());
    let rest = [
        upstream("auto", &origin.url(""), &tls),
        upstream("one", &origin.url(""), &format!("{tls}\nprotocol = \"http1\"")),
        upstream("two", &origin.url(""), &format!("{tls}\nprotocol = \"http2\"")),
        upstream("clear", &plain.url(""), ""),
        upstream("h2c", &plain.url(""), "protocol = \"http2\""),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    for client in clients() {
        for (path, version) in [
            ("/auto/x", "HTTP/2.0"),
            ("/one/x", "HTTP/1.1"),
            ("/two/x", "HTTP/2.0"),
            ("/clear/x", "HTTP/1.1"),
            ("/h2c/x", "HTTP/2.0"),
        ] {
            let request = client.post(gateway.url(&format!("{path}?a=1"))).host("api.example.com");
            let seen = request.header("x-two", "1").header("x-two", "2").body("hello").send().await.json();
            assert_eq!(seen["version"], version, "{path}");
            assert_eq!((&seen["path"], &seen["query"]), (&path.into(), &"a=1".into()));
            assert_eq!((&seen["method"], &seen["body"]), (&"POST".into(), &"hello".into()));
            assert_eq!(seen["headers"]["x-two"], serde_json::json!(["1", "2"]));
            let host = if version == "HTTP/2.0" { &seen["host"] } else { &seen["headers"]["host"] };
            assert_eq!(host, "api.example.com", "{seen}");
        }
    }
}

/// Many requests, as few connections as the endpoint allows.
#[tokio::test]
async fn http2_requests_share_connections() {
    let origin = Origin::start();
    let rest = upstream("h2c", &origin.url(""), "protocol = \"http2\"");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let url = gateway.url("/h2c/echo");
        under_way.spawn(async move { Client::http1().get(url).send().await.status.as_u16() });
    }
    let statuses = under_way.join_all().await;
    assert_eq!(statuses, [200; 50]);
    assert_eq!((origin.requests(), origin.connections()), (50, 1));
}

#[tokio::test]
async fn connections_are_made_ahead_and_kept() {
    let origin = Origin::start();
    let rest = upstream("warm", &origin.url(""), "pool = { warm = 3 }");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    eventually("three connections", async || (origin.connections() == 3).then_some(())).await;
    for _ in 0..10 {
        assert_eq!(Client::http1().get(gateway.url("/warm/x")).send().await.status, 200);
    }
    assert_eq!((origin.requests(), origin.connections()), (10, 3));
}

#[tokio::test]
async fn no_connection_is_kept_where_none_is_wanted() {
    let origin = Origin::start();
    let rest = [
        upstream("none", &origin.url(""), "pool = { idle = 0 }"),
        upstream("brief", &origin.url(""), "pool = { idle_timeout = \"100ms\" }"),
    ];
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest.join("\n"))).await;
    for made in 1..=3 {
        assert_eq!(Client::http1().get(gateway.url("/none/x")).send().await.status, 200);
        assert_eq!(origin.connections(), made);
    }
    eventually("an idle connection to be closed and another to be made", async || {
        assert_eq!(Client::http1().get(gateway.url("/brief/x")).send().await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        (origin.connections() >= 5).then_some(())
    })
    .await;
}

/// Also one that is never without work for long.
#[tokio::test]
async fn an_old_connection_gets_no_more_requests() {
    let origin = Origin::start();
    let rest = upstream("old", &origin.url(""), "pool = { max_lifetime = \"1s\" }");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    eventually("another connection", async || {
        assert_eq!(Client::http1().get(gateway.url("/old/x")).send().await.status, 200);
        (origin.connections() > 1).then_some(())
    })
    .await;
    assert!(origin.requests() > 1);
}

/// What a broken or hostile endpoint sends, by the path it is asked for.
fn hostile(head: &str) -> Reply {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned();
    let answer = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches("/raw/");
    match path {
        "two-lengths" => Reply::Keep(answer("content-length: 2\r\ncontent-length: 3\r\n\r\nok")),
        "two-lengths-in-one" => Reply::Keep(answer("content-length: 2, 3\r\n\r\nok")),
        "same-length-twice" => Reply::Keep(answer("content-length: 2\r\ncontent-length: 2\r\n\r\nok")),
        "length-and-chunked" => {
            Reply::Keep(answer("content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
        }
        "gzip-chunked" => Reply::Keep(answer("transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")),
        "odd-length" => Reply::Keep(answer("content-length: +2\r\n\r\nok")),
        "bare-lf" => Reply::Keep(b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok".to_vec()),
        "one-bare-lf" => Reply::Keep(answer("content-length: 2\nx-a: 1\r\n\r\nok")),
        "bare-cr" => Reply::Keep(answer("x-a: 1\rx-b: 2\r\ncontent-length: 2\r\n\r\nok")),
        "nul" => Reply::Keep(answer("x-a: a\0b\r\ncontent-length: 2\r\n\r\nok")),
        "fold" => Reply::Keep(answer("x-a: a\r\n b\r\ncontent-length: 2\r\n\r\nok")),
        "space-before-colon" => Reply::Keep(answer("content-length : 2\r\n\r\nok")),
        "many-headers" => Reply::Keep(answer(&format!("{}\r\nok", "x-a: b\r\n".repeat(101)))),
        "large-head" => Reply::Keep(answer(&format!("x-a: {}\r\n\r\nok", "a".repeat(70_000)))),
        "endless-head" => Reply::Keep(answer(&format!("x-a: {}", "a".repeat(400_000)))),
        "unasked-101" => Reply::Keep(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".to_vec(),
        ),
        "flood-of-1xx" => Reply::Keep([early.repeat(100).as_bytes(), ok.as_bytes()].concat()),
        "some-1xx" => Reply::Keep([early.repeat(3).as_bytes(), ok.as_bytes()].concat()),
        "http-0.9" => Reply::Close(b"hello".to_vec()),
        "http-2" => Reply::Keep(b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()),
        "nothing" => Reply::Close(vec![]),
        "reset" => Reply::Reset(vec![]),
        "half-a-head" => Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()),
        // With a head that can be passed on, and a body that can't.
        "short" => Reply::Close(answer("content-length: 9\r\n\r\nok")),
        "short-reset" => Reply::Reset(answer("content-length: 9\r\n\r\nok")),
        "short-chunk" => Reply::Close(answer("transfer-encoding: chunked\r\n\r\n9\r\nok")),
        "no-last-chunk" => Reply::Close(answer("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n")),
        "bad-chunk" => Reply::Keep(answer("transfer-encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n")),
        "chunk-lf" => Reply::Keep(answer("transfer-encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n")),
        "long-chunk" => Reply::Keep(answer("transfer-encoding: chunked\r\n\r\n2\r\nokok\r\n0\r\n\r\n")),
        // A whole answer, and something behind it that must never be the next one.
        "longer" => Reply::Keep([ok.as_bytes(), &answer("content-length: 4\r\n\r\nevil")].concat()),
        "garbage-after" => Reply::Keep([ok.as_bytes(), b"\0\0\0"].concat()),
        "late-garbage" => Reply::Later(ok.into_bytes(), answer("content-length: 4\r\n\r\nevil")),
        "head-with-body" => {
            Reply::Keep(answer("content-length: 38\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
        }
        "204-with-body" => Reply::Keep(
            b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil".to_vec(),
        ),
        _ => Reply::Keep(ok.into_bytes()),
    }
}

async fn hostile_gateway(keys: &str) -> (RawOrigin, Origin, Gateway) {
    let (raw, origin) = (RawOrigin::start(hostile).await, Origin::start());
    let gateway = Gateway::start(config_of_one_worker(&origin, &upstream("raw", &raw.url(), keys))).await;
    (raw, origin, gateway)
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_not_passed_on() {
    let (raw, _origin, gateway) = hostile_gateway("").await;
    for client in clients() {
        for path in [
            "two-lengths",
            "two-lengths-in-one",
            "length-and-chunked",
            "gzip-chunked",
            "odd-length",
            "bare-lf",
            "one-bare-lf",
            "bare-cr",
            "nul",
            "fold",
            "space-before-colon",
            "many-headers",
            "large-head",
            "endless-head",
            "unasked-101",
            "flood-of-1xx",
            "http-0.9",
            "http-2",
            "nothing",
            "reset",
            "half-a-head",
        ] {
            gateway.forget_log();
            let before = raw.closed();
            let answer = client.get(gateway.url(&format!("/raw/{path}"))).send().await;
            assert_eq!(answer.status, 502, "{path}: {}", answer.text());
            assert_problem(&answer, 502);
            let id = answer.header("x-request-id").unwrap();
            gateway.wait_for_log(|line| line.contains(id) && line.contains("upstream: ")).await;
            eventually(&format!("the connection to be closed after {path}"), async || {
                (raw.closed() > before).then_some(())
            })
            .await;
        }
        for path in ["fine", "same-length-twice", "some-1xx"] {
            let answer = client.get(gateway.url(&format!("/raw/{path}"))).send().await;
            assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "ok"), "{path}");
            assert_eq!(answer.headers.get_all("content-length").iter().count(), 1, "{path}");
        }
    }
}

/// Clients must see that a body was cut off, and connections with a doubt are closed.
#[tokio::test]
async fn bodies_that_break_off_never_end_well() {
    let (_raw, _origin, gateway) = hostile_gateway("").await;
    for client in clients() {
        for path in
            ["short", "short-reset", "short-chunk", "no-last-chunk", "bad-chunk", "chunk-lf", "long-chunk"]
        {
            let answer = client.get(gateway.url(&format!("/raw/{path}"))).try_send().await;
            match answer {
                Err(_) => {}
                Ok(answer) => assert_eq!(answer.status, 502, "{path}: {}", answer.text()),
            }
            let next = client.get(gateway.url("/raw/fine")).send().await;
            assert_eq!((next.status.as_u16(), &*next.text()), (200, "ok"), "after {path}");
        }
    }
}

/// What an endpoint sends without being asked is never the answer to the next request.
#[tokio::test]
async fn answers_are_never_mixed_up() {
    let (raw, _origin, gateway) = hostile_gateway("").await;
    for client in clients() {
        for path in ["longer", "garbage-after", "late-garbage", "204-with-body", "head-with-body"] {
            let before = raw.closed();
            let url = gateway.url(&format!("/raw/{path}"));
            let method = if path == "head-with-body" { http::Method::HEAD } else { http::Method::GET };
            let answer = client.request(method, url).send().await;
            assert!(answer.status.is_success(), "{path}");
            if path == "late-garbage" {
                eventually("the idle connection to be closed", async || {
                    (raw.closed() > before).then_some(())
                })
                .await;
            }
            for _ in 0..3 {
                let next = client.get(gateway.url("/raw/fine")).send().await;
                assert_eq!((next.status.as_u16(), &*next.text()), (200, "ok"), "after {path}");
            }
            eventually("that connection to be closed", async || (raw.closed() > before).then_some(())).await;
        }
    }
}

#[tokio::test]
async fn heads_have_a_limit_of_their_upstream_s() {
    let (_raw, _origin, gateway) =
        hostile_gateway("response_head = { headers = 200, size = \"128KiB\" }").await;
    let large = Client::http1().get(gateway.url("/raw/large-head")).open().await;
    assert_eq!(large.status, 200);
    // (HTTP/1.1 clients made with hyper take no more than 100 either.)
    let many = Client::http2().get(gateway.url("/raw/many-headers")).open().await;
    assert_eq!(many.status, 200);
    assert_problem(&Client::http1().get(gateway.url("/raw/endless-head")).send().await, 502);
}

/// The old roots serve on when the new file is broken, and a new one is taken when it is good.
#[tokio::test]
async fn roots_are_read_again_when_their_file_changes() {
    let (certs, others) = (Certs::new(), Certs::new());
    let origin = Origin::start_tls(&certs);
    let rest = upstream("tls", &origin.url(""), "tls = { roots = \"roots.pem\" }\npool = { idle = 0 }");
    let gateway =
        Gateway::with(config_of_one_worker(&origin, &rest)).copy("roots.pem", others.ca()).start().await;
    assert_problem(&Client::http1().get(gateway.url("/tls/x")).send().await, 502);

    gateway.replace_file("roots.pem", "no certificate");
    gateway.wait_for_log_containing("refused").await;
    gateway.wait_for_log_containing("no certificate in").await;

    gateway.forget_log();
    gateway.replace_file("roots.pem", std::fs::read(certs.ca()).unwrap());
    gateway.wait_for_log_containing("the configuration is live").await;
    eventually("the new roots to be used", async || {
        (Client::http1().get(gateway.url("/tls/x")).send().await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn files_that_do_not_fit_are_refused_with_their_line() {
    let certs = Certs::new();
    let other = certs.issue(&["other"]);
    let (cert, key) = (&certs.local().cert, &other.key);
    let origin = Origin::start();
    let rest = upstream("tls", "https://127.0.0.1:1", &format!("tls = {{ cert = {cert:?}, key = {key:?} }}"));
    let checked = Gateway::with(config(&origin, &rest)).check().await;
    assert!(!checked.status.success());
    let said = format!("{}{}", checked.stdout, checked.stderr);
    for text in ["can't be used", "key: upstream.tls.tls", "limen.toml:"] {
        assert!(said.contains(text), "{said}");
    }
}

#[tokio::test]
async fn the_gateway_shows_its_certificate_where_one_is_asked_for() {
    let certs = Certs::new();
    let origin = Origin::start_demanding(&certs);
    let mine = certs.issue(&["gateway"]);
    let (ca, cert, key) = (certs.ca(), &mine.cert, &mine.key);
    let rest = [
        upstream(
            "known",
            &origin.url(""),
            &format!("tls = {{ roots = {ca:?}, cert = {cert:?}, key = {key:?} }}"),
        ),
        upstream("unknown", &origin.url(""), &format!("tls = {{ roots = {ca:?} }}")),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    for client in clients() {
        assert_eq!(client.get(gateway.url("/known/x")).send().await.status, 200);
        assert_problem(&client.get(gateway.url("/unknown/x")).send().await, 502);
    }
}
