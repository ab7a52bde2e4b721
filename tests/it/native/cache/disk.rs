//! The second tier: what had to go from memory, or was there before a restart, is answered from the disk.

use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use limen_tests::{Answer, Client, Gateway, eventually};
use serde_json::Value;
use tempfile::TempDir;

use super::super::mistake;
use super::{Told, config, get, ok, status_of};

/// Another port is another URL: who asks names the same host each time.
pub const HOST: (&str, &str) = ("host", "api.example.com");
/// Too many of them for memory.
const MANY: std::ops::Range<usize> = 100_000..100_030;

async fn gateway(told: &Told, above: &TempDir, with: &str) -> Gateway {
    let gateway = unopened(told, above, with).await;
    opened(&gateway).await;
    gateway
}

/// It may have to wait for its folder.
async fn unopened(told: &Told, above: &TempDir, with: &str) -> Gateway {
    let folder = above.path().join("disk");
    let with = format!("size = \"1MiB\", max_object = \"200KiB\", disk = {{ folder = {folder:?}, {with} }}");
    let text = config(told, &format!("{{ use = \"cache\", with = {{ {with} }} }}"));
    Box::pin(Gateway::start(text)).await
}

/// An origin whose answers are as long as the path says.
async fn origin() -> Told {
    let answer = |_, head: &str| {
        let length: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let tag = if length.is_multiple_of(2) { "even" } else { "odd" };
        ok(&format!("cache-control: max-age=600\r\ncache-tag: {tag}"), content(length))
    };
    Told::start(answer).await
}

fn content(length: usize) -> String {
    format!("{length} ").repeat(length / 4)[..length].to_owned()
}

async fn ask(gateway: &Gateway, length: usize) -> Answer {
    let answer = Box::pin(get(gateway, &format!("/{length}"), &[HOST])).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text() == content(length), "{length}: not its own answer");
    answer
}

pub async fn cache(gateway: &Gateway) -> Value {
    Box::pin(Client::http1().get(gateway.admin_url("/caches")).send()).await.json()[0].clone()
}

/// Waits until it has its folder, and knows what is there: before that, nothing is found there, and what is too long for
/// memory is not kept.
pub async fn opened(gateway: &Gateway) {
    let is_open = async || (cache(gateway).await["disk"]["open"] == true).then_some(());
    eventually("the folder to be open", is_open).await;
}

/// Waits until all is written that was stored.
async fn written(gateway: &Gateway, above: &TempDir, count: usize) {
    eventually("the files", async || (files(above).len() >= count).then_some(())).await;
    assert_eq!(cache(gateway).await["disk"]["skipped"], 0);
}

/// The files of responses that are written whole.
pub fn files(above: &TempDir) -> Vec<PathBuf> {
    let mut found = all_files(above);
    found.retain(|path| !is_half(path));
    found
}

pub fn is_half(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_str().unwrap().starts_with("new-"))
}

pub fn all_files(above: &TempDir) -> Vec<PathBuf> {
    fn all(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all(&path, found);
            } else if !path.ends_with("lock") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    all(&above.path().join("disk"), &mut found);
    found.sort();
    found
}

fn is_from_disk(answer: &Answer) -> bool {
    status_of(answer).starts_with("limen; hit; ttl=") && status_of(answer).ends_with("; detail=disk")
}

#[tokio::test]
async fn what_memory_has_no_room_for_is_answered_from_the_disk_and_after_a_restart() {
    let (told, above) = (origin().await, tempfile::tempdir().unwrap());
    let first = gateway(&told, &above, "size = \"64MiB\"").await;
    for length in MANY {
        ask(&first, length).await;
    }
    written(&first, &above, MANY.len()).await;
    let mut from_disk = 0;
    for length in MANY {
        from_disk += usize::from(is_from_disk(&ask(&first, length).await));
    }
    assert_eq!(told.requests(), MANY.len());
    assert!((15..=MANY.len()).contains(&from_disk), "{from_disk}");
    let seen = cache(&first).await;
    assert_eq!((&seen["from_disk"], &seen["hits"]), (&from_disk.into(), &MANY.len().into()), "{seen}");
    assert!(seen["bytes"].as_u64().unwrap() <= 1 << 20, "{seen}");

    drop(first); // killed
    let again = gateway(&told, &above, "size = \"64MiB\"").await;
    again.wait_for_log_containing("is ready").await;
    for length in MANY {
        let answer = ask(&again, length).await;
        assert!(is_from_disk(&answer), "{}", status_of(&answer));
        assert!(answer.header("age").is_some());
    }
    // Ranges, conditions and HEAD as of any other; and for many at once it is read once.
    drop(again);
    let again = gateway(&told, &above, "size = \"64MiB\"").await;
    let part = get(&again, "/100000", &[HOST, ("range", "bytes=0-5")]).await;
    assert_eq!((part.status.as_u16(), part.text().as_str()), (206, "100000"));
    let all = futures_util::future::join_all((0..40).map(|_| ask(&again, 100_001))).await;
    assert!(all.iter().all(|answer| status_of(answer).starts_with("limen; hit")));
    assert_eq!(told.requests(), MANY.len(), "the upstream was not asked again");
}

#[tokio::test]
async fn variants_come_back_as_they_were() {
    let told = Told::start(|number, head| {
        let language = head.lines().find_map(|line| line.strip_prefix("accept-language: ")).unwrap_or("none");
        ok("cache-control: max-age=600\r\nvary: accept-language\r\nage: 100", format!("{language} {number}"))
    });
    let (told, above) = (told.await, tempfile::tempdir().unwrap());
    let first = gateway(&told, &above, "size = \"1MiB\"").await;
    for language in ["de", "en"] {
        get(&first, "/a", &[HOST, ("accept-language", language)]).await;
    }
    written(&first, &above, 2).await;
    drop(first);
    let again = gateway(&told, &above, "size = \"1MiB\"").await;
    for (language, content) in [("en", "en 1"), ("de", "de 0"), ("fr", "fr 2")] {
        let answer = get(&again, "/a", &[HOST, ("accept-language", language)]).await;
        assert_eq!(answer.text(), content, "{}", status_of(&answer));
        let age: u64 = answer.header("age").unwrap_or("100").parse().unwrap();
        assert!((100..160).contains(&age), "{age}");
    }
}

#[tokio::test]
async fn a_file_that_is_damaged_or_cut_off_is_a_miss_and_goes() {
    let (told, above) = (origin().await, tempfile::tempdir().unwrap());
    let first = gateway(&told, &above, "size = \"64MiB\"").await;
    for length in 1000..1010 {
        ask(&first, length).await;
    }
    written(&first, &above, 10).await;
    drop(first);
    let all = files(&above);
    for (number, path) in all.iter().enumerate() {
        let mut bytes = std::fs::read(path).unwrap();
        match number % 3 {
            0 => bytes.truncate(number * 60),
            1 => *bytes.last_mut().unwrap() ^= 1,
            _ => bytes[number * 20] ^= 1,
        }
        std::fs::write(path, bytes).unwrap();
    }
    let again = gateway(&told, &above, "size = \"64MiB\"").await;
    for length in 1000..1010 {
        let answer = ask(&again, length).await;
        assert!(status_of(&answer).starts_with("limen; fwd=uri-miss; stored"), "{}", status_of(&answer));
    }
    assert_eq!(told.requests(), 20);
    assert_eq!(cache(&again).await["disk"]["damaged"], 10);
    again.wait_for_log_containing("a file of the cache can't be used and goes").await;
    written(&again, &above, 10).await;
    eventually("the bad ones to go", async || {
        let now = files(&above);
        all.iter().all(|path| !now.contains(path)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_disk_is_bounded_and_can_fail() {
    let (told, above) = (origin().await, tempfile::tempdir().unwrap());
    let gateway = gateway(&told, &above, "size = \"1MiB\"").await;
    for length in MANY {
        ask(&gateway, length).await;
    }
    let takes =
        || files(&above).iter().map(|path| path.metadata().map_or(0, |found| found.len())).sum::<u64>();
    eventually("the last one", async || {
        let told = cache(&gateway).await;
        (told["disk"]["skipped"] == 0 && takes() <= 1 << 20 && files(&above).len() >= 8).then_some(())
    })
    .await;
    // At once: it may be writing still.
    std::fs::rename(above.path().join("disk"), above.path().join("gone")).unwrap();
    for length in MANY {
        ask(&gateway, length).await;
    }
    gateway.wait_for_log_containing("the cache can't write to its folder").await;
    let page = gateway.admin_url("/caches/purge?all=true");
    assert_eq!(Box::pin(Client::http1().post(page).send()).await.status, 200);
    let before = told.requests();
    ask(&gateway, MANY.end).await;
    ask(&gateway, MANY.end).await;
    assert_eq!(told.requests(), before + 1, "memory goes on");
    let metrics = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    assert!(metrics.contains("limen_cache_disk_skipped_total{limen_cache=\"/**/cache\"}"), "{metrics}");
}

#[tokio::test]
async fn what_is_forgotten_does_not_come_back() {
    let told = Told::start(|number, head| {
        let path = head.split(' ').nth(1).unwrap();
        ok(&format!("cache-control: max-age=600\r\ncache-tag: {}", &path[1..2]), format!("{number}"))
    });
    let (told, above) = (told.await, tempfile::tempdir().unwrap());
    let paths = ["/a", "/a/b", "/c", "/d", "/e"];
    let mut gateway = Box::pin(gateway_of(&told, &above)).await;
    let mut before = ask_all(&gateway, &paths).await;
    for (what, gone) in [
        ("url=http://api.example.com/a", &[0][..]),
        ("prefix=api.example.com/a", &[0, 1]),
        ("tag=c", &[2]),
        ("POST", &[3]),
        ("all=true", &[0, 1, 2, 3, 4]),
    ] {
        written(&gateway, &above, paths.len()).await;
        // The first half of it is in memory as well, the other half on the disk alone.
        drop(gateway);
        gateway = Box::pin(gateway_of(&told, &above)).await;
        ask_all(&gateway, &paths[..2]).await;
        if what == "POST" {
            Box::pin(Client::http1().post(gateway.url("/d")).header(HOST.0, HOST.1).send()).await;
            eventually("the file to go", async || (files(&above).len() == 4).then_some(())).await;
        } else {
            let page = gateway.admin_url(&format!("/caches/purge?{what}"));
            let purged = Box::pin(Client::http1().post(page).send()).await;
            assert_eq!(purged.json()["purged"], gone.len(), "{what}: each counts once");
        }
        drop(gateway);
        gateway = Box::pin(gateway_of(&told, &above)).await;
        let now = ask_all(&gateway, &paths).await;
        let changed: Vec<_> = (0..paths.len()).filter(|&place| now[place] != before[place]).collect();
        assert_eq!(changed, gone, "{what}");
        before = now;
    }
}

/// Each starts anew; what one has kept the next one finds, unless it would not have kept it.
#[tokio::test]
async fn what_was_kept_by_other_terms_is_not_answered() {
    let told = Told::start(|number, _| ok("cache-control: private, max-age=600", format!("{number}")));
    let (told, above) = (told.await, tempfile::tempdir().unwrap());
    let folder = above.path().join("disk");
    for (store, content) in [("private", "0"), ("private", "0"), ("cookies", "1")] {
        let with = format!("store = [\"{store}\"], disk = {{ folder = {folder:?}, size = \"1MiB\" }}");
        let gateway = Box::pin(super::gateway(&told, &with)).await;
        opened(&gateway).await;
        assert_eq!(get(&gateway, "/a", &[HOST]).await.text(), content, "{store}");
        written(&gateway, &above, 1).await;
    }
}

#[tokio::test]
async fn what_did_not_vary_yet_does_not_come_back() {
    let told = Told::start(|number, _| {
        let vary = if number == 0 { "" } else { "\r\nvary: accept-language" };
        ok(&format!("cache-control: max-age=600{vary}"), format!("{number}"))
    });
    let (told, above) = (told.await, tempfile::tempdir().unwrap());
    let first = gateway(&told, &above, "size = \"1MiB\"").await;
    let german = [HOST, ("accept-language", "de")];
    get(&first, "/a", &german).await;
    written(&first, &above, 1).await;
    let old = files(&above);
    get(&first, "/a", &[german[0], german[1], ("cache-control", "no-cache")]).await;
    // In one look: between two the old one may go, and the new one is not there yet.
    let is_other = |now: &[PathBuf]| now.len() == 1 && now != old;
    eventually("the one that varies, alone", async || is_other(&files(&above)).then_some(())).await;
    drop(first);
    let again = Box::pin(gateway_of(&told, &above)).await;
    assert_eq!(get(&again, "/a", &german).await.text(), "1");
    assert_eq!(get(&again, "/a", &[HOST, ("accept-language", "en")]).await.text(), "2");
}

async fn gateway_of(told: &Told, above: &TempDir) -> Gateway {
    Box::pin(gateway(told, above, "size = \"64MiB\"")).await
}

async fn ask_all(gateway: &Gateway, paths: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for path in paths {
        all.push(Box::pin(get(gateway, path, &[HOST])).await.text());
    }
    all
}

/// The second one keeps its own in memory, and has the folder when the first one has ended.
#[tokio::test]
async fn one_of_two_gateways_has_a_folder_at_a_time() {
    let (told, above) = (origin().await, tempfile::tempdir().unwrap());
    let first = Box::pin(gateway_of(&told, &above)).await;
    ask(&first, 1000).await;
    written(&first, &above, 1).await;
    let second = unopened(&told, &above, "size = \"64MiB\"").await;
    second.wait_for_log_containing("is another process's: waiting until that has ended").await;
    for length in [1000, 1001, 1001] {
        ask(&second, length).await;
    }
    assert_eq!(told.requests(), 3, "each for itself, and what is asked again is in memory");
    ask(&first, 1002).await;
    written(&first, &above, 2).await;
    drop(first);
    opened(&second).await;
    assert!(is_from_disk(&ask(&second, 1002).await));
    // What waited for the folder is in it: 1000 in place of the first one's.
    written(&second, &above, 3).await;
}

/// Whatever it was doing: what is there afterwards is whole, and nothing half is left.
#[tokio::test]
async fn a_kill_while_it_writes_harms_nothing() {
    let (told, above) = (origin().await, tempfile::tempdir().unwrap());
    for round in 0..4 {
        let gateway = gateway(&told, &above, "size = \"64MiB\"").await;
        let lengths = (0..400).map(|number| 20_000 + (number * 7 + round * 1000) % 1600);
        let asked = futures_util::stream::iter(lengths).map(|length| ask(&gateway, length));
        let mut asked = asked.buffer_unordered(8);
        let enough = files(&above).len() + 60;
        while asked.next().await.is_some() && files(&above).len() < enough {}
        drop(asked);
        drop(gateway);
    }
    let gateway = Box::pin(gateway_of(&told, &above)).await;
    let whole = all_files(&above);
    assert!(whole.len() > 200 && !whole.iter().any(|path| is_half(path)), "{}", whole.len());
    let mut from_disk = 0;
    for length in 20_000..21_600 {
        from_disk += usize::from(is_from_disk(&ask(&gateway, length).await));
    }
    assert_eq!(from_disk, whole.len(), "each of them");
    assert_eq!(cache(&gateway).await["disk"]["damaged"], 0);
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "cache", with = { disk = { folder = "disk", size = "1KiB" } } }"#).await;
    assert!(said.contains("expected 1MiB at least") && said.contains("with.disk.size"), "{said}");
    let told = origin().await;
    let disk = r#"{ use = "cache", with = { disk = { folder = "disk", size = "1MiB" } } }"#;
    let refused = Gateway::with(config(&told, disk)).file("disk", "a file").run().await;
    assert!(refused.stderr.contains("with.disk.folder"), "{}", refused.stderr);
}
