//! Policies that misbehave: what the client gets, what the log says, and that it costs nobody else anything.

use crate::common::{
    BODIES, PATIENT, assert_problem, config, config_of_one_worker, guest_plugin, guest_plugin_with, plugin,
    route,
};
use limen_tests::client::Request;
use limen_tests::{Answer, Client, Gateway, Origin, guest};
use std::time::{Duration, Instant};

/// A guest on three routes, one for each `on_error`.
struct Naughty {
    guest: &'static str,
    origin: Origin,
    gateway: Gateway,
}

impl Naughty {
    async fn start(guest: &'static str, keys: &str) -> Naughty {
        Naughty::start_with(guest, keys, "").await
    }

    /// `settings` are the guest's own: `with = { ... }`.
    async fn start_with(guest: &'static str, keys: &str, settings: &str) -> Naughty {
        let attached = |more: &str| {
            let items = [&format!("use = {guest:?}"), settings, more];
            let items: Vec<_> = items.into_iter().filter(|it| !it.is_empty()).collect();
            format!("{{ {} }}", items.join(", "))
        };
        let rest = [
            "[log]\naccess = true".to_owned(),
            guest_plugin_with(guest, &format!("{keys}\n{BODIES}")),
            route("/refuse/**", &attached("")),
            route("/skip/**", &attached(r#"on_error = "skip""#)),
            route("/says/**", &attached("on_error = { status = 429 }")),
        ];
        let origin = Origin::start();
        let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
        Naughty { guest, origin, gateway }
    }

    fn get(&self, path: &str) -> Request<'static> {
        Client::http1().get(self.gateway.url(path))
    }

    async fn ask(&self, path: &str, naughty: &str) -> Answer {
        self.get(path).header("x-naughty", naughty).send().await
    }

    /// The guest's failure in the request phase for this `x-naughty` is what `on_error` says and nothing more,
    /// and the log tells why. Answers what came through with `skip`.
    async fn assert_contained(&self, naughty: &str, status: u16, reason: &str) -> Answer {
        let guest = self.guest;
        self.gateway.forget_log();

        let before = self.origin.requests();
        assert_problem(&self.ask("/refuse/1", naughty).await, status);
        let line = self.gateway.wait_for_log_containing("policy failed: ").await;
        assert!(line.contains(&format!("policy failed: {guest}: ")), "{line}");
        self.gateway.wait_for_log_containing(reason).await;
        self.assert_works("/refuse/2").await;
        assert_eq!(self.origin.requests(), before + 1, "what is refused goes no further");

        assert_problem(&self.ask("/says/1", naughty).await, 429);
        self.assert_works("/says/2").await;

        self.gateway.forget_log();
        let skipped = self.ask("/skip/1", naughty).await;
        assert_eq!(skipped.status, 200, "{}", skipped.text());
        assert_eq!(skipped.json()["path"], "/skip/1");
        self.gateway.wait_for_log_containing("policy failed, skipped: ").await;
        self.gateway.wait_for_log_containing(reason).await;
        self.assert_works("/skip/2").await;
        skipped
    }

    /// A request that asks for nothing naughty is served as if nothing had been.
    async fn assert_works(&self, path: &str) {
        for client in [Client::http1(), Client::http2()] {
            let answer = client.post(self.gateway.url(path)).body("well-behaved").send().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            if path.starts_with("/refuse") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_loop_ends_at_its_cpu_limit() {
    // Two of them in a second would have it left alone; here what follows is to be served.
    let keys = r#"limits = { cpu = "50ms", wall = "20s", breaker = { wasted = 100 } }"#;
    let naughty = Naughty::start("loops", keys).await;
    let begun = Instant::now();
    naughty.assert_contained("loop", 503, "limits.cpu").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "three loops took {:?}", begun.elapsed());
}

#[tokio::test]
async fn many_loops_at_once_end_too() {
    // So many that fail would have it left alone; here each of them is to be stopped.
    let keys =
        r#"limits = { cpu = "20ms", wall = "20s", breaker = { errors = 100, calls = 64, wasted = 100 } }"#;
    let naughty = Naughty::start("loops", keys).await;
    let loops = (0..50).map(|n| {
        let request = naughty.get(&format!("/refuse/{n}")).header("x-naughty", "loop");
        tokio::spawn(request.send())
    });
    for answer in loops.collect::<Vec<_>>() {
        assert_problem(&answer.await.unwrap(), 503);
    }
    naughty.assert_works("/refuse/after").await;
}

#[tokio::test]
async fn memory_ends_at_its_limit() {
    let naughty = Naughty::start("eats-memory", PATIENT).await;
    let before = naughty.gateway.rss_bytes();
    naughty.assert_contained("eat", 503, "limits.memory").await;
    let grown = naughty.gateway.rss_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "grown by {grown} bytes");
}

#[tokio::test]
async fn memory_that_configure_keeps_counts() {
    let origin = Origin::start();
    let with = |kept: u32| {
        let rest = [
            guest_plugin("eats-memory"),
            route("/**", &format!(r#"{{ use = "eats-memory", with = {{ kept = {kept} }} }}"#)),
        ];
        config(&origin, &rest.join("\n"))
    };

    let refused = Gateway::with(with(20)).run().await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("plugin `eats-memory` does not start"), "{}", refused.stderr);
    assert!(refused.stderr.contains("[plugin.eats-memory] limits"), "{}", refused.stderr);

    let gateway = Gateway::start(with(8)).await;
    for _ in 0..3 {
        let answer = Client::http1().get(gateway.url("/")).send().await;
        assert_eq!(answer.json()["headers"]["x-kept"], (8 << 20).to_string());
    }
}

#[tokio::test]
async fn a_trap_in_the_request_hook_leaves_no_trace() {
    for isolate in ["fresh", "reused"] {
        let naughty = Naughty::start("traps", &format!("isolate = {isolate:?}\n{PATIENT}")).await;
        for (how, reason) in [("panic", "asked to panic in on_request"), ("unreachable", "unreachable")] {
            let skipped = naughty.assert_contained(how, 503, reason).await;
            assert!(skipped.json()["headers"]["x-before-trap"].is_null(), "{}", skipped.text());
            assert_eq!(skipped.header("x-before-trap"), None, "it is not asked again");
        }
    }
}

#[tokio::test]
async fn a_trap_in_the_response_hook_leaves_no_trace() {
    let naughty = Naughty::start("traps", PATIENT).await;

    let refused = naughty.ask("/refuse/1", "panic-response").await;
    assert_problem(&refused, 503);
    assert_eq!(refused.header("x-before-trap"), None);
    naughty.gateway.wait_for_log_containing("asked to panic in on_response").await;
    assert_problem(&naughty.ask("/says/1", "panic-response").await, 429);

    let skipped = naughty.ask("/skip/1", "panic-response").await;
    assert_eq!(skipped.status, 200);
    assert_eq!(skipped.header("x-before-trap"), None);
    assert_eq!(skipped.json()["headers"]["x-before-trap"], "request", "the request hook had ended well");

    let after = naughty.ask("/refuse/2", "nothing").await;
    assert_eq!((after.status.as_u16(), after.header("x-before-trap")), (200, Some("response")));
}

#[tokio::test]
async fn a_trap_in_the_log_hook_is_for_the_log_alone() {
    let naughty = Naughty::start("traps", PATIENT).await;
    for path in ["/refuse/1", "/says/1", "/skip/1"] {
        naughty.gateway.forget_log();
        let answer = naughty.ask(path, "panic-log").await;
        assert_eq!((answer.status.as_u16(), answer.header("x-before-trap")), (200, Some("response")));
        naughty.gateway.wait_for_log_containing("asked to panic in on_log").await;
        naughty.gateway.wait_for_log_containing("policy failed, skipped: ").await;
        naughty.assert_works(path).await;
    }
}

#[tokio::test]
async fn recursion_ends_at_the_end_of_the_stack() {
    let naughty = Naughty::start("recurses", PATIENT).await;
    naughty.assert_contained("recurse", 503, "out of bounds").await;
    naughty.assert_contained("recurse-deep", 503, "call stack exhausted").await;
}

#[tokio::test]
async fn sleep_ends_at_the_wall_limit() {
    let naughty = Naughty::start("sleeps", r#"limits = { cpu = "100ms", wall = "200ms" }"#).await;
    let begun = Instant::now();
    naughty.assert_contained("sleep", 503, "took longer than 200ms").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "three sleeps took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_hook_leaves_nothing_behind() {
    let origin = Origin::start();
    let rest = [
        "[log]\naccess = true".to_owned(),
        guest_plugin("logs"),
        guest_plugin_with(
            "sleeps",
            r#"isolate = "reused"
            limits = { cpu = "2s", wall = "60s" }"#,
        ),
        route("/**", r#""logs", "sleeps""#),
    ];
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest.join("\n"))).await;
    let client = Client::http1();
    assert_eq!(client.get(gateway.url("/before")).send().await.status, 200);
    gateway.wait_for_log_containing("slept through /before").await;

    gateway.forget_log();
    let mut connection = client.connect(gateway.url("/")).await.unwrap();
    {
        let asleep = connection.get("/asleep").header("x-naughty", "sleep").send();
        // The hook has begun when the worker has served somebody else since.
        let others = async {
            for _ in 0..10 {
                assert_eq!(client.get(gateway.url("/other")).send().await.status, 200);
            }
        };
        tokio::select! {
            answer = asleep => panic!("it slept for a minute? {answer:?}"),
            () = others => {}
        }
    }
    drop(connection);

    // The exchange has ended, and those who can are told; the isolate that was torn out of its hook can't.
    gateway.wait_for_log(|line| line.contains("ended GET /asleep")).await;
    gateway.wait_for_log(|line| line.contains("path=\"/asleep\"") && line.contains("complete=false")).await;
    assert_eq!(client.get(gateway.url("/after")).send().await.status, 200);
    gateway.wait_for_log_containing("slept through /after").await;
    let log = gateway.log();
    assert!(!log.iter().any(|line| line.contains("slept through /asleep")), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("policy failed")), "{log:#?}");
    assert_eq!(origin.requests(), 12, "what slept went no further");
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_off_and_the_log_says_so() {
    let naughty = Naughty::start("floods-log", r#"limits = { cpu = "10s", wall = "10s" }"#).await;
    for how in ["log", "stderr", "long"] {
        naughty.gateway.forget_log();
        let path = format!("/skip/{how}");
        assert_eq!(naughty.ask(&path, how).await.status, 200);
        // The line of the exchange comes after all that its hooks have written.
        let last = |line: &str| line.contains(" access: ") && line.contains(&path);
        naughty.gateway.wait_for_log(last).await;
        let log = naughty.gateway.log();
        let end = log.iter().position(|line| last(line)).unwrap();
        let told = log[..end].iter().filter(|line| line.contains("the rest is dropped")).count();
        assert_eq!(told, 1, "{how}: {:#?}", &log[..end.min(50)]);
        let flood = log[..end].iter().filter(|line| line.contains(" policy: ")).count() - told;
        assert_eq!(flood, if how == "long" { 0 } else { 32 }, "{how}");
        assert!(end < 40, "{how}: {end} lines");
    }
    // What a client sent can't be passed off as a line of somebody else's.
    naughty.gateway.forget_log();
    naughty.ask("/skip/lines", "lines").await;
    naughty.gateway.wait_for_log_containing("second line").await;
    let second = naughty.gateway.log().into_iter().find(|line| line.contains("second line")).unwrap();
    assert!(second.contains(" policy: ") && second.contains("plugin=\"floods-log\""), "{second}");
    // Each hook has its own share.
    naughty.gateway.forget_log();
    naughty.ask("/skip/again", "log").await;
    naughty.gateway.wait_for_log_containing("flood 31").await;
}

#[tokio::test]
async fn a_lie_is_the_policy_s_own_failure() {
    let naughty = Naughty::start("lies", PATIENT).await;
    for (lie, status, reason) in [
        ("want-body", 503, "exports no hook-request-body"),
        ("want-chunks", 503, "want-chunks"),
        ("reply", 503, "staged none"),
        ("fail", 500, "it gave no reason"),
    ] {
        let skipped = naughty.assert_contained(lie, status, reason).await;
        assert!(skipped.json()["headers"]["x-staged"].is_null(), "{lie}: {}", skipped.text());
    }
}

#[tokio::test]
async fn what_fails_on_a_request_leaves_no_trace() {
    for phase in ["request", "request-body"] {
        let naughty = Naughty::start_with("fails", PATIENT, &format!("with = {{ phase = {phase:?} }}")).await;
        let post =
            async |path: &str| Client::http1().post(naughty.gateway.url(path)).body("as it was").send().await;
        assert_problem(&post("/refuse/1").await, 500);
        naughty.gateway.wait_for_log_containing("told to fail").await;
        assert_problem(&post("/says/1").await, 429);
        assert_eq!(naughty.origin.requests(), 0);

        let skipped = post("/skip/1").await;
        assert_eq!(skipped.status, 200, "{}", skipped.text());
        assert_eq!(skipped.header("x-staged"), None);
        let seen = skipped.json();
        assert_eq!((&seen["path"], &seen["body"]), (&"/skip/1".into(), &"as it was".into()));
        assert!(seen["headers"]["x-staged"].is_null(), "{seen}");
    }
}

#[tokio::test]
async fn what_fails_on_a_response_leaves_no_trace() {
    for phase in ["response", "response-body"] {
        let naughty = Naughty::start_with("fails", PATIENT, &format!("with = {{ phase = {phase:?} }}")).await;
        let refused = naughty.get("/refuse/1").send().await;
        assert_problem(&refused, 500);
        assert_eq!(refused.header("x-staged"), None);
        naughty.gateway.wait_for_log_containing("told to fail").await;
        assert_problem(&naughty.get("/says/1").send().await, 429);

        let skipped = naughty.get("/skip/1").send().await;
        assert_eq!(skipped.status, 200, "{}", skipped.text());
        assert_eq!(skipped.header("x-staged"), None);
        // The request hook ended well, so what it did stays.
        assert_eq!(skipped.json()["path"], "/staged");
        assert_eq!(skipped.header("content-length"), Some(&*skipped.body.len().to_string()));
    }
}

#[tokio::test]
async fn what_fails_at_the_end_is_for_the_log_alone() {
    let naughty =
        Naughty::start_with("fails", PATIENT, r#"with = { phase = "log", reason = "told to fail late" }"#)
            .await;
    let answer = naughty.get("/refuse/1").send().await;
    assert_eq!((answer.status.as_u16(), answer.header("x-staged")), (299, Some("response")));
    naughty.gateway.wait_for_log_containing("told to fail late").await;
    assert_eq!(naughty.get("/refuse/2").send().await.status, 299);
}

#[tokio::test]
async fn an_import_without_a_grant_is_refused_by_name() {
    let origin = Origin::start();
    let config_with = |keys: &str| {
        let rest = [guest_plugin_with("ungranted", keys), route("/**", r#""ungranted""#)];
        config(&origin, &rest.join("\n"))
    };
    for finished in
        [Gateway::with(config_with(PATIENT)).run().await, Gateway::with(config_with(PATIENT)).check().await]
    {
        assert_eq!(finished.status.code(), Some(1));
        assert!(!finished.stdout.contains("listening on"), "{}", finished.stdout);
        let said = &finished.stderr;
        assert!(
            said.contains("plugin `ungranted`: the component imports `counters`, which it is not granted"),
            "{said}"
        );
        assert!(said.contains("grants = { counters = true }"), "{said}");
        assert!(said.contains("key: plugin.ungranted"), "{said}");
    }

    let gateway = Gateway::start(config_with(&format!("grants = {{ counters = true }}\n{PATIENT}"))).await;
    // From many connections, and so through all workers: the limit is one for the whole gateway.
    let begun = Instant::now();
    let asked = (0..20).map(|_| tokio::spawn(Client::http1().get(gateway.url("/")).send()));
    let mut remaining = vec![];
    let mut refused = 0;
    for answer in asked.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        match answer.status.as_u16() {
            200 => remaining.push(answer.header("x-remaining").unwrap().to_owned()),
            429 => {
                refused += 1;
                let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=10).contains(&seconds), "{seconds}");
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    remaining.sort();
    if begun.elapsed() < Duration::from_secs(9) {
        assert_eq!((remaining, refused), (vec!["0".to_owned(), "1".to_owned(), "2".to_owned()], 17));
    }
}

#[tokio::test]
async fn sockets_are_refused_by_name() {
    let origin = Origin::start();
    let rest = [guest_plugin("opens-sockets"), route("/**", r#""opens-sockets""#)];
    let refused = Gateway::with(config(&origin, &rest.join("\n"))).run().await;
    assert_eq!(refused.status.code(), Some(1));
    let said = &refused.stderr;
    assert!(said.contains("plugin `opens-sockets`: the component imports `wasi:sockets/"), "{said}");
    assert!(said.contains("calls upstreams with `fetch`"), "{said}");
    let file = guest("opens-sockets");
    let inspected = Gateway::with("").finish(&["policy", "inspect", file.to_str().unwrap()]).await;
    assert!(inspected.stderr.contains("imports `wasi:sockets/"), "{}", inspected.stderr);
}

#[tokio::test]
async fn another_version_of_the_contract_is_refused_by_name() {
    let origin = Origin::start();
    let rest = [guest_plugin("wrong-version"), route("/**", r#""wrong-version""#)];
    let refused = Gateway::with(config(&origin, &rest.join("\n"))).run().await;
    assert_eq!(refused.status.code(), Some(1));
    let said = &refused.stderr;
    assert!(said.contains("plugin `wrong-version`: the component was built for version 9.9.0"), "{said}");
    assert!(said.contains("this gateway speaks 0.1.0"), "{said}");
}

#[tokio::test]
async fn a_refusal_by_configure_stands_at_its_settings() {
    let origin = Origin::start();
    let config_with = |settings: &str| {
        let attached = format!(r#"{{ use = "configure-refuses", with = {{ {settings} }} }}"#);
        config(&origin, &[guest_plugin("configure-refuses"), route("/**", &attached)].join("\n"))
    };

    let refused = Gateway::with(config_with(r#"refuse = "not on a tuesday""#)).run().await;
    assert_eq!(refused.status.code(), Some(1));
    let said = &refused.stderr;
    assert!(said.contains("plugin `configure-refuses` refuses these settings: not on a tuesday\n"), "{said}");
    assert!(said.contains("refuse = \"not on a tuesday\""), "the line is shown: {said}");

    let panicked = Gateway::with(config_with("panic = true")).run().await;
    assert_eq!(panicked.status.code(), Some(1));
    let said = &panicked.stderr;
    let place = "refuses these settings: trap: panicked at ";
    assert!(
        said.contains(place) && said.contains("src/lib.rs:20:13: asked to panic in configure ("),
        "{said}"
    );
    assert!(!said.contains("backtrace") && !said.contains("\\n"), "{said}");
    let whose =
        |line: &&str| line.contains("ERROR policy: ") && line.contains("plugin=\"configure-refuses\"");
    assert!(panicked.stdout.lines().chain(said.lines()).any(|line| whose(&line)), "{panicked:?}");

    let gateway = Gateway::start(config_with("")).await;
    let answer = Client::http1().get(gateway.url("/")).send().await;
    assert_eq!(answer.json()["headers"]["x-policy"], "configure-refuses");
}

#[tokio::test]
async fn a_loop_in_configure_ends_after_five_seconds() {
    let origin = Origin::start();
    let rest = [guest_plugin("configure-loops"), route("/**", r#""configure-loops""#)];
    let begun = Instant::now();
    let refused = Gateway::with(config(&origin, &rest.join("\n"))).run().await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(refused.status.code(), Some(1));
    let said = &refused.stderr;
    assert!(said.contains("plugin `configure-loops` refuses these settings"), "{said}");
}

#[tokio::test]
async fn all_that_is_wrong_at_the_start_is_said_at_once() {
    let origin = Origin::start();
    let rest = [
        guest_plugin("ungranted"),
        guest_plugin("wrong-version"),
        guest_plugin("configure-refuses"),
        plugin("good", guest("raw"), PATIENT),
        route("/1", r#""ungranted""#),
        route("/2", r#""wrong-version""#),
        route("/3", r#"{ use = "configure-refuses", with = { refuse = "no" } }"#),
        route("/4", r#""good""#),
    ];
    let refused = Gateway::with(config(&origin, &rest.join("\n"))).run().await;
    assert_eq!(refused.status.code(), Some(1));
    for name in ["ungranted", "wrong-version", "configure-refuses"] {
        assert!(refused.stderr.contains(&format!("plugin `{name}`")), "{}", refused.stderr);
    }
    assert!(refused.stderr.ends_with("3 errors in 1 file\n"), "{}", refused.stderr);
}
