//! What came from registries, by its digest, so that nothing is asked for twice: on disk, beside compiled code,
//! and where that can't be in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use limen_config::{CodeCache, Digest};
use limen_wasm::CacheFolder;
use sha2::{Digest as _, Sha256};

const ENDING: &str = "blob";

pub struct Kept {
    settings: CodeCache,
    /// Opened when something comes from a registry.
    folder: OnceLock<Option<CacheFolder>>,
    /// Where there is no folder. What was of no use to the last configuration is let go.
    memory: Mutex<BTreeMap<Digest, Vec<u8>>>,
    used: Mutex<BTreeSet<Digest>>,
}

impl Kept {
    pub fn new(settings: CodeCache) -> Self {
        Kept { settings, folder: OnceLock::new(), memory: Mutex::default(), used: Mutex::default() }
    }

    /// What has this digest; if it is damaged, that is made good.
    pub fn get(&self, digest: &Digest) -> Option<Vec<u8>> {
        let Some(folder) = self.folder() else {
            lock(&self.used).insert(*digest);
            return lock(&self.memory).get(digest).cloned();
        };
        let name = name(digest);
        let bytes = folder.get(&name)?;
        if Sha256::digest(&bytes).as_slice() == digest.0 {
            return Some(bytes);
        }
        folder.discard(&name, "it is damaged");
        None
    }

    /// Keeps what has this digest.
    pub fn put(&self, digest: &Digest, bytes: &[u8]) {
        match self.folder() {
            Some(folder) if folder.has(&name(digest)) => {}
            Some(folder) => folder.put(&name(digest), bytes),
            None => drop(lock(&self.memory).insert(*digest, bytes.to_owned())),
        }
    }

    /// A configuration has got all that it wants.
    pub fn tidy(&self) {
        let used = std::mem::take(&mut *lock(&self.used));
        lock(&self.memory).retain(|digest, _| used.contains(digest));
    }

    fn folder(&self) -> Option<&CacheFolder> {
        self.folder.get_or_init(|| CacheFolder::open(&self.settings)).as_ref()
    }
}

fn name(digest: &Digest) -> String {
    format!("{}.{ENDING}", digest.hex())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    #[test]
    fn what_is_damaged_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let kept = Kept::new(CodeCache { folder: Some(path.clone()), size: 16 << 20 });
        let one = digest(b"one");
        assert!(kept.get(&one).is_none());
        kept.put(&one, b"one");
        assert_eq!(kept.get(&one).as_deref(), Some(&b"one"[..]));
        std::fs::write(path.join(name(&one)), "on").unwrap();
        assert!(kept.get(&one).is_none());
        assert!(!path.join(name(&one)).exists());
    }

    #[test]
    fn without_a_folder_the_last_configuration_is_remembered() {
        let kept = Kept::new(CodeCache { folder: None, size: 0 });
        let (one, two) = (digest(b"one"), digest(b"two"));
        for (digest, bytes) in [(one, b"one"), (two, b"two")] {
            assert!(kept.get(&digest).is_none());
            kept.put(&digest, bytes);
        }
        kept.tidy();
        assert!(kept.get(&one).is_some());
        kept.tidy();
        assert!(kept.get(&one).is_some() && kept.get(&two).is_none());
    }
}
