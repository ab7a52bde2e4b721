//! What a gateway does before any policy: find the route, ask the upstream, and answer when it can't.

use crate::common::{PATIENT, assert_problem, config, config_of_one_worker, guest_plugin, plugin, route};
use http::Method;
use limen_tests::{Client, Gateway, Origin, body, eventually, wire};
use std::time::Duration;

/// A further upstream, its route, and more keys of both.
fn upstream(name: &str, endpoints: &str, keys: &str) -> String {
    format!(
        "[upstream.{name}]\nendpoints = [{endpoints}]\n{keys}\n\
         [[route]]\npath = \"/{name}/**\"\nupstream = \"{name}\"\n"
    )
}

/// An address where nothing listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn clients() -> [Client; 2] {
    [Client::http1(), Client::http2()]
}

#[tokio::test]
async fn what_no_route_matches_is_not_found() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route("/here", ""))).await;
    for client in clients() {
        assert_problem(&client.get(gateway.url("/there")).send().await, 404);
        assert_problem(&client.get(gateway.url("/here/")).send().await, 404);
        assert_eq!(client.get(gateway.url("/here")).send().await.status, 200);
    }
    let (one, other) = (
        Client::http1().get(gateway.url("/x")).send().await,
        Client::http1().get(gateway.url("/x")).send().await,
    );
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
    assert_eq!(origin.requests(), 2);
}

/// A client that is still sending when it is refused reads why, and not of a broken connection.
#[tokio::test]
async fn a_refused_upload_reads_its_answer() {
    let origin = Origin::start();
    let rest = [
        plugin("api-key", limen_tests::plugin("api-key"), PATIENT),
        route("/orders", r#"{ use = "api-key", with = { keys = { ada = "k" } } }"#),
        upstream("nobody", &format!("{:?}", nobody()), ""),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    for client in clients() {
        for length in [body::sized, body::chunked] {
            let mut connection = client.connect(gateway.url("/")).await.unwrap();
            for (path, status) in [("/nowhere", 404), ("/orders", 401), ("/nobody/x", 502)] {
                let answer = connection.post(path).stream(length(8 << 20)).send().await;
                assert_eq!(answer.status, status);
            }
        }
    }
    // Who asks first whether to send is not made to.
    let head = "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\nexpect: 100-continue\r\n\r\n";
    let answer = wire::exchange(gateway.addr("plain"), head).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn answers_to_head_have_no_body() {
    let origin = Origin::start();
    let rest = [
        plugin("api-key", limen_tests::plugin("api-key"), PATIENT),
        route("/orders", r#"{ use = "api-key", with = { keys = { ada = "k" } } }"#),
        route("/bytes/**", ""),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    for client in clients() {
        let mut connection = client.connect(gateway.url("/")).await.unwrap();
        for (path, status) in [("/nowhere", 404), ("/orders", 401), ("/bytes/100", 200)] {
            let asked = connection.get(path).send().await;
            let length = asked.body.len().to_string();
            assert!(!asked.body.is_empty(), "{path}");
            let head = connection.request(Method::HEAD, path).send().await;
            assert_eq!((head.status.as_u16(), head.body.len()), (status, 0), "{path}");
            assert_eq!(head.header("content-length"), Some(&*length), "{path}");
        }
    }
}

#[tokio::test]
async fn other_methods_than_a_route_s_are_not_allowed() {
    let origin = Origin::start();
    let routes = [("GET", "a"), ("POST", "b")].map(|(method, name)| {
        format!(
            "[[route]]\nname = {name:?}\npath = \"/notes\"\nmethods = [{method:?}]\nupstream = \"origin\"\n"
        )
    });
    let gateway = Gateway::start(config(&origin, &routes.join("\n"))).await;
    for client in clients() {
        let refused = client.request(Method::DELETE, gateway.url("/notes")).send().await;
        assert_problem(&refused, 405);
        assert_eq!(refused.header("allow"), Some("GET, HEAD, POST"));
        for method in [Method::GET, Method::HEAD, Method::POST] {
            assert_eq!(client.request(method, gateway.url("/notes")).send().await.status, 200);
        }
    }
}

#[tokio::test]
async fn the_most_specific_route_is_taken() {
    let origin = Origin::start();
    let named = |name: &str, keys: &str| {
        let policy =
            format!(r#"{{ use = "headers", with = {{ response = {{ set = {{ x-route = {name:?} }} }} }} }}"#);
        format!("[[route]]\nname = {name:?}\n{keys}\npolicies = [{policy}]\nupstream = \"origin\"\n")
    };
    // The least specific first: the order of the file decides nothing.
    let routes = [
        named("rest", r#"path = "/**""#),
        named("users", r#"path = "/users/**""#),
        named("user", r#"path = "/users/{id}""#),
        named("me", r#"path = "/users/me""#),
        named("me-post", "path = \"/users/me\"\nmethods = [\"POST\"]"),
        named("me-beta", "path = \"/users/me\"\nwhen = [{ header = \"x-beta\", equals = \"1\" }]"),
        named("me-dark", "path = \"/users/me\"\nwhen = [{ header = \"x-mode\", prefix = \"dark\" }]"),
        named("any-host", "host = \"*.example.com\""),
        named("api", "host = \"api.example.com\""),
        named("api-user", "host = \"api.example.com\"\npath = \"/users/{id}\""),
    ];
    let gateway = Gateway::start(config(&origin, &routes.join("\n"))).await;
    for client in clients() {
        for (method, host, path, header, expected) in [
            ("GET", "", "/", "", "rest"),
            ("GET", "", "/user", "", "rest"),
            ("GET", "", "/users", "", "users"),
            ("GET", "", "/users/1/posts", "", "users"),
            ("GET", "", "/users/1", "", "user"),
            ("GET", "", "/users/me", "", "me"),
            ("GET", "", "/users/me?x=/users/1", "", "me"),
            ("POST", "", "/users/me", "", "me-post"),
            ("GET", "", "/users/me", "x-beta: 1", "me-beta"),
            ("GET", "", "/users/me", "x-beta: 2", "me"),
            ("GET", "", "/users/me", "x-mode: darkest", "me-dark"),
            ("GET", "API.example.com:8080", "/", "", "api"),
            ("GET", "api.example.com", "/users/1", "", "api-user"),
            ("GET", "b.example.com", "/users/me", "", "any-host"),
            ("GET", "a.b.example.com", "/", "", "any-host"),
            ("GET", "example.com", "/", "", "rest"),
            ("GET", "notexample.com", "/users/1", "", "user"),
        ] {
            let mut request = client.request(method.parse().unwrap(), gateway.url(path));
            if !host.is_empty() {
                request = request.host(host);
            }
            if let Some((name, value)) = header.split_once(": ") {
                request = request.header(name, value);
            }
            let answer = request.send().await;
            assert_eq!(answer.header("x-route"), Some(expected), "{method} {host} {path} {header}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_as_it_should_is_told_apart() {
    let origin = Origin::start();
    let rest = [
        upstream("nobody", &format!("{:?}", nobody()), ""),
        upstream("slow", &format!("\"{origin}\""), "timeout = { first_byte = \"200ms\" }"),
        route("/hangup", ""),
        route("/garbage", ""),
        route("/close", ""),
        route("/fine", ""),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    for client in clients() {
        for (path, status) in [("/nobody/x", 502), ("/hangup", 502), ("/garbage", 502)] {
            let answer = client.get(gateway.url(path)).send().await;
            assert_problem(&answer, status);
            // The log says more, under the same id.
            let id = answer.header("x-request-id").unwrap();
            gateway.wait_for_log(|line| line.contains(id) && line.contains("upstream: ")).await;
        }
        let broken_off = client.get(gateway.url("/close")).open().await;
        assert_eq!(broken_off.status, 200);
        assert!(broken_off.count().await.is_err(), "half a body is not a whole one");
        assert_eq!(client.get(gateway.url("/fine")).send().await.status, 200);
    }
    // `/slow/x` is echoed by the origin at once; only `/slow` takes its time.
    assert_eq!(Client::http1().get(gateway.url("/slow/x")).send().await.status, 200);
    assert_problem(&Client::http1().get(gateway.url("/slow?ms=60000")).send().await, 504);
    assert_problem(&Client::http2().get(gateway.url("/slow?ms=60000")).send().await, 504);
}

#[tokio::test]
async fn a_dead_endpoint_leaves_it_to_the_others() {
    let origin = Origin::start();
    let rest = upstream("mixed", &format!("{:?}, \"{origin}\", {:?}", nobody(), nobody()), "");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    for _ in 0..12 {
        let answer = Client::http1().post(gateway.url("/mixed/x")).body("kept for the next").send().await;
        assert_eq!((answer.status.as_u16(), &answer.json()["body"]), (200, &"kept for the next".into()));
    }
}

#[tokio::test]
async fn endpoints_take_turns() {
    let origins = [Origin::start(), Origin::start(), Origin::start()];
    let endpoints = origins.iter().map(|origin| format!("\"{origin}\"")).collect::<Vec<_>>().join(", ");
    let gateway = Gateway::start(config_of_one_worker(&origins[0], &upstream("three", &endpoints, ""))).await;
    for _ in 0..9 {
        assert_eq!(Client::http1().get(gateway.url("/three/x")).send().await.status, 200);
    }
    assert_eq!(origins.each_ref().map(Origin::requests), [3, 3, 3]);
}

#[tokio::test]
async fn connections_to_the_upstream_are_kept() {
    let origin = Origin::start();
    let gateway = Gateway::start(config_of_one_worker(&origin, &route("/**", ""))).await;
    for _ in 0..30 {
        assert_eq!(Client::http1().post(gateway.url("/x")).body("a body").send().await.status, 200);
        assert_eq!(Client::http2().get(gateway.url("/bytes/100000")).send().await.body.len(), 100_000);
    }
    assert_eq!((origin.requests(), origin.connections()), (60, 1));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced() {
    let origin = Origin::start();
    let address = origin.address().to_string();
    let gateway = Gateway::start(config_of_one_worker(&origin, &route("/**", ""))).await;
    assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);
    drop(origin);
    let origin = eventually("the port to be free again", async || Origin::start_on(&address).ok()).await;
    let again = Client::http1().post(gateway.url("/")).body("not lost").send().await;
    assert_eq!((again.status.as_u16(), &again.json()["body"]), (200, &"not lost".into()));
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn headers_of_one_connection_go_no_further() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close, x-private\r\nx-private: 1\r\nkeep-alive: timeout=5\r\n\
                  proxy-authenticate: Basic\r\nupgrade: h2c\r\nx-public: 1\r\ncontent-length: 2\r\n\r\nok";
    let (address, mut heads) = wire::server(answer).await;
    let origin = Origin::start();
    let rest = upstream("raw", &format!("\"http://{address}\""), "");
    let gateway = Gateway::start(config(&origin, &rest)).await;

    let request = Client::http1()
        .get(gateway.url("/raw/x?y=1"))
        .header("connection", "x-secret, content-length, host")
        .header("x-secret", "1")
        .header("keep-alive", "timeout=5")
        .header("te", "trailers")
        .header("proxy-connection", "keep-alive")
        .header("proxy-authorization", "Basic YTpi")
        .header("x-kept", "1");
    let answer = request.host("api.example.com").send().await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "ok"));
    assert_eq!(answer.header("x-public"), Some("1"));
    for gone in ["x-private", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }

    let head = heads.recv().await.unwrap().to_ascii_lowercase();
    let (first, rest) = head.split_once("\r\n").unwrap();
    assert_eq!(first, "get /raw/x?y=1 http/1.1");
    let mut names: Vec<_> = rest.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    names.sort_unstable();
    let own = |name: &&str| !name.starts_with("x-forwarded-") && *name != "via";
    names.retain(own);
    assert_eq!(names, ["host", "te", "x-kept"], "{head}");
    assert!(rest.contains("host: api.example.com\r\n"), "{head}");
}

#[tokio::test]
async fn a_request_says_once_for_which_host_it_is() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    for (hosts, status) in [("", "400"), ("host: a\r\nhost: a\r\n", "400"), ("host: a\r\n", "200")] {
        let request = format!("GET / HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let answer = wire::exchange(gateway.addr("plain"), request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{hosts:?}: {answer}");
        if status == "400" {
            assert!(answer.contains("content-type: application/problem+json"), "{answer}");
            assert!(answer.contains("x-request-id: "), "{answer}");
        }
    }
    assert_eq!(origin.requests(), 1);
}

/// HTTP/1.0 needs no `Host`; the HTTP/1.1 that the upstream is spoken to in does (RFC 9112, section 3.2).
#[tokio::test]
async fn the_upstream_is_always_told_a_host() {
    let (address, mut heads) = wire::server("HTTP/1.1 204 No Content\r\n\r\n").await;
    let origin = Origin::start();
    let rest = upstream("raw", &format!("\"http://{address}\""), "");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let answer = wire::exchange(gateway.addr("plain"), "GET /raw/x HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 204 ") || answer.starts_with("HTTP/1.1 204 "), "{answer}");
    let head = heads.recv().await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /raw/x http/1.1\r\n"), "{head}");
    assert_eq!(head.matches("\r\nhost:").count(), 1, "{head}");
}

/// Else a route and its policies would be chosen by one name and the upstream asked for another.
#[tokio::test]
async fn the_target_s_host_goes_before_the_host_header() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    let request =
        "GET http://public.example.com/x HTTP/1.1\r\nhost: internal.example.com\r\nconnection: close\r\n\r\n";
    let answer = wire::exchange(gateway.addr("plain"), request).await;
    assert!(answer.contains(r#""host": "public.example.com""#), "{answer}");
    assert!(!answer.contains("internal"), "{answer}");

    let request = Client::http2().get(gateway.url("/")).host("public.example.com");
    let answer = request.header("host", "internal.example.com").try_send().await;
    if let Ok(answer) = answer {
        assert!(!answer.text().contains("internal"), "{}", answer.text());
    }
}

#[tokio::test]
async fn what_is_not_http_is_not_passed_on() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    for request in [
        "this was never HTTP\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n12",
        "GET / HTTP/1.1\r\nhost: a\r\nbad header: 1\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n",
        "GET http://user:password@a/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    ] {
        let answer = wire::exchange(gateway.addr("plain"), request).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{request:?}: {answer}");
    }
    assert_eq!(origin.requests(), 0);
    assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);
}

/// Both ends must agree where a body ends, whatever a client says twice.
#[tokio::test]
async fn a_request_cannot_be_smuggled_in_another() {
    let origin = Origin::start();
    let gateway = Gateway::start(config_of_one_worker(&origin, &route("/open/**", ""))).await;
    let hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    let request = format!(
        "POST /open/x HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n{hidden}",
        hidden.len()
    );
    let mut answers = wire::exchange(
        gateway.addr("plain"),
        format!("{request}GET /open/end HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
    )
    .await;
    answers.make_ascii_lowercase();
    // The gateway itself may read it either way; what reaches the origin it has routed itself.
    assert!(!answers.contains(r#""path": "/hidden""#), "{answers}");
    let next = Client::http1().get(gateway.url("/open/next")).send().await;
    assert_eq!(next.json()["path"], "/open/next");
}

#[tokio::test]
async fn a_client_that_leaves_is_logged_and_forgotten() {
    let origin = Origin::start();
    let rest =
        ["[log]\naccess = true".to_owned(), guest_plugin("logs"), route("/**", r#""logs""#)].join("\n");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    for client in clients() {
        gateway.forget_log();
        let mut stream = client.get(gateway.url("/drip?seconds=60")).open().await;
        assert_eq!(stream.piece().await.unwrap().unwrap(), "drop 0\n");
        drop(stream);
        gateway.wait_for_log_containing("ended GET /drip 200").await;
        gateway.wait_for_log(|line| line.contains("path=\"/drip\"") && line.contains("complete=false")).await;
        assert_eq!(client.get(gateway.url("/after")).send().await.status, 200);
        gateway.wait_for_log_containing("ended GET /after 200").await;
        gateway.wait_for_log(|line| line.contains("path=\"/after\"") && line.contains("complete=true")).await;
    }
}

#[tokio::test]
async fn what_the_gateway_answers_itself_is_logged_as_local() {
    let rest = [guest_plugin("logs"), upstream("nobody", &format!("{:?}", nobody()), "")].join("\n");
    let rest = rest.replace("upstream = \"nobody\"", "upstream = \"nobody\"\npolicies = [\"logs\"]");
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &rest)).await;
    assert_problem(&Client::http1().get(gateway.url("/nobody/x")).send().await, 502);
    gateway.wait_for_log_containing("ended GET /nobody/x 502 local").await;
}

#[tokio::test]
async fn sigterm_lets_requests_finish() {
    let origin = Origin::start();
    let mut gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    let mut idle = Client::http1().connect(gateway.url("/")).await.unwrap();
    assert_eq!(idle.get("/").send().await.status, 200);
    let mut streams = vec![];
    for client in clients() {
        let mut stream = client.get(gateway.url("/drip?seconds=2")).open().await;
        assert_eq!(stream.piece().await.unwrap().unwrap(), "drop 0\n");
        streams.push(stream);
    }
    let address = gateway.addr("plain").to_owned();

    gateway.sigterm();
    gateway.wait_for_log_containing("draining").await;
    eventually("new connections to be refused", async || {
        tokio::net::TcpStream::connect(&address).await.is_err().then_some(())
    })
    .await;
    assert!(gateway.is_running(), "there are streams under way");
    for stream in streams {
        assert_eq!(stream.collect().await.unwrap().text().lines().count(), 19);
    }
    assert!(gateway.wait_exit().await.success());
    gateway.wait_for_log_containing("drained").await;
}

#[tokio::test]
async fn draining_has_a_limit() {
    let origin = Origin::start();
    let text = format!("[gateway]\ndrain = \"300ms\"\n{}", config(&origin, &route("/**", "")));
    let mut gateway = Gateway::start(text).await;
    let stream = Client::http1().get(gateway.url("/drip?seconds=60")).open().await;
    let begun = std::time::Instant::now();
    gateway.sigterm();
    assert!(gateway.wait_exit().await.success());
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    gateway.wait_for_log_containing("still open after 300ms").await;
    assert!(stream.collect().await.is_err());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let origin = Origin::start();
    let mut gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    let _stream = Client::http1().get(gateway.url("/drip?seconds=60")).open().await;
    gateway.sigterm();
    gateway.wait_for_log_containing("draining").await;
    gateway.sigterm();
    assert_eq!(gateway.wait_exit().await.code(), Some(130));
}

#[tokio::test]
async fn each_listener_has_its_own_routes() {
    let origin = Origin::start();
    let rest = "[[listener]]\nname = \"inner\"\naddress = \"127.0.0.1:0\"\n\
                [[route]]\npath = \"/admin\"\nlisteners = [\"inner\"]\nupstream = \"origin\"\n\
                [[route]]\npath = \"/shop\"\nupstream = \"origin\"\n";
    let gateway = Gateway::start(config(&origin, rest)).await;
    let ask = async |listener: &str, path: &str| {
        Client::http1().get(gateway.url_of(listener, path)).send().await.status.as_u16()
    };
    assert_eq!((ask("plain", "/admin").await, ask("plain", "/shop").await), (404, 200));
    assert_eq!((ask("inner", "/admin").await, ask("inner", "/shop").await), (200, 200));
}

/// A route with a policy must not be passed by with another spelling of its path.
#[tokio::test]
async fn one_path_has_one_spelling() {
    let origin = Origin::start();
    let rest = [
        plugin("api-key", limen_tests::plugin("api-key"), PATIENT),
        route("/admin/**", r#"{ use = "api-key", with = { keys = { ada = "k" } } }"#),
        route("/**", ""),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    let ask = async |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        wire::exchange(gateway.addr("plain"), request).await
    };
    for target in [
        "/admin/x",
        "/%61dmin/x",
        "/adm%69n/x?y",
        "/x/../admin/x",
        "/x/%2e%2e/admin/x",
        "/./admin/x",
        "//admin/x",
    ] {
        assert!(ask(target).await.starts_with("HTTP/1.1 401 "), "{target}");
    }
    for target in ["/../admin/x", "/%zz/admin/x", "/\\admin/x", "/%00/admin"] {
        assert!(ask(target).await.starts_with("HTTP/1.1 400 "), "{target}");
    }
    assert_eq!(origin.requests(), 0);
    let other = ask("/%7Eada/a%2Fb").await;
    assert!(other.contains(r#""path": "/~ada/a%2Fb""#), "{other}");
}

/// Looking for a wildcard's suffix in a host of ten thousand labels would take the worker long.
#[tokio::test]
async fn a_host_without_end_is_refused_at_once() {
    let origin = Origin::start();
    let wild = "[[route]]\nhost = \"*.example.com\"\nupstream = \"origin\"\n";
    let gateway = Gateway::start(config_of_one_worker(&origin, wild)).await;
    let host = "a.".repeat(10_000);
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let begun = std::time::Instant::now();
    let answer = wire::exchange(gateway.addr("plain"), request).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let served = Client::http1().get(gateway.url("/")).host("x.example.com").send().await;
    assert_eq!(served.status, 200);
}

/// Browsers send cookies over HTTP/2 in pieces; before HTTP/1.1 they are one field.
#[tokio::test]
async fn cookies_in_pieces_are_joined() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    let request = Client::http2().get(gateway.url("/")).header("cookie", "a=1").header("cookie", "b=2");
    assert_eq!(request.send().await.json()["headers"]["cookie"], "a=1; b=2");
}

/// Whatever version an upstream speaks, the client's connection stays what it was.
#[tokio::test]
async fn an_upstream_of_http_1_0_does_not_cost_the_client_its_connection() {
    let origin = Origin::start();
    let (old, _heads) = wire::server("HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nold").await;
    let rest = upstream("old", &format!("\"http://{old}\""), "");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for _ in 0..2 {
        let answer = connection.get("/old/x").send().await;
        assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "old"));
        assert_ne!(answer.header("connection"), Some("close"));
    }
}
