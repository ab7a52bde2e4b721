use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use limen_gateway::{StartError, remote};

/// The caches of the running gateway
#[derive(Subcommand)]
pub enum Cache {
    Purge(Purge),
}

/// Make the running gateway forget responses that its policies `cache` keep
///
/// They are gone for all workers when this ends, and so are those that were on their way from an upstream. It
/// asks its admin listener, which `[admin]` of the configuration names.
#[derive(clap::Args)]
pub struct Purge {
    /// The configuration
    #[arg(default_value = "limen.toml")]
    file: PathBuf,
    #[command(flatten)]
    what: What,
    /// Only of the cache with this name: that of its [policy], or ROUTE/cache
    #[arg(long, value_name = "NAME")]
    cache: Option<String>,
    /// Ask there, and not where the configuration says
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// What it answers, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// This one: https://api.example.com/a?b=c; without a scheme of both
    #[arg(long)]
    url: Option<String>,
    /// All whose URL begins so: https://api.example.com/a/
    #[arg(long, value_name = "URL")]
    prefix: Option<String>,
    /// All that their upstream has called so, in Cache-Tag or Surrogate-Key
    #[arg(long)]
    tag: Option<String>,
    /// All
    #[arg(long)]
    all: bool,
}

impl Cache {
    pub fn main(self) -> Result<ExitCode, StartError> {
        let Cache::Purge(Purge { file, what, cache, admin, json }) = self;
        let What { url, prefix, tag, all: _ } = &what;
        let what = match (url, prefix, tag) {
            (Some(url), _, _) => ("url", &**url),
            (_, Some(prefix), _) => ("prefix", &**prefix),
            (_, _, Some(tag)) => ("tag", &**tag),
            (None, None, None) => ("all", "true"),
        };
        let purge = remote::Purge { what, cache: cache.as_deref() };
        remote::purge(&file, admin, &purge, json).map(super::tell)
    }
}
