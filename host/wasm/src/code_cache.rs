//! Compiled components on disk, by what they were compiled from: a start that finds them need not
//! compile again.
//!
//! What lies here is machine code that will run, so the folder has to be ours and nobody else's, and each
//! file begins with the digest of its content: one that was cut off or damaged is removed and made anew.
//! Images are not kept, though each costs some 0.3 s at a start: their memory may hold secrets from settings, which
//! nobody can tell from others, and the seeds of hash maps that were drawn when they were made.

use std::hash::{Hash, Hasher};
use std::io;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::cache_folder::CacheFolder;

const ENDING: &str = "cwasm";
/// SHA-256 of all that follows.
const CHECKSUM: usize = 32;
/// How long the reason is why the component has no image.
const LENGTH: usize = 4;

pub(crate) struct CodeCache(CacheFolder);

/// A component that was compiled, with accessors to its memory where it takes them, else why not.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    pub(crate) imageable: Result<(), String>,
}

impl CodeCache {
    /// None where nothing is to be kept, or can't be: then the log says why.
    pub(crate) fn open(settings: &limen_config::CodeCache) -> Option<Self> {
        CacheFolder::open(settings).map(CodeCache)
    }

    /// Whether there is something that was compiled of bytes with this digest.
    pub(crate) fn has(&self, engine: &wasmtime::Engine, digest: &[u8]) -> bool {
        self.0.has(&name(engine, digest))
    }

    /// What was compiled of these bytes before, by this version for this machine.
    pub(crate) fn get(&self, engine: &wasmtime::Engine, bytes: &[u8]) -> Option<Compiled> {
        let name = name(engine, &Sha256::digest(bytes));
        match read(engine, &self.0.get(&name)?) {
            Ok(compiled) => Some(compiled),
            Err(reason) => {
                self.0.discard(&name, &reason);
                None
            }
        }
    }

    pub(crate) fn put(&self, engine: &wasmtime::Engine, bytes: &[u8], compiled: &Compiled) {
        match write(compiled) {
            Ok(content) => self.0.put(&name(engine, &Sha256::digest(bytes)), &content),
            Err(error) => tracing::warn!("a compiled component can't be kept: {error}"),
        }
    }
}

/// By the digest of the bytes.
fn name(engine: &wasmtime::Engine, digest: &[u8]) -> String {
    let mut key = Feed(Sha256::new());
    env!("CARGO_PKG_VERSION").hash(&mut key);
    engine.precompile_compatibility_hash().hash(&mut key);
    key.0.update(digest);
    let name: String = key.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}.{ENDING}")
}

fn read(engine: &wasmtime::Engine, content: &[u8]) -> Result<Compiled, String> {
    let cut_off = || "it is cut off".to_owned();
    let (checksum, rest) = content.split_at_checked(CHECKSUM).ok_or_else(cut_off)?;
    if Sha256::digest(rest).as_slice() != checksum {
        return Err("it is damaged".to_owned());
    }
    let (length, rest) = rest.split_first_chunk::<LENGTH>().ok_or_else(cut_off)?;
    let (because, code) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut_off)?;
    #[allow(
        unsafe_code,
        reason = "the bytes are those that `serialize` gave us: they lie in a folder that only this user can
                  write to, and have the checksum they were written with"
    )]
    // SAFETY: see above; wasmtime itself refuses code of other versions, settings and machines.
    let component = unsafe { Component::deserialize(engine, code) }.map_err(|error| format!("{error:#}"))?;
    let imageable = match because {
        [] => Ok(()),
        because => Err(String::from_utf8_lossy(because).into_owned()),
    };
    Ok(Compiled { component, imageable })
}

fn write(compiled: &Compiled) -> io::Result<Vec<u8>> {
    let code = compiled.component.serialize().map_err(|error| io::Error::other(format!("{error:#}")))?;
    let because = compiled.imageable.as_ref().err().map_or("", String::as_str);
    let length = u32::try_from(because.len()).map_err(io::Error::other)?;
    let mut content = vec![0; CHECKSUM];
    content.extend_from_slice(&length.to_le_bytes());
    content.extend_from_slice(because.as_bytes());
    content.extend_from_slice(&code);
    if let Some((checksum, rest)) = content.split_at_mut_checked(CHECKSUM) {
        checksum.copy_from_slice(&Sha256::digest(rest));
    }
    Ok(content)
}

/// What is hashed for a `HashMap` goes into a digest that is the same in every process.
struct Feed(Sha256);

impl Hasher for Feed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0 // nobody asks: the digest is taken as a whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    /// The smallest there is: the preamble alone (its binary format is that of the component model).
    const COMPONENT: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];

    struct Scene {
        folder: tempfile::TempDir,
        engine: wasmtime::Engine,
        bytes: Vec<u8>,
    }

    impl Scene {
        fn set() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let engine = wasmtime::Engine::default();
            Scene { folder, engine, bytes: COMPONENT.into() }
        }

        fn cache(&self, size: u64) -> Option<CodeCache> {
            let folder = Some(self.folder.path().join("above/code"));
            CodeCache::open(&limen_config::CodeCache { folder, size })
        }

        fn compiled(&self, imageable: Result<(), String>) -> Compiled {
            Compiled { component: Component::new(&self.engine, COMPONENT).unwrap(), imageable }
        }

        fn files(&self) -> Vec<PathBuf> {
            let entries = fs::read_dir(self.folder.path().join("above/code")).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        }
    }

    #[test]
    fn what_was_compiled_is_found_again_with_all_that_is_known_of_it() {
        let scene = Scene::set();
        let cache = scene.cache(1 << 20).unwrap();
        assert!(cache.get(&scene.engine, &scene.bytes).is_none());
        cache.put(&scene.engine, &scene.bytes, &scene.compiled(Err("it is odd".to_owned())));
        let found = cache.get(&scene.engine, &scene.bytes).unwrap();
        assert_eq!(found.imageable, Err("it is odd".to_owned()));
        assert!(cache.get(&scene.engine, b"another").is_none());
        assert_eq!(scene.files().len(), 1);
    }

    #[test]
    fn another_setting_of_the_engine_finds_nothing() {
        let scene = Scene::set();
        let cache = scene.cache(1 << 20).unwrap();
        cache.put(&scene.engine, &scene.bytes, &scene.compiled(Ok(())));
        let other = wasmtime::Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
        assert!(cache.get(&other, &scene.bytes).is_none());
        assert_eq!(scene.files().len(), 1, "it is good for the other engine");
    }

    /// Cut off at every byte would take long; these are the places where something else is cut.
    #[test]
    fn what_is_damaged_is_removed() {
        let scene = Scene::set();
        let cache = scene.cache(1 << 20).unwrap();
        cache.put(&scene.engine, &scene.bytes, &scene.compiled(Ok(())));
        let [file] = &scene.files()[..] else { panic!("one file") };
        let whole = fs::read(file).unwrap();
        for length in [0, 1, CHECKSUM, CHECKSUM + 2, CHECKSUM + LENGTH, whole.len() / 2, whole.len() - 1] {
            fs::write(file, &whole[..length]).unwrap();
            assert!(cache.get(&scene.engine, &scene.bytes).is_none(), "cut off after {length}");
            assert!(!file.exists(), "cut off after {length}");
        }
        for at in [0, CHECKSUM, CHECKSUM + LENGTH, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(file, damaged).unwrap();
            assert!(cache.get(&scene.engine, &scene.bytes).is_none(), "damaged at {at}");
        }
        cache.put(&scene.engine, &scene.bytes, &scene.compiled(Ok(())));
        assert!(cache.get(&scene.engine, &scene.bytes).is_some());
    }
}
