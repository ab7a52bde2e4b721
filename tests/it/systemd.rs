//! What systemd is told and what it passes, with a socket of the test's own in its place.

use crate::common::{config, route};
use limen_tests::{Client, Gateway, Origin, within};
use std::collections::BTreeMap;
use tokio::net::UnixDatagram;

/// One notification, as its `NAME=value` lines.
async fn notification(socket: &UnixDatagram) -> BTreeMap<String, String> {
    let mut packet = vec![0; 4096];
    let length = within("a notification", socket.recv(&mut packet)).await.unwrap();
    let text = String::from_utf8(packet[..length].to_vec()).unwrap();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, it)| (name.to_owned(), it.to_owned()))
        .collect()
}

/// The next notification that has this name in it.
async fn notification_with(socket: &UnixDatagram, name: &str) -> BTreeMap<String, String> {
    loop {
        let found = notification(socket).await;
        if found.contains_key(name) {
            return found;
        }
    }
}

#[tokio::test]
async fn it_is_told_of_start_reload_stop_and_life() {
    let origin = Origin::start();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let setup = Gateway::with(config(&origin, &route("/**", "")));
    let setup = setup.env("NOTIFY_SOCKET", path.to_str().unwrap()).env("WATCHDOG_USEC", "400000");
    let mut gateway = setup.start().await;

    let ready = notification_with(&socket, "READY").await;
    assert_eq!((&*ready["READY"], &*ready["MAINPID"]), ("1", &*gateway.pid().to_string()));
    assert_eq!(ready["STATUS"], "serving 1 routes");
    for _ in 0..2 {
        notification_with(&socket, "WATCHDOG").await;
    }
    gateway.sighup();
    let reloading = notification_with(&socket, "RELOADING").await;
    assert!(reloading["MONOTONIC_USEC"].parse::<u64>().is_ok(), "{reloading:?}");
    notification_with(&socket, "READY").await;
    // A refused reload ends as well.
    gateway.write_config("nonsense");
    notification_with(&socket, "RELOADING").await;
    let refused = notification_with(&socket, "READY").await;
    assert!(refused["STATUS"].contains("refused"), "{refused:?}");
    gateway.sigterm();
    notification_with(&socket, "STOPPING").await;
    assert!(gateway.wait_exit().await.success());
}

#[tokio::test]
async fn a_socket_that_it_passes_is_served_by_name_and_by_address() {
    let origin = Origin::start();
    for by_name in [true, false] {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (asked, name) = match by_name {
            true => ("127.0.0.1:0".to_owned(), "plain"),
            false => (address.to_string(), "limen.socket"),
        };
        // Two workers share the one socket.
        let text = format!("[gateway]\nworkers = 2\n{}", config(&origin, &route("/**", "")));
        let setup = Gateway::with(text.replace("127.0.0.1:0", &asked)).activated(socket, name);
        let gateway = setup.start().await;
        assert_eq!(gateway.addr("plain"), address.to_string());
        for _ in 0..10 {
            assert_eq!(Client::http1().get(gateway.url("/")).send().await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_socket_that_nobody_wants_is_closed() {
    let origin = Origin::start();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let setup = Gateway::with(config(&origin, &route("/**", ""))).activated(socket, "other");
    let gateway = setup.start().await;
    gateway.wait_for_log_containing("no listener wants the socket `other`").await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_socket_that_it_passes_is_the_admin_listener_by_name_and_by_address() {
    let origin = Origin::start();
    for by_name in [true, false] {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (asked, name) = match by_name {
            true => ("127.0.0.1:0".to_owned(), "admin"),
            false => (address.to_string(), "limen.socket"),
        };
        let text = format!("[admin]\naddress = {asked:?}\n{}", config(&origin, &route("/**", "")));
        let gateway = Gateway::with(text).activated(socket, name).start().await;
        assert_eq!(gateway.admin_url(""), format!("http://{address}"));
        assert_eq!(Client::http1().get(gateway.admin_url("/ready")).send().await.status, 200);
        assert_ne!(gateway.addr("plain"), address.to_string());
    }
}
