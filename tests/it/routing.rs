//! Which route is taken, and what it then does: splits, redirects, fixed answers, rewrites.

use crate::common::{assert_problem, config};
use http::Method;
use limen_tests::{Answer, Client, Gateway, Origin, body, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A route that says on the answer which one it is.
fn named(name: &str, keys: &str) -> String {
    let told = name.replace('{', "{{").replace('}', "}}"); // or they would be expressions
    let policy =
        format!(r#"{{ use = "headers", with = {{ response = {{ set = {{ x-route = {told:?} }} }} }} }}"#);
    format!("[[route]]\nname = {name:?}\npolicies = [{policy}]\n{keys}\n")
}

/// One to `origin`.
fn to_origin(name: &str, keys: &str) -> String {
    named(name, &format!("upstream = \"origin\"\n{keys}"))
}

fn upstream(name: &str, origin: &Origin) -> String {
    format!("[upstream.{name}]\nendpoints = [\"{origin}\"]\n")
}

fn location(answer: &Answer) -> &str {
    answer.header("location").unwrap_or_else(|| panic!("{} without a location", answer.status))
}

#[tokio::test]
async fn a_route_is_chosen_by_what_when_says() {
    let origin = Origin::start();
    let routes = [
        to_origin("plain", ""),
        to_origin("regex", r#"when = [{ header = "x-version", regex = "v[0-9]+" }]"#),
        to_origin("query", r#"when = [{ query = "next", equals = "a b" }]"#),
        to_origin("query-there", "path = \"/q\"\nwhen = [{ query = \"debug\", present = true }]"),
        to_origin("cookie", r#"when = [{ cookie = "tester", prefix = "yes" }]"#),
        to_origin("local", "path = \"/local\"\nwhen = [{ client = [\"127.0.0.0/8\"] }]"),
        to_origin("far", "path = \"/far\"\nwhen = [{ client = [\"10.0.0.0/8\", \"::1\"] }]"),
        to_origin(
            "no-agent",
            "path = \"/agent\"\nwhen = [{ not = { header = \"x-agent\", present = true } }]",
        ),
        to_origin(
            "two",
            r#"when = [{ header = "x-version", equals = "v1" }, { cookie = "a", equals = "1" }]"#,
        ),
    ];
    let gateway = Gateway::start(config(&origin, &routes.join("\n"))).await;
    for client in [Client::http1(), Client::http2()] {
        for (path, header, expected) in [
            ("/", "", "plain"),
            ("/", "x-version: v12", "regex"),
            ("/", "x-version: v12b", "plain"),
            ("/", "x-version: av1", "plain"),
            ("/?next=a+b", "", "query"),
            ("/?x=1&next=a%20b", "", "query"),
            ("/?next=ab", "", "plain"),
            ("/q?debug", "", "query-there"),
            ("/q?debugger", "", "plain"),
            ("/", "cookie: b=2; tester=yesterday", "cookie"),
            ("/", "cookie: b=2; tester=no", "plain"),
            ("/local", "", "local"),
            ("/far", "", "plain"),
            ("/agent", "", "no-agent"),
            ("/agent", "x-agent: 1", "plain"),
        ] {
            let mut request = client.get(gateway.url(path));
            if let Some((name, value)) = header.split_once(": ") {
                request = request.header(name, value);
            }
            let answer = request.send().await;
            assert_eq!(answer.header("x-route"), Some(expected), "{path} {header}");
        }
        let both =
            client.get(gateway.url("/")).header("x-version", "v1").header("cookie", "a=1").send().await;
        assert_eq!(both.header("x-route"), Some("two"), "more conditions go before fewer");
    }
}

#[tokio::test]
async fn a_regular_expression_stands_between_text_and_parameters() {
    let origin = Origin::start();
    let routes = [
        to_origin("rest", r#"path = "/users/**""#),
        to_origin("user", r#"path = "/users/{id}""#),
        to_origin("number", r#"path = { regex = "/users/(?<id>[0-9]+)(/posts/(?<post>[a-z%0-9]+))?" }"#),
        to_origin("seven", r#"path = "/users/7""#),
        to_origin("longer", r#"path = { regex = "/users/9[0-9]+" }"#),
        to_origin("script", r#"path = { regex = ".*\\.php" }"#),
        to_origin("scoped", "host = \"*.example.com\"\npath = { regex = \"/users/x+\" }"),
    ];
    let gateway = Gateway::start(config(&origin, &routes.join("\n"))).await;
    for client in [Client::http1(), Client::http2()] {
        for (host, path, expected) in [
            ("", "/users/7", "seven"),
            ("", "/users/8", "number"),
            ("", "/users/91", "longer"),
            ("", "/users/8/posts/a%20b", "number"),
            ("", "/users/8/posts/A", "rest"),
            ("", "/users/8a", "user"),
            ("", "/users/xx", "user"),
            ("", "/users/x.php", "user"),
            ("", "/any/x.php?q=1", "script"),
            ("a.example.com", "/users/xx", "scoped"),
        ] {
            let mut request = client.get(gateway.url(path));
            if !host.is_empty() {
                request = request.host(host);
            }
            assert_eq!(request.send().await.header("x-route"), Some(expected), "{host} {path}");
        }
        assert_problem(&client.get(gateway.url("/other")).send().await, 404);
    }
}

#[tokio::test]
async fn a_split_follows_its_weights_and_users_stay_where_they_are() {
    let (now, next) = (Origin::start(), Origin::start());
    let split = |weight: usize| {
        let targets = format!(
            "upstream = [{{ to = \"origin\", weight = {} }}, {{ to = \"next\", weight = {weight} }}]",
            100 - weight
        );
        let routes = [
            upstream("next", &next),
            format!("[[route]]\npath = \"/chance\"\n{targets}\n"),
            format!("[[route]]\npath = \"/user\"\nsplit_by = {{ header = \"x-user\" }}\n{targets}\n"),
            format!("[[route]]\npath = \"/cookie\"\nsplit_by = {{ cookie = \"id\" }}\n{targets}\n"),
            format!("[[route]]\npath = \"/client\"\nsplit_by = \"client\"\n{targets}\n"),
        ];
        config(&now, &routes.join("\n"))
    };
    let gateway = Gateway::start(split(20)).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    let before = now.requests();
    for _ in 0..400 {
        assert_eq!(connection.get("/chance").send().await.status, 200);
    }
    // 80 of 400 are expected, with a deviation of 8: this fails once in ten million times.
    let to_next = 400 - (now.requests() - before);
    assert!((36..=124).contains(&to_next), "{to_next}");

    // Where each of a hundred users is sent, asked over a connection of its own now and then.
    let users = async |path: &str, header: &str| {
        let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
        let mut there = vec![];
        for user in 0..100 {
            if user % 10 == 0 {
                connection = Client::http1().connect(gateway.url("/")).await.unwrap();
            }
            let before = next.requests();
            let value = if header == "cookie" { format!("a=b; id={user}") } else { user.to_string() };
            assert_eq!(connection.get(path).header(header, &value).send().await.status, 200);
            there.push(next.requests() > before);
        }
        there
    };
    let first = users("/user", "x-user").await;
    let share = first.iter().filter(|it| **it).count();
    assert!((4..=40).contains(&share), "{share}");
    assert_eq!(users("/user", "x-user").await, first, "a user stays where they are");
    assert_eq!(users("/cookie", "cookie").await, first, "by whatever they are known, on every route");
    let by_address = users("/client", "x-any").await;
    assert!(by_address.iter().all(|it| *it == by_address[0]), "one address, one upstream");

    gateway.write_config(split(30));
    gateway.wait_for_log_containing("the configuration is live").await;
    let after = users("/user", "x-user").await;
    assert!(first.iter().zip(&after).all(|(before, after)| !before || *after), "who was there stays there");

    gateway.forget_log();
    gateway.write_config(split(0));
    gateway.wait_for_log_containing("the configuration is live").await;
    assert!(users("/user", "x-user").await.iter().all(|it| !it), "a weight of 0 takes nobody");
}

#[tokio::test]
async fn redirects_say_where_to() {
    let origin = Origin::start();
    let redirect = |path: &str, keys: &str| named(path, &format!("path = {path:?}\nredirect = {{ {keys} }}"));
    let routes = [
        redirect("/old/{id}/**", r#"to = "/new/{id}/{rest}""#),
        redirect("/any/**", r#"to = "/{rest}", status = 302"#),
        redirect("/www/**", r#"to = "https://www.example.com{path}", status = 301"#),
        redirect("/tls/**", r#"to = "https://{host}{path}", status = 307"#),
        redirect("/port", r#"to = "https://{host}:8443/x?a=1", status = 303"#),
        redirect("/drop", r#"to = "/x", query = "drop""#),
        named(
            "regex",
            "path = { regex = \"/(?<y>[0-9]{4})-(?<m>[0-9]{2})\" }\nredirect = { to = \"/{y}/{m}\" }",
        ),
    ];
    // Where slashes are kept, a path must not become a host.
    let keep = "[gateway]\npath = { empty_segments = \"keep\" }\n";
    let gateway = Gateway::start(format!("{keep}{}", config(&origin, &routes.join("\n")))).await;
    for client in [Client::http1(), Client::http2()] {
        for (path, status, expected) in [
            ("/old/7", 308, "/new/7"),
            ("/old/7/", 308, "/new/7/"),
            ("/old/a%20b/c//d?x=1&y=%20", 308, "/new/a%20b/c//d?x=1&y=%20"),
            ("/any", 302, "/"),
            ("/any/x", 302, "/x"),
            ("/any//evil.example.com", 302, "/evil.example.com"),
            ("/any///evil.example.com?q", 302, "/evil.example.com?q"),
            ("/www/x?y", 301, "https://www.example.com/www/x?y"),
            ("/tls", 307, "https://api.example.com/tls"),
            ("/port?b=2", 303, "https://api.example.com:8443/x?a=1&b=2"),
            ("/drop?b=2", 308, "/x"),
            ("/2026-11", 308, "/2026/11"),
        ] {
            let answer = client.get(gateway.url(path)).host("api.example.com").send().await;
            assert_eq!((answer.status.as_u16(), location(&answer)), (status, expected), "{path}");
            assert!(answer.body.is_empty());
            assert!(answer.header("x-route").is_some(), "policies see it, too");
        }
        let posted = client.post(gateway.url("/drop")).body("not read").send().await;
        assert_eq!(posted.status, 308);
    }
    let ported = Client::http1().get(gateway.url("/tls/x")).host("api.example.com:8080").send().await;
    assert_eq!(location(&ported), "https://api.example.com/tls/x");
    let backslash = "GET /any/\\evil.example.com HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = wire::exchange(gateway.addr("plain"), backslash).await;
    assert!(!answer.contains("location: /\\"), "{answer}");
    let strange = "GET /tls/x HTTP/1.1\r\nhost: a/b?c\r\nconnection: close\r\n\r\n";
    let answer = wire::exchange(gateway.addr("plain"), strange).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn fixed_answers_need_no_upstream() {
    let origin = Origin::start();
    let respond = |path: &str, keys: &str| named(path, &format!("path = {path:?}\nrespond = {{ {keys} }}"));
    let routes = [
        respond("/text", r#"status = 503, body = "back soon\n", headers = { retry-after = "60" }"#),
        respond("/page", r#"file = "page.html""#),
        respond("/none", "status = 204"),
        respond("/empty", ""),
        respond("/json", r#"body = "{}", headers = { content-type = "application/json" }"#),
    ];
    let setup = Gateway::with(config(&origin, &routes.join("\n"))).file("page.html", "<h1>one</h1>");
    let gateway = setup.start().await;
    for client in [Client::http1(), Client::http2()] {
        let text = client.get(gateway.url("/text")).send().await;
        assert_eq!((text.status.as_u16(), &*text.text()), (503, "back soon\n"));
        assert_eq!(text.header("retry-after"), Some("60"));
        assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(text.header("x-route"), Some("/text"), "policies see it, too");
        let head = client.request(Method::HEAD, gateway.url("/text")).send().await;
        assert_eq!((head.header("content-length"), head.body.len()), (Some("10"), 0));
        let page = client.get(gateway.url("/page")).send().await;
        assert_eq!(
            (page.header("content-type"), &*page.text()),
            (Some("text/html; charset=utf-8"), "<h1>one</h1>")
        );
        let none = client.get(gateway.url("/none")).send().await;
        assert_eq!((none.status.as_u16(), none.header("content-length")), (204, None));
        let empty = client.post(gateway.url("/empty")).body("not read").send().await;
        assert_eq!((empty.status.as_u16(), empty.body.len()), (200, 0));
        let json = client.get(gateway.url("/json")).send().await;
        assert_eq!((json.header("content-type"), &*json.text()), (Some("application/json"), "{}"));
    }
    gateway.replace_file("page.html", "<h1>two</h1>");
    gateway.wait_for_log_containing("the configuration is live").await;
    assert_eq!(Client::http1().get(gateway.url("/page")).send().await.text(), "<h1>two</h1>");
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn the_upstream_is_asked_for_what_was_rewritten() {
    let origin = Origin::start();
    let routes = [
        to_origin("prefix", "path = \"/api/**\"\nrewrite = { prefix = \"/v2\" }"),
        to_origin("strip", "path = \"/strip/{x}/**\"\nrewrite = { prefix = \"/\" }"),
        to_origin("add", "path = \"/add\"\nrewrite = { path = \"/tenant{path}\", host = \"t.internal:81\" }"),
        to_origin("template", "path = \"/t/{id}/{rest}/**\"\nrewrite = { path = \"/internal/{rest}/{id}\" }"),
        to_origin(
            "regex",
            "path = { regex = \"/r/(?<a>[a-z]+)-(?<b>[a-z]+)(?<c>!)?\" }\nrewrite = { path = \"/{b}/{a}{c}\" }",
        ),
        to_origin("dots", "path = { regex = \"/d/(?<a>.*)x(?<b>.*)\" }\nrewrite = { path = \"/{a}{b}/y\" }"),
        to_origin("host", "path = \"/h\"\nrewrite = { host = \"only.internal\" }"),
    ];
    let gateway = Gateway::start(config(&origin, &routes.join("\n"))).await;
    for client in [Client::http1(), Client::http2()] {
        for (path, expected, query) in [
            ("/api", "/v2", None),
            ("/api/", "/v2/", None),
            ("/api/a%2Fb/c?q=%20&x", "/v2/a%2Fb/c", Some("q=%20&x")),
            ("/strip/1", "/", None),
            ("/strip/1/", "/", None),
            ("/strip/1/a", "/a", None),
            ("/add?", "/tenant/add", Some("")),
            ("/t/7/x%20y/z", "/internal/x%20y/7", None),
            ("/r/one-two", "/two/one", None),
            ("/r/one-two!", "/two/one!", None),
            ("/h", "/h", None),
        ] {
            let asked = client.get(gateway.url(path)).host("api.example.com").send().await.json();
            assert_eq!(asked["path"], expected, "{path}");
            assert_eq!(
                asked["query"].as_str().filter(|it| !it.is_empty()),
                query.filter(|it| !it.is_empty())
            );
            let host = match path {
                "/h" => "only.internal",
                "/add?" => "t.internal:81",
                _ => "api.example.com",
            };
            assert_eq!(asked["headers"]["host"], host, "{path}");
        }
        assert_problem(&client.get(gateway.url("/d/.x.")).send().await, 400);
    }
}

/// A server that answers each request with 404, unless it is to stay silent, and hands over what it read.
async fn shadow(answers: bool) -> (String, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut read = vec![];
                if !answers {
                    let _ = socket.read_buf(&mut read).await;
                    let _ = sender.send(String::from_utf8_lossy(&read).into_owned());
                    return std::future::pending().await;
                }
                while socket.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
                    let text = String::from_utf8_lossy(&read).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    let length = length.map_or(0, |length| length.parse().unwrap());
                    let chunked = head.contains("transfer-encoding: chunked");
                    if (chunked && body.ends_with("0\r\n\r\n")) || (!chunked && body.len() == length) {
                        let _ = sender.send(text);
                        read.clear();
                        let _ = socket
                            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone")
                            .await;
                    }
                }
                if !read.is_empty() {
                    let _ = sender.send("cut off".to_owned());
                }
            });
        }
    });
    (address, requests)
}

fn mirrored(origin: &Origin, shadow: &str, keys: &str) -> String {
    let rest = format!(
        "[upstream.shadow]\nendpoints = [{shadow:?}]\n[[route]]\npath = \"/**\"\nupstream = \"origin\"\n\
         mirror = {{ to = \"shadow\", {keys} }}\n"
    );
    config(origin, &rest)
}

#[tokio::test]
async fn a_mirror_sees_what_the_upstream_sees_and_nobody_sees_it() {
    let origin = Origin::start();
    let (address, mut copies) = shadow(true).await;
    let gateway = Gateway::start(mirrored(&origin, &address, "")).await;
    for client in [Client::http1(), Client::http2()] {
        let asked = client.get(gateway.url("/x?y=1")).header("x-a", "1").host("api.example.com").send().await;
        assert_eq!((asked.status.as_u16(), &asked.json()["path"]), (200, &"/x".into()));
        let copy = copies.recv().await.unwrap();
        assert!(copy.starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{copy}");
        assert!(copy.contains("x-a: 1\r\n") && copy.contains("host: api.example.com\r\n"), "{copy}");

        let posted = client.post(gateway.url("/y")).body("a body for two").send().await;
        assert_eq!(posted.json()["body"], "a body for two");
        let copy = copies.recv().await.unwrap();
        assert!(copy.ends_with("\r\n\r\na body for two"), "{copy}");

        // Longer than what is kept, and not a byte is lost where the mirror keeps up.
        let posted = client.post(gateway.url("/upload?pattern")).stream(body::chunked(300_000)).send().await;
        assert_eq!((posted.status.as_u16(), &*posted.text()), (200, "300000"));
        let copy = copies.recv().await.unwrap();
        assert!(copy.starts_with("POST /upload?pattern ") && copy.len() > 300_000, "{} bytes", copy.len());
    }
}

#[tokio::test]
async fn a_share_is_mirrored_and_rewritten_like_the_rest() {
    let origin = Origin::start();
    let (address, mut copies) = shadow(true).await;
    let config = mirrored(&origin, &address, "percent = 30, host = \"shadow.internal\"");
    let config = config.replace("mirror =", "rewrite = { path = \"/v2{path}\" }\nmirror =");
    let gateway = Gateway::start(config).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for _ in 0..400 {
        assert_eq!(connection.get("/z").send().await.status, 200);
    }
    // 120 of 400 are expected, with a deviation of 9.
    let mut seen = vec![];
    while seen.len() < 70 {
        seen.push(copies.recv().await.unwrap());
    }
    while let Ok(copy) = copies.try_recv() {
        seen.push(copy);
    }
    assert!(seen.len() <= 170, "{}", seen.len());
    for copy in seen {
        assert!(
            copy.starts_with("GET /v2/z HTTP/1.1\r\n") && copy.contains("host: shadow.internal\r\n"),
            "{copy}"
        );
    }
}

#[tokio::test]
async fn a_mirror_that_is_slow_full_or_gone_holds_up_nobody() {
    let origin = Origin::start();
    let (address, mut copies) = shadow(false).await;
    let gateway = Gateway::start(mirrored(&origin, &address, "in_flight = 1")).await;
    for client in [Client::http1(), Client::http2()] {
        let posted = client.post(gateway.url("/upload?pattern")).stream(body::chunked(64 << 20)).send().await;
        assert_eq!((posted.status.as_u16(), &*posted.text()), (200, "67108864"));
    }
    assert!(gateway.rss_bytes() < 150 << 20, "a copy that is not taken is not kept");
    // The first copy was cut off, or was never taken; those after it were one at a time.
    assert!(copies.recv().await.is_some());

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    gateway.write_config(mirrored(&origin, &format!("http://{nobody}"), ""));
    gateway.wait_for_log_containing("the configuration is live").await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for _ in 0..50 {
        assert_eq!(connection.post("/x").body("kept").send().await.json()["body"], "kept");
    }
}

#[tokio::test]
async fn a_mirror_has_no_more_copies_under_way_than_it_may() {
    let origin = Origin::start();
    let (address, mut copies) = shadow(false).await;
    let gateway = Gateway::start(mirrored(&origin, &address, "in_flight = 3")).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for _ in 0..20 {
        assert_eq!(connection.get("/x").send().await.status, 200);
    }
    for _ in 0..3 {
        assert!(copies.recv().await.is_some());
    }
    assert!(copies.try_recv().is_err(), "the first three are still waiting for their answers");
}

#[tokio::test]
async fn a_route_can_be_explained_without_asking_for_it() {
    let origin = Origin::start();
    let routes = [
        to_origin("all", ""),
        to_origin("user", "path = \"/users/{id}\""),
        to_origin("beta", "path = \"/users/{id}\"\nwhen = [{ header = \"x-beta\", equals = \"1\" }]"),
        to_origin("write", "path = \"/users/{id}\"\nmethods = [\"PUT\"]"),
        named("gone", "path = \"/users/gone\"\nrespond = { status = 410 }\nmethods = [\"POST\"]"),
    ];
    let explain = async |arguments: &[&str]| {
        let arguments: Vec<&str> = ["explain"].into_iter().chain(arguments.iter().copied()).collect();
        Gateway::with(config(&origin, &routes.join("\n"))).finish(&arguments).await
    };
    let told = explain(&["GET", "http://api.example.com/users/%37"]).await;
    let lines: Vec<_> = told.stdout.lines().map(str::trim).collect();
    assert_eq!(lines[0], "GET /users/7 at `plain`", "{told:?}");
    assert!(
        lines[1].starts_with("passed by: `beta` (limen.toml:") && lines[1].ends_with("when[0] does not hold")
    );
    assert!(lines[2].starts_with("passed by: `write`") && lines[2].ends_with("for PUT only"));
    assert!(lines[3].starts_with("taken: `user`") && lines[3].ends_with("to the upstream `origin`"));
    assert!(lines[4].starts_with("less specific: `all`"));
    let told = explain(&["GET", "/users/7", "-H", "x-beta: 1"]).await;
    assert!(told.stdout.contains("taken: `beta`"), "{told:?}");
    let told = explain(&["POST", "/users/gone"]).await;
    assert!(told.stdout.contains("taken: `gone`") && told.stdout.contains("answered with 410"), "{told:?}");
    assert!(!explain(&["GET", "/", "--listener", "none"]).await.status.success());
}
