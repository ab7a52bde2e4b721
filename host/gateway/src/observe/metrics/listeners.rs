//! What listeners have counted: connections, how they began, and why some were refused or let go.

use super::text::{LabelSet, Text};
use crate::listener::{Counters, Trouble};
use crate::snapshot::Snapshot;

/// The value of a label, and how what it stands for is read.
type Count = (&'static str, fn(&Counters) -> u64);

/// A family with one label that tells its counters apart.
struct Family {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    counters: [Count; 2],
}

const FAMILIES: [Family; 3] = [
    Family {
        name: "limen_listener_protocol_connections",
        help: "Connections by the version of HTTP that they speak.",
        label: "network_protocol_version",
        counters: [("1.1", Counters::http1), ("2", Counters::http2)],
    },
    Family {
        name: "limen_listener_tls_handshakes",
        help: "TLS handshakes that were completed: full ones, and those that resumed a session.",
        label: "kind",
        counters: [("full", Counters::full_handshakes), ("resumed", Counters::resumed_handshakes)],
    },
    Family {
        name: "limen_listener_tls_connections",
        help: "Connections by their version of TLS.",
        label: "tls_protocol_version",
        counters: [("1.2", Counters::tls12), ("1.3", Counters::tls13)],
    },
];

pub fn render(snapshot: &Snapshot, text: &mut Text) {
    let listeners = snapshot.listeners.iter().map(|listener| &listener.terms);
    let all: Vec<_> = listeners
        .map(|terms| {
            let set = LabelSet::default().with("limen_listener", &terms.name);
            (set, &terms.shared.counters, terms.tls.is_some())
        })
        .collect();
    text.gauges(
        "limen_listener_open_connections",
        "Connections that are open now.",
        all.iter().map(|(set, counters, _)| (set, counters.open() as f64)),
    );
    text.counters(
        "limen_listener_connections",
        "Connections that were let in.",
        all.iter().map(|(set, counters, _)| (set, counters.accepted())),
    );
    text.counters(
        "limen_listener_idle_connections",
        "Connections that were closed because no request came for long.",
        all.iter().map(|(set, counters, _)| (set, counters.idle())),
    );
    for Family { name, help, label, counters: members } in FAMILIES {
        // Where there is no TLS, nothing is said of it.
        let told = all.iter().filter(|(_, _, is_tls)| *is_tls || !name.contains("_tls_"));
        let counts: Vec<_> = told
            .flat_map(|(set, counters, _)| {
                members.map(|(value, read)| (set.clone().with(label, value), read(counters)))
            })
            .collect();
        text.counters(name, help, counts.iter().map(|(set, count)| (set, *count)));
    }
    let troubles: Vec<_> = all
        .iter()
        .flat_map(|(set, counters, _)| {
            Trouble::ALL.map(|why| (set.clone().with("why", why.name()), counters.troubles(why)))
        })
        .collect();
    text.counters(
        "limen_listener_refusals",
        "Connections, or streams of them, that were refused or let go, by the reason.",
        troubles.iter().map(|(set, count)| (set, *count)),
    );
}
