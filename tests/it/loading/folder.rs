//! A folder of plugins: what is put there is a plugin, and what is not one harms nothing.

use super::{Keys, component, is_there, serves};
use crate::common::{PATIENT, config, plugin, route};
use limen_tests::{Client, Gateway, Origin, Setup, eventually, guest_version};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant, SystemTime};

/// A gateway with the folder `plugins`, in which there is one of the name `version`, and `rest`.
fn set_up(origin: &Origin, of_gateway: &str, rest: &str) -> Setup {
    let config = config(origin, rest);
    let text = format!("[gateway]\nworkers = 1\nplugin_folder = 'plugins'\n{of_gateway}\n{config}");
    Gateway::with(text).file("plugins/version.wasm", component(1))
}

fn every_path() -> String {
    route("/**", r#""version""#)
}

#[tokio::test]
async fn a_file_is_a_plugin_of_its_name() {
    let origin = Origin::start();
    let gateway = set_up(&origin, "", &every_path()).start().await;
    serves(&gateway, "1").await;

    // Replaced as one should ...
    gateway.replace_file("plugins/version.wasm", component(2));
    serves(&gateway, "2").await;
    // ... by a link to another one, as Kubernetes does ...
    symlink(guest_version(1), gateway.path("plugins/link")).unwrap();
    fs::rename(gateway.path("plugins/link"), gateway.path("plugins/version.wasm")).unwrap();
    serves(&gateway, "1").await;

    // ... added, with a route for it ...
    gateway.replace_file("plugins/other.wasm", component(2));
    gateway.write_config(text_of(&gateway) + &route("/other/**", r#""other""#));
    eventually("an answer of the added plugin", async || {
        let answer = Client::http1().get(gateway.url("/other/")).send().await;
        (answer.header("x-version") == Some("2")).then_some(())
    })
    .await;
    // ... and removed: then the route names nobody, and what was live serves on.
    gateway.forget_log();
    fs::remove_file(gateway.path("plugins/other.wasm")).unwrap();
    gateway.wait_for_log_containing("no policy, plugin or built-in policy `other`").await;
    let answer = Client::http1().get(gateway.url("/other/")).send().await;
    assert_eq!(answer.header("x-version"), Some("2"));
}

fn text_of(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.path("limen.toml")).unwrap()
}

#[tokio::test]
async fn a_section_says_more_of_it_or_names_another_one() {
    let origin = Origin::start();
    let more = format!("[plugin.version]\n{PATIENT}\nsha256 = '{}'\n{}", super::sha256(2), every_path());
    let pinned = set_up(&origin, "", &more).check().await;
    assert!(pinned.stderr.contains("is not the one that `sha256` names"), "{}", pinned.stderr);

    let another = plugin("version", guest_version(2), PATIENT) + &every_path();
    let another = set_up(&origin, "", &another).start().await;
    serves(&another, "2").await;
    another.wait_for_log_containing("[plugin.version] has another `component`").await;

    let missing = format!("[plugin.none]\n{PATIENT}\n{}", every_path());
    let missing = set_up(&origin, "", &missing).check().await;
    assert!(missing.stderr.contains("could not read its component plugins/none.wasm"), "{}", missing.stderr);
}

#[tokio::test]
async fn junk_is_told_and_harms_nothing() {
    let origin = Origin::start();
    let long = format!("plugins/{}.wasm", "n".repeat(129));
    let setup = set_up(&origin, "", &every_path())
        .file("plugins/README.md", "hello")
        .file("plugins/broken.wasm", "hello")
        .file("plugins/empty.wasm", "")
        .file("plugins/.hidden.wasm", "hello")
        .file("plugins/folder.wasm/inner.wasm", "hello")
        .file(&long, "hello");
    symlink("nowhere", setup.path("plugins/dangling.wasm")).unwrap();
    symlink("circle.wasm", setup.path("plugins/circle.wasm")).unwrap();
    let checked = setup.again().check().await;
    assert!(checked.status.success(), "{}", checked.stderr);
    for told in ["README.md: it is not called NAME.wasm", "dangling.wasm: it leads nowhere"] {
        assert!(checked.stdout.contains(told), "{told}: {}", checked.stdout);
    }
    let gateway = setup.start().await;
    for told in [
        "README.md: it is not called NAME.wasm",
        "broken.wasm: plugin `broken`: ",
        "empty.wasm: plugin `empty`: ",
        "folder.wasm: it is not a regular file",
        "dangling.wasm: it leads nowhere",
        "circle.wasm: ",
        "too long a name",
    ] {
        gateway.wait_for_log_containing(told).await;
    }
    serves(&gateway, "1").await;
    assert!(!gateway.log().iter().any(|line| line.contains(".hidden")));

    // Told once, not with each change.
    gateway.forget_log();
    gateway.replace_file("plugins/version.wasm", component(2));
    serves(&gateway, "2").await;
    fs::remove_file(gateway.path("plugins/version.wasm")).unwrap();
    gateway.wait_for_log_containing("the running one serves on").await;
    serves(&gateway, "2").await;
    assert!(!gateway.log().iter().any(|line| line.contains("README.md")), "{:?}", gateway.log());
}

/// A component that is cut off somewhere can be one itself: its last sections are not needed.
#[tokio::test]
async fn what_is_half_written_is_not_taken() {
    let origin = Origin::start();
    let gateway = set_up(&origin, "", &every_path()).start().await;
    serves(&gateway, "1").await;
    gateway.forget_log();
    let (whole, path) = (component(2), gateway.path("plugins/version.wasm"));
    // As `cp` does on a slow disk: over several times the pause that is waited for.
    let (mut file, mut longest) = (File::create(&path).unwrap(), Duration::ZERO);
    for piece in whole.chunks(whole.len() / 30 + 1) {
        let written = Instant::now();
        file.write_all(piece).unwrap();
        assert_eq!(version(&gateway).await, "1");
        tokio::time::sleep(Duration::from_millis(100)).await;
        longest = longest.max(written.elapsed());
    }
    drop(file);
    serves(&gateway, "2").await;
    let tried = |line: &String| line.contains("can't be used") && !line.contains("still being written");
    // On a machine that is too busy to write it in time, it may look as if nobody did any more.
    let is_slow = longest > Duration::from_millis(200);
    assert!(is_slow || !gateway.log().iter().any(tried), "{longest:?}: {:?}", gateway.log());

    // A time that is yet to come holds nothing up.
    let copy = gateway.path("later");
    fs::copy(guest_version(1), &copy).unwrap();
    let later = SystemTime::now() + Duration::from_secs(3600);
    File::options().write(true).open(&copy).unwrap().set_modified(later).unwrap();
    fs::rename(copy, path).unwrap();
    serves(&gateway, "1").await;
}

async fn version(gateway: &Gateway) -> String {
    let answer = Client::http1().get(gateway.url("/")).send().await;
    answer.header("x-version").unwrap().to_owned()
}

#[tokio::test]
async fn signatures_lie_beside() {
    if !is_there("minisign", "-v") {
        return;
    }
    let origin = Origin::start();
    let keys = Keys::make();
    let trust = format!("trust = [{:?}]", keys.public());
    let unsigned = set_up(&origin, &trust, &every_path()).check().await;
    assert!(unsigned.stderr.contains("is not signed by a key"), "{}", unsigned.stderr);
    let signature = keys.signature(&component(1), "");
    let gateway =
        set_up(&origin, &trust, &every_path()).file("plugins/version.wasm.minisig", signature).start().await;
    serves(&gateway, "1").await;
    // One that nobody uses and nobody signed is left out.
    gateway.replace_file("plugins/other.wasm", component(2));
    gateway.wait_for_log_containing("other.wasm: plugin `other`: its component").await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_a_mistake() {
    let origin = Origin::start();
    let setup = set_up(&origin, "", &every_path());
    fs::remove_file(setup.path("plugins/version.wasm")).unwrap();
    fs::remove_dir(setup.path("plugins")).unwrap();
    let refused = setup.check().await;
    assert!(refused.stderr.contains("cannot read the folder `plugins`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("1 error in 1 file"), "{}", refused.stderr);
}
