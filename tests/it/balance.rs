//! Which endpoint a request goes to.

use crate::common::listener;
use limen_tests::{Answer, Client, Gateway, Origin, eventually};

/// A gateway's config with the upstream `group`, for all paths.
pub fn group(keys: &str) -> String {
    let route = "[[route]]\nupstream = \"group\"\n";
    format!("[gateway]\nworkers = 1\n{}[upstream.group]\n{keys}\n{route}", listener())
}

/// `endpoints = [...]` of these.
pub fn endpoints<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> String {
    let urls: Vec<_> = origins.into_iter().map(|origin| format!("\"{origin}\"")).collect();
    format!("endpoints = [{}]", urls.join(", "))
}

/// How many requests each has had.
pub fn requests(origins: &[Origin]) -> Vec<u64> {
    origins.iter().map(Origin::requests).collect()
}

/// Asks one after another, all to be answered with 200. Answers how many each origin had of them.
pub async fn ask(gateway: &Gateway, origins: &[Origin], times: usize) -> Vec<u64> {
    let before = requests(origins);
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for _ in 0..times {
        let answer = connection.get("/").send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    requests(origins).iter().zip(before).map(|(after, before)| after - before).collect()
}

fn origins<const N: usize>() -> [Origin; N] {
    std::array::from_fn(|_| Origin::start())
}

#[tokio::test]
async fn weights_are_shares() {
    let origins = origins::<3>();
    let [a, b, c] = &origins;
    let weighted = format!(
        "endpoints = [\"{a}\", {{ url = \"{b}\", weight = 3 }}, {{ url = \"{c}\", priority = 1 }}]\n"
    );
    let gateway = Gateway::start(group(&weighted)).await;
    assert_eq!(ask(&gateway, &origins, 40).await, [10, 30, 0]);
    let gateway = Gateway::start(group(&format!("{weighted}balance = \"random\""))).await;
    let counts = ask(&gateway, &origins, 400).await;
    // 300, give or take five standard deviations.
    assert!(counts[1].abs_diff(300) < 44 && counts[2] == 0, "{counts:?}");
}

#[tokio::test]
async fn the_one_with_fewer_requests_under_way_is_asked() {
    let origins = origins::<2>();
    let balance = "balance = \"least-requests\"";
    let config = |origins: &[Origin]| group(&format!("{}\n{balance}", endpoints(origins)));
    let gateway = Gateway::start(config(&origins[..1])).await;
    let mut streams = vec![];
    for _ in 0..30 {
        streams.push(Client::http1().get(gateway.url("/drip?seconds=600")).open().await);
    }
    // What is under way is still under way after a reload.
    gateway.write_config(config(&origins));
    gateway.wait_for_log_containing("the configuration is live").await;
    let counts = ask(&gateway, &origins, 100).await;
    assert!(counts[1] > 75, "{counts:?}");
    // And when it has ended, it is not.
    drop(streams);
    eventually("both to be asked alike", async || {
        let counts = ask(&gateway, &origins, 100).await;
        (counts[0].abs_diff(counts[1]) < 50).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hash_moves_only_what_it_must() {
    let origins = origins::<4>();
    let config = |origins: &[&Origin]| {
        let balance = "balance = { hash = { header = \"x-user\" } }";
        group(&format!("{}\n{balance}", endpoints(origins.iter().copied())))
    };
    let [a, b, c, d] = &origins;
    let gateway = Gateway::start(config(&[a, b, c, d])).await;
    let owners = async || {
        let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
        let mut owners = vec![];
        for user in 0..200 {
            let before = requests(&origins);
            connection.get("/").header("x-user", &user.to_string()).send().await;
            owners.push(requests(&origins).iter().zip(before).position(|(after, before)| *after > before));
        }
        owners
    };
    let before = owners().await;
    assert_eq!(before, owners().await, "the same user, another endpoint");
    for number in 0..4 {
        let share = before.iter().filter(|owner| **owner == Some(number)).count();
        assert!((25..=75).contains(&share), "{number} has {share} of 200");
    }
    // Another order, and one is gone.
    gateway.write_config(config(&[d, b, a]));
    gateway.wait_for_log_containing("the configuration is live").await;
    for (before, after) in before.iter().zip(owners().await) {
        assert!(*before == Some(2) || *before == after, "{before:?} moved to {after:?}");
        assert_ne!(after, Some(2), "it is gone");
    }
}

/// Whatever makes requests alike, those that are go to the same endpoint, and others elsewhere.
#[tokio::test]
async fn a_hash_takes_what_it_is_told() {
    for by in ["\"path\"", "{ cookie = \"user\" }", "{ query = \"user\" }"] {
        let origins = origins::<3>();
        let gateway =
            Gateway::start(group(&format!("{}\nbalance = {{ hash = {by} }}", endpoints(&origins)))).await;
        let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
        let mut used = [0; 3];
        for user in 0..30 {
            let (mut alike, mut other) = (format!("/{user}?a=b"), format!("/{user}?c=d"));
            let mut cookies = [String::from("user=me"), String::from("user=me")];
            match by {
                "\"path\"" => {}
                "{ query = \"user\" }" => {
                    (alike, other) = (format!("/a?x=1&user={user}"), format!("/b?user={user}&y"));
                }
                _ => {
                    cookies = [format!("a=b; user={user}"), format!("user={user}; c=d")];
                    (alike, other) = ("/a".to_owned(), "/b".to_owned());
                }
            }
            let before = requests(&origins);
            connection.get(&alike).header("cookie", &cookies[0]).send().await;
            connection.get(&other).header("cookie", &cookies[1]).send().await;
            let counts: Vec<_> =
                requests(&origins).iter().zip(before).map(|(after, before)| after - before).collect();
            let owner = counts.iter().position(|count| *count == 2);
            used[owner.unwrap_or_else(|| panic!("{by}: {user} was at {counts:?}"))] += 1;
        }
        assert!(used.iter().all(|count| *count > 0), "{by}: {used:?}");
    }
}

/// The cookie that an answer sets, without its attributes.
fn cookie(answer: &Answer) -> Option<String> {
    let line = answer.header("set-cookie")?;
    Some(line.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn a_client_stays_with_its_endpoint() {
    let mut origins: Vec<_> = origins::<3>().into_iter().map(Some).collect();
    let keys = "affinity = { cookie = \"seat\", key = \"0123456789abcdef\" }";
    let urls: Vec<_> = origins.iter().flatten().map(|origin| format!("\"{origin}\"")).collect();
    let config = group(&format!("endpoints = [{}]\n{keys}", urls.join(", ")));
    let gateway = Gateway::start(&config).await;
    let client = Client::http1();
    let first = client.get(gateway.url("/")).send().await;
    let seat = cookie(&first).unwrap();
    let line = first.header("set-cookie").unwrap();
    assert!(line.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{line}");
    assert!(!line.contains("127.0.0.1"), "{line}");
    let mine = origins.iter().position(|origin| origin.as_ref().unwrap().requests() == 1).unwrap();

    let stay = async |gateway: &Gateway| {
        let answer = client.get(gateway.url("/")).header("cookie", &format!("a=b; {seat}")).send().await;
        assert_eq!(answer.status, 200);
        cookie(&answer)
    };
    for _ in 0..10 {
        assert_eq!(stay(&gateway).await, None, "it has one already");
    }
    assert_eq!(origins[mine].as_ref().unwrap().requests(), 11);
    // A gateway with the same key understands it, and an endpoint that was started again is the same.
    let other = Gateway::start(&config).await;
    let address = origins[mine].take().unwrap().address().to_string();
    origins[mine] = Some(Origin::start_on(&address).unwrap());
    assert_eq!((stay(&gateway).await, stay(&other).await), (None, None));
    assert_eq!(origins[mine].as_ref().unwrap().requests(), 2);
    // When it is gone, another takes over.
    origins[mine] = None;
    let moved = stay(&gateway).await.unwrap();
    assert_ne!(moved, seat);
    // Nobody is fooled by what nobody set.
    let guess = client.get(gateway.url("/")).header("cookie", "seat=00000000000000000000000000000000");
    assert!(cookie(&guess.send().await).is_some());
}
