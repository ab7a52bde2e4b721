//! Policies that are part of the gateway. One file each: settings, policy, docs and tests; one line
//! here.

use serde_json::Value;

use crate::Policy;

mod headers;

/// Every built-in policy.
pub const NATIVE: &[Native] = &[Native {
    name: "headers",
    summary: "set, add and remove headers of requests and responses",
    build: headers::build,
}];

/// One built-in policy, as the configuration finds it.
pub struct Native {
    /// What `use` calls it.
    pub name: &'static str,
    pub summary: &'static str,
    /// Makes it from its settings (`with`).
    pub build: fn(&Value) -> Result<Box<dyn Policy>, SettingsError>,
}

/// What is wrong with the settings of a built-in policy.
#[derive(Debug)]
pub struct SettingsError {
    /// A JSON Pointer to the setting.
    pub pointer: String,
    pub message: String,
}

/// The built-in policy of that name.
pub fn find(name: &str) -> Option<&'static Native> {
    NATIVE.iter().find(|native| native.name == name)
}
