//! Bodies that are too long for memory: they are kept on the disk alone, and answered from there.

use std::path::PathBuf;

use futures_util::future::join_all;
use http::Method;
use limen_tests::body::Checked;
use limen_tests::client::Arriving;
use limen_tests::raw::Reply;
use limen_tests::{Client, Gateway, Origin, eventually};
use tempfile::TempDir;

use super::super::mistake;
use super::disk::{HOST, all_files, cache, files, is_half, opened};
use super::{Told, answer, get, ok, status_of};
use crate::common::{listener, route};

const MIB: u64 = 1 << 20;
/// Longer than memory keeps, and more than one read.
const LENGTH: u64 = 3 * MIB + 5;

/// What is kept, however old it is.
const CACHED: (&str, &str) = ("cache-control", "only-if-cached, max-stale");

fn config(upstream: &str, above: &TempDir, with: &str, behind: &str) -> String {
    let disk = format!("disk = {{ folder = {:?}, size = \"2GiB\" }}", above.path().join("disk"));
    let with = if with.contains("disk = ") { with.to_owned() } else { format!("{disk}, {with}") };
    let with = format!("{{ size = \"1MiB\", max_object = \"200KiB\", ttl = \"10m\", {with} }}");
    let upstream = format!("[upstream.origin]\nendpoints = [\"{upstream}\"]\n");
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = true\n";
    let policies = format!("{{ use = \"cache\", with = {with} }}{behind}");
    format!("{}{upstream}{admin}{}", listener(), route("/**", &policies))
}

/// One that has its folder, with what is there.
async fn gateway(config: String) -> Gateway {
    let gateway = Box::pin(Gateway::start(config)).await;
    opened(&gateway).await;
    gateway
}

async fn open(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Arriving {
    let asked = Client::http1().get(gateway.url(path)).header(HOST.0, HOST.1);
    headers.iter().fold(asked, |asked, (name, value)| asked.header(name, value)).open().await
}

fn status(answer: &Arriving) -> String {
    answer.headers.get("cache-status").map_or(String::new(), |it| it.to_str().unwrap().to_owned())
}

/// Waits until so many were stored. Their files are there before, and are found; but only now no earlier one can take the
/// place of what comes next.
async fn stored(gateway: &Gateway, count: u64) {
    let stored = async || (cache(gateway).await["stored"].as_u64() >= Some(count)).then_some(());
    eventually("it to be stored", stored).await;
}

/// What has come to the disk of one that is being written.
fn half(above: &TempDir) -> u64 {
    all_files(above)
        .iter()
        .filter_map(|path| path.metadata().ok())
        .map(|found| found.len())
        .max()
        .unwrap_or(0)
}

/// Has it kept: asks again if the disk fell behind. Answers the `Cache-Status` of the first answer.
async fn keep(gateway: &Gateway, above: &TempDir, path: &str, length: u64) -> String {
    let stored = async || cache(gateway).await["stored"].as_u64().unwrap();
    let skipped = async || cache(gateway).await["disk"]["skipped"].as_u64().unwrap();
    let mut first = None;
    loop {
        let (stored_before, skipped_before) = (stored().await, skipped().await);
        let mut arriving = open(gateway, path, &[]).await;
        let (status, mut checked, mut next) = (status(&arriving), Checked::default(), MIB);
        first.get_or_insert(status);
        while let Some(piece) = arriving.piece().await.unwrap() {
            checked.take(&piece).unwrap();
            if checked.bytes > next {
                next += MIB;
                let has_come = async || {
                    (half(above) + 2 * MIB > checked.bytes || skipped().await > skipped_before).then_some(())
                };
                eventually("the disk", has_come).await;
            }
        }
        assert_eq!(checked.bytes, length);
        let is_kept = async || match stored().await > stored_before {
            true => Some(true),
            false => (skipped().await > skipped_before).then_some(false),
        };
        if eventually("it to be kept", is_kept).await {
            return first.unwrap();
        }
    }
}

/// It is answered from the disk.
async fn hit(gateway: &Gateway, path: &str, length: u64) -> Arriving {
    let answer = open(gateway, path, &[]).await;
    let told = status(&answer);
    assert!(told.starts_with("limen; hit; ttl=") && told.ends_with("; detail=disk"), "{told}");
    assert_eq!(answer.headers["content-length"], *length.to_string());
    assert!(answer.headers.contains_key("age"));
    answer
}

/// The most memory that it has had.
fn peak(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn one_of_200_mib_is_kept_and_answered_with_little_memory() {
    let (origin, above) = (Origin::start(), tempfile::tempdir().unwrap());
    let folder = above.path().join("disk");
    let disk = format!("disk = {{ folder = {folder:?}, size = \"1GiB\", max_object = \"300MiB\" }}");
    let config = config(&origin.to_string(), &above, &disk, "");
    let first = gateway(config.clone()).await;
    let (path, length) = ("/bytes/209715211", 200 * MIB + 11);
    let before = peak(&first);
    let told = Box::pin(keep(&first, &above, path, length)).await;
    let asked = origin.requests();
    assert_eq!(told, "limen; fwd=uri-miss; stored");
    let filled = peak(&first) - before;
    let kept = cache(&first).await;
    assert!(kept["disk"]["bytes"].as_u64().unwrap() > length, "{kept}");
    assert!(kept["bytes"].as_u64().unwrap() < 100_000, "{kept}");
    let all = join_all((0..3).map(async |_| hit(&first, path, length).await.count().await.unwrap())).await;
    assert_eq!(all, [length; 3]);
    let more = peak(&first) - before;
    assert!(more < 100 * MIB, "{more} more than the {before} of before");
    println!(
        "VmHWM: {before}, {filled} more when it is kept, {more} more when it is read three times at once"
    );

    drop(first); // killed
    let again = gateway(config).await;
    let head = Client::http1().request(Method::HEAD, again.url(path)).header(HOST.0, HOST.1).send().await;
    assert_eq!(head.header("content-length"), Some("209715211"));
    assert!(status_of(&head).starts_with("limen; hit"), "{}", status_of(&head));
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=104857590-104857699", 104_857_590, 104_857_700),
        ("bytes=-20", length - 20, length),
        ("bytes=209715200-", 209_715_200, length),
    ] {
        let part = get(&again, path, &[HOST, ("range", range)]).await;
        assert_eq!(
            (part.status.as_u16(), status_of(&part).starts_with("limen; hit")),
            (206, true),
            "{range}"
        );
        assert_eq!(part.header("content-range"), Some(&*format!("bytes {from}-{}/{length}", to - 1)));
        assert!(part.body.iter().copied().eq((from..to).map(|at| (at % 251) as u8)), "{range}");
    }
    let none = get(&again, path, &[HOST, ("range", "bytes=209715211-")]).await;
    assert_eq!((none.status.as_u16(), none.body.len()), (416, 0));
    assert_eq!(hit(&again, path, length).await.count().await.unwrap(), length);
    assert_eq!(origin.requests(), asked, "the upstream was not asked again");
}

/// In chunks nobody knows at first how long it is.
#[tokio::test]
async fn those_who_ask_for_the_same_ask_for_themselves_and_one_is_kept() {
    let (origin, above) = (Origin::start(), tempfile::tempdir().unwrap());
    let gateway = gateway(config(&origin.to_string(), &above, "", "")).await;
    let path = format!("/bytes/{LENGTH}?chunked");
    let ask = async |_| open(&gateway, &path, &[]).await.count().await.unwrap();
    assert_eq!(join_all((0..20).map(ask)).await, [LENGTH; 20]);
    eventually("the file", async || (files(&above).len() == 1).then_some(())).await;
    let asked = origin.requests();
    assert!((1..=20).contains(&asked), "{asked}");
    eventually("it to be found", async || {
        status(&open(&gateway, &path, &[]).await).contains("hit").then_some(())
    })
    .await;
    assert_eq!(hit(&gateway, &path, LENGTH).await.count().await.unwrap(), LENGTH);
    // One that was asked for meanwhile may take its place.
    eventually("one alone", async || (all_files(&above).len() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_damaged_block_breaks_the_answer_off_and_it_is_forgotten() {
    let (origin, above) = (Origin::start(), tempfile::tempdir().unwrap());
    let gateway = gateway(config(&origin.to_string(), &above, "", "")).await;
    let path = format!("/bytes/{LENGTH}");
    keep(&gateway, &above, &path, LENGTH).await;
    let file = files(&above).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    // What comes before it is good.
    let part = get(&gateway, &path, &[HOST, ("range", "bytes=5-9")]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &[5, 6, 7, 8, 9][..]));
    let mut arriving = hit(&gateway, &path, LENGTH).await;
    let mut checked = Checked::default();
    let broken = loop {
        match arriving.piece().await {
            Ok(Some(piece)) => checked.take(&piece).unwrap(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken && checked.bytes <= LENGTH / 2, "{} bytes", checked.bytes);
    gateway.wait_for_log_containing("a file of the cache can't be used and goes").await;
    gateway.wait_for_log_containing("what is kept on the disk can't be read: it is damaged").await;
    assert_eq!(cache(&gateway).await["disk"]["damaged"], 1);
    assert!(!file.exists());
    assert_eq!(keep(&gateway, &above, &path, LENGTH).await, "limen; fwd=uri-miss; stored");
    assert_eq!(hit(&gateway, &path, LENGTH).await.count().await.unwrap(), LENGTH);

    // One that is cut off is no answer from the beginning.
    let file = files(&above).remove(0);
    std::fs::File::options().write(true).open(&file).unwrap().set_len(LENGTH / 2).unwrap();
    assert_eq!(keep(&gateway, &above, &path, LENGTH).await, "limen; fwd=uri-miss; stored");
}

#[tokio::test]
async fn one_that_is_purged_while_it_is_answered_with_goes_on_to_its_end() {
    let (origin, above) = (Origin::start(), tempfile::tempdir().unwrap());
    let gateway = gateway(config(&origin.to_string(), &above, "", "")).await;
    let (path, length) = ("/bytes/50000000", 50_000_000);
    keep(&gateway, &above, path, length).await;
    let asked = origin.requests();
    let mut arriving = hit(&gateway, path, length).await;
    let mut checked = Checked::default();
    checked.take(&arriving.piece().await.unwrap().unwrap()).unwrap();
    let purge = gateway.admin_url("/caches/purge?all=true");
    assert_eq!(Client::http1().post(purge).send().await.json()["purged"], 1);
    assert_eq!(all_files(&above), Vec::<PathBuf>::new());
    while let Some(piece) = arriving.piece().await.unwrap() {
        checked.take(&piece).unwrap();
    }
    assert_eq!((checked.bytes, origin.requests()), (length, asked));
    assert!(status(&open(&gateway, path, &[]).await).contains("fwd=uri-miss"));
}

/// An origin whose answers are long, and tell which request they are the answer to.
async fn long() -> Told {
    let told = Told::start(|number, head| {
        let path = head.split(' ').nth(1).unwrap();
        if head.contains("if-none-match") {
            return answer("304 Same", "cache-control: max-age=600\r\netag: \"a\"", "");
        }
        if path == "/stale" {
            let control = "cache-control: max-age=10, stale-if-error=600\r\nage: 20\r\netag: \"a\"";
            return ok(control, text(number));
        }
        let control = "cache-control: max-age=600\r\nvary: accept-language\r\netag: \"a\"\r\n";
        ok(&format!("{control}cache-tag: {}", &path[1..2]), text(number))
    });
    told.await
}

fn text(number: usize) -> String {
    format!("{number:07} ").repeat(50_000)
}

async fn ask_all(gateway: &Gateway, asked: &[(&str, &str)]) -> Vec<String> {
    let mut all = Vec::new();
    for (path, language) in asked {
        let answer = Box::pin(get(gateway, path, &[HOST, ("accept-language", language)])).await;
        let number = answer.text()[..7].to_owned();
        assert!(answer.text() == text(number.parse().unwrap()), "not whole");
        all.push(number);
    }
    all
}

#[tokio::test]
async fn they_are_variants_and_are_forgotten_as_small_ones_are() {
    let (told, above) = (long().await, tempfile::tempdir().unwrap());
    let config = config(&told.origin.url(), &above, "", "");
    let asked = [("/a", "de"), ("/a", "en"), ("/a/b", "de"), ("/c", "de"), ("/d", "de")];
    let mut running = gateway(config.clone()).await;
    let mut before = ask_all(&running, &asked).await;
    for (what, gone) in [
        ("url=http://api.example.com/a", &[0, 1][..]),
        ("prefix=api.example.com/a", &[0, 1, 2]),
        ("tag=c", &[3]),
        ("POST", &[4]),
        ("all=true", &[0, 1, 2, 3, 4]),
    ] {
        eventually("the files", async || (files(&above).len() == asked.len()).then_some(())).await;
        drop(running);
        running = Box::pin(gateway(config.clone())).await;
        // Of the first half the head is in memory as well.
        assert_eq!(ask_all(&running, &asked[..2]).await, before[..2], "{what}");
        if what == "POST" {
            Box::pin(Client::http1().post(running.url("/d")).header(HOST.0, HOST.1).send()).await;
        } else {
            let page = running.admin_url(&format!("/caches/purge?{what}"));
            let purged = Box::pin(Client::http1().post(page).send()).await;
            assert_eq!(purged.json()["purged"], gone.len(), "{what}: each counts once");
        }
        eventually("the files to go", async || {
            (files(&above).len() + gone.len() == asked.len()).then_some(())
        })
        .await;
        let now = ask_all(&running, &asked).await;
        let changed: Vec<_> = (0..asked.len()).filter(|&place| now[place] != before[place]).collect();
        assert_eq!(changed, gone, "{what}");
        before = now;
    }
}

#[tokio::test]
async fn a_stale_one_is_validated_and_its_client_may_have_it() {
    let (told, above) = (long().await, tempfile::tempdir().unwrap());
    let gateway = gateway(config(&told.origin.url(), &above, "", "")).await;
    assert_eq!(ask_all(&gateway, &[("/stale", "")]).await, ["0000000"]);
    stored(&gateway, 1).await;
    let ask = async |headers: &[(&str, &str)]| get(&gateway, "/stale", &[&[HOST], headers].concat()).await;
    assert!(status_of(&ask(&[CACHED]).await).contains("hit"));
    let part = ask(&[("range", "bytes=9-14")]).await;
    assert_eq!((part.status.as_u16(), part.text().as_str()), (206, "000000"));
    assert_eq!(status_of(&part), "limen; fwd=stale; fwd-status=304; stored");
    let whole = ask(&[]).await;
    assert!(status_of(&whole).starts_with("limen; hit") && whole.text() == text(0), "{}", status_of(&whole));
    let same = ask(&[("if-none-match", "\"a\"")]).await;
    assert_eq!((same.status.as_u16(), same.header("content-length")), (304, None));
    let part = ask(&[("range", "bytes=-3"), ("if-range", "\"b\"")]).await;
    assert_eq!((part.status.as_u16(), part.body.len()), (200, text(0).len()));
    assert_eq!(told.requests(), 2);
}

/// Those who ask for the new one as well don't take it away from whom it is kept by.
#[tokio::test]
async fn a_new_one_takes_the_place_of_a_stale_one_though_many_ask_for_it() {
    let told = Told::start(|number, _| {
        let age = if number == 0 { 700 } else { 0 };
        let head = format!("cache-control: max-age=600\r\nage: {age}\r\netag: \"{number}\"");
        let Reply::Keep(all) = ok(&head, text(number)) else { panic!("not kept") };
        Reply::Later(all[..300_000].to_vec(), all[300_000..].to_vec())
    });
    let (told, above) = (told.await, tempfile::tempdir().unwrap());
    let gateway = gateway(config(&told.origin.url(), &above, "", "")).await;
    assert_eq!(ask_all(&gateway, &[("/a", "")]).await, ["0000000"]);
    stored(&gateway, 1).await;
    let old = files(&above);
    let all = join_all((0..10).map(async |_| Box::pin(get(&gateway, "/a", &[HOST])).await)).await;
    assert!(all.iter().all(|answer| answer.body.len() == 400_000));
    assert!(told.requests() > 2, "each asked for itself");
    let is_new = |now: &[PathBuf]| now.len() == 1 && now != old;
    eventually("the new one, alone", async || is_new(&files(&above)).then_some(())).await;
    eventually("it to be found", async || {
        let again = get(&gateway, "/a", &[HOST]).await;
        (status_of(&again).starts_with("limen; hit") && again.text() != text(0)).then_some(())
    })
    .await;
}

/// What is asked for behind an answer takes long as well: as long as it does, nobody else asks for it.
#[tokio::test]
async fn a_stale_one_is_replaced_behind_its_answers_by_one_alone() {
    let told = Told::start(|number, _| {
        let control = "cache-control: max-age=10, stale-while-revalidate=600";
        let age = if number == 0 { 20 } else { 0 };
        let head = format!("{control}\r\nage: {age}\r\netag: \"{number}\"");
        let Reply::Keep(mut all) = ok(&head, text(number)) else { panic!("not kept") };
        if number == 1 {
            all.truncate(300_000); // the rest never comes
        }
        Reply::Keep(all)
    });
    let (told, above) = (told.await, tempfile::tempdir().unwrap());
    let gateway = gateway(config(&told.origin.url(), &above, "", "")).await;
    assert_eq!(ask_all(&gateway, &[("/a", "")]).await, ["0000000"]);
    stored(&gateway, 1).await;
    let ask = async || {
        let answer = get(&gateway, "/a", &[HOST]).await;
        (answer.text()[..7].to_owned(), status_of(&answer).starts_with("limen; hit; ttl=-"))
    };
    assert!(status_of(&get(&gateway, "/a", &[HOST, CACHED]).await).contains("hit"));
    assert!(ask().await.1);
    let is_coming = async || all_files(&above).iter().any(|path| is_half(path)).then_some(());
    eventually("the new one to come", is_coming).await;
    let asked = told.requests();
    for _ in 0..20 {
        assert_eq!(ask().await, ("0000000".to_owned(), true));
    }
    assert_eq!(told.requests(), asked);
}

/// It is not brought for the cache alone, as a short one is.
#[tokio::test]
async fn a_long_one_ends_when_its_client_goes() {
    let (origin, above) = (Origin::start(), tempfile::tempdir().unwrap());
    let gateway = gateway(config(&origin.to_string(), &above, "", "")).await;
    let mut arriving = open(&gateway, "/bytes/100000000", &[]).await;
    eventually("the first of it", async || {
        let _ = arriving.piece().await;
        all_files(&above).iter().any(|path| is_half(path)).then_some(())
    })
    .await;
    drop(arriving);
    eventually("it to go", async || all_files(&above).is_empty().then_some(())).await;
    assert_eq!(cache(&gateway).await["stored"], 0);
}

/// Neither on the disk nor half.
#[tokio::test]
async fn what_is_too_long_for_the_disk_or_breaks_off_is_not_kept() {
    let told = Told::start(|number, head| {
        let length: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let control = "HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\n";
        let body = "x".repeat(length);
        match number {
            0 | 1 => Reply::Keep(format!("{control}content-length: {length}\r\n\r\n{body}").into()),
            2 | 3 => {
                let chunked =
                    format!("{control}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
                Reply::Keep(chunked.into())
            }
            _ => Reply::Close(format!("{control}content-length: {}\r\n\r\n{body}", length + 1).into()),
        }
    });
    let (told, above) = (told.await, tempfile::tempdir().unwrap());
    let folder = above.path().join("disk");
    let disk = format!("disk = {{ folder = {folder:?}, size = \"8MiB\" }}");
    let gateway = gateway(config(&told.origin.url(), &above, &disk, "")).await;
    for _ in 0..4 {
        assert_eq!(get(&gateway, "/2000000", &[HOST]).await.body.len(), 2_000_000);
    }
    assert_eq!(told.requests(), 4);
    let broken = open(&gateway, "/900000", &[]).await;
    assert!(status(&broken).ends_with("; stored") && broken.collect().await.is_err());
    eventually("nothing to be left", async || all_files(&above).is_empty().then_some(())).await;
    assert_eq!(cache(&gateway).await["stored"], 0);
}

#[tokio::test]
async fn a_kill_while_one_is_written_leaves_nothing() {
    let (origin, above) = (Origin::start(), tempfile::tempdir().unwrap());
    let config = config(&origin.to_string(), &above, "", "");
    let first = gateway(config.clone()).await;
    let mut arriving = open(&first, "/bytes/200000000", &[]).await;
    eventually("the first of it", async || {
        let _ = arriving.piece().await;
        all_files(&above).iter().any(|path| is_half(path)).then_some(())
    })
    .await;
    drop((first, arriving));
    assert_eq!(all_files(&above).len(), 1);
    let again = gateway(config).await;
    eventually("it to go", async || all_files(&above).is_empty().then_some(())).await;
    assert!(status(&open(&again, "/bytes/200000000", &[]).await).contains("fwd=uri-miss"));
}

/// What was kept under another key is found by nobody, and purged all the same.
#[tokio::test]
async fn a_purge_by_url_reaches_what_was_kept_under_another_key() {
    let (told, above) = (long().await, tempfile::tempdir().unwrap());
    let with = |key: &str| config(&told.origin.url(), &above, key, "");
    let gateway = gateway(with("key = [{ header = \"x-a\" }]")).await;
    for path in ["/a?b=1&utm_x=2", "/a?b=2", "/c"] {
        get(&gateway, path, &[HOST]).await;
    }
    stored(&gateway, 3).await;
    gateway.write_config(with("key = [{ header = \"x-b\" }], query = { ignore = [\"utm_*\"] }"));
    gateway.wait_for_log_containing("the configuration is live").await;
    get(&gateway, "/a?b=1", &[HOST]).await;
    stored(&gateway, 4).await;
    let purge = async |url: &str| {
        let page = gateway.admin_url(&format!("/caches/purge?url=http://api.example.com{url}"));
        Client::http1().post(page).send().await.json()["purged"].clone()
    };
    assert_eq!((purge("/a?b=1").await, files(&above).len()), (2.into(), 2));
    assert_eq!((purge("/c").await, files(&above).len()), (1.into(), 1));
    assert_eq!((purge("/a").await, files(&above).len()), (0.into(), 1));
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let disk = r#"{ folder = "disk", size = "1MiB", max_object = "2MiB" }"#;
    let said = mistake(&format!("{{ use = \"cache\", with = {{ disk = {disk} }} }}")).await;
    assert!(
        said.contains("longer than all that the disk may take") && said.contains("disk.max_object"),
        "{said}"
    );
}
