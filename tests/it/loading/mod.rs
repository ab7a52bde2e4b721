//! From a file to a plugin: what is compiled is kept, and only what the operator wants is taken.

mod folder;
mod layout;
mod registry;
mod registry_auth;
mod registry_real;
mod stalled;

use crate::common::{PATIENT, config, plugin, route};
use limen_tests::{Client, Gateway, Origin, Setup, eventually, guest_version};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;
use tempfile::TempDir;

fn component(version: u32) -> Vec<u8> {
    fs::read(guest_version(version)).unwrap()
}

/// The guest `version` on every path, from a file of the gateway's own folder.
fn set_up(origin: &Origin, of_gateway: &str, of_plugin: &str) -> Setup {
    let keys = format!("{PATIENT}\n{of_plugin}");
    let rest =
        [plugin("version", PathBuf::from("version.wasm"), &keys), route("/**", r#""version""#)].join("\n");
    let config = format!("[gateway]\nworkers = 1\n{of_gateway}\n{}", config(origin, &rest));
    Gateway::with(config).file("version.wasm", component(1))
}

async fn serves(gateway: &Gateway, version: &str) {
    eventually("an answer of the version", async || {
        let answer = Client::http1().get(gateway.url("/")).send().await;
        (answer.header("x-version") == Some(version)).then_some(())
    })
    .await;
}

/// The files of the code cache, and when each was of use.
fn kept(gateway: &Gateway) -> Vec<(PathBuf, SystemTime)> {
    let entries = fs::read_dir(gateway.path("code")).unwrap().map(Result::unwrap);
    let mut kept: Vec<_> =
        entries.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect();
    kept.sort();
    kept
}

const CACHE: &str = "code_cache = { folder = 'code' }";

#[tokio::test]
async fn what_was_compiled_is_not_compiled_again() {
    let origin = Origin::start();
    let mut gateway = set_up(&origin, CACHE, "").start().await;
    serves(&gateway, "1").await;
    let first = kept(&gateway);
    assert_eq!(first.len(), 1, "{first:?}");
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&gateway.path("code")), mode(&first[0].0)), (0o700, 0o600));

    gateway.sigterm();
    assert!(gateway.wait_exit().await.success());
    let again = gateway.successor().start().await;
    serves(&again, "1").await;
    let second = kept(&again);
    assert_eq!(second.len(), 1, "{second:?}");
    assert_eq!(second[0].0, first[0].0);
    assert!(second[0].1 > first[0].1, "it was of use again");
}

#[tokio::test]
async fn damaged_code_is_made_anew() {
    let origin = Origin::start();
    let mut gateway = set_up(&origin, CACHE, "").start().await;
    gateway.sigterm();
    assert!(gateway.wait_exit().await.success());
    let [(file, _)] = &kept(&gateway)[..] else { panic!("one file") };
    let mut content = fs::read(file).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 0xff;
    fs::write(file, &content).unwrap();

    let again = gateway.successor().start().await;
    serves(&again, "1").await;
    again.wait_for_log_containing("it is damaged").await;
    assert_ne!(fs::read(file).unwrap(), content, "it was made anew");
}

#[tokio::test]
async fn a_folder_open_to_others_is_not_trusted() {
    let origin = Origin::start();
    let setup = set_up(&origin, CACHE, "");
    fs::create_dir(setup.path("code")).unwrap();
    fs::set_permissions(setup.path("code"), fs::Permissions::from_mode(0o777)).unwrap();
    let gateway = setup.start().await;
    serves(&gateway, "1").await;
    gateway.wait_for_log_containing("it is open to others").await;
    assert_eq!(kept(&gateway), []);
}

/// `sha256sum`'s word on a component.
fn sha256(version: u32) -> String {
    let output = Command::new("sha256sum").arg(guest_version(version)).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn another_file_than_the_pinned_one_is_refused() {
    let origin = Origin::start();
    let refused = set_up(&origin, "", &format!("sha256 = {:?}", sha256(2))).check().await;
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("is not the one that `sha256` names"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&sha256(1)) && refused.stderr.contains(&sha256(2)), "{}", refused.stderr);
    let malformed = set_up(&origin, "", "sha256 = '12'").check().await;
    assert!(malformed.stderr.contains("64 hexadecimal digits"), "{}", malformed.stderr);

    let pinned = format!("sha256 = {:?}", sha256(1).to_uppercase());
    let gateway = set_up(&origin, "", &pinned).start().await;
    serves(&gateway, "1").await;
    gateway.replace_file("version.wasm", component(2));
    gateway.wait_for_log_containing("is not the one that `sha256` names").await;
    serves(&gateway, "1").await;
}

/// Whether this machine has a program; else says that a test is skipped for want of it.
fn is_there(program: &str, version: &str) -> bool {
    let is_there = Command::new(program).arg(version).output().is_ok();
    if !is_there {
        eprintln!("skipped: there is no {program} here");
    }
    is_there
}

/// A pair of keys of minisign's, in a folder of its own.
struct Keys(TempDir);

impl Keys {
    fn make() -> Keys {
        let keys = Keys(TempDir::new().unwrap());
        keys.minisign(&["-G", "-W"]);
        keys
    }

    /// As it goes into the configuration.
    fn public(&self) -> String {
        let file = fs::read_to_string(self.0.path().join("key.pub")).unwrap();
        file.lines().nth(1).unwrap().to_owned()
    }

    /// The signature of a component, in the usual format or in the old one (`-l`).
    fn signature(&self, component: &[u8], format: &'static str) -> String {
        fs::write(self.0.path().join("signed"), component).unwrap();
        self.minisign(&["-S", format, "-m", "signed"]);
        fs::read_to_string(self.0.path().join("signed.minisig")).unwrap()
    }

    fn minisign(&self, arguments: &[&str]) {
        let mut command = Command::new("minisign");
        command.args(arguments.iter().filter(|it| !it.is_empty())).args(["-p", "key.pub", "-s", "key"]);
        let output = command.current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn where_keys_are_trusted_only_what_they_signed_is_taken() {
    if !is_there("minisign", "-v") {
        return;
    }
    let origin = Origin::start();
    let [ours, theirs, of_old] = [(); 3].map(|()| Keys::make());
    let trust = format!("trust = [{:?}, {:?}]", of_old.public(), ours.public());

    let unsigned = set_up(&origin, &trust, "").check().await;
    assert!(unsigned.stderr.contains("is not signed by a key of [gateway] trust"), "{}", unsigned.stderr);
    assert!(unsigned.stderr.contains("version.wasm.minisig"), "{}", unsigned.stderr);
    let nonsense = ["", "nonsense", "a\nb\nc\nd\n"].map(str::to_owned);
    let wrong = [theirs.signature(&component(1), ""), ours.signature(&component(2), "")];
    for signature in nonsense.iter().chain(&wrong) {
        let refused = set_up(&origin, &trust, "").file("version.wasm.minisig", signature).check().await;
        assert!(refused.stderr.contains("is not signed by a key"), "{signature}: {}", refused.stderr);
    }
    let broken = set_up(&origin, "trust = ['RWnonsense']", "").check().await;
    assert!(broken.stderr.contains("a minisign public key"), "{}", broken.stderr);

    let good = of_old.signature(&component(1), "-l");
    let gateway = set_up(&origin, &trust, "").file("version.wasm.minisig", good).start().await;
    serves(&gateway, "1").await;

    // The component comes first, its signature a moment later.
    gateway.replace_file("version.wasm", component(2));
    gateway.wait_for_log_containing("is not signed by a key").await;
    serves(&gateway, "1").await;
    gateway.replace_file("version.wasm.minisig", ours.signature(&component(2), ""));
    serves(&gateway, "2").await;
}
