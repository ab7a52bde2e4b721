//! What is to be forgotten of a folder that is not open yet, before anybody finds anything there.

use std::collections::HashSet;

use limen_store::folder::{Folder, Key};

use super::disk::{IsSuch, Told};

/// URLs, and purges; if it is more, all of the folder is forgotten.
const MOST_KEYS: usize = 1_000_000;
const MOST_PURGES: usize = 1_000;

#[derive(Default)]
pub struct First {
    forgotten: HashSet<Key>,
    purges: Vec<IsSuch>,
    is_all: bool,
}

impl First {
    pub fn forget(&mut self, key: Key) {
        self.forgotten.insert(key);
        self.bound();
    }

    pub fn purge(&mut self, is_such: IsSuch) {
        self.purges.push(is_such);
        self.bound();
    }

    fn bound(&mut self) {
        if self.is_all || self.forgotten.len() > MOST_KEYS || self.purges.len() > MOST_PURGES {
            *self = First { is_all: true, ..First::default() };
        }
    }

    pub fn is_nothing(&self) -> bool {
        !self.is_all && self.forgotten.is_empty() && self.purges.is_empty()
    }

    /// Waits for the disk.
    pub fn run(self, folder: &Folder) {
        if self.is_all {
            folder.remove_such(|_, _| true);
        }
        for key in self.forgotten {
            folder.forget(key);
        }
        for mut is_such in self.purges {
            folder.remove_such(|key, about| is_such(key, &Told::File(about)));
        }
        folder.sweep();
    }
}
