//! What a gateway does about an upstream in trouble: tries again, hedges, waits, leaves it alone, and
//! answers without it.

use crate::common::assert_problem;
use bytes::Bytes;
use http::Method;
use limen_tests::scripted::Seen;
use limen_tests::{Act, Client, Gateway, Scripted, body, eventually};
use std::collections::HashSet;
use std::fmt::Display;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A gateway with one route to the upstream `u`, which has these endpoints and keys.
async fn gateway(endpoints: &[&dyn Display], keys: &str) -> Gateway {
    gateway_with(endpoints, keys, "").await
}

async fn gateway_with(endpoints: &[&dyn Display], keys: &str, rest: &str) -> Gateway {
    Gateway::start(config(endpoints, keys, rest)).await
}

fn config(endpoints: &[&dyn Display], keys: &str, rest: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|it| format!("\"{it}\"")).collect();
    format!(
        r#"
        [gateway]
        workers = 2
        [[listener]]
        name = "plain"
        address = "127.0.0.1:0"
        [upstream.u]
        endpoints = [{}]
        {keys}
        [[route]]
        path = "/**"
        upstream = "u"
        {rest}
        "#,
        endpoints.join(", ")
    )
}

/// An address where nothing listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// An address that does not even refuse: its queue of connections is full, and nobody accepts.
struct Blackhole {
    listener: socket2::Socket,
    _queued: Vec<std::net::TcpStream>,
}

impl Blackhole {
    fn start() -> Blackhole {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queued = vec![];
        while let Ok(taken) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queued.push(taken);
        }
        Blackhole { listener, _queued: queued }
    }
}

impl Display for Blackhole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.listener.local_addr().unwrap().as_socket().unwrap())
    }
}

/// Many requests at the same time, each on a connection of its own; their statuses.
async fn at_once(gateway: &Gateway, count: usize) -> Vec<u16> {
    let asked: Vec<_> = (0..count)
        .map(|number| {
            let url = gateway.url(&format!("/{number}"));
            tokio::spawn(async move { Client::http1().get(url).send().await.status.as_u16() })
        })
        .collect();
    let mut statuses = vec![];
    for one in asked {
        statuses.push(one.await.unwrap());
    }
    statuses
}

/// The first request for each path is met by a reset.
fn first_reset() -> impl Fn(usize, &Seen) -> Act + Send + Sync {
    let known = Mutex::new(HashSet::new());
    move |_, seen| match known.lock().unwrap().insert(seen.line.clone()) {
        true => Act::Reset,
        false => Act::Answer(200),
    }
}

#[tokio::test]
async fn a_reset_is_tried_again_and_only_what_may_be() {
    let origin =
        Scripted::start(|number, _| if number % 2 == 0 { Act::Reset } else { Act::Answer(200) }).await;
    let gateway = gateway(&[&origin], r#"retries = { budget = { minimum = 100 } }"#).await;
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let before = origin.requests();
        let answer = Client::http1().request(method.clone(), gateway.url("/x")).send().await;
        assert_eq!((answer.status.as_u16(), origin.requests() - before), (200, 2), "{method}");
    }
    let before = origin.requests();
    let refused = Client::http1().post(gateway.url("/x")).body("once").send().await;
    assert_problem(&refused, 502);
    assert_eq!(origin.requests() - before, 1, "a POST is sent once");
}

#[tokio::test]
async fn without_retries_nothing_is_sent_twice() {
    let origin = Scripted::start(|_, _| Act::Reset).await;
    let gateway = gateway(&[&origin, &origin], "").await;
    assert_problem(&Client::http1().get(gateway.url("/x")).send().await, 502);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn another_endpoint_is_asked_first() {
    let bad = Scripted::start(|_, _| Act::Answer(503)).await;
    let good = Scripted::start(|_, _| Act::Answer(200)).await;
    let keys = r#"retries = { on = ["503"], budget = { minimum = 100 } }"#;
    let gateway = gateway(&[&bad, &good], keys).await;
    for _ in 0..10 {
        assert_eq!(Client::http1().get(gateway.url("/x")).send().await.status, 200);
    }
    assert_eq!(good.requests(), 10);
}

#[tokio::test]
async fn statuses_are_tried_again_as_often_as_allowed_and_then_passed_on() {
    let origin = Scripted::start(|_, _| Act::Answer(503)).await;
    let keys =
        r#"retries = { max = 3, on = ["gateway-error"], methods = ["POST"], backoff = { base = "1ms" } }"#;
    let gateway = gateway(&[&origin], keys).await;
    let answer = Client::http1().post(gateway.url("/x")).body("again").send().await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (503, "3\n"));
    assert_eq!(origin.requests(), 4);
    assert!(origin.seen().iter().all(|seen| seen.body == b"again"));
    // These methods take the place of the idempotent ones.
    assert_eq!(Client::http1().get(gateway.url("/x")).send().await.text(), "4\n");
}

/// What fits the buffer is sent again as it was, however it came; what does not is sent once.
#[tokio::test]
async fn bodies_are_sent_again_from_the_buffer() {
    const BUFFER: usize = 64 << 10;
    let keys = r#"retries = { methods = ["POST"], budget = { minimum = 1000 } }"#;
    let origin = Scripted::start(first_reset()).await;
    let gateway = gateway(&[&origin], keys).await;
    for (name, client) in [("http1", Client::http1()), ("http2", Client::http2())] {
        for length in [0, 1, 1000, BUFFER, BUFFER + 1, 1 << 20] {
            for (how, body) in
                [("sized", body::sized(length as u64)), ("chunked", body::chunked(length as u64))]
            {
                let path = format!("/{name}/{length}/{how}");
                let before = origin.requests();
                let answer = client.post(gateway.url(&path)).stream(body).send().await;
                let fits = length <= BUFFER;
                assert_eq!(answer.status, if fits { 200 } else { 502 }, "{path}");
                let seen = origin.seen().split_off(before);
                assert_eq!(seen.len(), if fits { 2 } else { 1 }, "{path}");
                for seen in seen {
                    assert_eq!(seen.body.len(), length, "{path}");
                    body::Checked::default().take(&seen.body).unwrap();
                }
            }
        }
    }
}

/// A body that comes slowly streams to one try after the other, and is not waited for.
#[tokio::test]
async fn a_body_on_its_way_goes_on_at_the_next_try() {
    let origin = Scripted::start(|_, _| Act::Answer(200)).await;
    let keys = r#"retries = { max = 10, on = ["timeout"], methods = ["POST"], per_try = "500ms", budget = { minimum = 100 } }"#;
    let gateway = gateway(&[&origin], keys).await;
    let (feed, body) = body::fed();
    let url = gateway.url("/x");
    let asked = tokio::spawn(async move { Client::http1().post(url).stream(body).send().await });
    assert!(feed.send("first, ").await && feed.send("then ").await);
    // The first try is over before the body is: the origin never sees that one as a whole.
    eventually("another connection", async || (origin.connections() > 1).then_some(())).await;
    assert!(feed.send("the rest").await);
    drop(feed);
    assert_eq!(asked.await.unwrap().status, 200);
    assert_eq!(origin.requests(), 1);
    assert_eq!(origin.seen()[0].body, b"first, then the rest");
}

#[tokio::test]
async fn half_a_body_is_never_sent_again() {
    let origin = Scripted::start(|_, _| Act::ResetInBody).await;
    let gateway = gateway(&[&origin], r#"retries = { max = 5, on = ["reset", "5xx"] }"#).await;
    let mut answer = Client::http1().get(gateway.url("/x")).open().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.piece().await.unwrap(), Some(Bytes::from_static(b"half")));
    assert!(answer.piece().await.is_err(), "the client sees that it broke off");
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_slow_try_is_given_up_for_the_next() {
    let origin = Scripted::start(|number, _| if number == 0 { Act::Silence } else { Act::Answer(200) }).await;
    let keys = r#"timeout = { first_byte = "200ms" }
                  retries = { on = ["timeout"] }"#;
    let gateway = gateway(&[&origin], keys).await;
    assert_eq!(Client::http1().get(gateway.url("/x")).send().await.status, 200);
    assert_eq!(origin.requests(), 2);
    eventually("the first try to be cancelled", async || (origin.busy() == 0).then_some(())).await;
}

#[tokio::test]
async fn all_tries_together_have_a_limit_and_the_answer_too() {
    let origin = Scripted::start(|_, _| Act::Silence).await;
    let keys = r#"timeout = { total = "500ms" }
                  retries = { max = 10, on = ["timeout"], per_try = "200ms", budget = { minimum = 100 } }"#;
    let stuck = gateway(&[&origin], keys).await;
    let begun = Instant::now();
    assert_problem(&Client::http1().get(stuck.url("/x")).send().await, 504);
    assert!(begun.elapsed() >= Duration::from_millis(500));
    assert!(origin.requests() < 10);

    let drip = limen_tests::Origin::start();
    let dripping = gateway(&[&drip], r#"timeout = { total = "500ms" }"#).await;
    let mut answer = Client::http1().get(dripping.url("/drip?seconds=20")).open().await;
    while let Ok(piece) = answer.piece().await {
        assert!(piece.is_some(), "the body ended as if it were whole");
    }
}

/// Every second request fails, and yet the upstream is never sent more than 1.2 times as many.
#[tokio::test]
async fn a_flapping_upstream_gets_no_more_than_its_budget() {
    let origin =
        Scripted::start(|number, _| if number % 2 == 0 { Act::Reset } else { Act::Answer(200) }).await;
    let gateway = gateway(&[&origin], r#"retries = { max = 5, budget = { minimum = 0 } }"#).await;
    let mut asked = 0;
    for _ in 0..10 {
        asked += at_once(&gateway, 50).await.len();
    }
    let attempts = origin.requests();
    assert!(attempts <= asked * 12 / 10, "{attempts} attempts for {asked} requests");
    assert!(attempts > asked * 11 / 10, "{attempts} attempts for {asked} requests: the budget was not used");
}

#[tokio::test]
async fn a_dead_endpoint_costs_at_most_one_connect_timeout() {
    let (hole, other_hole) = (Blackhole::start(), Blackhole::start());
    let good = Scripted::start(|_, _| Act::Answer(200)).await;
    let keys = r#"timeout = { connect = "2s" }"#;
    let saved = gateway(&[&hole, &good, &other_hole], keys).await;
    let lost = gateway(&[&hole, &other_hole], keys).await;
    for _ in 0..3 {
        let begun = Instant::now();
        assert_eq!(Client::http1().get(saved.url("/x")).send().await.status, 200);
        assert!(begun.elapsed() < Duration::from_millis(3500), "{:?}", begun.elapsed());
    }
    let begun = Instant::now();
    assert_problem(&Client::http1().get(lost.url("/x")).send().await, 504);
    let took = begun.elapsed();
    assert!((1900..3500).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn who_refuses_is_asked_again_when_connect_is_named() {
    let gateway = gateway(&[&nobody()], r#"retries = { max = 2, on = ["connect"] }"#).await;
    assert_problem(&Client::http1().post(gateway.url("/x")).body("x").send().await, 502);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_tries() {
    let origin = Scripted::start(|_, _| Act::Silence).await;
    let keys = r#"limits = { requests = 1 }
                  retries = { max = 10, on = ["timeout"], per_try = "10s" }"#;
    let gateway = gateway(&[&origin], keys).await;
    let url = gateway.url("/x");
    let asked = tokio::spawn(async move { Client::http1().get(url).send().await });
    eventually("the request", async || (origin.busy() == 1).then_some(())).await;
    assert_problem(&Client::http1().get(gateway.url("/y")).send().await, 503);
    asked.abort();
    eventually("the origin to be left alone", async || (origin.busy() == 0).then_some(())).await;
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_limit_holds_across_workers() {
    let origin = Scripted::start(|_, _| Act::Late(Duration::from_millis(100), 200)).await;
    let gateway =
        gateway(&[&origin], r#"limits = { requests = 10, queue = 1000, queue_wait = "30s" }"#).await;
    let statuses = at_once(&gateway, 100).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!((origin.requests(), origin.most_busy()), (100, 10));
}

/// A worker that needs a connection gets one for which another worker has closed one of its own. (The
/// origin may look at a new one before it looks whether the old one is closed: up to twice as many.)
#[tokio::test]
async fn connections_are_limited_across_workers_and_idle_ones_give_way() {
    let origin = Scripted::start(|_, _| Act::Late(Duration::from_millis(20), 200)).await;
    let keys = r#"limits = { connections = 3, queue = 100, queue_wait = "20s" }
                  timeout = { connect = "20s" }"#;
    let gateway = gateway(&[&origin], keys).await;
    for _ in 0..30 {
        assert_eq!(Client::http1().get(gateway.url("/one")).send().await.status, 200);
    }
    let statuses = at_once(&gateway, 60).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(origin.most_open() <= 6, "{} connections at the same time", origin.most_open());
    assert!(origin.most_busy() <= 3, "{} requests at the same time", origin.most_busy());
    assert!(origin.connections() < 60, "{} connections for 90 requests", origin.connections());
}

#[tokio::test]
async fn no_connection_free_is_an_overload() {
    let origin = Scripted::start(|_, _| Act::Silence).await;
    let keys = r#"limits = { connections = 1, queue_wait = "300ms" }"#;
    let gateway = gateway(&[&origin], keys).await;
    let url = gateway.url("/x");
    let _busy = tokio::spawn(async move { Client::http1().get(url).send().await });
    eventually("the first request", async || (origin.busy() == 1).then_some(())).await;
    let refused = Client::http1().get(gateway.url("/y")).send().await;
    assert_problem(&refused, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    gateway.wait_for_log_containing("none came free within 300ms").await;
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn what_is_too_much_is_refused_at_once() {
    let origin = Scripted::start(|_, _| Act::Late(Duration::from_secs(3), 200)).await;
    let keys = r#"limits = { requests = 2, queue = 3, queue_wait = "500ms" }"#;
    let gateway = gateway(&[&origin], keys).await;
    let url = gateway.url("/x");
    let asked = tokio::spawn(async move { Client::http1().get(url).send().await });
    eventually("the first request", async || (origin.busy() == 1).then_some(())).await;
    let mut statuses = at_once(&gateway, 9).await;
    statuses.sort();
    assert_eq!(statuses, [200, 503, 503, 503, 503, 503, 503, 503, 503]);
    assert_eq!(asked.await.unwrap().status, 200);
    assert_eq!(origin.most_busy(), 2);
    gateway.wait_for_log_containing("2 requests are under way, and 3 wait").await;
    gateway.wait_for_log_containing("none ended within 500ms").await;
    let _busy = [(); 2].map(|()| {
        let url = gateway.url("/x");
        tokio::spawn(async move { Client::http1().get(url).send().await })
    });
    eventually("two requests", async || (origin.busy() == 2).then_some(())).await;
    let refused = Client::http1().get(gateway.url("/x")).send().await;
    assert_problem(&refused, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn the_breaker_opens_probes_and_closes_and_a_reload_keeps_it() {
    let origin = Scripted::start(|number, _| Act::Answer(if number < 10 { 500 } else { 200 })).await;
    let keys = r#"breaker = { requests = 10, open = "2s", probes = 2 }"#;
    let gateway = gateway(&[&origin], keys).await;
    for _ in 0..10 {
        assert_eq!(Client::http1().get(gateway.url("/x")).send().await.status, 500);
    }
    let refused = Client::http1().get(gateway.url("/x")).send().await;
    assert_problem(&refused, 503);
    assert!(["1", "2"].contains(&refused.header("retry-after").unwrap()));
    gateway.write_config(config(&[&origin], keys, "[log]\naccess = true"));
    gateway.wait_for_log_containing("the configuration is live").await;
    assert_problem(&Client::http1().get(gateway.url("/x")).send().await, 503);
    assert_eq!(origin.requests(), 10);
    eventually("the breaker to let one through", async || {
        (Client::http1().get(gateway.url("/x")).send().await.status == 200).then_some(())
    })
    .await;
    assert_eq!(Client::http1().get(gateway.url("/x")).send().await.status, 200);
    assert!(at_once(&gateway, 20).await.iter().all(|status| *status == 200));
}

/// Too slow is too slow, whichever of the limits says so.
#[tokio::test]
async fn the_breaker_learns_from_what_took_too_long() {
    let origin = Scripted::start(|_, _| Act::Silence).await;
    for keys in
        [r#"timeout = { total = "100ms" }"#, r#"retries = { per_try = "100ms", budget = { minimum = 0 } }"#]
    {
        let gateway = gateway(&[&origin], &format!("{keys}\nbreaker = {{ requests = 3 }}")).await;
        for _ in 0..3 {
            assert_problem(&Client::http1().get(gateway.url("/x")).send().await, 504);
        }
        assert_problem(&Client::http1().get(gateway.url("/x")).send().await, 503);
    }
}

/// An endpoint that is given up for the next one has failed.
#[tokio::test]
async fn who_is_too_slow_for_a_try_is_ejected() {
    let slow = Scripted::start(|_, _| Act::Silence).await;
    let good = Scripted::start(|_, _| Act::Answer(200)).await;
    let keys = r#"retries = { on = ["timeout"], per_try = "100ms", budget = { minimum = 100 } }
                  outlier = { failures = 2 }"#;
    let gateway = gateway(&[&slow, &good], keys).await;
    for _ in 0..8 {
        assert_eq!(Client::http1().get(gateway.url("/x")).send().await.status, 200);
    }
    gateway.wait_for_log_containing("ejected for").await;
}

#[tokio::test]
async fn a_slow_endpoint_is_hedged_and_the_loser_cancelled() {
    let slow = Scripted::start(|_, _| Act::Silence).await;
    let quick = Scripted::start(|_, _| Act::Answer(200)).await;
    let keys = r#"hedge = { after = "100ms" }
                  retries = { budget = { minimum = 100 } }
                  limits = { requests = 100 }"#;
    let gateway = gateway(&[&slow, &quick], keys).await;
    for _ in 0..4 {
        assert_eq!(Client::http1().get(gateway.url("/x")).send().await.status, 200);
    }
    assert_eq!(quick.requests(), 4);
    eventually("the slow ones to be cancelled", async || (slow.busy() == 0).then_some(())).await;
    assert!(slow.requests() > 0);
    let url = gateway.url("/x");
    let posts = [(); 2].map(|()| {
        let url = url.clone();
        tokio::spawn(async move { Client::http1().post(url).body("x").send().await.status })
    });
    // One of each two goes to the slow one, and stays there.
    eventually("a POST that nobody hedges", async || (slow.busy() > 0).then_some(())).await;
    posts.iter().for_each(|post| post.abort());
}

#[tokio::test]
async fn a_fixed_answer_stands_in() {
    let keys = r#"fallback = { status = 200, headers = { x-sorry = "yes", content-type = "text/html" }, file = "sorry.html", on = ["connect", "404"] }"#;
    let setup = Gateway::with(config(&[&nobody()], keys, "")).file("sorry.html", "<p>later</p>");
    let gateway = setup.start().await;
    let answer = Client::http1().post(gateway.url("/x")).body("x").send().await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "<p>later</p>"));
    assert_eq!(answer.header("x-sorry"), Some("yes"));
    assert_eq!(answer.header("content-type"), Some("text/html"));
    gateway.wait_for_log_containing("its fallback answers").await;
    // The file is a part of the configuration.
    gateway.replace_file("sorry.html", "<p>soon</p>");
    eventually("the new file", async || {
        (Client::http1().get(gateway.url("/x")).send().await.text() == "<p>soon</p>").then_some(())
    })
    .await;
}

#[tokio::test]
async fn another_upstream_stands_in_for_what_may_be_sent_again() {
    let bad =
        Scripted::start(|_, seen| if seen.line.contains("reset") { Act::Reset } else { Act::Answer(503) })
            .await;
    let spare = Scripted::start(|_, _| Act::Answer(201)).await;
    let keys = r#"fallback = { upstream = "spare", on = ["connect", "reset", "503"] }"#;
    let rest = format!("[upstream.spare]\nendpoints = [\"{spare}\"]\n");
    let gateway = gateway_with(&[&bad], keys, &rest).await;
    for path in ["/503", "/reset"] {
        let put = Client::http1().request(Method::PUT, gateway.url(path)).stream(body::chunked(1000));
        assert_eq!(put.send().await.status, 201, "{path}");
        assert_eq!(spare.seen().last().unwrap().body.len(), 1000);
    }
    let before = spare.requests();
    assert_eq!(Client::http1().post(gateway.url("/503")).body("x").send().await.status, 503);
    assert_problem(&Client::http1().post(gateway.url("/reset")).body("x").send().await, 502);
    assert_eq!(spare.requests(), before);

    // Nothing of it was sent: whatever it is, it can go elsewhere.
    let gateway = gateway_with(&[&nobody()], keys, &rest).await;
    let post = Client::http1().post(gateway.url("/x")).stream(body::chunked(1 << 20));
    assert_eq!(post.send().await.status, 201);
    assert_eq!(spare.seen().last().unwrap().body.len(), 1 << 20);
}
