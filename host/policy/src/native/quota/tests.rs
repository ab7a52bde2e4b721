use super::*;
use crate::Consumer;
use crate::native::plain;
use serde_json::json;

fn ask(policy: &dyn Policy, consumer: Option<Consumer>) -> Box<Exchange> {
    let mut exchange = Box::<Exchange>::default();
    exchange.consumer = consumer.map(Box::new);
    let mut seat = None;
    for phase in policy.phases().iter() {
        exchange.enter(phase, 0);
        drop(policy.call(phase, &mut exchange, &mut seat));
        if let Some(reply) = exchange.reply.take() {
            exchange.response = reply.head;
        }
        exchange.commit();
    }
    exchange
}

#[test]
fn a_plan_says_how_much() {
    let policy =
        plain(build, &json!({ "per": "month", "limit": 1, "plans": { "gold": 2, "none": 0 } })).unwrap();
    let ada = || Some(Consumer::with("ada", [("plan", "gold")]).unwrap());
    let first = ask(&*policy, ada());
    let policy_field = first.response.headers()["ratelimit-policy"].to_str().unwrap();
    assert!(policy_field.starts_with("\"month\";q=2;w="), "{policy_field}");
    assert!(first.response.headers()["ratelimit"].to_str().unwrap().starts_with("\"month\";r=1;t="));
    assert_eq!(ask(&*policy, ada()).response.status(), 200);
    let third = ask(&*policy, ada());
    assert_eq!(third.response.status(), 429);
    assert!(third.response.headers().contains_key("retry-after"));
    let none = Consumer::with("eve", [("plan", "none")]).unwrap();
    assert_eq!(ask(&*policy, Some(none)).response.status(), 429);
    let statuses = [(); 2].map(|()| ask(&*policy, None).response.status().as_u16());
    assert_eq!(statuses, [200, 429], "whoever has no plan");
}

#[test]
fn its_terms_are_what_it_grants() {
    let settings = json!({ "per": "month", "zone": "Europe/Berlin", "limit": 1, "plans": { "gold": 2 } });
    let policy = plain(build, &settings).unwrap();
    assert_eq!(policy.quota().unwrap().terms(), "1 per month of Europe/Berlin, gold: 2");
}

#[test]
fn mistakes_are_found_at_load() {
    let mistake = |settings| plain(build, &settings).err().map(|error| error.pointer).unwrap_or_default();
    assert_eq!(mistake(json!({ "per": "year", "limit": 1 })), "/per");
    assert_eq!(mistake(json!({ "per": "day", "limit": 1, "zone": "Europe/Bonn" })), "/zone");
    assert_eq!(mistake(json!({ "per": "day", "limit": 1, "name": "\"" })), "/name");
    assert_eq!(
        mistake(json!({ "per": "day", "limit": 1, "plans": { "a": 1_000_000_000_001u64 } })),
        "/plans/a"
    );
}
