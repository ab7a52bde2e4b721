//! Endpoints by name: DNS says where they are, and may say something else at any time.

use crate::balance::{ask, requests};
use crate::common::{assert_problem, listener};
use limen_tests::dns::Server;
use limen_tests::{Client, Dns, Gateway, Load, Origin, eventually};

fn config(dns: &Dns, endpoints: &str) -> String {
    let resolver = format!("[gateway.resolver]\nservers = [\"{}\"]\nmin_ttl = \"100ms\"", dns.address());
    let group = format!("[upstream.group]\nendpoints = [{endpoints}]\n[[route]]\nupstream = \"group\"\n");
    format!("[gateway]\nworkers = 1\n{resolver}\n{}{group}", listener())
}

/// As many origins, all on one port of 127.0.0.1, 127.0.0.2 and so on.
fn neighbours(count: u8) -> (Vec<Origin>, u16) {
    loop {
        let mut origins = vec![Origin::start()];
        let port = origins[0].address().port();
        origins
            .extend((2..=count).map_while(|last| Origin::start_on(&format!("127.0.0.{last}:{port}")).ok()));
        if origins.len() == usize::from(count) {
            return (origins, port);
        }
    }
}

#[tokio::test]
async fn requests_follow_the_name() {
    let (origins, port) = neighbours(3);
    let dns = Dns::start();
    dns.set("users.test", &["127.0.0.1", "127.0.0.2"]);
    let gateway = Gateway::start(config(&dns, &format!("\"http://users.test:{port}\""))).await;
    assert_eq!(ask(&gateway, &origins, 20).await, [10, 10, 0]);
    let load = Load::start(&Client::http1(), &gateway.url("/json"), 2);
    dns.set("users.test", &["127.0.0.3", "127.0.0.2"]);
    eventually("the new address to be asked and the old one no more", async || {
        let before = requests(&origins);
        load.wait_for_more(50).await;
        let after = requests(&origins);
        (before[0] == after[0] && before[1] < after[1] && before[2] < after[2]).then_some(())
    })
    .await;
    // Without an answer, what was known last goes on.
    dns.remove("users.test");
    gateway.wait_for_log_containing("there is no such name").await;
    dns.set_broken(true);
    let asked = dns.asked("users.test");
    eventually("it to be asked for again", async || (dns.asked("users.test") > asked + 1).then_some(()))
        .await;
    load.wait_for_more(50).await;
    dns.set_broken(false);
    dns.set("users.test", &["127.0.0.1"]);
    gateway.wait_for_log_containing("resolved again").await;
    eventually("the name to be followed again", async || {
        (ask(&gateway, &origins, 10).await[0] >= 10).then_some(())
    })
    .await;
    load.stop().assert_no_failures();
}

#[tokio::test]
async fn a_name_that_is_not_there_yet_does_not_keep_the_gateway_from_starting() {
    let (origins, port) = neighbours(1);
    let dns = Dns::start();
    let gateway = Gateway::start(config(&dns, &format!("\"http://users.test:{port}\""))).await;
    gateway.wait_for_log_containing("can't resolve").await;
    let answer = Client::http1().get(gateway.url("/")).send().await;
    assert_problem(&answer, answer.status.as_u16());
    assert!([502, 503].contains(&answer.status.as_u16()), "{}", answer.status);
    dns.set("users.test", &["127.0.0.1"]);
    eventually("it to be resolved", async || {
        (Client::http1().get(gateway.url("/")).send().await.status == 200).then_some(())
    })
    .await;
    // A reload knows it already.
    let asked = origins[0].requests();
    let config = config(&dns, &format!("\"http://users.test:{port}\""));
    gateway.write_config(format!("{config}\n[log]\naccess = true"));
    gateway.wait_for_log_containing("the configuration is live").await;
    assert_eq!(ask(&gateway, &origins, 5).await, [5]);
    assert_eq!(origins[0].requests(), asked + 5);
    // `localhost` and /etc/hosts need no DNS.
    let config = config.replace("users.test", "localhost");
    gateway.forget_log();
    gateway.write_config(config);
    gateway.wait_for_log_containing("the configuration is live").await;
    assert_eq!(ask(&gateway, &origins, 5).await, [5]);
}

/// Also written as addresses; and an endpoint that wants to be asked by its own name is.
#[tokio::test]
async fn ipv6_addresses_are_endpoints_too() {
    let (six, four) = of_both_families();
    let port = six.address().port();
    let dns = Dns::start();
    dns.set("users.test", &["::1"]);
    let named = config(&dns, &format!("\"http://users.test:{port}\""))
        .replace("[[route]]", "host = \"endpoint\"\n[[route]]");
    for client in [Client::http1(), Client::http2()] {
        let gateway = Gateway::start(&named).await;
        let seen = client.get(gateway.url("/")).send().await.json();
        assert_eq!(seen["headers"]["host"], format!("users.test:{port}"));
        // When it moves to the other family, requests follow.
        let before = four.requests();
        dns.set("users.test", &["127.0.0.1"]);
        eventually("the other family to be asked", async || {
            client.get(gateway.url("/")).send().await;
            (four.requests() > before).then_some(())
        })
        .await;
        dns.set("users.test", &["::1"]);
    }
    let gateway = Gateway::start(config(&dns, &format!("\"http://[::1]:{port}\""))).await;
    let before = six.requests();
    assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);
    assert_eq!(six.requests(), before + 1);
}

/// At one port, which is free in both only by luck: anybody's connection may have it.
fn of_both_families() -> (Origin, Origin) {
    let tries = (0..100).find_map(|_| {
        let six = Origin::start_on("[::1]:0").unwrap();
        let four = Origin::start_on(&format!("127.0.0.1:{}", six.address().port())).ok()?;
        Some((six, four))
    });
    tries.expect("a port that is free in both families")
}

/// However short or long a name says that its addresses live.
#[tokio::test]
async fn times_to_live_have_bounds() {
    let origin = Origin::start();
    let port = origin.address().port();
    for (ttl, keys) in [(0, "min_ttl = \"200ms\""), (u32::MAX, "min_ttl = \"100ms\"\nmax_ttl = \"200ms\"")] {
        let dns = Dns::start();
        dns.set_for(ttl, "users.test", &["127.0.0.1"]);
        let config =
            config(&dns, &format!("\"http://users.test:{port}\"")).replace("min_ttl = \"100ms\"", keys);
        let begun = std::time::Instant::now();
        let gateway = Gateway::start(config).await;
        // For both kinds of addresses.
        eventually("it to be asked for again", async || (dns.asked("users.test") >= 12).then_some(())).await;
        assert!(begun.elapsed() >= std::time::Duration::from_millis(900), "{ttl}: {:?}", begun.elapsed());
        assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);
    }
}

#[tokio::test]
async fn a_service_tells_ports_weights_and_priorities() {
    let origins = [(); 3].map(|()| Origin::start()).into_iter().collect::<Vec<_>>();
    let port = |number: usize| origins[number].address().port();
    let server =
        |number, priority, weight| Server { priority, weight, port: port(number), host: "host.test" };
    let dns = Dns::start();
    dns.set("host.test", &["127.0.0.1"]);
    let service = "_http._tcp.users.test";
    dns.set_service(service, &[server(0, 10, 1), server(1, 10, 3), server(2, 20, 1)]);
    let gateway = Gateway::start(config(&dns, &format!("{{ srv = \"{service}\" }}"))).await;
    assert_eq!(ask(&gateway, &origins, 40).await, [10, 30, 0]);
    dns.set_service(service, &[server(2, 20, 0), server(0, 30, 1)]);
    eventually("the other one to be asked", async || {
        (ask(&gateway, &origins, 20).await == [0, 0, 20]).then_some(())
    })
    .await;
}
