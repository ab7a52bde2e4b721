use crate::common::{assert_problem, config, route};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use limen_tests::{Answer, Client, Gateway, Origin, Setup, eventually};
use serde_json::Value;
use std::process::Command;

/// `htpasswd -nbB -C 4 ada "open sesame"`
pub const USERS: &str = "# users\nada:$2y$04$fsx/21FF.K2QIbRfQqOsceBd00w9aRBNXwebMr7OjEfOJh5iA/Suq\n\n";

fn setup(origin: &Origin, with: &str) -> Setup {
    let policy = format!("{{ use = \"basic\", with = {{ {with} }} }}");
    let text = config(origin, &format!("[log]\naccess = true\nlevel = \"debug\"\n{}", route("/**", &policy)));
    Gateway::with(text).file("users.htpasswd", USERS)
}

async fn ask(gateway: &Gateway, pair: &str) -> Answer {
    let asked = Client::http1().get(gateway.url("/")).header("x-user", "root");
    asked.header("authorization", &format!("Basic {}", STANDARD.encode(pair))).send().await
}

#[tokio::test]
async fn a_password_lets_pass_and_names_the_consumer() {
    let origin = Origin::start();
    let with = r#"file = "users.htpasswd", realm = "orders", header = "x-user", strip = true"#;
    let gateway = setup(&origin, with).start().await;
    for _ in 0..3 {
        let passed = ask(&gateway, "ada:open sesame").await;
        let seen = &passed.json()["headers"];
        assert_eq!((passed.status.as_u16(), &seen["x-user"]), (200, &"ada".into()));
        assert_eq!(seen["authorization"], Value::Null);
    }
    gateway.wait_for_log(|line| line.contains("consumer") && line.contains("ada")).await;
    let before = origin.requests();
    for (pair, why) in [
        ("ada:open sesame!", "user or password is wrong"),
        ("eve:open sesame", "user or password is wrong"),
        ("ada:", "user or password is wrong"),
        ("ada", "no colon"),
        ("ada:open\nsesame", "not text"),
    ] {
        gateway.forget_log();
        let refused = ask(&gateway, pair).await;
        assert_problem(&refused, 401);
        assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"orders\", charset=\"UTF-8\""));
        gateway.wait_for_log_containing(why).await;
    }
    let nobody = Client::http1().get(gateway.url("/")).header("x-user", "root").send().await;
    assert_problem(&nobody, 401);
    assert_eq!(origin.requests(), before);
    assert!(gateway.log().iter().all(|line| !line.contains("sesame")), "passwords are in no log");
}

#[tokio::test]
async fn users_have_scopes_and_attributes() {
    let origin = Origin::start();
    let bob = USERS.lines().find_map(|line| line.strip_prefix("ada:")).unwrap();
    let basic = format!(
        r#"{{ use = "basic", with = {{ file = "users.htpasswd", scopes = ["read"], users = {{ ada = {{ scopes = ["read", "write"], plan = "gold", attributes = {{ team = "a" }} }}, bob = {{ hash = "{bob}" }} }} }} }}"#
    );
    let headers = r#"{ use = "headers", with = { request = { set = { x-is = "{consumer.id} {consumer.attributes.plan} {consumer.attributes.team}" } } } }"#;
    let authorize = r#"{ use = "authorize", with = { scopes = ["write"] } }"#;
    let rest = route("/**", &format!("{basic}, {authorize}, {headers}"));
    let text = config(&origin, &format!("[log]\naccess = true\n{rest}"));
    let gateway = Gateway::with(text).file("users.htpasswd", USERS).start().await;
    let passed = ask(&gateway, "ada:open sesame").await;
    assert_eq!((passed.status.as_u16(), &passed.json()["headers"]["x-is"]), (200, &"ada gold a".into()));
    assert_problem(&ask(&gateway, "bob:open sesame").await, 403);
    gateway.wait_for_log_containing("user `bob` lacks the scope `read`").await;
    assert_problem(&ask(&gateway, "bob:wrong").await, 401);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn curl_logs_in_and_a_password_can_be_changed() {
    let origin = Origin::start();
    let gateway = setup(&origin, r#"file = "users.htpasswd""#).start().await;
    let curl = |password: &str| {
        let user = format!("ada:{password}");
        let mut curl = Command::new("curl");
        let out = curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", &user]);
        String::from_utf8(out.arg(gateway.url("/")).output().unwrap().stdout).unwrap()
    };
    assert_eq!(curl("open sesame"), "200");
    let made = Command::new("htpasswd").args(["-nbB", "-C", "4", "ada", "new"]).output().unwrap();
    gateway.replace_file("users.htpasswd", made.stdout);
    eventually("the new password", async || (curl("new") == "200").then_some(())).await;
    assert_eq!(curl("open sesame"), "401", "what was remembered is forgotten");
}

#[tokio::test]
async fn what_was_right_is_remembered_over_reloads() {
    let origin = Origin::start();
    let made = Command::new("htpasswd").args(["-nbB", "-C", "13", "bob", "slow"]).output().unwrap();
    let policy = r#"{ use = "basic", with = { file = "users.htpasswd" } }"#;
    let text = config(&origin, &route("/**", policy));
    let gateway = Gateway::with(&text).file("users.htpasswd", made.stdout).start().await;
    let begun = std::time::Instant::now();
    assert_eq!(ask(&gateway, "bob:slow").await.status, 200);
    let slow = begun.elapsed();
    gateway.write_config(format!("{text}\n[log]\nlevel = \"debug\"\n"));
    gateway.wait_for_log_containing("the configuration is live").await;
    let begun = std::time::Instant::now();
    assert_eq!(ask(&gateway, "bob:slow").await.status, 200);
    assert!(begun.elapsed() < slow / 4, "{:?} after {slow:?}", begun.elapsed());
}

/// A password that takes a second of computing is asked for by many, and others are served meanwhile.
#[tokio::test]
async fn slow_passwords_hold_up_nobody() {
    let origin = Origin::start();
    let made = Command::new("htpasswd").args(["-nbB", "-C", "12", "bob", "slow"]).output().unwrap();
    let policy = route("/login", r#"{ use = "basic", with = { file = "users.htpasswd" } }"#);
    let text = format!("[gateway]\nworkers = 1\n{}", config(&origin, &[policy, route("/**", "")].concat()));
    let gateway = Gateway::with(text).file("users.htpasswd", made.stdout).start().await;
    let login = |password: &str| {
        let login = Client::http1().get(gateway.url("/login"));
        login.header("authorization", &format!("Basic {}", STANDARD.encode(format!("bob:{password}")))).send()
    };
    // How long one takes.
    let begun = std::time::Instant::now();
    assert_eq!(login("slow").await.status, 200);
    let one = begun.elapsed();
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(login("slow").await.status, 200);
    }
    assert!(
        begun.elapsed() < one * 10,
        "{:?} for twenty that are remembered, {one:?} for one",
        begun.elapsed()
    );
    let wrong = ["a", "b", "c", "d"];
    let attackers: Vec<_> = wrong.iter().map(|password| tokio::spawn(Box::pin(login(password)))).collect();
    let mut served = 0;
    while !attackers.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(Client::http1().get(gateway.url("/free")).send().await.status, 200);
        served += 1;
    }
    let mut statuses = Vec::new();
    for attacker in attackers {
        statuses.push(attacker.await.unwrap().status.as_u16());
    }
    assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{statuses:?}");
    assert!(served >= 4, "only {served} were served while {} passwords were checked", wrong.len());
}

#[tokio::test]
async fn mistakes_are_shown_without_hashes() {
    let origin = Origin::start();
    for (with, said) in [
        (r#"file = "nowhere""#, "could not read"),
        ("", "no users"),
        (r#"users = { ada = "{SHA}secret" }"#, "user `ada` has a hash that is neither bcrypt"),
        (r#"file = "bad.htpasswd""#, "line 2: user `bob` has"),
        (r#"users = { "a:b" = "x" }"#, "not a user's name"),
        (r#"file = "users.htpasswd", users = { eve = { plan = "gold" } }"#, "user `eve` has no `hash`"),
        (r#"file = "users.htpasswd", users = { ada = { scope = "x" } }"#, "unknown field `scope`"),
        (r#"file = "users.htpasswd", remember = "2h""#, "at most 1h"),
    ] {
        let bad = format!(
            "{}bob:$apr1$secret\n",
            USERS.trim_start_matches("# users\n").trim_end().to_owned() + "\n"
        );
        let checked = setup(&origin, with).file("bad.htpasswd", bad).check().await;
        assert_eq!(checked.status.code(), Some(1), "{with}");
        assert!(checked.stderr.contains(said), "{said}: {}", checked.stderr);
    }
    let checked =
        setup(&origin, r#"file = "bad.htpasswd""#).file("bad.htpasswd", "bob:$apr1$secret").check().await;
    assert!(!checked.stderr.contains("secret"), "{}", checked.stderr);
}
