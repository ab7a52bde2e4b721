//! How endpoints are: what checks say, and what requests meet.

use crate::balance::{ask, endpoints, group, requests};
use limen_tests::{Certs, Client, Gateway, Load, Origin, eventually};

/// Checks that see a change soon.
const QUICK: &str = "interval = \"100ms\", healthy = 2, unhealthy = 2";

fn two() -> Vec<Origin> {
    vec![Origin::start(), Origin::start()]
}

#[tokio::test]
async fn an_unhealthy_endpoint_gets_no_requests_until_it_recovers() {
    for (kind, said) in [("path = \"/healthz\"", "status 503"), ("kind = \"grpc\"", "NOT_SERVING")] {
        let origins = two();
        let health = format!("health = {{ {kind}, {QUICK} }}");
        let gateway = Gateway::start(group(&format!("{}\n{health}", endpoints(&origins)))).await;
        let load = Load::start(&Client::http1(), &gateway.url("/json"), 2);
        load.wait_for_more(20).await;
        origins[0].set_health(503);
        gateway.wait_for_log(|line| line.contains("unhealthy") && line.contains(said)).await;
        eventually("the sick one to get no more requests", async || {
            let before = requests(&origins);
            load.wait_for_more(20).await;
            (before[0] == origins[0].requests() && before[1] < origins[1].requests()).then_some(())
        })
        .await;
        origins[0].set_health(200);
        gateway.wait_for_log_containing("healthy again").await;
        let before = origins[0].requests();
        eventually("it to get requests again", async || (origins[0].requests() > before).then_some(())).await;
        load.stop().assert_no_failures();
    }
}

#[tokio::test]
async fn checks_come_before_the_first_request_and_again_and_again() {
    let origins = two();
    origins[1].set_health(500);
    let health = format!("health = {{ path = \"/healthz\", {QUICK} }}");
    let gateway = Gateway::start(group(&format!("{}\n{health}", endpoints(&origins)))).await;
    assert_eq!(ask(&gateway, &origins, 10).await, [10, 0]);
    eventually("more checks", async || (origins[0].checks() > 3).then_some(())).await;
    // By the process, and not by each worker: one at a time.
    assert!(origins[0].connections() <= origins[0].checks() + 1);
}

#[tokio::test]
async fn what_a_check_expects_is_for_the_user_to_say() {
    let origins = two();
    origins[1].set_health(418);
    for (probe, expected) in [
        ("path = \"/healthz\"", [10, 0]),
        ("path = \"/healthz\", status = [418]", [0, 10]),
        ("path = \"/healthz\", status = [200, 418]", [5, 5]),
        ("path = \"/healthz\", status = [200, 418], body = \"like 418\"", [0, 10]),
        ("kind = \"tcp\"", [5, 5]),
        ("kind = \"grpc\", service = \"users\"", [10, 0]),
        // Nobody is well: everybody is asked.
        ("path = \"/healthz\", body = \"nonsense\"", [5, 5]),
    ] {
        let keys = format!("{}\nhealth = {{ {probe}, {QUICK} }}", endpoints(&origins));
        let gateway = Gateway::start(group(&keys)).await;
        assert_eq!(ask(&gateway, &origins, 10).await, expected, "{probe}");
    }
}

#[tokio::test]
async fn endpoints_are_checked_over_what_they_are_asked_over() {
    let certs = Certs::new();
    let origins = vec![Origin::start_tls(&certs), Origin::start_tls(&certs)];
    origins[1].set_health(503);
    let tls = format!("tls = {{ roots = {:?} }}", certs.ca());
    for (probe, keys) in [
        ("path = \"/healthz\"", &tls),
        ("path = \"/healthz\"", &format!("{tls}\nprotocol = \"http2\"")),
        ("kind = \"grpc\"", &tls),
    ] {
        let health = format!("health = {{ {probe}, {QUICK} }}");
        let gateway = Gateway::start(group(&format!("{}\n{health}\n{keys}", endpoints(&origins)))).await;
        assert_eq!(ask(&gateway, &origins, 10).await, [10, 0], "{probe} {keys}");
    }
    // Over clear text, HTTP/2 by prior knowledge.
    let origins = two();
    origins[0].set_health(503);
    let health = format!("health = {{ path = \"/healthz\", {QUICK} }}\nprotocol = \"http2\"");
    let gateway = Gateway::start(group(&format!("{}\n{health}", endpoints(&origins)))).await;
    assert_eq!(ask(&gateway, &origins, 10).await, [0, 10]);
}

#[tokio::test]
async fn the_next_group_takes_over_and_gives_back() {
    let origins = vec![Origin::start(), Origin::start(), Origin::start()];
    let [a, b, c] = &origins[..] else { unreachable!() };
    let keys = format!(
        "endpoints = [\"{a}\", \"{b}\", {{ url = \"{c}\", priority = 1 }}]\n\
         health = {{ path = \"/healthz\", {QUICK} }}"
    );
    let gateway = Gateway::start(group(&keys)).await;
    assert_eq!(ask(&gateway, &origins, 10).await, [5, 5, 0]);
    // Half of the first group carries 70 % of the requests.
    a.set_health(503);
    gateway.wait_for_log_containing("unhealthy").await;
    eventually("the next group to help", async || {
        (ask(&gateway, &origins, 100).await == [0, 70, 30]).then_some(())
    })
    .await;
    b.set_health(503);
    eventually("the next group to do it all", async || {
        (ask(&gateway, &origins, 20).await == [0, 0, 20]).then_some(())
    })
    .await;
    a.set_health(200);
    b.set_health(200);
    eventually("the first group to be back", async || {
        (ask(&gateway, &origins, 20).await == [10, 10, 0]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_fails_requests_is_ejected_for_longer_and_longer() {
    let origins = two();
    let outlier = "outlier = { failures = 3, ejection = \"400ms\", max_ejection = \"1h\" }";
    let gateway = Gateway::start(group(&format!("{}\n{outlier}", endpoints(&origins)))).await;
    origins[0].set_status(503);
    let client = Client::http1();
    for length in ["400ms", "800ms", "1.6s"] {
        gateway.forget_log();
        let ejected = eventually("it to be ejected", async || {
            client.get(gateway.url("/json")).send().await;
            gateway.log().into_iter().find(|line| line.contains("ejected"))
        })
        .await;
        assert!(ejected.contains(&format!("ejected for {length}")), "{ejected}");
    }
    assert_eq!(ask(&gateway, &origins, 20).await, [0, 20]);
    // A reload does not forget it.
    let another = group(&format!("{}\n{outlier}\ntimeout = {{ connect = \"2s\" }}", endpoints(&origins)));
    gateway.write_config(another);
    gateway.wait_for_log_containing("the configuration is live").await;
    assert_eq!(ask(&gateway, &origins, 20).await, [0, 20]);
    // Once it answers again, it is asked again.
    origins[0].set_status(0);
    eventually("it to be back", async || (ask(&gateway, &origins, 20).await == [10, 10]).then_some(())).await;
}

#[tokio::test]
async fn never_are_too_many_ejected() {
    let origins = two();
    let outlier =
        "outlier = { failures = 2, errors = 2, ejection = \"1h\", max_ejection = \"1h\", max_ejected = 100 }";
    let gateway = Gateway::start(group(&format!("{}\n{outlier}", endpoints(&origins)))).await;
    origins.iter().for_each(|origin| origin.set_status(500));
    let client = Client::http1();
    eventually("one to be ejected", async || {
        client.get(gateway.url("/json")).send().await;
        gateway.log().iter().any(|line| line.contains("ejected")).then_some(())
    })
    .await;
    let before = requests(&origins);
    for _ in 0..20 {
        assert_eq!(client.get(gateway.url("/json")).send().await.status, 500);
    }
    let ejected = gateway.log().iter().filter(|line| line.contains("ejected")).count();
    assert_eq!(ejected, 1, "the last one is not");
    let asked: Vec<_> = requests(&origins).iter().zip(before).map(|(after, before)| after - before).collect();
    assert!(asked == [0, 20] || asked == [20, 0], "{asked:?}");
}

#[tokio::test]
async fn an_endpoint_that_recovers_starts_slowly() {
    let origins = two();
    let keys = format!("health = {{ path = \"/healthz\", {QUICK} }}\nslow_start = \"1h\"");
    let gateway = Gateway::start(group(&format!("{}\n{keys}", endpoints(&origins)))).await;
    // Those that are there from the beginning have no start.
    assert_eq!(ask(&gateway, &origins, 20).await, [10, 10]);
    origins[1].set_health(503);
    gateway.wait_for_log_containing("unhealthy").await;
    origins[1].set_health(200);
    gateway.wait_for_log_containing("healthy again").await;
    // A tenth of the share of the other.
    eventually("it to get a little", async || {
        (ask(&gateway, &origins, 110).await == [100, 10]).then_some(())
    })
    .await;
}
