//! Which route is taken, and what it then does: splits, redirects, fixed answers, rewrites.

use crate::common::{assert_problem, config};
use http::Method;
use limen_tests::{Answer, Client, Gateway, Origin, wire};

/// A route that says on the answer which one it is.
fn named(name: &str, keys: &str) -> String {
    let policy =
        format!(r#"{{ use = "headers", with = {{ response = {{ set = {{ x-route = {name:?} }} }} }} }}"#);
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
    let gateway = Gateway::start(config(&origin, &routes.join("\n"))).await;
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
