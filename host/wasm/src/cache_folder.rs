//! A private folder of what can be made or got again, by name: the oldest goes when there is too much, and
//! nobody else can put anything into it.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Compiled components, and what came from afar.
const ENDINGS: &[&str] = &["cwasm", "blob"];
/// What is being written; it becomes a file of the cache when it is whole.
const UNFINISHED: &str = "new";
/// What is still being written after so long never will be finished.
const ABANDONED: Duration = Duration::from_secs(3600);

/// `code_cache` of `[gateway]`. Names are ours, and plain: no input decides on them but by its digest.
pub struct CacheFolder {
    folder: PathBuf,
    /// Bytes of all files together.
    size: u64,
}

impl CacheFolder {
    /// None where nothing is to be kept, or can't be: then the log says why.
    pub fn open(settings: &limen_config::CodeCache) -> Option<Self> {
        if settings.size == 0 {
            return None;
        }
        let Some(folder) = settings.folder.clone().or_else(usual_folder) else {
            tracing::debug!("no cache: there is no home folder, and `code_cache` names none");
            return None;
        };
        match limen_store::private_folder(&folder) {
            Ok(()) => Some(CacheFolder { folder, size: settings.size }),
            Err(error) => {
                tracing::warn!("nothing is kept for the next start: {}: {error}", folder.display());
                None
            }
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// What was kept by this name. Whether it is whole, whoever asks can tell.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.folder.join(name);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                self.discard(name, &error.to_string());
                return None;
            }
        };
        // When it was last of use.
        let now = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = now {
            tracing::debug!("{}: {error}", path.display());
        }
        Some(content)
    }

    /// Keeps it, if that can be done.
    pub fn put(&self, name: &str, content: &[u8]) {
        let path = self.folder.join(name);
        if let Err(error) = place(&path, content) {
            tracing::warn!("can't be kept for the next start, {}: {error}", path.display());
        }
        if let Err(error) = self.trim() {
            tracing::warn!("can't tidy the cache, {}: {error}", self.folder.display());
        }
    }

    /// It is of no use as it is.
    pub fn discard(&self, name: &str, reason: &str) {
        let path = self.folder.join(name);
        tracing::warn!("a file of the cache can't be used and is made anew, {}: {reason}", path.display());
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!("{}: {error}", path.display());
        }
    }

    /// Removes what was of no use for the longest time, and what never was finished.
    fn trim(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(found) = look(&path)? else { continue };
            let used = found.modified()?;
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(UNFINISHED) if used.elapsed().is_ok_and(|age| age > ABANDONED) => remove(&path)?,
                Some(ending) if ENDINGS.contains(&ending) => kept.push((used, found.len(), path)),
                _ => {}
            }
        }
        kept.sort_unstable();
        let mut sum: u64 = kept.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in kept {
            if sum <= self.size {
                break;
            }
            remove(&path)?;
            sum -= length;
        }
        Ok(())
    }
}

/// Writes a file beside, then renames it: whoever looks sees all of it or none.
fn place(path: &Path, content: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("{}-{number}.{UNFINISHED}", std::process::id()));
    let written =
        File::options().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut file| {
            file.write_all(content)?;
            file.sync_data()?;
            fs::rename(&beside, path)
        });
    if written.is_err() {
        let _ = fs::remove_file(&beside); // it may not even have been made
    }
    written
}

/// Where such things are usually kept.
fn usual_folder() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    folder("CACHE_DIRECTORY")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("limen")))
        .or_else(|| Some(folder("HOME")?.join(".cache/limen")))
}

/// Another process may have removed it in the meantime.
fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn open(above: &tempfile::TempDir, size: u64) -> Option<CacheFolder> {
        let folder = Some(above.path().join("above/cache"));
        CacheFolder::open(&limen_config::CodeCache { folder, size })
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much() {
        let above = tempfile::tempdir().unwrap();
        let cache = open(&above, 250).unwrap();
        for name in ["a.blob", "b.cwasm", "c.blob", "d.cwasm"] {
            cache.put(name, &[0; 100]);
            // The first one is of use all the time.
            assert_eq!(cache.get("a.blob").map(|it| it.len()), Some(100));
        }
        let kept: Vec<_> = ["a.blob", "b.cwasm", "c.blob", "d.cwasm"].map(|name| cache.has(name)).into();
        assert_eq!(kept, [true, false, false, true]);
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        let above = tempfile::tempdir().unwrap();
        open(&above, 1 << 20).unwrap();
        let folder = above.path().join("above/cache");
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(open(&above, 1 << 20).is_none());
        fs::remove_dir(&folder).unwrap();
        fs::write(&folder, "a file").unwrap();
        assert!(open(&above, 1 << 20).is_none());
        assert!(open(&above, 0).is_none());
    }
}
