//! `cache`: what is answered again, what is not, and how it is forgotten.

mod disk;
mod forget;
mod large;
mod play;
mod suite;

use std::sync::{Arc, Mutex};

use http::Method;
use limen_tests::raw::{RawOrigin, Reply};
use limen_tests::{Answer, Client, Gateway, eventually};

use super::mistake;
use crate::common::{assert_problem, listener, route};

/// An origin that remembers the heads of requests.
struct Told {
    origin: RawOrigin,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Told {
    /// Answers by the number of the request, from 0, and its head.
    async fn start(answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Told {
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let all = seen.clone();
        let origin = RawOrigin::start(move |head| {
            let number = {
                let mut all = all.lock().unwrap();
                all.push(head.to_owned());
                all.len() - 1
            };
            answer(number, head)
        });
        Told { origin: origin.await, seen }
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn last(&self) -> String {
        self.seen.lock().unwrap().last().unwrap().to_ascii_lowercase()
    }
}

/// 200 with these headers, and a body.
fn ok(headers: &str, body: impl AsRef<str>) -> Reply {
    answer("200 OK", headers, body)
}

fn answer(status: &str, headers: &str, body: impl AsRef<str>) -> Reply {
    let body = body.as_ref();
    Reply::Keep(
        format!("HTTP/1.1 {status}\r\n{headers}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into(),
    )
}

async fn gateway(told: &Told, with: &str) -> Gateway {
    Gateway::start(config(told, &format!("{{ use = \"cache\", with = {{ {with} }} }}"))).await
}

fn config(told: &Told, policies: &str) -> String {
    let upstream = format!("[upstream.origin]\nendpoints = [\"{}\"]\n", told.origin.url());
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = true\n";
    format!("{}{upstream}{admin}{}", listener(), route("/**", policies))
}

async fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Answer {
    let asked = headers
        .iter()
        .fold(Client::http1().get(gateway.url(path)), |asked, (name, value)| asked.header(name, value));
    asked.send().await
}

fn status_of(answer: &Answer) -> &str {
    answer.header("cache-status").unwrap_or_default()
}

#[tokio::test]
async fn what_is_kept_is_answered_again() {
    let told = Told::start(|number, _| {
        ok(
            "cache-control: max-age=60\r\netag: \"a\"\r\nage: 5\r\ncache-tag: t\r\ncache-status: inner; hit",
            format!("answer {number}"),
        )
    });
    let told = told.await;
    let gateway = gateway(&told, "").await;
    let first = get(&gateway, "/a?b=c", &[]).await;
    assert_eq!((first.text().as_str(), first.header("cache-tag")), ("answer 0", None));
    let statuses: Vec<_> =
        first.headers.get_all("cache-status").iter().map(|it| it.to_str().unwrap()).collect();
    assert_eq!(statuses, ["inner; hit", "limen; fwd=uri-miss; stored"]);
    let again = get(&gateway, "/a?b=c", &[]).await;
    assert_eq!((again.text().as_str(), again.header("content-length")), ("answer 0", Some("8")));
    assert!(matches!(again.header("age"), Some("5" | "6" | "7")), "{:?}", again.header("age"));
    let statuses: Vec<_> =
        again.headers.get_all("cache-status").iter().map(|it| it.to_str().unwrap()).collect();
    assert!(statuses[1].starts_with("limen; hit; ttl=5"), "{statuses:?}");
    gateway.wait_for_log(|line| line.contains("reason=\"cache\"")).await;

    // Conditions, ranges and HEAD are answered from it.
    for (headers, status, body) in [
        (&[("if-none-match", "\"x\", W/\"a\"")][..], 304, ""),
        (&[("range", "bytes=0-2")], 206, "ans"),
        (&[("range", "bytes=-1"), ("if-range", "\"a\"")], 206, "0"),
        (&[("range", "bytes=-1"), ("if-range", "\"b\"")], 200, "answer 0"),
        (&[("range", "bytes=0-1,3-4")], 200, "answer 0"),
        (&[("range", "bytes=9-")], 416, ""),
    ] {
        let got = get(&gateway, "/a?b=c", headers).await;
        assert_eq!((got.status.as_u16(), got.text().as_str()), (status, body), "{headers:?}");
    }
    let head = Client::http1().request(Method::HEAD, gateway.url("/a?b=c")).send().await;
    assert_eq!((head.text().as_str(), head.header("content-length")), ("", Some("8")));
    assert_eq!(told.requests(), 1);
    assert_eq!(get(&gateway, "/a?b=d", &[]).await.text(), "answer 1");
    assert_eq!(get(&gateway, "/a?b=c", &[("cache-control", "no-cache")]).await.text(), "answer 2");
    assert!(told.last().contains("if-none-match: \"a\""), "{}", told.last());
    let refused = get(&gateway, "/new", &[("cache-control", "only-if-cached")]).await;
    assert_problem(&refused, 504);
    assert_eq!(refused.header("cache-status"), Some("limen; detail=only-if-cached"));
}

#[tokio::test]
async fn what_is_not_for_all_is_not_kept() {
    let told = Told::start(|number, head| {
        let path = head.split(' ').nth(1).unwrap();
        let headers = match path {
            "/private" => "cache-control: private, max-age=60",
            "/no-store" => "cache-control: no-store",
            "/cookie" => "cache-control: max-age=60\r\nset-cookie: a=1",
            "/any" => "cache-control: max-age=60\r\nvary: *",
            "/public" => "cache-control: max-age=60, public",
            _ => "cache-control: max-age=60",
        };
        ok(headers, format!("{number}"))
    });
    let told = told.await;
    let gateway = gateway(&told, "").await;
    let misled = ("x-http-method-override", "DELETE");
    for (path, headers) in [
        ("/private", &[][..]),
        ("/no-store", &[]),
        ("/cookie", &[]),
        ("/any", &[]),
        ("/a", &[("authorization", "Basic x")]),
        ("/b", &[("cache-control", "no-store")]),
        ("/c", &[misled]),
    ] {
        let one = get(&gateway, path, headers).await;
        let two = get(&gateway, path, headers).await;
        assert_ne!(one.text(), two.text(), "{path}");
        assert!(!status_of(&two).contains("stored"), "{path}: {}", status_of(&two));
    }
    let key = [("authorization", "Basic x")];
    let (one, two) = (get(&gateway, "/public", &key).await, get(&gateway, "/public", &[]).await);
    assert_eq!(one.text(), two.text());
}

#[tokio::test]
async fn what_is_kept_for_some_is_kept_though_others_get_what_is_private() {
    let told = Told::start(|number, head| {
        let is_known = head.contains("cookie: session");
        ok(if is_known { "cache-control: private" } else { "cache-control: max-age=60" }, format!("{number}"))
    });
    let told = told.await;
    let gateway = gateway(&told, r#"key = [{ cookie = "lang" }]"#).await;
    let known = [("cookie", "session=1")];
    assert_eq!(get(&gateway, "/a", &known).await.text(), "0");
    assert_eq!(status_of(&get(&gateway, "/a", &[]).await), "limen; fwd=bypass; stored");
    assert!(status_of(&get(&gateway, "/a", &[]).await).starts_with("limen; hit"));
    assert!(
        status_of(&get(&gateway, "/a", &[("cookie", "lang=de")]).await).starts_with("limen; fwd=vary-miss")
    );
}

#[tokio::test]
async fn variants_and_keys_tell_answers_apart() {
    let told = Told::start(|number, _| {
        ok("cache-control: max-age=60\r\nvary: accept-language", format!("{number}"))
    })
    .await;
    let gateway =
        gateway(&told, r#"key = [{ header = "x-tenant" }], query = { ignore = ["utm_*"], sort = true }"#)
            .await;
    let ask = async |path: &str, headers: &[(&str, &str)]| get(&gateway, path, headers).await.text();
    let (de, en) = (("accept-language", "de"), ("accept-language", "en"));
    assert_eq!(ask("/?a=1&b=2", &[de]).await, "0");
    assert_eq!(ask("/?a=1&b=2", &[en]).await, "1");
    assert_eq!(ask("/?b=2&utm_source=x&a=1", &[de]).await, "0");
    assert_eq!(ask("/?a=1&b=2", &[de, ("x-tenant", "acme")]).await, "2");
    assert_eq!(ask("/?a=1&b=2", &[en]).await, "1");
    assert_eq!(
        get(&gateway, "/?a=1&b=2", &[("accept-language", "fr")]).await.header("cache-status"),
        Some("limen; fwd=vary-miss; stored")
    );
}

/// An upstream that answers with the number of the request, in two pieces.
async fn in_two_pieces() -> Told {
    let told = Told::start(|number, _| {
        let Reply::Keep(all) = ok("cache-control: max-age=60", format!("{number}")) else {
            panic!("not kept")
        };
        Reply::Later(all[..20].to_vec(), all[20..].to_vec())
    });
    told.await
}

#[tokio::test]
async fn one_asks_for_all() {
    let told = in_two_pieces().await;
    let gateway = gateway(&told, "").await;
    let all = (0..40).map(|_| get(&gateway, "/a", &[]));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|answer| answer.text() == "0"));
    assert_eq!(told.requests(), 1, "for all forty");
    assert!(answers.iter().any(|answer| status_of(answer).ends_with("; collapsed")));
}

#[tokio::test]
async fn nobody_waits_for_what_is_not_kept() {
    let told = Told::start(|number, _| {
        let Reply::Keep(all) = ok("cache-control: no-store", format!("{number}")) else { panic!("not kept") };
        Reply::Later(all[..20].to_vec(), all[20..].to_vec())
    });
    let told = told.await;
    let gateway = gateway(&told, "").await;
    get(&gateway, "/a", &[]).await;
    let begun = std::time::Instant::now();
    let answers = futures_util::future::join_all((0..20).map(|_| get(&gateway, "/a", &[]))).await;
    assert!(answers.iter().all(|answer| status_of(answer) == "limen; fwd=bypass"));
    // One after the other they would take fifty milliseconds each.
    assert!(begun.elapsed() < std::time::Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(told.requests(), 21);
}

#[tokio::test]
async fn a_stale_one_is_used_while_a_newer_one_is_asked_for() {
    let told = Told::start(|number, head| match number {
        0 => ok("cache-control: max-age=10, stale-while-revalidate=1000\r\nage: 20\r\netag: \"a\"", "old"),
        _ if head.contains("if-none-match") => ok("cache-control: max-age=60\r\netag: \"b\"", "new"),
        _ => answer("500 Oh", "x-a: 1", "no condition"),
    });
    let told = told.await;
    let behind = r#"{ use = "headers", with = { request = { set = { x-key = "secret" } } } }"#;
    let gateway = Gateway::start(config(&told, &format!("\"cache\", {behind}"))).await;
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "old");
    let stale = get(&gateway, "/a", &[("if-none-match", "\"mine\"")]).await;
    assert_eq!(stale.text(), "old");
    assert!(status_of(&stale).starts_with("limen; hit; ttl=-1"), "{}", status_of(&stale));
    eventually("the new one", async || (get(&gateway, "/a", &[]).await.text() == "new").then_some(())).await;
    assert_eq!(told.requests(), 2);
    let asked = told.last();
    assert!(asked.contains("if-none-match: \"a\"") && asked.contains("x-key: secret"), "{asked}");
    let line = gateway.wait_for_log(|line| line.contains("background=true")).await;
    for part in ["method=GET", "path=\"/a\"", "status=200", "attempts=1", "bytes_out=3", "complete=true"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let metrics = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    let counted =
        metrics.lines().find(|line| line.starts_with("limen_background_request_duration_seconds_count"));
    let counted = counted.unwrap_or_else(|| panic!("{metrics}"));
    assert!(counted.contains("http_response_status_code=\"200\"") && counted.ends_with(" 1"), "{counted}");
    let asked = metrics.lines().filter(|line| line.starts_with("http_client_request_duration_seconds_count"));
    assert!(asked.clone().any(|line| line.ends_with(" 2")), "{:?}", asked.collect::<Vec<_>>());
}

/// Nobody waits for it, and yet the log has it.
#[tokio::test]
async fn what_is_asked_for_behind_an_answer_has_its_line_also_when_the_gateway_ends() {
    let told = Told::start(|number, _| match number {
        0 => ok("cache-control: max-age=10, stale-while-revalidate=1000\r\nage: 20", "old"),
        _ => Reply::Keep(Vec::new()),
    });
    let told = told.await;
    let mut gateway = gateway(&told, "").await;
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "old");
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "old");
    eventually("the upstream to be asked", async || (told.requests() == 2).then_some(())).await;
    gateway.sigterm();
    assert!(gateway.wait_exit().await.success());
    let log = gateway.log();
    let lines: Vec<_> = log.iter().filter(|line| line.contains("background=true")).collect();
    assert!(
        matches!(lines[..], [line] if line.contains("path=\"/a\"") && line.contains("complete=false")),
        "{log:?}"
    );
}

#[tokio::test]
async fn what_it_counts_is_what_the_names_say() {
    let told = Told::start(|number, head| match (number, head.split(' ').nth(1).unwrap()) {
        (_, "/pass") => ok("cache-control: no-store", "x"),
        (_, "/slow") => {
            let Reply::Keep(all) = ok("cache-control: max-age=60", "x") else { panic!("not kept") };
            Reply::Later(all[..20].to_vec(), all[20..].to_vec())
        }
        (_, "/good") if head.contains("if-none-match") => answer("304 Same", "etag: \"a\"", ""),
        (_, "/good") => ok("cache-control: max-age=0\r\netag: \"a\"", "x"),
        (_, "/bad") if head.contains("if-none-match") => answer("503 No", "x-a: 1", ""),
        (_, "/bad") => ok("cache-control: max-age=0, stale-if-error=60\r\netag: \"a\"", "x"),
        _ => ok("cache-control: max-age=60", "x"),
    });
    let told = told.await;
    let gateway = gateway(&told, "").await;
    for path in ["/a", "/a", "/pass", "/good", "/good", "/bad", "/bad"] {
        assert_eq!(get(&gateway, path, &[]).await.status, 200, "{path}");
    }
    let answers = futures_util::future::join_all((0..5).map(|_| get(&gateway, "/slow", &[]))).await;
    let waited = answers.iter().filter(|answer| status_of(answer).ends_with("; collapsed")).count();
    let hit = answers.iter().filter(|answer| status_of(answer).starts_with("limen; hit")).count();
    let caches = Client::http1().get(gateway.admin_url("/caches")).send().await.json();
    let count = |name: &str| caches[0][name].as_u64().unwrap();
    let counts = ["hits", "collapsed", "misses", "stale", "validated", "passed", "stored"].map(count);
    let [hit, waited] = [hit, waited].map(|count| u64::try_from(count).unwrap());
    assert_eq!(hit + waited, 4);
    // Misses: /a, /pass (nobody knew), /good twice, /bad twice, /slow. Stored anew: /a, /good, /bad, /slow.
    assert_eq!(counts, [1 + hit, waited, 7, 1, 1, 0, 4], "{caches}");
}

#[tokio::test]
async fn what_is_said_to_the_cache_alone_goes_no_further() {
    let told = Told::start(|_, head| match head.contains("if-none-match") {
        true => answer("304 Same", "etag: \"a\"", ""),
        false => ok("cache-control: no-cache\r\nsurrogate-control: max-age=60\r\netag: \"a\"", "x"),
    });
    let told = told.await;
    let gateway = gateway(&told, "").await;
    for (asked, status) in [
        (&[][..], "limen; fwd=uri-miss; stored"),
        (&[], "limen; hit"),
        (&[("cache-control", "no-cache")], "limen; fwd=request; fwd-status=304; stored"),
        // The validation did not repeat it.
        (&[], "limen; hit"),
    ] {
        let got = get(&gateway, "/a", asked).await;
        assert!(status_of(&got).starts_with(status), "{}", status_of(&got));
        assert_eq!((got.header("surrogate-control"), got.header("cache-control")), (None, Some("no-cache")));
    }
}

#[tokio::test]
async fn a_stale_one_does_when_the_upstream_fails() {
    let told = Told::start(|number, head| match (number, head.split(' ').nth(1).unwrap()) {
        (0 | 1, path) => {
            let control = if path == "/strict" { ", must-revalidate" } else { "" };
            ok(
                &format!("cache-control: max-age=10{control}, stale-if-error=1000\r\nage: 20\r\netag: \"a\""),
                "old",
            )
        }
        (_, "/strict") => answer("503 No", "x-a: 1", "error"),
        (number, _) if number % 2 == 0 => answer("503 No", "x-a: 1", "error"),
        _ => Reply::Reset(vec![]),
    });
    let told = told.await;
    let gateway = gateway(&told, "").await;
    for path in ["/a", "/strict"] {
        assert_eq!(get(&gateway, path, &[]).await.text(), "old");
    }
    let rescued = get(&gateway, "/a", &[]).await;
    assert_eq!((rescued.status.as_u16(), rescued.text().as_str()), (200, "old"));
    assert!(status_of(&rescued).starts_with("limen; fwd=stale; fwd-status=50"), "{}", status_of(&rescued));
    let before = told.requests();
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "old");
    assert_eq!(told.requests(), before, "it is not asked again at once");
    assert_eq!(get(&gateway, "/strict", &[]).await.status, 503);
}

#[tokio::test]
async fn large_ones_pass_and_its_size_is_bounded() {
    let told = Told::start(|_, head| {
        let length: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        ok("cache-control: max-age=60", "x".repeat(length))
    });
    let told = told.await;
    let gateway = gateway(&told, r#"size = "1MiB", max_object = "200KiB""#).await;
    for _ in 0..2 {
        assert_eq!(get(&gateway, "/300000", &[]).await.body.len(), 300_000);
    }
    assert_eq!(told.requests(), 2);
    for _ in 0..3 {
        for length in 100_000..100_030 {
            assert_eq!(get(&gateway, &format!("/{length}"), &[]).await.body.len(), length);
        }
    }
    let caches = Client::http1().get(gateway.admin_url("/caches")).send().await.json();
    let (bytes, evicted) = (caches[0]["bytes"].as_u64().unwrap(), caches[0]["evicted"].as_u64().unwrap());
    assert!(bytes <= 1 << 20 && evicted > 0, "{caches}");
}

#[tokio::test]
async fn it_is_filled_also_when_its_client_goes() {
    let told = Told::start(|number, _| {
        let Reply::Keep(all) = ok("cache-control: max-age=60", format!("{number}{}", "x".repeat(500_000)))
        else {
            panic!("not kept")
        };
        Reply::Later(all[..200].to_vec(), all[200..].to_vec())
    });
    let told = told.await;
    let gateway = gateway(&told, "").await;
    drop(Client::http1().get(gateway.url("/a")).open().await);
    let answer = get(&gateway, "/a", &[]).await;
    assert_eq!((answer.body.len(), answer.text().chars().next(), told.requests()), (500_001, Some('0'), 1));
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "cache", with = { size = "1MiB", max_object = "2MiB" } }"#).await;
    assert!(said.contains("policy `cache`: longer than all that the cache may take"), "{said}");
    let said = mistake(r#"{ use = "cache", with = { key = [{ heder = "x" }] } }"#).await;
    assert!(said.contains("unknown variant `heder`"), "{said}");
    assert!(mistake(r#"{ use = "cache", with = { ttl = "5" } }"#).await.contains("did you mean \"5s\"?"));
}

#[tokio::test]
async fn an_expression_tells_answers_apart_and_without_one_nothing_is_kept() {
    let told = Told::start(|number, _| ok("cache-control: max-age=60", format!("answer {number}"))).await;
    let gateway =
        gateway(&told, r#"key = [{ expression = "request.headers['x-tenant'].split('-')[0]" }]"#).await;
    let ask = async |headers: &[(&str, &str)]| get(&gateway, "/", headers).await;
    assert_eq!(ask(&[("x-tenant", "acme-1")]).await.text(), "answer 0");
    assert_eq!(ask(&[("x-tenant", "acme-2")]).await.text(), "answer 0");
    assert_eq!(ask(&[("x-tenant", "other-1")]).await.text(), "answer 1");
    for number in 2..4 {
        let answer = ask(&[]).await;
        assert_eq!((answer.text(), status_of(&answer)), (format!("answer {number}"), "limen; fwd=bypass"));
    }
    assert_eq!(ask(&[("x-tenant", "acme-3")]).await.text(), "answer 0");
    let said = mistake(r#"{ use = "cache", with = { key = [{ expression = "request.tenant" }] } }"#).await;
    assert!(said.contains("there is no `request.tenant`") && said.contains("with.key[0]"), "{said}");
}
