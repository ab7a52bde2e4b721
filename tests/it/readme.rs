//! README.md says nothing that is not so: its policy is built, its files are loaded.

use limen_tests::{Certs, Client, Gateway, Origin, guest, limen, plugin, rcgen};

const README: &str = include_str!("../../README.md");

/// The blocks of README.md in this language that contain this text.
fn blocks(language: &str, containing: &str) -> Vec<String> {
    let fenced = README.split("\n```").skip(1).step_by(2);
    let blocks = fenced.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    blocks.filter(|block| block.contains(containing)).map(|block| format!("{block}\n")).collect()
}

fn block(language: &str, containing: &str) -> String {
    let found = blocks(language, containing);
    assert_eq!(found.len(), 1, "blocks of {language} with {containing:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn the_first_policy_is_the_guest_bouncer() {
    assert_eq!(block("rust", "impl Bouncer"), include_str!("../guests/bouncer/src/lib.rs"));
}

#[tokio::test]
async fn the_first_policy_does_what_it_says() {
    let origin = Origin::start();
    let config = block("toml", "[plugin.bouncer]")
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("http://127.0.0.1:9000", origin.to_string().trim_end_matches('/'));
    let component = "target/wasm32-wasip2/release/bouncer.wasm";
    let gateway = Gateway::with(config).copy(component, guest("bouncer")).start().await;
    let refused = Client::http1().get(gateway.url("/club")).send().await;
    assert_eq!((refused.status.as_u16(), &*refused.text()), (403, "not tonight\n"));
    let welcome = Client::http1().get(gateway.url("/club")).header("x-password", "swordfish").send().await;
    assert_eq!(welcome.json()["path"], "/club");
}

/// The commands are run by a shell as they stand there, but for ports; each `curl` gets what its comment says.
#[tokio::test]
async fn an_api_is_protected_with_keys_as_it_says() {
    let origin = Origin::start();
    let config = block("toml", "where `limen key` asks")
        .replace("127.0.0.1:9901", "127.0.0.1:0")
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("http://127.0.0.1:9000", origin.to_string().trim_end_matches('/'));
    let gateway = Gateway::start(config).await;
    let admin = gateway.admin_url("");
    let admin = admin.split_once("://").unwrap().1;
    let api = gateway.url("");
    let commands = block("sh", "limen key create");
    let commands = commands.lines().map(|line| match line.split_once('#') {
        Some((command, expected)) if command.starts_with("curl") => {
            let asked = command.trim().replacen("-i localhost:8080", &api, 1);
            let asked =
                asked.replacen("-i localhost:9901", &format!("http://{}", admin.trim_end_matches('/')), 1);
            let status = expected.trim().get(..3).unwrap();
            format!(
                "test \"$(curl -so /dev/null -w '%{{http_code}}' {})\" = {status}\n",
                &asked["curl ".len()..]
            )
        }
        _ => format!("{line}\n"),
    });
    let ours = format!("limen() {{ {} \"$@\" --admin {admin}; }}\n", limen().display());
    let script = ours + &commands.collect::<String>();
    let done =
        std::process::Command::new("sh").args(["-exc", &script]).current_dir(gateway.path("")).output();
    let done = done.unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{script}\n{told}");
    let shown = String::from_utf8_lossy(&done.stdout);
    assert!(
        shown.contains("gold") && shown.contains("key.create") && shown.contains("key.revoke"),
        "{shown}"
    );
}

#[tokio::test]
async fn the_configuration_at_a_glance_is_a_good_one() {
    let certs = Certs::new();
    let checked = Gateway::with(block("toml", "# limen.toml"))
        .file("teams/none.toml", "")
        .file("secrets/webhook", "s3cr3t")
        .file("keys/idp.pem", rcgen::KeyPair::generate().unwrap().public_key_pem())
        .copy("plugins/region.wasm", plugin("region"))
        .copy("plugins/flags.wasm", guest("ticks"))
        .copy("certs/api.pem", &certs.local().cert)
        .copy("certs/api.key", &certs.local().key)
        .check()
        .await;
    assert!(checked.status.success(), "{}", checked.stderr);
    assert!(checked.stdout.contains("good"), "{}", checked.stdout);
}
