use super::*;
use crate::native::plain;
use serde_json::json;

fn ask(policy: &dyn Policy, prepare: impl Fn(&mut Exchange)) -> Box<Exchange> {
    let mut exchange = Box::<Exchange>::default();
    prepare(&mut exchange);
    let mut seat = None;
    for phase in policy.phases().iter() {
        exchange.enter(phase, 0);
        let answer = policy.call(phase, &mut exchange, &mut seat);
        let refused = matches!(answer, Answer::Ready(Ok(Verdict::Reply)));
        drop(answer);
        match exchange.reply.take() {
            Some(reply) if refused => exchange.response = reply.head,
            _ => exchange.commit(),
        }
    }
    exchange
}

fn text<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    exchange.response.headers().get(name)?.to_str().ok()
}

#[test]
fn what_may_come_at_once_is_told_where_it_is_more() {
    let limits = json!([{ "limit": 1, "per": "1h", "burst": 500 }]);
    let first = ask(&*plain(build, &json!({ "limits": limits })).unwrap(), |_| ());
    assert_eq!(text(&first, "ratelimit-policy"), Some(r#""1h";q=500;w=1800000"#));
    assert!(text(&first, "ratelimit").unwrap().starts_with(r#""1h";r=499;"#));
}

#[test]
fn who_is_over_a_limit_reads_when_to_come_again() {
    let limits =
        json!([{ "limit": 2, "per": "1h" }, { "limit": 100, "per": "1m", "burst": 10, "name": "short" }]);
    let policy = plain(build, &json!({ "limits": limits })).unwrap();
    let first = ask(&*policy, |_| ());
    assert_eq!(text(&first, "ratelimit-policy"), Some(r#""1h";q=2;w=3600, "short";q=100;w=60"#));
    assert_eq!(text(&first, "ratelimit"), Some(r#""1h";r=1;t=1800, "short";r=9;t=1"#));
    ask(&*policy, |_| ());
    let third = ask(&*policy, |_| ());
    assert_eq!(third.response.status(), 429);
    assert_eq!(text(&third, "retry-after"), Some("1800"));
    assert_eq!(text(&third, "ratelimit"), Some(r#""1h";r=0;t=3600, "short";r=8;t=2"#));
    let other = ask(&*policy, |exchange| exchange.client.address = "192.0.2.1:1".parse().unwrap());
    assert_eq!(other.response.status(), 200, "another client has a limit of its own");
}

#[test]
fn a_request_may_cost_more() {
    let settings = json!({ "limits": [{ "limit": 10, "per": "1h" }], "cost": { "header": "x-cost" } });
    let policy = plain(build, &settings).unwrap();
    let cost = |cost: &'static str| {
        let asked = ask(&*policy, |exchange| {
            exchange.request.headers_mut().insert("x-cost", HeaderValue::from_static(cost));
        });
        (asked.response.status().as_u16(), text(&asked, "retry-after").map(str::to_owned))
    };
    assert_eq!(cost("11"), (429, None), "never");
    assert_eq!(cost("7"), (200, None));
    assert_eq!(cost("4"), (429, Some("360".to_owned())));
    assert_eq!(cost("2"), (200, None));
    assert_eq!(cost("-5").0, 200, "counts as one");
    assert_eq!(cost("1").0, 429);
}

#[test]
fn expressions_say_for_whom_and_how_much() {
    let cost = json!({ "expression": "request.method == 'GET' ? 1 : 5" });
    let settings = json!({ "limits": [{ "limit": 10, "per": "1h" }], "by": [{ "expression": "request.path" }], "cost": cost });
    let policy = plain(build, &settings).unwrap();
    let left = |method: &str, path: &str| {
        let asked = ask(&*policy, |exchange| {
            *exchange.request.method_mut() = method.parse().unwrap();
            *exchange.request.uri_mut() = path.parse().unwrap();
        });
        text(&asked, "ratelimit").unwrap().split(';').nth(1).unwrap().to_owned()
    };
    assert_eq!([left("GET", "/a"), left("POST", "/a"), left("POST", "/b")], ["r=9", "r=4", "r=5"]);
    assert!(plain(build, &json!({ "limits": [], "by": [{ "expression": "request.pth" }] })).is_err());
}

#[test]
fn it_is_silent_if_asked_to_be() {
    let settings = json!({ "limits": [{ "limit": 1, "per": "1h" }], "headers": false });
    let policy = plain(build, &settings).unwrap();
    assert_eq!(policy.phases().iter().collect::<Vec<_>>(), [Phase::Request]);
    ask(&*policy, |_| ());
    let refused = ask(&*policy, |_| ());
    assert_eq!((refused.response.status().as_u16(), text(&refused, "ratelimit")), (429, None));
    assert!(text(&refused, "retry-after").is_some());
}

#[test]
fn mistakes_are_found_at_load() {
    let mistake = |settings| {
        plain(build, &settings).err().map(|error| (error.pointer, error.message)).unwrap_or_default()
    };
    assert_eq!(mistake(json!({ "limits": [] })).0, "/limits");
    let limit = |limit: Value| mistake(json!({ "limits": [{ "limit": 1, "per": "1m" }, limit] }));
    assert_eq!(limit(json!({ "limit": 0, "per": "1s" })).0, "/limits/1/limit");
    assert_eq!(limit(json!({ "limit": 1, "per": "0s" })).0, "/limits/1/per");
    assert_eq!(limit(json!({ "limit": 1, "per": "1s", "by": ["adress"] })).0, "/limits/1/by/0");
    assert!(limit(json!({ "limit": 1, "per": "1m" })).1.contains("give them a `name`"));
    assert_eq!(limit(json!({ "limit": 1, "per": "1s", "name": "a\"" })).0, "/limits");
    let costs = mistake(json!({ "limits": [{ "limit": 1, "per": "1m" }], "cost": 2 }));
    assert!(costs.1.contains("no request ever passes"), "{}", costs.1);
    assert!(mistake(json!({ "limits": [], "cost": "x" })).1.contains("{ header = \"NAME\" }"));
}
