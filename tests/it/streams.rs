//! Bodies that policies see piece by piece: changed on their way, in little memory, as fast as they are taken.

use crate::common::{
    BODIES, assert_problem, body_plugin, config_of_one_worker, guest_plugin, guest_plugin_with, route,
};
use http::Method;
use limen_tests::raw::{RawOrigin, Reply};
use limen_tests::{Client, Gateway, Origin, body, eventually};

const LIMIT: u64 = 10_000;

/// One of `policies`: the guest `streams` with these settings.
fn streams(settings: &str) -> String {
    format!("{{ use = \"streams\", with = {{ {settings} }} }}")
}

fn streams_or(settings: &str, on_error: &str) -> String {
    format!("{{ use = \"streams\", with = {{ {settings} }}, on_error = {on_error} }}")
}

async fn start(origin: &Origin, routes: &[String]) -> Gateway {
    let limits = format!("limits = {{ cpu = \"2s\", wall = \"10s\", body = {LIMIT} }}\n{BODIES}");
    let rest = [
        "[log]\naccess = true".to_owned(),
        guest_plugin_with("streams", &limits),
        body_plugin("bodies"),
        guest_plugin("rig"),
        guest_plugin("logs"),
        routes.join("\n"),
    ];
    Gateway::start(config_of_one_worker(origin, &rest.join("\n"))).await
}

#[tokio::test]
async fn pieces_of_requests_are_changed_on_their_way() {
    let origin = Origin::start();
    let gateway = start(
        &origin,
        &[
            route("/upper", &streams("request = \"upper\"")),
            route("/append", &streams("request = { append = \"!\" }")),
            route("/swallow", &streams("request = { swallow = \"end\" }")),
            route("/pass", &streams("request = \"pass\"")),
        ],
    )
    .await;
    for client in [Client::http1(), Client::http2()] {
        for (path, arrived) in
            [("upper", "ONE, TWO"), ("append", "one, two!"), ("swallow", "end"), ("pass", "one, two")]
        {
            let (feed, pieces) = body::fed();
            let feeding = async {
                assert!(feed.send("one, ").await && feed.send("two").await);
                drop(feed);
            };
            let request = client.post(gateway.url(&format!("/{path}"))).stream(pieces).send();
            let (answer, ()) = tokio::join!(request, feeding);
            assert_eq!(answer.json()["body"], arrived, "{path}");
            // One whose length was told: it is not any more.
            let told = client.post(gateway.url(&format!("/{path}"))).body("one, two").send().await.json();
            assert_eq!(told["body"], arrived, "{path}");
            assert!(told["headers"]["content-length"].is_null(), "{told}");
        }
    }
}

#[tokio::test]
async fn pieces_of_answers_are_changed_on_their_way() {
    let origin = Origin::start();
    let gateway = start(
        &origin,
        &[
            route("/json", &streams("response = \"upper\"")),
            route("/bytes/{n}", &streams("response = { append = \"!\" }")),
            route("/status/{n}", &streams("response = { swallow = \"end\" }")),
        ],
    )
    .await;
    for client in [Client::http1(), Client::http2()] {
        let json = client.get(gateway.url("/json")).send().await;
        assert!(json.text().contains(r#""NAME": "OUTER""#), "{}", json.text());
        assert_eq!((json.header("content-length"), json.header("x-streamed")), (None, Some("1")));
        for url in ["/bytes/3", "/bytes/3?chunked"] {
            assert_eq!(client.get(gateway.url(url)).send().await.text(), "\0\u{1}\u{2}!");
        }
        assert_eq!(client.get(gateway.url("/bytes/0")).send().await.text(), "!");
        assert_eq!(client.get(gateway.url("/status/404")).send().await.text(), "end");
    }
}

#[tokio::test]
async fn a_policy_is_given_every_byte_in_pieces_of_at_most_64_kib() {
    const LENGTH: u64 = 5_000_000;
    let origin = Origin::start();
    let both = streams("request = \"pass\", response = \"pass\"");
    let gateway = start(&origin, &[route("/bytes/{n}", &both), route("/upload", &both)]).await;
    for client in [Client::http1(), Client::http2()] {
        gateway.forget_log();
        let down = client.get(gateway.url(&format!("/bytes/{LENGTH}"))).open().await;
        assert_eq!(down.count().await.unwrap(), LENGTH);
        let line = gateway.wait_for_log_containing("streamed /bytes").await;
        assert!(line.contains(&format!("down {LENGTH} bytes")) && line.contains("1 last"), "{line}");
        let longest: u64 =
            line.rsplit_once(" at most").unwrap().0.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(longest <= 64 << 10, "{line}");

        let up = client.post(gateway.url("/upload?pattern")).stream(body::sized(LENGTH)).send().await;
        assert_eq!(up.text(), LENGTH.to_string());
        let line = gateway.wait_for_log_containing("streamed /upload").await;
        assert!(line.contains(&format!("up {LENGTH} bytes")), "{line}");
    }
}

#[tokio::test]
async fn who_lets_the_rest_pass_is_asked_no_more() {
    const LENGTH: u64 = 1_000_000;
    let origin = Origin::start();
    let gateway =
        start(&origin, &[route("/**", &streams("request = \"pass-rest\", response = \"pass-rest\""))]).await;
    let down = Client::http1().get(gateway.url(&format!("/bytes/{LENGTH}"))).open().await;
    assert_eq!(down.count().await.unwrap(), LENGTH);
    let line = gateway.wait_for_log_containing("streamed /bytes").await;
    // No body at all is one empty piece.
    assert!(line.contains("up 0 bytes in 1 pieces") && line.contains("in 1 pieces, "), "{line}");
    let up = Client::http1().post(gateway.url("/upload?pattern")).stream(body::sized(LENGTH)).send().await;
    assert_eq!(up.text(), LENGTH.to_string());
    let line = gateway.wait_for_log_containing("streamed /upload").await;
    let (up, _) = line.split_once("; down").unwrap();
    assert!(up.contains("in 1 pieces"), "{line}");
}

#[tokio::test]
async fn several_policies_see_what_the_one_before_has_made() {
    let origin = Origin::start();
    let append = |end: &str| {
        streams(&format!("request = {{ append = \"{end}\" }}, response = {{ append = \"{end}\" }}"))
    };
    let buffered =
        "{ use = \"bodies\", with = { request = { append = \"b\" }, response = { append = \"b\" } } }";
    let policies = [&append("a"), "\"rig\"", buffered, "\"logs\"", &append("c")].join(", ");
    let gateway = start(&origin, &[route("/**", &policies)]).await;
    for client in [Client::http1(), Client::http2()] {
        let answer = client.post(gateway.url("/x")).body("in-").send().await;
        assert!(answer.text().contains("\"in-abc\""), "{}", answer.text());
        assert!(answer.text().ends_with("cba"), "{}", answer.text());
        assert_eq!(client.get(gateway.url("/status/200")).send().await.text(), "status 200\ncba");
    }
}

#[tokio::test]
async fn a_request_without_a_body_stays_one() {
    let origin = Origin::start();
    let gateway = start(&origin, &[route("/**", &streams("request = \"pass\""))]).await;
    for client in [Client::http1(), Client::http2()] {
        let seen = client.get(gateway.url("/x")).send().await.json();
        assert!(seen["headers"]["transfer-encoding"].is_null(), "{seen}");
        assert_eq!(seen["body"], "");
    }
}

#[tokio::test]
async fn answers_without_a_body_are_not_asked_about() {
    let origin = Origin::start();
    let gateway = start(&origin, &[route("/**", &streams("response = { append = \"!\" }"))]).await;
    for client in [Client::http1(), Client::http2()] {
        let mut connection = client.connect(gateway.url("/")).await.unwrap();
        for _ in 0..2 {
            let head = connection.request(Method::HEAD, "/bytes/100").send().await;
            assert_eq!((head.body.len(), head.header("content-length")), (0, None));
            let none = connection.get("/status/304").send().await;
            assert_eq!((none.status.as_u16(), none.body.len()), (304, 0));
        }
    }
}

#[tokio::test]
async fn the_gateway_s_own_answers_go_through_as_well() {
    let origin = Origin::start();
    let nowhere = "[upstream.nowhere]\nendpoints = [\"http://127.0.0.1:1\"]\n";
    let to_nowhere = format!(
        "{nowhere}[[route]]\npath = \"/**\"\nupstream = \"nowhere\"\npolicies = [{}]",
        streams("response = \"upper\"")
    );
    let gateway = start(&origin, &[to_nowhere]).await;
    let answer = Client::http1().get(gateway.url("/")).send().await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("\"STATUS\":502"), "{}", answer.text());
}

#[tokio::test]
async fn a_policy_answers_itself_until_something_was_sent() {
    let origin = Origin::start();
    let gateway = start(
        &origin,
        &[
            route("/first", &streams("request = { reply-at = 0 }")),
            route("/second", &streams("request = { reply-at = 1 }")),
            // The one before has it streamed to the one that buffers.
            route(
                "/before",
                &format!(
                    "{}, {{ use = \"bodies\", with = {{ request = \"keep\" }} }}",
                    streams("request = { reply-at = 0 }")
                ),
            ),
            route("/json", &streams("response = { reply-at = 0 }")),
            route("/bytes/{n}", &streams("response = { reply-at = 1 }")),
            route(
                "/status/{n}",
                &format!("{}, {}", streams("response = \"upper\""), streams("response = { reply-at = 0 }")),
            ),
        ],
    )
    .await;
    for client in [Client::http1(), Client::http2()] {
        for path in ["/first", "/second", "/before"] {
            let (feed, pieces) = body::fed();
            let feeding = async {
                feed.send("one").await;
                feed.send("two").await;
                feed.send("three").await;
            };
            let request = client.post(gateway.url(path)).stream(pieces).send();
            let (answer, ()) = tokio::join!(request, feeding);
            assert_eq!((answer.status.as_u16(), &*answer.text()), (418, "no more of this\n"), "{path}");
        }
        let answer = client.get(gateway.url("/json")).send().await;
        assert_eq!((answer.status.as_u16(), &*answer.text()), (418, "no more of this\n"));
        assert_eq!(answer.header("x-streamed"), None);
        // The policies before it see the answer that it has given instead.
        let answer = client.get(gateway.url("/status/200")).send().await;
        assert_eq!((answer.status.as_u16(), &*answer.text()), (418, "NO MORE OF THIS\n"));

        // A piece of it has gone on.
        gateway.forget_log();
        let late = client.get(gateway.url("/bytes/1000000")).open().await;
        assert_eq!(late.status, 200);
        assert!(late.count().await.is_err(), "it can't be an answer any more");
        gateway.wait_for_log_containing("the stream is reset").await;
        assert_eq!(client.get(gateway.url("/json")).send().await.status, 418);
    }
}

#[tokio::test]
async fn before_the_first_byte_a_failure_is_what_on_error_says() {
    let origin = Origin::start();
    let mut routes = vec![];
    for (name, how, at_start) in [("fail", "fail-at", 500), ("panic", "panic-at", 503)] {
        for side in ["request", "response"] {
            let settings = format!("{side} = {{ {how} = 0 }}");
            routes.push((format!("/{name}/{side}/refuse"), streams(&settings), at_start));
            routes.push((format!("/{name}/{side}/skip"), streams_or(&settings, "\"skip\""), 200));
            routes.push((format!("/{name}/{side}/says"), streams_or(&settings, "{ status = 429 }"), 429));
        }
    }
    let written: Vec<_> = routes.iter().map(|(path, policies, _)| route(path, policies)).collect();
    let gateway = start(&origin, &written).await;
    for client in [Client::http1(), Client::http2()] {
        for (path, _, status) in &routes {
            let answer = client.post(gateway.url(path)).body("hello").send().await;
            match status {
                200 => assert_eq!(answer.json()["body"], "hello", "{path}"),
                status => assert_problem(&answer, *status),
            }
        }
    }
}

#[tokio::test]
async fn a_trap_in_mid_stream_resets_it_and_nothing_else() {
    let origin = Origin::start();
    let gateway = start(
        &origin,
        &[
            route("/bytes/{n}", &streams("response = { panic-at = 3 }")),
            route("/upload", &streams("request = { panic-at = 3 }")),
            route("/plain/**", ""),
        ],
    )
    .await;
    for client in [Client::http1(), Client::http2()] {
        for url in ["/bytes/10000000", "/bytes/10000000?chunked"] {
            gateway.forget_log();
            let broken = client.get(gateway.url(url)).open().await;
            assert_eq!(broken.status, 200);
            assert!(broken.count().await.is_err());
            gateway.wait_for_log_containing("asked to panic at piece 3").await;
            gateway.wait_for_log_containing("the stream is reset").await;
            // As many pieces as it asked for, and no more.
            assert_eq!(client.get(gateway.url("/bytes/10")).send().await.body.len(), 10);
        }
        // Of a request nothing was answered yet: that can be told.
        let refused = client.post(gateway.url("/upload")).stream(body::sized(10_000_000)).send().await;
        assert_problem(&refused, 503);
        assert_eq!(client.post(gateway.url("/upload")).body("short").send().await.text(), "5");
        assert_eq!(client.get(gateway.url("/plain/x")).send().await.status, 200);
    }
}

#[tokio::test]
async fn what_is_emitted_is_bounded() {
    let origin = Origin::start();
    let gateway = start(
        &origin,
        &[
            route("/bytes/{n}", &streams(&format!("response = {{ flood = {LIMIT} }}"))),
            route("/json", &streams(&format!("response = {{ flood = {} }}", LIMIT + 1))),
        ],
    )
    .await;
    let client = Client::http1();
    let flooded = client.get(gateway.url("/bytes/1")).send().await;
    assert!(flooded.body.len() as u64 >= LIMIT && flooded.body.len() as u64 <= 2 * LIMIT);
    assert_problem(&client.get(gateway.url("/json")).send().await, 500);
    gateway.wait_for_log_containing(&format!("emit {} bytes", LIMIT + 1)).await;
}

#[tokio::test]
async fn an_encoded_answer_is_never_streamed_by_unseen() {
    let origin = Origin::start();
    let gateway = start(&origin, &[route("/**", &streams("response = \"upper\""))]).await;
    let client = Client::http1();
    let asked = client.get(gateway.url("/x")).header("accept-encoding", "gzip, br").send().await;
    assert!(asked.text().contains("\"ACCEPT-ENCODING\": \"IDENTITY\""), "{}", asked.text());
    assert_problem(&client.get(gateway.url("/encoded")).send().await, 503);
    gateway.wait_for_log_containing("is encoded").await;
}

/// Most memory that streaming may take, whatever the length.
const ALLOWED: u64 = 32 << 20;

#[tokio::test]
async fn two_hundred_mebibytes_go_through_a_policy_in_little_memory() {
    const LENGTH: u64 = 200 << 20;
    let origin = Origin::start();
    let both = streams("request = \"pass\", response = \"pass\"");
    let gateway = start(&origin, &[route("/**", &both)]).await;
    let client = Client::http1();
    assert_eq!(client.get(gateway.url("/bytes/1")).send().await.body.len(), 1);
    let before = gateway.rss_bytes();
    let mut down = client.get(gateway.url(&format!("/bytes/{LENGTH}"))).open().await;
    let (mut peak, mut checked) = (0, body::Checked::default());
    while let Some(piece) = down.piece().await.unwrap() {
        checked.take(&piece).unwrap();
        peak = peak.max(gateway.rss_bytes());
    }
    assert_eq!(checked.bytes, LENGTH);
    let up = client.post(gateway.url("/upload?pattern")).stream(body::sized(LENGTH)).send().await;
    assert_eq!(up.text(), LENGTH.to_string());
    let grown = peak.max(gateway.rss_bytes()).saturating_sub(before);
    assert!(grown < ALLOWED, "grown by {grown} bytes");
}

/// What a client does not take, the origin is not asked for: the policy has seen only what fits into sockets.
#[tokio::test]
async fn a_slow_client_holds_up_the_origin() {
    const LENGTH: u64 = 1 << 30;
    let origin = Origin::start();
    let gateway = start(&origin, &[route("/**", &streams("response = \"pass\""))]).await;
    let client = Client::http1();
    assert_eq!(client.get(gateway.url("/bytes/1")).send().await.body.len(), 1);
    gateway.forget_log();
    let before = gateway.rss_bytes();
    let stalled = client.get(gateway.url(&format!("/bytes/{LENGTH}"))).open().await;
    // Time enough for a gateway that reads ahead to read far more than it may.
    for _ in 0..20 {
        assert_eq!(client.get(gateway.url("/bytes/1000000")).open().await.count().await.unwrap(), 1_000_000);
    }
    let grown = gateway.rss_bytes().saturating_sub(before);
    assert!(grown < ALLOWED, "grown by {grown} bytes");
    gateway.forget_log();
    drop(stalled);
    // It tells how much it was given: what waits in sockets, and no more.
    let line = gateway.wait_for_log_containing(&format!("streamed /bytes/{LENGTH}")).await;
    let given: u64 = line.split_once("down ").unwrap().1.split_once(" bytes").unwrap().0.parse().unwrap();
    assert!(given < 64 << 20, "{line}");
}

#[tokio::test]
async fn the_log_hook_runs_when_the_client_leaves_in_mid_stream() {
    let origin = Origin::start();
    let gateway = start(&origin, &[route("/**", &streams("request = \"pass\", response = \"pass\""))]).await;
    for client in [Client::http1(), Client::http2()] {
        gateway.forget_log();
        let mut drips = client.get(gateway.url("/drip?seconds=30")).open().await;
        assert!(drips.piece().await.unwrap().is_some());
        drop(drips);
        gateway.wait_for_log_containing("streamed /drip").await;
        gateway.wait_for_log(|line| line.contains("ended_by") && line.contains("client")).await;

        // And in the middle of an upload.
        let before = origin.requests();
        let (feed, pieces) = body::fed();
        let upload = tokio::spawn(client.post(gateway.url("/upload")).stream(pieces).try_send());
        assert!(feed.send("some").await && feed.send("more").await);
        eventually("the origin to be asked", async || (origin.requests() > before).then_some(())).await;
        upload.abort();
        drop(feed);
        gateway.wait_for_log_containing("streamed /upload").await;
        assert_eq!(client.get(gateway.url("/bytes/3")).send().await.body.len(), 3);
    }
}

/// The two directions don't wait for each other, and what the policy keeps is there in both.
#[tokio::test]
async fn an_answer_may_begin_before_the_request_has_ended() {
    let origin = Origin::start();
    let early = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nearly\r\n0\r\n\r\n";
    let server = RawOrigin::start(|_| Reply::Keep(early.into())).await;
    let url = server.url();
    let to_early = format!(
        "[upstream.early]\nendpoints = [\"{url}\"]\n[[route]]\nupstream = \"early\"\npolicies = [{}]",
        streams("request = \"pass\", response = \"upper\"")
    );
    let gateway = start(&origin, &[to_early]).await;
    for client in [Client::http1(), Client::http2()] {
        gateway.forget_log();
        let (feed, pieces) = body::fed();
        let request = client.post(gateway.url("/x")).stream(pieces).send();
        let feeding = async {
            feed.send("one").await;
            // The answer is there before the rest is.
            gateway.wait_for_log_containing("streamed /x").await;
            drop(feed);
        };
        let (answer, ()) = tokio::join!(request, feeding);
        assert_eq!(answer.text(), "EARLY");
        let line = gateway.wait_for_log_containing("streamed /x").await;
        assert!(line.contains("down 5 bytes"), "{line}");
    }
}
