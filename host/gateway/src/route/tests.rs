use std::time::Instant;

use http::Request;
use limen_config::{Config, Natives, Route};

use super::{Ask, Found, RouteTable};

/// A table from the routes of a configuration.
fn table(routes: &str) -> (Vec<Route>, RouteTable) {
    let file = std::env::temp_dir().join(format!("limen-routes-{:?}.toml", std::thread::current().id()));
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream.u]\nendpoints = [\"http://127.0.0.1:1\"]\n{routes}"
    );
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&file, &Natives(&[])).unwrap_or_else(|errors| panic!("{errors}"));
    let table = RouteTable::new(&config.routes, 0);
    (config.routes, table)
}

fn route(name: &str, rest: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\nupstream = \"u\"\n{rest}\n")
}

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn find(table: &RouteTable, request: &Request<()>) -> Found {
    table.find(&Ask::new(request, "127.0.0.1".parse().unwrap()))
}

#[test]
fn the_most_specific_wins_and_conditions_hide_nothing() {
    let routes = [
        route("all", ""),
        route("v1", "path = \"/v1/**\""),
        route("user", "path = \"/v1/users/{id}\""),
        route("me", "path = \"/v1/users/me\""),
        route("beta", "path = \"/v1/users/me\"\nwhen = [{ header = \"x-beta\", equals = \"1\" }]"),
        route("root", "path = \"/\""),
        route("write", "path = \"/w\"\nmethods = [\"POST\", \"PUT\"]"),
        route("only-beta", "path = \"/only/{x}\"\nwhen = [{ header = \"x-beta\", present = true }]"),
        route("host", "path = \"/v1/**\"\nhost = \"api.example.com\""),
        route("wild", "path = \"/v1/**\"\nhost = \"*.example.com\""),
        route("wilder", "path = \"/v1/**\"\nhost = \"*.deep.example.com\""),
    ]
    .concat();
    let (routes, table) = table(&routes);
    let named = |request: &Request<()>| match find(&table, request) {
        Found::Route(number) => routes[number].name.clone(),
        other => format!("{other:?}"),
    };
    let get = |target: &str| named(&request("GET", target, &[]));
    assert_eq!(get("/v1/users/7"), "user");
    assert_eq!(get("/v1/users/me"), "me");
    assert_eq!(get("/v1/users/me?x=/y"), "me");
    assert_eq!(get("/v1/users/"), "v1", "a parameter is never empty");
    assert_eq!(get("/v1"), "v1");
    assert_eq!(get("/v1/"), "v1");
    assert_eq!(get("/v1/users/7/orders"), "v1");
    assert_eq!(get("/v10"), "all");
    assert_eq!(get("/"), "root");
    assert_eq!(get("//"), "all");
    assert_eq!(get("/only/1"), "all", "a condition that fails lets a less specific route answer");
    assert_eq!(named(&request("GET", "/only/1", &[("x-beta", "")])), "only-beta");
    assert_eq!(named(&request("GET", "/v1/users/me", &[("x-beta", "1")])), "beta");
    assert_eq!(named(&request("GET", "/v1/users/me", &[("x-beta", "2")])), "me");
    assert_eq!(get("/w"), "all", "the catch-all takes other methods");
    assert_eq!(named(&request("PUT", "/w", &[])), "write");
    let host = |name: &str| named(&request("GET", "/v1/x", &[("host", name)]));
    assert_eq!(host("api.example.com"), "host");
    assert_eq!(host("API.example.com:8443"), "host");
    assert_eq!(host("api.example.com."), "host");
    assert_eq!(host("other.example.com"), "wild");
    assert_eq!(host("a.b.deep.example.com"), "wilder");
    assert_eq!(host("example.com"), "v1");
    assert_eq!(host("[::1]:80"), "v1");
    assert_eq!(named(&request("GET", "http://api.example.com/v1/x", &[("host", "else")])), "host");
}

#[test]
fn other_methods_are_told() {
    let routes =
        [route("a", "path = \"/a\"\nmethods = [\"GET\"]"), route("b", "path = \"/a\"\nmethods = [\"PUT\"]")];
    let (_, table) = table(&routes.concat());
    assert_eq!(find(&table, &request("DELETE", "/a", &[])), Found::OtherMethods("GET, HEAD, PUT".into()));
    assert!(matches!(find(&table, &request("HEAD", "/a", &[])), Found::Route(0)));
    assert_eq!(find(&table, &request("GET", "/b", &[])), Found::Nothing);
}

#[test]
fn ten_thousand_routes_cost_no_more_than_ten() {
    let time = |count: usize| {
        let routes: String = (0..count)
            .map(|n| route(&format!("r{n}"), &format!("path = \"/service-{n}/items/{{id}}\"")))
            .collect();
        let (_, table) = table(&routes);
        let requests: Vec<_> =
            (0..100).map(|n| request("GET", &format!("/service-{}/items/9", n * count / 100), &[])).collect();
        let mut best = u128::MAX;
        for _ in 0..20 {
            let started = Instant::now();
            for _ in 0..100 {
                for request in &requests {
                    assert!(matches!(find(&table, request), Found::Route(_)));
                }
            }
            best = best.min(started.elapsed().as_nanos());
        }
        best as f64
    };
    let (few, many) = (time(10), time(10_000));
    assert!(many < few * 4.0, "{few} ns for ten, {many} ns for ten thousand");
}
