use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use limen_gateway::StartError;
use limen_gateway::remote::keys::{Gateway, New};

/// Make, list, rotate and revoke API keys, while the gateway runs
///
/// Asks its admin listener, which `[admin]` of the configuration names. A key is in force, or refused, from
/// the next request on. Routes ask for keys by the policy `api-key`.
///
/// Exit status: 0 it is done, 1 it is not, or the gateway could not be asked.
#[derive(Subcommand)]
pub enum Key {
    /// Make a key: it is printed this once, alone on standard output
    Create(Create),
    /// List keys
    List(List),
    /// Show what is known of a key
    Show(One),
    /// Make a key that takes the place of another, which goes on being accepted for a while
    Rotate(Rotate),
    /// Refuse a key from now on
    Revoke(One),
    /// Take keys over from a file: CSV, JSON, or what Kong has
    ///
    /// CSV has a first line of names: `key` or `sha256` (of the key, in hexadecimal digits), `consumer`, and if you
    /// like `scopes` (with spaces between), `plan`, `expires` and `prefix`; any other column is metadata.
    /// JSON is a list of objects with these names. Of Kong, what `deck gateway dump --format json` writes,
    /// or its Admin API answers at `/key-auths`. Keys that are there already are left as they are.
    Import(Import),
}

#[derive(Args)]
pub struct Create {
    /// Whose it is: what logs, limits and the upstream know the consumer by
    #[arg(long)]
    consumer: String,
    /// What it allows; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The consumer's plan, for limits and quotas
    #[arg(long)]
    plan: Option<String>,
    /// More that is known of the consumer; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// When it ends: a moment like 2027-01-31T00:00:00Z, or a time from now like 90d; otherwise never
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// What it begins with: the `prefix` of the policy that it is for; otherwise lk
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct List {
    /// Those of this consumer
    #[arg(long)]
    consumer: Option<String>,
    /// Those that stand like this
    #[arg(long, value_parser = ["active", "expired", "revoked"])]
    state: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct One {
    /// Its id: what stands between the prefix and the secret
    id: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct Rotate {
    /// The id of the key that is replaced
    id: String,
    /// How long that one goes on being accepted, like 12h or 7d; 0s: not at all; otherwise a day
    #[arg(long, value_name = "TIME")]
    overlap: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct Import {
    /// The file with the keys
    keys: PathBuf,
    #[command(flatten)]
    at: At,
}

/// Which gateway is asked.
#[derive(Args)]
struct At {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "limen.toml")]
    config: PathBuf,
    /// Ask there, and not where the configuration says
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// What it answers, as JSON
    #[arg(long)]
    json: bool,
}

impl Key {
    pub fn main(self) -> Result<ExitCode, StartError> {
        let report = match self {
            Key::Create(Create { consumer, scopes, plan, metadata, expires, prefix, at }) => {
                at.gateway().create(New { consumer, scopes, plan, metadata, expires, prefix })
            }
            Key::List(List { consumer, state, at }) => {
                at.gateway().list(consumer.as_deref(), state.as_deref())
            }
            Key::Show(One { id, at }) => at.gateway().show(&id),
            Key::Rotate(Rotate { id, overlap, at }) => at.gateway().rotate(&id, overlap.as_deref()),
            Key::Revoke(One { id, at }) => at.gateway().revoke(&id),
            Key::Import(Import { keys, at }) => at.gateway().import(&keys),
        };
        report.map(super::tell)
    }
}

impl At {
    fn gateway(self) -> Gateway {
        Gateway { file: self.config, admin: self.admin, as_json: self.json }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has no `=`")?;
    Ok((name.to_owned(), value.to_owned()))
}
