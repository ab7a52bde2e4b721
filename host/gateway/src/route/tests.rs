use http::Request;
use limen_config::{Config, Natives, Route};

use super::table::{Candidate, Visit};
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

/// Counts what a find looks at.
#[derive(Debug, Default, PartialEq)]
struct Looks {
    nodes: usize,
    regexes: usize,
    candidates: usize,
}

impl Visit for Looks {
    fn takes(&mut self, candidate: &Candidate) -> bool {
        self.candidates += 1;
        candidate.methods.is_none()
    }

    fn node(&mut self) {
        self.nodes += 1;
    }

    fn regex(&mut self) {
        self.regexes += 1;
    }
}

/// Counted and not timed, so that a slow machine is no reason to fail: benches/routes.rs has the times.
#[test]
fn ten_thousand_routes_cost_no_more_than_ten() {
    let looks = |count: usize| {
        let kinds = |n: usize| match n % 5 {
            0 => format!("path = \"/service-{n}/items/{{id}}\""),
            1 => format!("path = \"/service-{n}/**\"\nhost = \"h{n}.example.com\""),
            2 => format!("path = {{ regex = \"/service-{n}/[0-9]+\" }}"),
            3 => format!("path = {{ regex = \"/({n})-[0-9]+\" }}\nhost = \"*.w{n}.example.com\""),
            _ => format!("path = \"/{{x}}/y\"\nhost = \"*.v{n}.example.com\""),
        };
        let routes: String = (0..count).map(|n| route(&format!("r{n}"), &kinds(n))).collect();
        let (_, table) = table(&routes);
        let asked = [
            ("", "/service-5/items/9"),
            ("h6.example.com", "/service-6/a/b/c"),
            ("", "/service-7/12"),
            ("a.w8.example.com", "/8-7"),
            ("a.b.v9.example.com", "/z/y"),
            ("a.b.v9.example.com", "/nothing/of/that/kind"),
        ];
        asked.map(|(host, path)| {
            let request = request("GET", path, &[("host", host)]);
            let mut looks = Looks::default();
            table.walk(&Ask::new(&request, "127.0.0.1".parse().unwrap()), &mut looks);
            looks
        })
    };
    let few = looks(10);
    assert!(
        few.iter().all(|looks| looks.nodes <= 6 && looks.regexes <= 1 && looks.candidates <= 1),
        "{few:?}"
    );
    assert_eq!(few, looks(10_000));
}

#[test]
fn regular_expressions_are_found_by_what_they_begin_with() {
    let routes: String = (0..1000)
        .map(|n| route(&format!("r{n}"), &format!("path = {{ regex = \"/item-{n}(x[0-9]*)?\" }}")))
        .collect();
    let (routes, table) = table(&routes);
    for (path, name, most) in [("/item-7", "r7", 1), ("/item-345x6", "r345", 3), ("/item-34y", "", 2)] {
        let request = request("GET", path, &[]);
        let mut looks = Looks::default();
        let found = table.walk(&Ask::new(&request, "127.0.0.1".parse().unwrap()), &mut looks);
        assert_eq!(found.map_or("", |number| &routes[number].name), name, "{path}");
        assert!(looks.regexes <= most, "{path}: {looks:?}");
    }
}

/// What `[[route]]` says of the order, line by line: the first of each two goes before the second,
/// whichever stands first in the file.
#[test]
fn the_order_is_as_documented() {
    let r = |text: &str| format!("path = {{ regex = \"{text}\" }}");
    let p = |text: &str| format!("path = \"{text}\"");
    for (first, second, target) in [
        ("host = \"a.b.c\"".into(), "host = \"*.b.c\"".into(), "/"),
        ("host = \"*.b.c\"".into(), "host = \"*.c\"".into(), "/"),
        ("host = \"*.c\"\npath = \"/**\"".into(), p("/x"), "/x"),
        (p("/x/y"), r("/x/[a-z]"), "/x/y"),
        (p("/x/**"), r("/[a-z]/y"), "/x/y"),
        (r("/x/[a-z]"), p("/x/{id}"), "/x/y"),
        (r("/x/[a-z]+"), p("/x/{id}/z"), "/x/y"),
        (r("/x/.*"), p("/x/{id}/z"), "/x/y/z"),
        (r("/x/y[a-z]*"), r("/x/[a-z]+"), "/x/yz"),
        (r("/x/[a-z]+"), r("/.*"), "/x/yz"),
        (p("/{a}/y"), p("/{a}/{b}"), "/x/y"),
        (p("/{a}/{b}"), p("/{a}/**"), "/x/y"),
        (p("/{a}"), p("/**"), "/x"),
        (r(".*"), p("/{a}"), "/x"),
        (p("/x/y") + "\nwhen = [{ header = \"a\", present = true }]", p("/x/y"), "/x/y"),
        (p("/x") + "\nmethods = [\"GET\"]", p("/x"), "/x"),
        (r("/x.*") + "\nwhen = [{ header = \"a\", present = true }]", r("/x[a-z]*"), "/xy"),
    ] {
        for turned in [false, true] {
            let mut both = [route("first", &first), route("second", &second)];
            if turned {
                both.reverse();
            }
            let (routes, table) = table(&both.concat());
            let request = request("GET", target, &[("host", "a.b.c"), ("a", "1")]);
            match find(&table, &request) {
                Found::Route(number) => assert_eq!(routes[number].name, "first", "{first} | {second}"),
                other => panic!("{other:?}: {first} | {second}"),
            }
        }
    }
    // The order of the file is what is left.
    for (one, other, target) in [(r("/x[a-z]*"), r("/x.*"), "/xy"), (r("/x.*"), r("/x[a-z]*"), "/xy")] {
        let (_, table) = table(&[route("first", &one), route("second", &other)].concat());
        assert_eq!(find(&table, &request("GET", target, &[])), Found::Route(0), "{one} | {other}");
    }
}
