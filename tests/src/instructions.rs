//! How many instructions a gateway executes, by valgrind's callgrind: the same on a busy machine as on an idle one.

use crate::client::Client;
use crate::gateway::{Gateway, Setup};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Requests before the count begins: connections stand, buffers and caches have their size.
const BEFORE: u32 = 200;
const COUNTED: u32 = 800;

/// Whether this machine can count.
pub fn can_count() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The instructions of one request for `path`, one after another on one connection, in all threads
/// of a gateway with this config. It should have one worker and nothing that happens by itself.
pub async fn per_request(config: &str, path: &str) -> f64 {
    let setup: Setup = Gateway::with(config);
    let counts = setup.path("callgrind.out");
    let gateway = setup
        .under(&["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=callgrind.out"])
        .start()
        .await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    let mut ask = async |count| {
        for _ in 0..count {
            assert_eq!(connection.get(path).send().await.status, 200);
        }
    };
    ask(BEFORE).await;
    dump(&gateway);
    ask(COUNTED).await;
    dump(&gateway);
    instructions(&counts, 2) / f64::from(COUNTED)
}

/// Writes what was counted since the last time into a file of its own, and counts from nought again.
fn dump(gateway: &Gateway) {
    let output =
        Command::new("callgrind_control").args(["--dump", &gateway.pid().to_string()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// What the dump with this number says.
fn instructions(counts: &Path, number: u32) -> f64 {
    let file: PathBuf = counts.with_extension(format!("out.{number}"));
    let text = std::fs::read_to_string(&file).unwrap();
    // One for each thread, and their sum at the end.
    let totals = text.lines().filter_map(|line| line.strip_prefix("totals: "));
    totals.map(|sum| sum.trim().parse::<f64>().unwrap()).sum()
}
