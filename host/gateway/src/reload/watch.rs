//! Hears of changes in the folders that files are in.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Ask, Fingerprint};

pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    names: Arc<Mutex<Names>>,
}

/// What the files are called, in whatever folder.
type Names = BTreeSet<OsString>;

impl Watch {
    /// Asks for a look at the files whenever one of them may have changed.
    pub fn new(seen: &Fingerprint, ask: Sender<Ask>) -> Self {
        let names = Arc::<Mutex<Names>>::default();
        let ours = names.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let ours = || ours.lock().unwrap_or_else(PoisonError::into_inner);
            if event.is_ok_and(|event| may_concern(&event, &ours())) {
                // The reloader is gone only at the end of the process.
                let _ = ask.send(Ask::FilesChanged);
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!("can't watch files, they are looked at instead: {error}"))
            .ok();
        let mut watch = Watch { watcher, folders: BTreeSet::new(), names };
        watch.follow(seen);
        watch
    }

    /// Watches the folders of all files: editors and builds replace files more often than they
    /// write into them.
    pub fn follow(&mut self, seen: &Fingerprint) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = seen.names();
        let Some(watcher) = &mut self.watcher else { return };
        let folders = seen.folders();
        for gone in self.folders.difference(&folders) {
            // It may be gone from the disk as well.
            let _ = watcher.unwatch(gone);
        }
        // Those that are watched as well: what has that name now may be another folder.
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!("can't watch {}: {error}", folder.display());
            }
        }
        self.folders = folders;
    }
}

/// Logs and journals may be in the same folders, and are written to all the time. What is made, removed or renamed is
/// looked at whatever its name is: one of our files may be a link that leads there.
fn may_concern(event: &Event, ours: &Names) -> bool {
    match event.kind {
        // Reading a file is an event too, and we read them.
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            event.paths.iter().any(|path| path.file_name().is_none_or(|name| ours.contains(name)))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind, DataChange, RenameMode};

    #[test]
    fn who_writes_into_other_files_wakes_nobody() {
        let ours = Names::from(["limen.toml".into()]);
        let concerns = |kind, file: &str| may_concern(&Event::new(kind).add_path(file.into()), &ours);
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        assert!(concerns(written, "/etc/limen/limen.toml"));
        assert!(!concerns(written, "/etc/limen/state.db.recent"));
        assert!(!concerns(EventKind::Access(AccessKind::Any), "/etc/limen/limen.toml"));
        for kind in [EventKind::Modify(ModifyKind::Name(RenameMode::Any)), EventKind::Create(CreateKind::Any)]
        {
            assert!(concerns(kind, "/etc/limen/..data"), "a link may lead there");
        }
    }
}
