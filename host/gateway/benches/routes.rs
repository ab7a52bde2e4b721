//! What finding a route costs, with ten routes and with ten thousand: over exact hosts, a wildcard
//! and any host, each with plain paths, parameters, prefixes, regular expressions and conditions.
//!
//! `cargo bench -p limen-gateway --bench routes`

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that meets the unexpected stops right there"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use http::Request;
use limen_config::{Config, Natives};
use limen_gateway::bench::{Ask, Found, RouteTable};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn main() {
    // `cargo test` runs it as well, where there is nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let few = measure(10);
    let many = measure(10_000);
    println!("ten thousand cost {:.2} times what ten do", many / few);
}

/// The kinds of routes, the request that each is found by, and its headers.
const KINDS: &[(&str, &str)] = &[
    ("path = \"/service-N/items\"", "/service-N/items"),
    ("path = \"/service-N/items/{id}\"", "/service-N/items/42"),
    ("path = \"/service-N/**\"", "/service-N/some/thing/else"),
    ("path = { regex = \"/service-N/orders/(?<id>[0-9]+)\" }", "/service-N/orders/1234567"),
    ("path = \"/service-N/items\"\nwhen = [{ header = \"x-beta\", equals = \"1\" }]", "/service-N/items"),
];

/// Nanoseconds for each find among that many routes.
fn measure(routes: usize) -> f64 {
    let (mut config, mut requests) = (String::new(), Vec::new());
    for number in 0..routes {
        let (kind, path) = KINDS[number % KINDS.len()];
        let service = (number / KINDS.len()).to_string();
        // A third each: a host of its own, all below one, any.
        let (host, asked) = match number / KINDS.len() % 3 {
            0 => (format!("host = \"h{service}.example.com\""), format!("h{service}.example.com")),
            1 => ("host = \"*.example.org\"".to_owned(), format!("h{service}.example.org")),
            _ => (String::new(), "anything.example.net".to_owned()),
        };
        let keys = kind.replace('N', &service);
        config.push_str(&format!("[[route]]\nname = \"{number}\"\nupstream = \"u\"\n{host}\n{keys}\n"));
        let mut request = Request::builder().uri(path.replace('N', &service)).header("host", asked);
        if kind.contains("x-beta") {
            request = request.header("x-beta", "1");
        }
        requests.push(request.body(()).unwrap());
    }
    let table = table(&config);
    // A hundred of them, again and again, as traffic is; and all of them, which caches don't hold.
    let some: Vec<usize> = (0..10_000).map(|n| n % 100 * requests.len() / 100).collect();
    let all: Vec<usize> = (0..10_000).map(|n| n * 7919 % requests.len()).collect();
    let time = |round: &[usize]| {
        let mut best = f64::MAX;
        for _ in 0..50 {
            let started = Instant::now();
            for number in round {
                let found = table.find(&Ask::new(black_box(&requests[*number]), CLIENT));
                assert_eq!(black_box(found), Found::Route(*number));
            }
            best = best.min(started.elapsed().as_nanos() as f64 / round.len() as f64);
        }
        best
    };
    let (some, all) = (time(&some), time(&all));
    println!(
        "{routes} routes: {some:.0} ns for each find, {all:.0} when all are asked for in turn (best of 50 rounds)"
    );
    some
}

fn table(routes: &str) -> RouteTable {
    let file = std::env::temp_dir().join(format!("limen-bench-{}.toml", std::process::id()));
    let head =
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream.u]\nendpoints = [\"http://127.0.0.1:1\"]\n";
    std::fs::write(&file, format!("{head}{routes}")).unwrap();
    let config = Config::load(&file, &Natives(&[]));
    std::fs::remove_file(&file).unwrap();
    RouteTable::new(&config.unwrap_or_else(|errors| panic!("{errors}")).routes, 0)
}
