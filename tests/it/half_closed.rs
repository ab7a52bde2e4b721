//! A response that ends before its request does: the exchange is over, and the client keeps its connection.

use crate::common::{BODIES, config_of_one_worker, guest_plugin_with};
use limen_tests::raw::{RawOrigin, Reply};
use limen_tests::{Client, Gateway, Origin, body, eventually};

const EARLY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly";

/// With nothing in the way, the upload goes on as long as somebody takes it. A policy that sees its pieces is
/// asked no more once the exchange is over, and nothing passes it by unseen: the rest is discarded.
#[tokio::test]
async fn what_comes_after_the_response_is_discarded() {
    let origin = Origin::start();
    let server = RawOrigin::start(|_| Reply::Keep(EARLY.into())).await;
    let policy = r#"{ use = "streams", with = { request = "pass" } }"#;
    let to_early = |path: &str, policies: &str| {
        format!("[[route]]\npath = {path:?}\nupstream = \"early\"\npolicies = [{policies}]\n")
    };
    let rest = [
        format!("[log]\naccess = true\n[upstream.early]\nendpoints = [\"{}\"]\n", server.url()),
        guest_plugin_with("streams", &format!("limits = {{ cpu = \"2s\", wall = \"10s\" }}\n{BODIES}")),
        to_early("/plain", ""),
        to_early("/policy", policy),
    ];
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest.join("\n"))).await;
    for client in [Client::http1(), Client::http2()] {
        for path in ["/plain", "/policy"] {
            gateway.forget_log();
            let mut connection = client.connect(gateway.url("/")).await.unwrap();
            let (feed, pieces) = body::fed();
            let request = connection.post(path).stream(pieces).send();
            let feeding = async {
                feed.send("one").await;
                // The answer has been sent before the rest is.
                gateway.wait_for_log_containing(&format!("path=\"{path}\"")).await;
                for _ in 0..100 {
                    if !feed.send("x".repeat(10_000)).await {
                        break;
                    }
                }
                drop(feed);
            };
            let (answer, ()) = tokio::join!(request, feeding);
            assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "early"), "{path}");
            eventually("the next exchange", async || {
                // HTTP/1.1 may have to connect again, as after any answer that came too early.
                let mut connection = client.connect(gateway.url("/")).await.ok()?;
                (connection.get(path).try_send().await.ok()?.status == 200).then_some(())
            })
            .await;
            let lines = gateway.log();
            assert!(!lines.iter().any(|line| line.contains("ERROR") || line.contains("panic")), "{lines:#?}");
        }
    }
}
