//! Policies that are part of the gateway. One file each: settings, policy, docs and tests; one line
//! here.

mod denial;
mod settings;

mod cors;
mod headers;
mod ip;
mod jwt;
mod security_headers;

use serde_json::Value;

pub use settings::SettingsError;

use crate::Policy;
use crate::vault::Vault;

/// Every built-in policy.
pub const NATIVE: &[Native] = &[
    Native { name: "cors", summary: "let web pages of other origins ask", build: cors::build },
    Native {
        name: "headers",
        summary: "set, add and remove headers of requests and responses",
        build: headers::build,
    },
    Native { name: "ip", summary: "let pass by the client's address", build: ip::build },
    Native {
        name: "jwt",
        summary: "let pass who has a token (JWT), and name the consumer",
        build: jwt::build,
    },
    Native {
        name: "security-headers",
        summary: "tell browsers to be careful with responses",
        build: security_headers::build,
    },
];

/// One built-in policy, as the configuration finds it.
pub struct Native {
    /// What `use` calls it.
    pub name: &'static str,
    pub summary: &'static str,
    /// Makes it from its settings (`with`).
    pub build: fn(&Value, &Materials<'_>) -> Built,
}

/// A policy, or what is wrong with its settings.
pub type Built = Result<Box<dyn Policy>, SettingsError>;

/// What policies are made of besides their settings.
pub struct Materials<'a> {
    pub vault: &'a Vault,
}

/// The built-in policy of that name.
pub fn find(name: &str) -> Option<&'static Native> {
    NATIVE.iter().find(|native| native.name == name)
}
