//! Room for a file while it is written.

use super::{Index, Key, Slot, capacity};

/// How often it is tried to make room, at most.
const PORTIONS: usize = 16;

/// A place in the index for a file that is not in it yet, so that others go for it and no more is on the disk than may be.
/// Nobody finds it: its key is that of nothing. It goes when this is dropped, or when others need the room more.
pub struct Room {
    index: Index,
    serial: u64,
    blocks: u32,
}

impl Room {
    pub fn new(index: Index, serial: u64) -> Self {
        Room { index, serial, blocks: 0 }
    }

    /// Takes so much in all; whether there is as much, and what it had before was not taken away meanwhile.
    pub fn grow(&mut self, blocks: u32) -> bool {
        let key = key_of(self.serial);
        let capacity = capacity(&self.index);
        // Asking is using: it stays as long as something comes.
        let is_held = self.blocks == 0 || self.index.get(&key).is_some();
        if !is_held || u64::from(blocks) > capacity {
            return false;
        }
        if blocks <= self.blocks {
            return true;
        }
        self.blocks = blocks;
        let slot = Slot { variant: 0, serial: self.serial, blocks, is_large: true };
        self.index.insert(key, [slot].into());
        // What goes for it goes in portions, each of which ends after a while.
        for _ in 0..PORTIONS {
            self.index.run_pending_tasks();
            if self.index.weighted_size() <= capacity {
                return self.is_held();
            }
        }
        false
    }

    /// Whether it was not taken away. Asking this is not using it.
    pub fn is_held(&self) -> bool {
        self.blocks == 0 || self.index.contains_key(&key_of(self.serial))
    }

    #[cfg(test)]
    pub fn none() -> Self {
        Room::new(Index::new(1), 0)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.blocks > 0 {
            self.index.invalidate(&key_of(self.serial));
            self.index.run_pending_tasks();
        }
    }
}

/// No file has it: keys are hashes, and this one is rather no hash than that of something.
fn key_of(serial: u64) -> Key {
    Key::MAX - Key::from(serial)
}

/// Whether it only keeps room.
pub fn is_room(key: Key, slot: &Slot) -> bool {
    key == key_of(slot.serial)
}
