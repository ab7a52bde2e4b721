//! A new process takes over from the old one, and nobody notices.

use crate::common::{config, route};
use limen_tests::{Client, Gateway, Load, Origin, eventually};
use rustix::process::{Pid, Signal, kill_process};

const SOCKET: &str = "takeover = \"run/takeover.sock\"\n";

/// `workers` is set at start: it can differ from one process to the next.
fn config_of(workers: usize, origin: &Origin) -> String {
    format!("[gateway]\nworkers = {workers}\n{SOCKET}{}", config(origin, &route("/**", "")))
}

#[tokio::test]
async fn twenty_takeovers_lose_no_connection_no_request_and_no_stream() {
    let origin = Origin::start();
    let mut gateway = Gateway::start(config_of(1, &origin)).await;
    let url = gateway.url("/");
    let loads = [Load::of_connections(&Client::http1(), &url, 4), Load::start(&Client::http1(), &url, 4)];
    let (mut streams, mut old) = (vec![], vec![]);
    for takeover in 1..=20 {
        for load in &loads {
            load.wait_for_more(10).await;
        }
        if takeover % 4 == 0 {
            for client in [Client::http1(), Client::http2()] {
                let stream = client.get(gateway.url("/drip?seconds=3")).open().await;
                streams.push(tokio::spawn(stream.collect()));
            }
        }
        gateway.write_config(config_of(takeover % 3 + 1, &origin));
        let next = gateway.successor().start().await;
        assert_eq!(next.url("/"), url, "the same socket, on a port that the system chose");
        old.push(std::mem::replace(&mut gateway, next));
    }
    for load in &loads {
        load.wait_for_more(10).await;
    }
    for stream in streams {
        let answer = stream.await.unwrap().unwrap();
        assert_eq!(answer.text().lines().count(), 30, "a stream was cut short");
    }
    for mut gateway in old {
        assert!(gateway.wait_exit().await.success());
    }
    for load in loads {
        load.stop().assert_no_failures();
    }
    assert!(gateway.path("run/takeover.sock").exists());
    gateway.sigterm();
    assert!(gateway.wait_exit().await.success());
    let left: Vec<_> = std::fs::read_dir(gateway.path("run")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_process_that_fails_at_start_leaves_the_old_one_serving() {
    let origin = Origin::start();
    let gateway = Gateway::start(config_of(2, &origin)).await;
    let load = Load::of_connections(&Client::http1(), &gateway.url("/"), 2);
    // Found broken after the sockets were handed over.
    let broken = "[plugin.broken]\ncomponent = \"broken.wasm\"\n";
    gateway.replace_file("broken.wasm", "not wasm at all");
    gateway.write_config(format!("{}{broken}{}", config_of(2, &origin), route("/b", "\"broken\"")));
    let failed = gateway.successor().run().await;
    assert_eq!(failed.status.code(), Some(1), "{failed:#?}");
    gateway.wait_for_log_containing("a takeover failed, this process serves on").await;
    load.wait_for_more(20).await;

    gateway.write_config(config_of(2, &origin));
    let next = gateway.successor().start().await;
    load.wait_for_more(20).await;
    load.stop().assert_no_failures();
    drop(next);
}

#[tokio::test]
async fn sigusr2_starts_the_next_process() {
    let origin = Origin::start();
    let mut gateway = Gateway::start(config_of(2, &origin)).await;
    let load = Load::of_connections(&Client::http1(), &gateway.url("/"), 2);
    gateway.signal(Signal::USR2);
    let line = gateway.wait_for_log_containing("SIGUSR2: started").await;
    let next: i32 = line.rsplit_once("as process ").unwrap().1.trim().parse().unwrap();
    // It has the same outputs.
    gateway.wait_for_log_containing("took over: the old process drains").await;
    eventually("the old process to end", async || (!gateway.is_running()).then_some(())).await;
    load.wait_for_more(20).await;
    load.stop().assert_no_failures();
    kill_process(Pid::from_raw(next).unwrap(), Signal::TERM).unwrap();
    assert!(gateway.wait_exit().await.success());
}

#[tokio::test]
async fn a_folder_that_others_can_write_into_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let origin = Origin::start();
    let setup = Gateway::with(config_of(1, &origin)).file("run/x", "");
    std::fs::set_permissions(setup.path("run"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = setup.run().await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("others can write into its folder run"), "{}", refused.stderr);
}
