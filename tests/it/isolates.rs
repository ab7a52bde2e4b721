//! One exchange, one isolate: what it starts with, what it keeps, and who gets it next.

use crate::common::{PATIENT, config_of_one_worker, guest_plugin, guest_plugin_with, route};
use limen_tests::{Act, Answer, Client, Gateway, Origin, Scripted, eventually};
use tokio::task::JoinHandle;

/// What the guest `counter` says: how many requests its isolate has seen, and its configured mark.
fn seen(answer: &Answer) -> (&str, &str) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    (answer.header("x-count").unwrap(), answer.header("x-configured").unwrap())
}

#[tokio::test]
async fn a_static_counter_is_one_in_every_fresh_isolate() {
    let origin = Origin::start();
    let rest = [guest_plugin("counter"), route("/**", r#""counter""#)].join("\n");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    for client in [Client::http1(), Client::http2()] {
        let mut connection = client.connect(gateway.url("/")).await.unwrap();
        for _ in 0..50 {
            // Counted in one hook and read in the other: both have had the same isolate.
            assert_eq!(seen(&connection.get("/").send().await), ("1", "yes"));
        }
    }
}

#[tokio::test]
async fn a_reused_isolate_goes_on_counting() {
    let origin = Origin::start();
    let reused = guest_plugin_with("counter", &format!("isolate = \"reused\"\n{PATIENT}"));
    let rest = [reused, route("/**", r#"{ use = "counter", with = { mark = "mine" } }"#)].join("\n");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for count in 1..=10 {
        assert_eq!(seen(&connection.get("/").send().await), (&*count.to_string(), "mine"));
    }
}

/// A busy worker lets exchanges have isolates a few at a time: not only so many.
#[tokio::test]
async fn as_many_have_isolates_as_wait_for_their_upstream() {
    let silent = Scripted::start(|_, _| Act::Silence).await;
    let rest = [
        guest_plugin("counter"),
        format!("[upstream.silent]\nendpoints = [\"{silent}\"]"),
        "[[route]]\nupstream = \"silent\"\npolicies = [\"counter\"]".to_owned(),
    ];
    let gateway = Gateway::start(config_of_one_worker(&Origin::start(), &rest.join("\n"))).await;
    let waiting: Vec<_> = (0..60)
        .map(|_| {
            let url = gateway.url("/");
            tokio::spawn(async move { drop(Client::http1().get(url).try_send().await) })
        })
        .collect();
    eventually("all to be under way", async || (silent.busy() == 60).then_some(())).await;
    waiting.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_reused_isolate_serves_one_exchange_at_a_time() {
    let origin = Origin::start();
    let reused = guest_plugin_with("counter", &format!("isolate = \"reused\"\n{PATIENT}"));
    let rest = [reused, route("/**", r#""counter""#)].join("\n");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    let client = Client::http1();
    assert_eq!(seen(&client.get(gateway.url("/")).send().await).0, "1");

    // The first exchange is between its hooks until its body ends: whoever comes then gets another isolate.
    let (feed, body) = limen_tests::body::fed();
    let between_hooks = async {
        assert!(feed.send("the origin has it, so the request hook is over").await);
        eventually("the origin to be asked", async || (origin.requests() == 2).then_some(())).await;
        let other = client.get(gateway.url("/")).send().await;
        drop(feed);
        other
    };
    let first = client.post(gateway.url("/upload")).stream(body).send();
    let (first, other) = tokio::join!(first, between_hooks);
    assert_eq!(seen(&first).0, "2");
    assert_eq!(seen(&other).0, "1");
}

#[tokio::test]
async fn each_setting_has_isolates_of_its_own() {
    let origin = Origin::start();
    let reused = guest_plugin_with("counter", &format!("isolate = \"reused\"\n{PATIENT}"));
    let rest = [
        reused,
        route("/a", r#"{ use = "counter", with = { mark = "a" } }"#),
        route("/a-again", r#"{ use = "counter", with = { mark = "a" } }"#),
        route("/b", r#"{ use = "counter", with = { mark = "b" } }"#),
    ]
    .join("\n");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    assert_eq!(seen(&connection.get("/a").send().await), ("1", "a"));
    assert_eq!(seen(&connection.get("/b").send().await), ("1", "b"));
    // The same settings are the same isolates, whatever the route.
    assert_eq!(seen(&connection.get("/a-again").send().await), ("2", "a"));
    assert_eq!(seen(&connection.get("/b").send().await), ("2", "b"));
}

#[tokio::test]
async fn with_many_different_settings_each_isolate_is_configured_anew() {
    const SETTINGS: usize = 36;
    const IMAGES: usize = 32;
    let origin = Origin::start();
    let routes = (0..SETTINGS)
        .map(|n| route(&format!("/{n}"), &format!(r#"{{ use = "counter", with = {{ mark = "m{n}" }} }}"#)));
    let rest = std::iter::once(guest_plugin("counter")).chain(routes).collect::<Vec<_>>().join("\n");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;

    // The last line of the start: those before it have been read as well then.
    gateway.wait_for_log_containing("is ready").await;
    let told = gateway.log().into_iter().filter(|line| line.contains("no image of its configured memory"));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), SETTINGS - IMAGES, "{told:#?}");
    assert!(told.iter().all(|line| line.contains("many different settings")), "{told:#?}");

    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for n in 0..SETTINGS {
        for _ in 0..2 {
            assert_eq!(seen(&connection.get(&format!("/{n}")).send().await), ("1", &*format!("m{n}")));
        }
    }
}

#[tokio::test]
async fn where_no_image_can_be_taken_each_isolate_is_configured_anew() {
    let origin = Origin::start();
    let rest = [guest_plugin("random-handles"), route("/**", r#""random-handles""#)].join("\n");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    let told = gateway.wait_for_log_containing("no image of its configured memory").await;
    assert!(told.contains("random-handles") && told.contains("handles of the host"), "{told}");
    for _ in 0..3 {
        let answer = Client::http1().get(gateway.url("/")).header("x-word", "ping").send().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["headers"]["x-answer"], "pong");
    }
}
