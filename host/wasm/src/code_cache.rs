//! Compiled components on disk, by what they were compiled from: a start that finds them need not
//! compile again.
//!
//! What lies here is machine code that will run, so the folder has to be ours and nobody else's, and each
//! file begins with the digest of its content: one that was cut off or damaged is removed and made anew.
//! Images are not kept, for their memory may hold secrets from settings.

use std::fs::{self, DirBuilder, File, Metadata};
use std::hash::{Hash, Hasher};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

const ENDING: &str = "cwasm";
/// What is being written; it becomes a file of the cache when it is whole.
const UNFINISHED: &str = "new";
/// What is still being written after so long never will be finished.
const ABANDONED: Duration = Duration::from_secs(3600);
/// SHA-256 of all that follows.
const CHECKSUM: usize = 32;
/// How long the reason is why the component has no image.
const LENGTH: usize = 4;

pub(crate) struct CodeCache {
    folder: PathBuf,
    /// Bytes of all files together.
    size: u64,
}

/// A component that was compiled, with accessors to its memory where it takes them, else why not.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    pub(crate) imageable: Result<(), String>,
}

impl CodeCache {
    /// None where nothing is to be kept, or can't be: then the log says why.
    pub(crate) fn open(settings: &limen_config::CodeCache) -> Option<Self> {
        if settings.size == 0 {
            return None;
        }
        let Some(folder) = settings.folder.clone().or_else(usual_folder) else {
            tracing::debug!("no code cache: there is no home folder, and `code_cache` names none");
            return None;
        };
        match prepare(&folder) {
            Ok(()) => Some(CodeCache { folder, size: settings.size }),
            Err(error) => {
                tracing::warn!("compiled components are not kept: {}: {error}", folder.display());
                None
            }
        }
    }

    /// What was compiled of these bytes before, by this version for this machine.
    pub(crate) fn get(&self, engine: &wasmtime::Engine, bytes: &[u8]) -> Option<Compiled> {
        let path = self.path(engine, bytes);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => return self.discard(&path, &error.to_string()),
        };
        match read(engine, &content) {
            Ok(compiled) => {
                // When it was last of use.
                let now = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                if let Err(error) = now {
                    tracing::debug!("{}: {error}", path.display());
                }
                Some(compiled)
            }
            Err(reason) => self.discard(&path, &reason),
        }
    }

    pub(crate) fn put(&self, engine: &wasmtime::Engine, bytes: &[u8], compiled: &Compiled) {
        let path = self.path(engine, bytes);
        if let Err(error) = write(compiled).and_then(|content| self.place(&path, &content)) {
            tracing::warn!("can't keep a compiled component, {}: {error}", path.display());
        }
        if let Err(error) = self.trim() {
            tracing::warn!("can't tidy the code cache, {}: {error}", self.folder.display());
        }
    }

    fn path(&self, engine: &wasmtime::Engine, bytes: &[u8]) -> PathBuf {
        let mut key = Feed(Sha256::new());
        env!("CARGO_PKG_VERSION").hash(&mut key);
        engine.precompile_compatibility_hash().hash(&mut key);
        key.0.update(Sha256::digest(bytes));
        let name: String = key.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name).with_extension(ENDING)
    }

    fn discard<T>(&self, path: &Path, reason: &str) -> Option<T> {
        tracing::warn!("a compiled component can't be used and is made anew, {}: {reason}", path.display());
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!("{}: {error}", path.display());
        }
        None
    }

    /// Writes a file beside, then renames it: whoever looks sees all of it or none.
    fn place(&self, path: &Path, content: &[u8]) -> io::Result<()> {
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

    /// Removes what was of no use for the longest time, and what never was finished.
    fn trim(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(found) = look(&path)? else { continue };
            let used = found.modified()?;
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(ENDING) => kept.push((used, found.len(), path)),
                Some(UNFINISHED) if used.elapsed().is_ok_and(|age| age > ABANDONED) => remove(&path)?,
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

/// Where such things are usually kept.
fn usual_folder() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    folder("CACHE_DIRECTORY")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("limen")))
        .or_else(|| Some(folder("HOME")?.join(".cache/limen")))
}

/// Makes the folder if there is none, and makes sure that nobody else can put anything into it.
fn prepare(folder: &Path) -> io::Result<()> {
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::metadata(folder)?;
    let wrong = if !found.is_dir() {
        "it is not a folder"
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if found.mode() & 0o077 != 0 {
        "it is open to others (chmod 700 closes it)"
    } else {
        return Ok(());
    };
    Err(io::Error::other(wrong))
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
    use std::os::unix::fs::PermissionsExt;

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

    #[test]
    fn the_oldest_goes_when_there_is_too_much() {
        let mut scene = Scene::set();
        let one = write(&scene.compiled(Ok(()))).unwrap().len() as u64;
        let cache = scene.cache(one * 2 + one / 2).unwrap();
        for number in 0..4_u8 {
            scene.bytes = vec![number];
            cache.put(&scene.engine, &scene.bytes, &scene.compiled(Ok(())));
            // The first one is of use all the time.
            assert!(number == 0 || cache.get(&scene.engine, &[0]).is_some());
        }
        assert_eq!(scene.files().len(), 2);
        assert!(cache.get(&scene.engine, &scene.bytes).is_some(), "the last one");
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        let scene = Scene::set();
        scene.cache(1 << 20).unwrap();
        let folder = scene.folder.path().join("above/code");
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(scene.cache(1 << 20).is_none());
        fs::remove_dir(&folder).unwrap();
        fs::write(&folder, "a file").unwrap();
        assert!(scene.cache(1 << 20).is_none());
        assert!(scene.cache(0).is_none());
    }
}
