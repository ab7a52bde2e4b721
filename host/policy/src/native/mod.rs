//! Policies that are part of the gateway. One file each: settings, policy, docs and tests; one line
//! here.

mod amount;
mod bearer;
mod denial;
#[cfg(feature = "openapi")]
mod description;
pub(crate) mod expression;
mod features;
mod kept;
#[cfg(feature = "openapi")]
mod outline;
mod paths;
mod settings;
#[cfg(any(feature = "graphql", feature = "openapi"))]
mod unambiguous;
#[cfg(not(feature = "openapi"))]
mod undescribed;

mod api_key;
mod authorize;
mod basic;
mod cache;
#[cfg(feature = "compress")]
mod compress;
mod concurrency;
mod cors;
#[cfg(feature = "compress")]
mod decompress;
#[cfg(feature = "geo")]
mod geo;
#[cfg(feature = "graphql")]
mod graphql;
mod headers;
mod hmac;
mod introspect;
mod ip;
mod json;
mod jwt;
#[cfg(feature = "openapi")]
mod mock;
mod mtls;
#[cfg(feature = "openapi")]
mod openapi;
mod quota;
mod rate_limit;
mod redirect;
mod respond;
mod rewrite;
mod security_headers;
mod size;
mod throttle;
#[cfg(feature = "xml")]
mod xml_json;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use limen_store::{Journal, JournalError, Redis, StateFile};
use serde_json::Value;

pub use cache::{Purge, Reading as CacheReading, Shelf as CacheShelf};
#[cfg(feature = "openapi")]
pub use description::Documents;
pub use features::left_out;
pub use kept::Kept;
#[cfg(feature = "openapi")]
pub use outline::{Outline, outline};
pub use settings::SettingsError;
#[cfg(not(feature = "openapi"))]
pub use undescribed::Documents;

use crate::Policy;
use crate::keys::{KeyError, Keyring, Peppers};
use crate::vault::Vault;

/// Made by a function that is there only with a cargo feature.
macro_rules! of_feature {
    ($feature:literal, $build:path) => {{
        #[cfg(feature = $feature)]
        let build: Option<Build> = Some($build);
        #[cfg(not(feature = $feature))]
        let build: Option<Build> = None;
        Make::Feature($feature, build)
    }};
}

/// Every built-in policy, also those that this build leaves out.
pub const NATIVE: &[Native] = &[
    Native {
        name: "api-key",
        summary: "let pass who has a key, and name the consumer",
        files: &[],
        make: Make::Always(api_key::build),
    },
    Native {
        name: "authorize",
        summary: "let pass by scopes, roles and conditions",
        files: &[],
        make: Make::Always(authorize::build),
    },
    Native {
        name: "basic",
        summary: "let pass who knows a password",
        files: &["file"],
        make: Make::Always(basic::build),
    },
    Native {
        name: "cache",
        summary: "answer again with what the upstream has answered before",
        files: &[],
        make: Make::Always(cache::build),
    },
    Native {
        name: "compress",
        summary: "compress responses for clients that can read it",
        files: &[],
        make: of_feature!("compress", compress::build),
    },
    Native {
        name: "concurrency",
        summary: "let pass so many requests at the same time",
        files: &[],
        make: Make::Always(concurrency::build),
    },
    Native {
        name: "cors",
        summary: "let web pages of other origins ask",
        files: &[],
        make: Make::Always(cors::build),
    },
    Native {
        name: "decompress",
        summary: "decompress the bodies of requests, bounded",
        files: &[],
        make: of_feature!("compress", decompress::build),
    },
    Native {
        name: "geo",
        summary: "let pass by the country of the client's address",
        files: &["database"],
        make: of_feature!("geo", geo::build),
    },
    Native {
        name: "graphql",
        summary: "let queries pass that ask for no more than they may",
        files: &[],
        make: of_feature!("graphql", graphql::build),
    },
    Native {
        name: "headers",
        summary: "set, add, remove and rename headers of requests and responses",
        files: &[],
        make: Make::Always(headers::build),
    },
    Native {
        name: "hmac",
        summary: "let pass what is signed (RFC 9421)",
        files: &[],
        make: Make::Always(hmac::build),
    },
    Native {
        name: "introspect",
        summary: "let pass who has a token that its issuer says is good",
        files: &["roots"],
        make: Make::Always(introspect::build),
    },
    Native {
        name: "ip",
        summary: "let pass by the client's address",
        files: &[],
        make: Make::Always(ip::build),
    },
    Native {
        name: "json",
        summary: "remove, rename, move, set and mask fields of JSON bodies",
        files: &[],
        make: Make::Always(json::build),
    },
    Native {
        name: "jwt",
        summary: "let pass who has a token (JWT), and name the consumer",
        files: &[],
        make: Make::Always(jwt::build),
    },
    Native {
        name: "mock",
        summary: "answer as an OpenAPI document says the upstream will",
        files: &[DOCUMENT],
        make: of_feature!("openapi", mock::build),
    },
    Native {
        name: "mtls",
        summary: "let pass by the client's certificate",
        files: &[],
        make: Make::Always(mtls::build),
    },
    Native {
        name: "openapi",
        summary: "let pass what is as an OpenAPI document describes it",
        files: &[DOCUMENT],
        make: of_feature!("openapi", openapi::build),
    },
    Native {
        name: "quota",
        summary: "let pass so many requests in an hour, a day or a month",
        files: &[],
        make: Make::Always(quota::build),
    },
    Native {
        name: "rate-limit",
        summary: "let pass so many requests in a time",
        files: &[],
        make: Make::Always(rate_limit::build),
    },
    Native {
        name: "redirect",
        summary: "send clients elsewhere",
        files: &[],
        make: Make::Always(redirect::build),
    },
    Native {
        name: "respond",
        summary: "answer itself",
        files: &["file"],
        make: Make::Always(respond::build),
    },
    Native {
        name: "rewrite",
        summary: "change path, query, method and host of requests",
        files: &[],
        make: Make::Always(rewrite::build),
    },
    Native {
        name: "security-headers",
        summary: "tell browsers to be careful with responses",
        files: &[],
        make: Make::Always(security_headers::build),
    },
    Native {
        name: "size",
        summary: "bound what a client may send",
        files: &[],
        make: Make::Always(size::build),
    },
    Native {
        name: "xml-json",
        summary: "make JSON of XML and back",
        files: &[],
        make: of_feature!("xml", xml_json::build),
    },
    Native {
        name: "throttle",
        summary: "let requests pass at a steady pace, and wait for it",
        files: &[],
        make: Make::Always(throttle::build),
    },
];

/// One built-in policy, as the configuration finds it.
pub struct Native {
    /// What `use` calls it.
    pub name: &'static str,
    pub summary: &'static str,
    /// The settings that name a file. A path is relative to the folder of the configuration's file that has
    /// it; when the file changes, the configuration is read again.
    pub files: &'static [&'static str],
    make: Make,
}

/// How one comes into being.
#[derive(Clone, Copy)]
enum Make {
    Always(Build),
    /// Of a cargo feature, if this build has it.
    Feature(&'static str, Option<Build>),
}

type Build = fn(&Value, &Materials<'_>) -> Built;

impl Native {
    /// Makes it from its settings (`with`).
    pub fn build(&self, settings: &Value, materials: &Materials<'_>) -> Built {
        match self.make {
            Make::Always(build) | Make::Feature(_, Some(build)) => build(settings, materials),
            Make::Feature(feature, None) => Err(features::missing(feature, features::ALL)),
        }
    }
}

/// The setting that names an OpenAPI document.
const DOCUMENT: &str = "document";

/// A policy, or what is wrong with its settings.
pub type Built = Result<Box<dyn Policy>, SettingsError>;

/// What policies are made of besides their settings.
pub struct Materials<'a> {
    /// Whose state it is that outlives a reload: the policy's name, or for one without a name its route's
    /// and its own.
    pub name: &'a str,
    /// The folder that paths in its settings are relative to.
    pub folder: &'a Path,
    pub vault: &'a Vault,
    pub documents: &'a Documents,
    kept: &'a Kept,
    store: Storeroom<'a>,
}

/// Where policies keep what outlives the process: what the configuration says of it, and what is open.
#[derive(Clone, Copy)]
pub struct Storeroom<'a> {
    pub terms: &'a limen_config::State,
    pub file: &'a StateFile,
    /// What several gateways share.
    pub shared: Option<&'a Arc<Redis>>,
}

/// Makes a policy of these settings, and of nothing else.
#[cfg(test)]
fn plain(build: impl Fn(&Value, &Materials<'_>) -> Built, settings: &Value) -> Built {
    let store = Storeroom { terms: &limen_config::State::default(), file: &StateFile::tried(), shared: None };
    let (vault, documents, kept) = Default::default();
    build(settings, &Materials::new("test", Path::new(""), &vault, &documents, &kept, store))
}

impl<'a> Materials<'a> {
    pub fn new(
        name: &'a str,
        folder: &'a Path,
        vault: &'a Vault,
        documents: &'a Documents,
        kept: &'a Kept,
        store: Storeroom<'a>,
    ) -> Self {
        Materials { name, folder, vault, documents, kept, store }
    }

    /// All API keys, and what they are hashed with.
    pub(crate) fn keys(&self) -> Result<(Arc<Keyring>, Arc<Peppers>), SettingsError> {
        let Storeroom { terms, file, shared } = self.store;
        if shared.is_some() && terms.pepper.is_none() {
            let message = "keys that gateways share need a pepper that they share: `[store]` has a `url`, and no `pepper`";
            let hint = "name a `[secret]` there, the same one on all gateways: pepper = \"NAME\"";
            return Err(SettingsError::new("", message).hint(Some(hint.to_owned())));
        }
        // Who only looks whether a configuration is good asks nobody.
        let shared = shared.filter(|_| !file.is_tried());
        let journal = self.journal()?;
        let refused = |error: KeyError| SettingsError::new("", &error).hint(error.hint());
        let keyring =
            self.kept.try_take(&keyring_of(shared), || Keyring::open(journal, shared)).map_err(refused)?;
        let named = terms.pepper.as_ref().and_then(|name| self.vault.secrets.get(name));
        let peppers = keyring.pepper(named.map(|secret| &**secret)).map_err(refused)?;
        Ok((keyring, peppers))
    }

    /// What outlives the process: one for all policies, opened when the first of them asks. What it reads of it
    /// it reads now; it writes beside the request's path, for that waits for the disk.
    pub fn journal(&self) -> Result<Arc<Journal>, SettingsError> {
        let journal = self.store.file.journal(self.store.terms);
        journal.map_err(|error| SettingsError::new("", &error).hint(error.hint()))
    }

    /// Whether it is only tried: then nothing is touched that a gateway may have.
    pub(crate) fn is_tried(&self) -> bool {
        self.store.file.is_tried()
    }

    /// What gateways share, if they share anything.
    pub fn shared(&self) -> Option<&'a Arc<Redis>> {
        self.store.shared
    }

    /// What a policy of this kind and name keeps over reloads, new if there is none yet.
    pub fn kept<T: Send + Sync + 'static>(&self, new: impl FnOnce() -> T) -> Arc<T> {
        self.kept.take(self.name, new)
    }

    /// The same, but a new one also in place of one that does not fit any more.
    pub fn kept_if<T: Send + Sync + 'static>(
        &self,
        fits: impl FnMut(&T) -> bool,
        new: impl FnOnce() -> Arc<T>,
    ) -> Arc<T> {
        self.kept.take_if(self.name, fits, new)
    }
}

impl Kept {
    /// All API keys, those that gateways share there or else those of this one, if a policy asks for them.
    pub fn keyring(&self, shared: Option<&Arc<Redis>>) -> Option<Arc<Keyring>> {
        let name = keyring_of(shared);
        self.all().into_iter().find_map(|(known, keyring)| (known == name).then_some(keyring))
    }

    /// Puts on the disk what is on its way there, and takes from it what is forgotten: to be called before the process
    /// ends, or another one has the files.
    pub fn save(&self) {
        for (_, counts) in self.all::<quota::counts::Counts>() {
            counts.save();
        }
        for (_, shelf) in self.all::<CacheShelf>() {
            shelf.sweep();
        }
    }
}

/// Takes out of the file what no policy can have any use for, whether a configuration still has that policy or not.
pub fn forget_the_past(file: &StateFile) {
    let Some(journal) = file.opened() else { return };
    match quota::counts::forget_the_past(&journal) {
        // Another process has it, and does.
        Ok(()) | Err(JournalError::HandedOver) => {}
        Err(error) => tracing::warn!("what is over of quotas could not be forgotten: {error}"),
    }
}

/// There is one for each place that keys are in. (It holds the way to a store, so nothing else gets its address.)
fn keyring_of(shared: Option<&Arc<Redis>>) -> String {
    shared.map_or_else(|| "keys".to_owned(), |redis| format!("keys at {:p}", Arc::as_ptr(redis)))
}

/// The files that the settings of a built-in policy name.
pub fn files(name: &str, settings: &Value, folder: &Path) -> Vec<PathBuf> {
    let named = find(name).map_or(&[][..], |native| native.files);
    let paths = named.iter().filter_map(|key| settings.get(key)?.as_str());
    paths.map(|path| folder.join(path)).collect()
}

/// The OpenAPI document that its settings name, if they name one: it is read with [what it refers
/// to](Documents::referred).
pub fn document(name: &str, settings: &Value, folder: &Path) -> Option<PathBuf> {
    find(name).filter(|native| native.files.contains(&DOCUMENT))?;
    Some(folder.join(settings.get(DOCUMENT)?.as_str()?))
}

/// The built-in policy of that name.
pub fn find(name: &str) -> Option<&'static Native> {
    NATIVE.iter().find(|native| native.name == name)
}
