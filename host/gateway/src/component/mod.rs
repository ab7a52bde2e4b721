//! The bytes of a plugin's component, from where it lies, if they are those that the operator wants.

mod file;
mod kept;
mod oci;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use limen_config::{
    CodeCache, Component, ConfigError, Place, Plugin, PublicKey, Reference, Registry, RegistryName, Which,
};
use limen_policy::vault::Vault;
use minisign_verify::Signature;
use sha2::{Digest, Sha256};

use crate::progress::{Progress, Step, Superseded};
use kept::Kept;
use oci::registry::{self, Lane};
pub use oci::{COMPONENT, Failure, SIGNATURE};

/// A component that is larger is none: those of interpreted languages have some 20 MiB.
const LARGEST: u64 = 256 << 20;

/// A signature is four short lines.
const LARGEST_SIGNATURE: u64 = 64 << 10;

/// Where components come from, and what was kept of those that came from afar.
pub struct Components {
    kept: Kept,
}

/// A component, and the signature that came with it.
struct Content {
    component: Vec<u8>,
    /// Or why there is none.
    signature: Result<Vec<u8>, String>,
}

/// Components that came from registries, by the names of their plugins, and whose signatures all need.
pub struct Fetched<'a> {
    contents: BTreeMap<String, Result<Content, Failure>>,
    trust: &'a [PublicKey],
}

/// How registries are spoken to.
#[derive(Clone, Copy)]
pub struct Registries<'a> {
    pub terms: &'a BTreeMap<String, Registry>,
    pub vault: &'a Vault,
    /// Of the configuration.
    pub place: &'a Place,
}

impl Components {
    pub fn new(kept: CodeCache) -> Self {
        Components { kept: Kept::new(kept) }
    }

    /// Gets what registries have of these plugins, from all of them at the same time. Waits for none longer than its
    /// timeout, and not at all once a newer configuration is wanted.
    pub fn fetch<'a>(
        &self,
        plugins: impl Iterator<Item = &'a Plugin>,
        trust: &'a [PublicKey],
        registries: Registries<'_>,
        progress: &Progress,
    ) -> Result<Fetched<'a>, Superseded> {
        let wanted: Vec<_> = plugins
            .filter_map(|plugin| match &plugin.component {
                Component::Registry(reference) => Some((plugin, reference)),
                _ => None,
            })
            .collect();
        if wanted.is_empty() {
            return Ok(Fetched { contents: BTreeMap::new(), trust });
        }
        let lanes = lanes(wanted.iter().map(|(_, reference)| *reference), registries);
        let downloads = wanted.iter().filter_map(|(plugin, reference)| {
            let lane = lanes.get(&reference.registry)?;
            let told = |came, size| progress.tell(Step::downloading(&plugin.name, reference, came, size));
            Some(async move {
                let content = registry::read(reference, lane, registries.vault, &self.kept, &told).await;
                (plugin.name.clone(), content)
            })
        });
        let contents = block_on(async {
            tokio::select! {
                biased;
                contents = join_all(downloads) => Ok(Ok(contents.into_iter().collect())),
                superseded = progress.superseded() => Ok(Err(superseded)),
            }
        });
        let contents = match contents {
            Ok(contents) => contents?,
            // Each plugin says it of its own.
            Err(no_runtime) => {
                wanted.iter().map(|(plugin, _)| (plugin.name.clone(), Err(no_runtime.clone()))).collect()
            }
        };
        self.kept.tidy();
        Ok(Fetched { contents, trust })
    }

    /// One component as it is now, and where exactly it comes from.
    pub fn look_at(
        &self,
        component: &Component,
        registries: Registries<'_>,
    ) -> Result<(Component, Vec<u8>), Failure> {
        let Component::Registry(reference) = component else {
            return Ok((component.clone(), here(component, false)?.component));
        };
        let lane = Lane::new(registries.of(reference), 1);
        block_on(async {
            let digest = registry::resolve(reference, &lane, registries.vault).await?;
            let which = Which { digest: Some(digest), ..reference.which.clone() };
            let exact = Reference { which, ..reference.clone() };
            let content = registry::read(&exact, &lane, registries.vault, &self.kept, &|_, _| {}).await?;
            Ok((Component::Registry(exact), content.component))
        })
    }
}

impl Fetched<'_> {
    /// The component of a plugin, taken from here or read. It is read once: what was checked is what will run.
    pub fn read(&mut self, plugin: &Plugin) -> Result<Vec<u8>, ConfigError> {
        let trust = self.trust;
        let from = plugin.component.place();
        let fault = |message: String| {
            ConfigError::new(plugin.component_place.clone(), format!("plugin `{}`: {message}", plugin.name))
        };
        let content = match self.contents.remove(&plugin.name) {
            Some(fetched) => fetched,
            None => here(&plugin.component, !trust.is_empty()),
        };
        let Content { component, signature } = content.map_err(|failure| {
            let fault = fault(format!("could not read its component {from}: {}", failure.message));
            let fault = if failure.may_pass { fault.passing() } else { fault };
            match failure.hint {
                Some(hint) => fault.hint(hint),
                None => fault,
            }
        })?;
        if let Some(pinned) = plugin.sha256 {
            let found = limen_config::Digest(Sha256::digest(&component).into());
            if found != pinned {
                return Err(fault(format!("its component {from} is not the one that `sha256` names"))
                    .expected(pinned.hex())
                    .hint(format!("it is {}", found.hex())));
            }
        }
        if !trust.is_empty() {
            signature.and_then(|signature| check_signature(&component, &signature, trust)).map_err(
                |reason| {
                    fault(format!("its component {from} is not signed by a key of [gateway] trust: {reason}"))
                        .hint(how_to_sign(&plugin.component))
                },
            )?;
        }
        Ok(component)
    }
}

impl Registries<'_> {
    fn of(&self, reference: &Reference) -> Registry {
        let known = self.terms.values().find(|terms| terms.name == reference.registry);
        known.cloned().unwrap_or_else(|| Registry::usual(&reference.registry, self.place))
    }
}

/// One for each registry that something is wanted of.
fn lanes<'a>(
    wanted: impl Iterator<Item = &'a Reference>,
    registries: Registries<'_>,
) -> BTreeMap<&'a RegistryName, Lane> {
    let mut counts: BTreeMap<_, (&Reference, usize)> = BTreeMap::new();
    for reference in wanted {
        counts.entry(&reference.registry).or_insert((reference, 0)).1 += 1;
    }
    let lane = |(reference, components)| Lane::new(registries.of(reference), components);
    counts.into_iter().map(|(name, counted)| (name, lane(counted))).collect()
}

/// What lies on this machine.
fn here(component: &Component, with_signature: bool) -> Result<Content, Failure> {
    match component {
        Component::File(path) => of_file(path, with_signature),
        Component::Found(path) => {
            file::settle(path).map_err(|error| Failure::new(error.to_string()))?;
            of_file(path, with_signature)
        }
        Component::Layout { folder, which } => block_on(oci::layout::read(folder, which)),
        Component::Registry(_) => Err(Failure::new("it was not asked for")),
    }
}

fn of_file(path: &Path, with_signature: bool) -> Result<Content, Failure> {
    let component = file::read(path, LARGEST).map_err(|error| {
        let failure = Failure::new(error.to_string());
        match error.kind() {
            ErrorKind::NotFound => failure
                .hint("is it built? `limen policy build` builds a policy, and says where its component is"),
            _ => failure,
        }
    })?;
    let signature = match with_signature {
        true => {
            let file = signature_of(path);
            file::read(&file, LARGEST_SIGNATURE)
                .map_err(|error| format!("could not read {}: {error}", file.display()))
        }
        false => Err("nobody asked for it".to_owned()),
    };
    Ok(Content { component, signature })
}

/// The files that a component is made of, so that a change of them is seen.
pub fn files(component: &Component, trust: &[PublicKey]) -> Vec<PathBuf> {
    match component {
        Component::File(path) | Component::Found(path) => {
            let signature = (!trust.is_empty()).then(|| signature_of(path));
            [path.clone()].into_iter().chain(signature).collect()
        }
        Component::Layout { folder, .. } => oci::layout::files(folder).into(),
        // What has this digest never changes.
        Component::Registry(_) => Vec::new(),
    }
}

/// Where the signature of a file is.
pub fn signature_of(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

fn check_signature(component: &[u8], signature: &[u8], trust: &[PublicKey]) -> Result<(), String> {
    let text = str::from_utf8(signature).map_err(|_| "its signature is no text")?;
    let signature = Signature::decode(text).map_err(|error| format!("its signature is none: {error}"))?;
    match trust.iter().any(|key| key.verify(component, &signature, true).is_ok()) {
        true => Ok(()),
        false => Err("the signature is of other bytes, or by another key".to_owned()),
    }
}

fn how_to_sign(component: &Component) -> String {
    match component.file() {
        Some(path) => format!(
            "`minisign -Sm {}` with one of these keys makes {}",
            path.display(),
            signature_of(path).display()
        ),
        None => "push it with a signature by one of these keys, as a layer of the type \
                 application/vnd.minisign.signature"
            .to_owned(),
    }
}

/// On the current thread, which is none that serves.
fn block_on<T>(doing: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("no runtime: {error}")))?;
    let outcome = runtime.block_on(doing);
    // A name may still be looked up, for nobody.
    runtime.shutdown_background();
    outcome
}
