//! What is off costs nothing: a request's instructions are counted where a feature is used by nobody, and
//! where another route, upstream or listener of the same gateway uses it.

use crate::common::config_of_one_worker;
use limen_tests::{Origin, instructions};

/// Half a percent of a request. Counts of the same thing differ by a tenth of that.
const NOTHING: f64 = 0.005;

/// A gateway with a route that is asked and another one that is not, each with its upstream; `keys` are
/// those of the upstream that nobody asks, `route` those of its route, `rest` stands by itself.
struct Feature {
    name: &'static str,
    keys: &'static str,
    route: &'static str,
    rest: &'static str,
}

const fn of_upstream(name: &'static str, keys: &'static str) -> Feature {
    Feature { name, keys, route: "upstream = 'spare'", rest: "" }
}

const fn of_route(name: &'static str, route: &'static str) -> Feature {
    Feature { name, keys: "", route, rest: "" }
}

const FEATURES: &[Feature] = &[
    of_upstream("retries", "retries = { on = ['connect', '503'], max = 3 }"),
    of_upstream("hedge", "hedge = { after = '50ms' }"),
    of_upstream("limits", "limits = { requests = 10, queue = 5 }"),
    of_upstream("breaker", "breaker = { errors = 50 }"),
    of_upstream("fallback", "fallback = { status = 503, body = 'sorry' }"),
    of_upstream("outlier detection", "outlier = { failures = 5 }"),
    of_upstream("affinity", "affinity = { cookie = 'at' }"),
    of_upstream("hashing", "balance = { hash = { header = 'x-user' } }"),
    of_upstream("slow start", "slow_start = '10s'"),
    of_upstream("host", "host = 'internal'"),
    of_route("split", "upstream = [{ to = 'origin', weight = 1 }, { to = 'spare', weight = 1 }]"),
    of_route("mirror", "upstream = 'spare'\nmirror = { to = 'origin' }"),
    of_route("rewrite", "upstream = 'spare'\nrewrite = { path = '/x/{rest}' }"),
    of_route("redirect", "redirect = { to = '/elsewhere' }"),
    of_route("respond", "respond = { body = 'here' }"),
    of_route(
        "conditions",
        "upstream = 'spare'\nwhen = [{ header = 'x-beta', equals = '1' }, { cookie = 'a', present = true }]",
    ),
    of_route(
        "limits of a route",
        "upstream = 'spare'\nlimits = { body = '1KiB' }\ntimeout = { request = '5s' }",
    ),
    of_route(
        "a built-in policy",
        "upstream = 'spare'\npolicies = [{ use = 'headers', with = { response = { set = { x-a = '1' } } } }]",
    ),
    Feature {
        name: "another listener",
        keys: "",
        route: "upstream = 'spare'",
        rest: "[[listener]]\nname = 'other'\naddress = '127.0.0.1:0'\n",
    },
];

async fn cost(origin: &Origin, feature: &Feature) -> f64 {
    let Feature { keys, route, rest, .. } = feature;
    let rest = format!(
        "[[route]]\npath = '/bytes/{{count}}'\nupstream = 'origin'\n
         [upstream.spare]\nendpoints = ['{origin}']\n{keys}\n
         [[route]]\npath = '/spare/**'\n{route}\n{rest}"
    );
    instructions::per_request(&config_of_one_worker(origin, &rest), "/bytes/20").await
}

#[tokio::test]
async fn what_another_route_uses_costs_a_request_nothing() {
    if !instructions::can_count() {
        eprintln!("skipped: there is no valgrind here");
        return;
    }
    let origin = Origin::start();
    let plain = cost(&origin, &of_upstream("nothing", "")).await;
    eprintln!("a plain request: {plain:.0} instructions");
    let mut dear = vec![];
    for feature in FEATURES {
        let with = cost(&origin, feature).await;
        let more = (with - plain) / plain;
        eprintln!("{}: {with:.0} ({:+.2} %)", feature.name, more * 100.0);
        if more > NOTHING {
            dear.push(feature.name);
        }
    }
    assert!(dear.is_empty(), "these cost those that don't use them: {dear:?}");
}

/// What a request takes on a route with these policies.
async fn instructions_with(origin: &Origin, policies: &str) -> f64 {
    let route = format!("[[route]]\npath = '/**'\nupstream = 'origin'\npolicies = [{policies}]\n");
    instructions::per_request(&config_of_one_worker(origin, &route), "/bytes/20").await
}

/// What a policy may cost each request that passes it, as a share of one without policies.
const LIMITER: f64 = 0.10;

#[tokio::test]
async fn a_rate_limit_costs_little() {
    if !instructions::can_count() {
        eprintln!("skipped: there is no valgrind here");
        return;
    }
    let origin = Origin::start();
    let with = async |policies: &str| instructions_with(&origin, policies).await;
    let plain = with("").await;
    let limits = "limits = [{ limit = 1000000, per = '1s' }]";
    let silent = with(&format!("{{ use = 'rate-limit', with = {{ {limits}, headers = false }} }}")).await;
    let telling = with(&format!("{{ use = 'rate-limit', with = {{ {limits} }} }}")).await;
    eprintln!(
        "a plain request: {plain:.0} instructions; limited: {:+.0}, and told so: {:+.0}",
        silent - plain,
        telling - plain
    );
    assert!((silent - plain) / plain < LIMITER, "{silent} and not {plain}");
}

/// What one header on answers may cost, as a share of a request without policies: less than with a copy of the
/// request's headers, which is made for policies that look back at them.
const ON_ANSWERS: f64 = 0.075;

#[tokio::test]
async fn what_acts_on_answers_alone_copies_no_request() {
    if !instructions::can_count() {
        eprintln!("skipped: there is no valgrind here");
        return;
    }
    let origin = Origin::start();
    let with = async |policies: &str| instructions_with(&origin, policies).await;
    let plain = with("").await;
    let setting = with("{ use = 'headers', with = { response = { set = { x-a = '1' } } } }").await;
    eprintln!(
        "a plain request: {plain:.0} instructions; with a header set on its answer: {:+.0}",
        setting - plain
    );
    assert!((setting - plain) / plain < ON_ANSWERS, "{setting} and not {plain}");
}
