//! `limen.toml`, from text to checked values.
//!
//! [`Config::load`] is the only door: start, reload and `limen check` all go through it. It reads
//! the file and what that file includes, and answers with either a [`Config`] in which everything
//! has been checked (types, ranges, names, files, collisions) or [`Errors`]: every mistake of every
//! file in one run, each with its place in the text, what was expected and a hint.
//!
//! One section of the file is one module, and there each key stands once: its doc comment, its
//! type, its name in the file, its range and its default. A new key is one more such field.
//!
//! This crate knows text only: it never opens a socket and never looks into a component.

mod files;
mod load;

mod admin;
mod code_cache;
mod forwarded;
mod gateway;
mod log;
mod request_id;
mod resolver;
mod target;
mod trace;

mod component;
mod digest;
mod listener;
mod plugin;
mod plugin_folder;
mod registry;
mod signature;
mod state;
mod store;

mod grants;
mod key_set;
mod secret;

mod limits;
mod policy;
mod settings;

mod upstream;

mod request;
mod route;
mod upgrade;

mod host;
mod network;
mod path;

mod condition;

mod action;

mod pattern;

mod check;
mod scope;
mod twice;

mod include;
mod written;

pub mod suite;

mod section;
mod value;

mod env;
mod source;
mod suggest;
mod tls_version;
pub mod units;

mod error;
mod place;

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

pub use action::{
    Action, FixedBody, Forward, Mirror, Origin, OriginHost, Piece, Redirect, RedirectQuery, Respond, Rewrite,
    Split, SplitBy, Template, Weighted, closing_brace,
};
pub use admin::Admin;
pub use code_cache::CodeCache;
pub use component::{Component, NotAComponent, Reference, Which};
pub use condition::{Condition, Test};
pub use digest::Digest;
pub use error::{ConfigError, Errors};
pub use forwarded::Forwarded;
pub use gateway::Gateway;
pub use grants::{CacheGrant, ConsumerGrant, Grants, SecretGrant};
pub use host::Host;
pub use key_set::KeySet;
pub use limits::{PluginBreaker, PluginLimits};
pub use listener::{
    Certificate, CipherSuite, ClientAuth, ClientAuthMode, ForwardCertificate, HttpsRedirect, Listener,
    ListenerLimits, Tls,
};
pub use log::{AccessLog, Field, Level, Log, LogFormat, LogOutput};
pub use minisign_verify::PublicKey;
pub use path::{PathPattern, PathRegex, RoutePath, Segment};
pub use pattern::Pattern;
pub use place::Place;
pub use plugin::{IsolateMode, Plugin};
pub use plugin_folder::{LeftOut, PluginFolder};
pub use policy::{Attachment, OnError, Target};
pub use registry::{Registry, RegistryName};
pub use request::{RouteLimits, RouteTimeouts};
pub use request_id::{IdTrust, RequestIds};
pub use resolver::Resolver;
pub use route::Route;
pub use secret::{Secret, SecretSource};
pub use settings::Settings;
pub use state::{State, StoreUrl};
pub use store::Store;
pub use suggest::did_you_mean;
pub use target::{DotSegments, EmptySegments, EncodedSlashes, PathRules};
pub use tls_version::TlsVersion;
pub use trace::{Trace, TraceParent};
pub use upstream::{
    Affinity, AffinityKey, Backoff, Balance, Breaker, Endpoint, Fallback, HashBy, Health, Hedge, Lookup,
    Outlier, Probe, ResponseHead, Retries, RetryBudget, SameSite, Scheme, StandIn, Trouble, Upstream,
    UpstreamHost, UpstreamHttp2, UpstreamLimits, UpstreamPool, UpstreamProtocol, UpstreamTimeouts,
    UpstreamTls, Verify,
};

/// A file or a folder as it was just before it was read: whether it has changed since can be told from
/// how it looks later.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: PathBuf,
    pub metadata: Metadata,
}

/// What the file says, checked. It has no behaviour.
#[derive(Debug, Clone)]
pub struct Config {
    /// The main file, as it was named to [`Config::load`].
    pub file: PathBuf,
    /// Every file that was read: the main one first, then what it includes. A change to any of
    /// them is a change of the configuration.
    pub files: Vec<Seen>,
    /// The folders that patterns of `include` look into, and the one of plugins: a file that appears
    /// there can be a change of the configuration, too.
    pub folders: Vec<Seen>,
    /// What is of no use in the folder of plugins.
    pub left_out: Vec<LeftOut>,
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[log]`
    pub log: Log,
    /// `[admin]`
    pub admin: Option<Admin>,
    /// What stands in the files, for operators to see: by file, the main one first. Variables are as
    /// they are written, and what may be a secret is left out.
    pub written: serde_json::Value,
    /// `[trace]`
    pub trace: Option<Trace>,
    /// `[[listener]]`, in the order of the file; at least one.
    pub listeners: Vec<Listener>,
    /// `[secret.NAME]`, by name.
    pub secrets: BTreeMap<String, Secret>,
    /// `[key_set.NAME]`, by name.
    pub key_sets: BTreeMap<String, KeySet>,
    /// `[plugin.NAME]` and those of `plugin_folder`, by name.
    pub plugins: BTreeMap<String, Plugin>,
    /// `[registry."HOST"]`, by name.
    pub registries: BTreeMap<String, Registry>,
    /// `[upstream.NAME]`, by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// `[store]`
    pub state: State,
    /// `[store.NAME]`, by name.
    pub stores: BTreeMap<String, Store>,
    /// `[[route]]`, in the order of the files; at least one. `[policy.NAME]` and `[defaults]` are
    /// already resolved into their [`Attachment`]s.
    pub routes: Vec<Route>,
}

/// The names of the policies built into the gateway, which `use` can name.
#[derive(Debug, Clone, Copy)]
pub struct Natives<'a>(pub &'a [&'a str]);

impl Config {
    /// Reads and checks a configuration and all it includes.
    ///
    /// Nothing is kept of a configuration with a mistake in it; the errors are all mistakes found.
    pub fn load(path: impl AsRef<Path>, natives: &Natives<'_>) -> Result<Config, Errors> {
        load::load(path.as_ref(), natives)
    }

    /// `[admin]` of a main file alone, whatever mistakes stand beside it: it says where a running
    /// gateway is asked.
    pub fn admin(path: impl AsRef<Path>) -> Result<Option<Admin>, Errors> {
        load::admin(path.as_ref())
    }
}
