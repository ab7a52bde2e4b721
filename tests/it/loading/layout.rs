//! Components from OCI image layouts on disk.

use super::{Keys, component, is_there, serves};
use crate::common::{PATIENT, config, plugin, route};
use limen_tests::oci::Artifact;
use limen_tests::{Gateway, Origin, Setup};
use std::fs;

/// The guest `version` on every path, from the layout `dist/version`.
fn set_up(origin: &Origin, which: &str, of_gateway: &str, of_plugin: &str) -> Setup {
    let keys = format!("{PATIENT}\n{of_plugin}");
    let rest = plugin("version", format!("oci-layout:dist/version{which}"), &keys);
    let rest = rest + &route("/**", r#""version""#);
    Gateway::with(format!("[gateway]\nworkers = 1\n{of_gateway}\n{}", config(origin, &rest)))
}

#[tokio::test]
async fn a_tag_that_moves_is_a_swap_and_a_digest_stays() {
    let origin = Origin::start();
    let [one, two] = [1, 2].map(|version| Artifact::of(&component(version), None));
    for which in ["", ":live", &format!(":other@{}", one.digest())] {
        let setup = set_up(&origin, which, "", "");
        let layout = setup.path("dist/version");
        one.put_into(&layout, "live");
        let gateway = setup.start().await;
        serves(&gateway, "1").await;
        gateway.forget_log();
        two.put_into(&layout, "live");
        gateway.wait_for_log_containing("the configuration is live").await;
        serves(&gateway, if which.contains('@') { "1" } else { "2" }).await;
    }
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_not_taken() {
    let origin = Origin::start();
    let [one, two] = [1, 2].map(|version| Artifact::of(&component(version), None));
    let setup = set_up(&origin, ":live", "", "");
    let layout = setup.path("dist/version");
    one.put_into(&layout, "live");
    let gateway = setup.start().await;
    serves(&gateway, "1").await;

    // The manifest is the right one, and its layer is not.
    let blob = layout.join("blobs/sha256").join(super::sha256(2));
    fs::write(&blob, [&component(2)[..component(2).len() - 1], b"x"].concat()).unwrap();
    let index = layout.join("index.json");
    let before = fs::read(&index).unwrap();
    two.put_into(&layout, "live");
    let after = fs::read(&index).unwrap();
    fs::write(&index, &before).unwrap();
    let mut damaged = component(2);
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&blob, damaged).unwrap();
    gateway.forget_log();
    fs::write(&index, &after).unwrap();
    gateway.wait_for_log_containing("is something else, sha256:").await;
    serves(&gateway, "1").await;
    // Longer than its manifest says.
    gateway.forget_log();
    fs::write(&index, &before).unwrap();
    gateway.wait_for_log_containing("the configuration is live").await;
    fs::write(&blob, [&component(2)[..], b"x"].concat()).unwrap();
    fs::write(&index, &after).unwrap();
    let size = component(2).len();
    let most =
        if size.is_multiple_of(1024) { format!("{} KiB", size / 1024) } else { format!("{size} bytes") };
    gateway.wait_for_log_containing(&format!("it has more than {most}")).await;
    fs::remove_file(&blob).unwrap();
    gateway.wait_for_log_containing("could not read dist/version/blobs/sha256/").await;
    fs::write(&blob, component(2)).unwrap();
    serves(&gateway, "2").await;
}

#[tokio::test]
async fn mistakes_are_told_with_what_helps() {
    let origin = Origin::start();
    let check = async |which: &str, prepare: &dyn Fn(&std::path::Path)| {
        let setup = set_up(&origin, which, "", "");
        prepare(&setup.path("dist/version"));
        let checked = setup.check().await;
        assert!(!checked.status.success());
        checked.stderr
    };
    let good = Artifact::of(&component(1), None);
    let none = check("", &|_| {}).await;
    assert!(none.contains("could not read dist/version/index.json"), "{none}");
    assert!(none.contains("an OCI image layout is a folder with"), "{none}");
    let tag = check(":liev", &|layout| good.put_into(layout, "live")).await;
    assert!(tag.contains("no tag `liev`") && tag.contains("live"), "{tag}");
    let several = check("", &|layout| {
        good.put_into(layout, "live");
        Artifact::of(&component(2), None).put_into(layout, "next");
    })
    .await;
    assert!(several.contains("several manifests: which one?"), "{several}");
    let other = Artifact::of_layers(&[("application/vnd.oci.image.layer.v1.tar+gzip", &component(1))]);
    let other = check("", &|layout| other.put_into(layout, "live")).await;
    assert!(other.contains("no layer of the type application/wasm"), "{other}");
    let two = Artifact::of_files(&[("a.wasm", b"1"), ("b.wasm", b"2")]);
    let two = check("", &|layout| two.put_into(layout, "live")).await;
    assert!(two.contains("more than one component"), "{two}");
    let nonsense = check("", &|layout| {
        fs::create_dir_all(layout).unwrap();
        fs::write(layout.join("index.json"), "[").unwrap();
    })
    .await;
    assert!(nonsense.contains("its manifest is none"), "{nonsense}");
    let escape = check("", &|layout| {
        fs::create_dir_all(layout).unwrap();
        let index = r#"{"manifests": [{"digest": "sha256:../../../limen.toml", "size": 1}]}"#;
        fs::write(layout.join("index.json"), index).unwrap();
    })
    .await;
    assert!(escape.contains("not a SHA-256 digest"), "{escape}");
}

/// Components come from many tools, which call their layers by many names.
#[tokio::test]
async fn what_other_tools_make_of_a_component_is_taken() {
    let origin = Origin::start();
    let bytes = component(1);
    let made = [
        Artifact::of_layers(&[("application/wasm", &bytes)]),
        Artifact::of_layers(&[("application/vnd.wasm.content.layer.v1+wasm", &bytes)]),
        Artifact::of_layers(&[("application/vnd.module.wasm.content.layer.v1+wasm", &bytes)]),
        Artifact::of_files(&[("README.md", b"about it"), ("region.wasm", &bytes)]),
    ];
    for artifact in made {
        let setup = set_up(&origin, "", "", "");
        artifact.put_into(&setup.path("dist/version"), "live");
        let gateway = setup.start().await;
        serves(&gateway, "1").await;
    }
}

#[tokio::test]
async fn signatures_are_layers_and_pins_are_of_the_component() {
    if !is_there("minisign", "-v") {
        return;
    }
    let origin = Origin::start();
    let [ours, theirs] = [(); 2].map(|()| Keys::make());
    let trust = format!("trust = [{:?}]", ours.public());
    let signed = |keys: &Keys, version| Some(keys.signature(&component(version), ""));
    for (signature, said) in [
        (None, "no layer of its manifest is a signature"),
        (signed(&theirs, 1), "of other bytes, or by another key"),
        (signed(&ours, 2), "of other bytes, or by another key"),
        (Some("nonsense".to_owned()), "its signature is none"),
    ] {
        let setup = set_up(&origin, ":live", &trust, "");
        Artifact::of(&component(1), signature.as_deref()).put_into(&setup.path("dist/version"), "live");
        let refused = setup.check().await;
        assert!(refused.stderr.contains("is not signed by a key of [gateway] trust"), "{}", refused.stderr);
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    for (version, is_good) in [(1, true), (2, false)] {
        let setup = set_up(&origin, "", &trust, &format!("sha256 = '{}'", super::sha256(version)));
        let artifact = Artifact::of(&component(1), signed(&ours, 1).as_deref());
        artifact.put_into(&setup.path("dist/version"), "live");
        assert_eq!(setup.check().await.status.success(), is_good);
    }
}

#[tokio::test]
async fn authors_can_pack_one() {
    let origin = Origin::start();
    let setup = set_up(&origin, ":0.1.0", "", "").file("version.wasm", component(1));
    let signature = setup.path("version.wasm.minisig");
    fs::write(&signature, "a signature").unwrap();
    let pack = ["policy", "pack", "version.wasm", "dist/version"];
    let packed = setup.again().finish(&pack).await;
    assert!(
        packed.stdout.starts_with("oci-layout:dist/version:0.1.0: version 0.1.0, signed\n"),
        "{packed:?}"
    );
    fs::remove_file(signature).unwrap();
    let next = setup.again().finish(&[&pack[..], &["--tag", "next"]].concat()).await;
    assert!(next.stdout.contains("not signed"), "{next:?}");
    // The same again is the same.
    assert_eq!(setup.again().finish(&[&pack[..], &["--tag", "next"]].concat()).await.stdout, next.stdout);
    for wrong in [&["--tag", "a b"][..], &["--tag", ""], &["--tag", &format!("1@sha256:{}", "0".repeat(64))]]
    {
        assert!(!setup.again().finish(&[&pack[..], wrong].concat()).await.status.success(), "{wrong:?}");
    }
    serves(&setup.start().await, "1").await;
}

#[tokio::test]
async fn authors_can_look_into_one() {
    let setup = Gateway::with("");
    let artifact = Artifact::of(&component(1), None);
    artifact.put_into(&setup.path("dist/version"), "1.0");
    let inspect = ["policy", "inspect", "oci-layout:dist/version:1.0"];
    let shown = setup.again().finish(&inspect).await;
    assert!(shown.stdout.contains(&super::sha256(1)), "{} {}", shown.stdout, shown.stderr);
    let guest = limen_tests::guest_version(1);
    let same = [&inspect[..], &["--diff", guest.to_str().unwrap()]].concat();
    let same = setup.again().finish(&same).await;
    assert!(same.stdout.contains("no difference"), "{} {}", same.stdout, same.stderr);
    let as_folder = setup.again().finish(&["policy", "inspect", "dist/version"]).await;
    assert!(as_folder.stderr.contains("`oci-layout:dist/version:TAG`"), "{as_folder:?}");
    let origin = Origin::start();
    let gateway = set_up(&origin, "", "", "");
    artifact.put_into(&gateway.path("dist/version"), "1.0");
    let taken = gateway.finish(&["policy", "check", "oci-layout:dist/version:1.0"]).await;
    assert!(taken.stdout.contains("takes oci-layout:dist/version:1.0 as `version`"), "{}", taken.stderr);
}
