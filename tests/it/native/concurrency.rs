use super::mistake;
use crate::common::{assert_problem, config, route};
use limen_tests::{Act, Client, Gateway, Origin, Scripted, eventually};

fn policy(limit: u32) -> String {
    format!(r#"{{ use = "concurrency", with = {{ limit = {limit} }} }}"#)
}

#[tokio::test]
async fn one_too_many_is_refused_until_a_client_has_gone() {
    let silent = Scripted::start(|_, _| Act::Silence).await;
    let origin = Origin::start();
    let rest = format!(
        "[upstream.silent]\nendpoints = [\"{silent}\"]\n[[route]]\npath = \"/silent\"\npolicies = [\"two\"]\nupstream = \"silent\"\n\
         [policy.two]\nuse = \"concurrency\"\nwith.limit = 2\n{}",
        route("/**", "\"two\"")
    );
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let wait = || {
        let url = gateway.url("/silent");
        tokio::spawn(async move { Client::http1().get(url).try_send().await })
    };
    let waiting = [wait(), wait()];
    eventually("both are under way", async || (silent.busy() == 2).then_some(())).await;
    let refused = Client::http1().get(gateway.url("/")).send().await;
    assert_problem(&refused, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    gateway.wait_for_log_containing("2 requests are under way already").await;
    waiting[0].abort();
    let status = async || Client::http1().get(gateway.url("/")).send().await.status;
    eventually("a place is free again", async || (status().await == 200).then_some(())).await;
    for _ in 0..20 {
        assert_eq!(status().await, 200, "it stays free when it is given back");
    }
}

#[tokio::test]
async fn a_response_that_is_still_sent_counts() {
    let origin = Origin::start();
    let gateway = super::gateway(&origin, &policy(1)).await;
    let arriving = Client::http1().get(gateway.url("/bytes/50000000")).open().await;
    assert_eq!(arriving.status, 200);
    assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 429);
    assert_eq!(arriving.count().await.unwrap(), 50_000_000);
    let status = async || Client::http1().get(gateway.url("/")).send().await.status;
    eventually("it has ended", async || (status().await == 200).then_some(())).await;
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    assert!(mistake(&policy(0)).await.contains("expected a number from 1 to 1000000"));
}
