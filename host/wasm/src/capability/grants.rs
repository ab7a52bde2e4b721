//! What the operator has to grant, for a component to be loaded that imports or exports it.

use limen_config::{ConsumerGrant, Grants, SecretGrant};

/// Interfaces of the contract that no grant lists are always there.
pub(crate) struct Grant {
    /// As `grants` gives it in the configuration.
    pub(crate) written: &'static str,
    /// The imports and hooks that need it.
    pub(crate) interfaces: &'static [&'static str],
    pub(crate) is_given: fn(&Grants) -> bool,
}

pub(crate) static GRANTS: &[Grant] = &[
    Grant {
        written: "request_body = true",
        interfaces: &["request-body", "request-body-edit", "hook-request-body", "hook-request-chunk"],
        is_given: |grants| grants.request_body,
    },
    Grant {
        written: "response_body = true",
        interfaces: &["response-body", "response-body-edit", "hook-response-body", "hook-response-chunk"],
        is_given: |grants| grants.response_body,
    },
    Grant {
        written: "consumer = \"set\"",
        interfaces: &["consumer-edit"],
        is_given: |grants| grants.consumer == Some(ConsumerGrant::Set),
    },
    Grant {
        written: "consumer = \"read\"",
        interfaces: &["consumer"],
        is_given: |grants| grants.consumer.is_some(),
    },
    Grant { written: "counters = true", interfaces: &["counters"], is_given: |grants| grants.counters },
    Grant {
        written: "fetch = [\"UPSTREAM\"]",
        interfaces: &["fetch"],
        is_given: |grants| !grants.fetch.is_empty(),
    },
    Grant { written: "kv = [\"STORE\"]", interfaces: &["kv"], is_given: |grants| !grants.kv.is_empty() },
    Grant { written: "cache = true", interfaces: &["cache"], is_given: |grants| grants.cache.is_some() },
    Grant {
        written: "secrets = { NAME = \"reveal\" }",
        interfaces: &["secrets-reveal"],
        is_given: |grants| grants.secrets.values().any(|grant| *grant == SecretGrant::Reveal),
    },
    Grant {
        written: "secrets = { NAME = \"sign\" }",
        interfaces: &["secrets"],
        is_given: |grants| !grants.secrets.is_empty(),
    },
    Grant {
        written: "key_sets = [\"NAME\"]",
        interfaces: &["jwt"],
        is_given: |grants| !grants.key_sets.is_empty(),
    },
    Grant { written: "metrics = true", interfaces: &["metrics"], is_given: |grants| grants.metrics },
];

impl Grant {
    /// Its key in `grants`.
    pub(crate) fn key(&self) -> &'static str {
        self.written.split(' ').next().unwrap_or_default()
    }
}
