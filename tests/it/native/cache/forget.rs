//! How what is kept is forgotten: because it was changed, or because operators want it so.

use limen_tests::{Client, Gateway, eventually};

use super::{Told, answer, config, gateway, get, in_two_pieces, ok};

#[tokio::test]
async fn what_changes_something_makes_it_forget() {
    let told = Told::start(|number, head| {
        if head.starts_with("POST") {
            return answer(if head.contains("x-fail") { "400 No" } else { "201 Made" }, "location: /b", "");
        }
        ok("cache-control: max-age=60", format!("{number}"))
    });
    let told = told.await;
    let gateway = gateway(&told, "").await;
    let (a, b) = (get(&gateway, "/a", &[]).await.text(), get(&gateway, "/b", &[]).await.text());
    let post = async |failing: bool| {
        let asked = Client::http1().post(gateway.url("/a"));
        if failing { asked.header("x-fail", "1").send().await } else { asked.send().await }
    };
    assert_eq!(post(true).await.status, 400);
    assert_eq!(
        (get(&gateway, "/a", &[]).await.text(), get(&gateway, "/b", &[]).await.text()),
        (a.clone(), b.clone())
    );
    assert_eq!(post(false).await.status, 201);
    assert_ne!(get(&gateway, "/a", &[]).await.text(), a);
    assert_ne!(get(&gateway, "/b", &[]).await.text(), b, "the place that the answer names");
}

#[tokio::test]
async fn operators_make_it_forget_on_all_workers() {
    let told = Told::start(|number, head| {
        let path = head.split(' ').nth(1).unwrap();
        ok(
            &format!("cache-control: max-age=600\r\nsurrogate-key: all {}", path.trim_start_matches('/')),
            format!("{number}"),
        )
    });
    let told = told.await;
    let gateway = Gateway::start(format!("[gateway]\nworkers = 4\n{}", config(&told, "\"cache\""))).await;
    let host = gateway.url("");
    let paths = ["/a", "/a/b", "/c", "/d"];
    let ask = async || {
        let mut all = Vec::new();
        for path in paths {
            all.push(get(&gateway, path, &[]).await.text());
        }
        all
    };
    let purge = async |query: &str| {
        Client::http1().post(gateway.admin_url(&format!("/caches/purge?{query}"))).send().await
    };
    let first = ask().await;
    for _ in 0..5 {
        assert_eq!(ask().await, first, "whichever worker is asked");
    }
    let mut kept = first.clone();
    for (query, gone) in [
        (format!("url={host}/a"), &[0][..]),
        (format!("url={}/c", host.trim_start_matches("http://")), &[2]),
        (format!("prefix={host}/a"), &[0, 1]),
        ("tag=d".to_owned(), &[3]),
        ("tag=all&cache=/**/cache".to_owned(), &[0, 1, 2, 3]),
        ("all=true".to_owned(), &[0, 1, 2, 3]),
        (format!("url={host}/other"), &[]),
    ] {
        let purged = purge(&query).await;
        assert_eq!(
            (purged.status.as_u16(), purged.json()["purged"].as_u64()),
            (200, Some(gone.len() as u64)),
            "{query}"
        );
        for _ in 0..3 {
            let now = ask().await;
            let changed: Vec<_> = (0..4).filter(|&place| now[place] != kept[place]).collect();
            assert!(changed.iter().all(|place| gone.contains(place)), "{query}: {changed:?}");
            if now != kept {
                assert_eq!(changed, gone, "{query}");
            }
            kept = now;
        }
    }
    for (query, status) in [("", 400), ("url=a&tag=b", 400), ("urls=a", 400), ("all=true&cache=x", 404)] {
        assert_eq!(purge(query).await.status, status, "{query}");
    }

    // By the command, and over a reload.
    let admin = gateway.admin_url("").trim_start_matches("http://").to_owned();
    let said = gateway.successor().finish(&["cache", "purge", "--tag", "d", "--admin", &admin]).await;
    assert!(said.status.success() && said.stdout.contains("forgotten: 1 responses"), "{said:?}");
    let before = ask().await;
    assert_ne!(before, kept);
    gateway.write_config(format!("# again\n[gateway]\nworkers = 4\n{}", config(&told, "\"cache\"")));
    gateway.wait_for_log_containing("the configuration is live").await;
    assert_eq!(ask().await, before, "it is kept over a reload");
    let metrics = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    assert!(metrics.contains("limen_cache_hits_total{limen_cache=\"/**/cache\"} "), "{metrics}");
    let caches = Client::http1().get(gateway.admin_url("/caches")).send().await.json();
    assert_eq!((&caches[0]["name"], &caches[0]["urls"]), (&"/**/cache".into(), &4.into()), "{caches}");
}

#[tokio::test]
async fn what_is_on_its_way_when_it_is_forgotten_is_not_kept() {
    let told = in_two_pieces().await;
    let gateway = gateway(&told, "").await;
    let purge = async {
        eventually("the upstream to be asked", async || (told.requests() > 0).then_some(())).await;
        Client::http1().post(gateway.admin_url("/caches/purge?all=true")).send().await
    };
    let (first, purged) = tokio::join!(get(&gateway, "/a", &[]), purge);
    assert_eq!((first.text().as_str(), purged.status.as_u16()), ("0", 200));
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "1");
}
