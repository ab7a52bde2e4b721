//! A file whose content is too long for memory: written and read piece by piece. Each block of it has a checksum, so
//! that nobody is given a piece that is damaged, though nobody has seen the rest.
//!
//! ```text
//! file   "limen large 1\n\n\n"  length of `about` (4)  length of `content` (8)  their checksum (8)  about  blocks
//! block  64 KiB of `content`, of the last one what is left  their checksum (8)
//! name   that of any other, and "-large"
//! ```
//!
//! Numbers are little-endian. The checksums are XXH3, seeded with the file's name and the place in it: what was right in an
//! older file, or elsewhere in this one, is wrong.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::file::{Name, UNFINISHED, damaged};
use super::room::Room;

const MARK: &[u8; 16] = b"limen large 1\n\n\n";
const HEAD: usize = 36;
/// What has a checksum, in bytes.
pub const BLOCK: u64 = 64 << 10;
const CHECKSUM: u64 = 8;

/// One that is open. It can be read as long as somebody has it, also when it is removed meanwhile.
#[derive(Debug)]
pub struct Large {
    file: File,
    pub(super) about: Bytes,
    place: Place,
}

/// Where a content is that stays on the disk, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub(super) name: Name,
    length: u64,
}

impl Place {
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl Large {
    pub(super) fn open(folder: &Path, name: Name) -> io::Result<Self> {
        let mut file = File::open(folder.join(name.text()))?;
        let mut head = [0; HEAD];
        file.read_exact(&mut head)?;
        let (mark, mut rest) = head.split_at(MARK.len());
        let (about, length, checksum) = (rest.get_u32_le(), rest.get_u64_le(), rest.get_u64_le());
        // What it says of its lengths is believed only as far as it is that long.
        if mark != MARK || whole_length(u64::from(about), length) != Some(file.metadata()?.len()) {
            return Err(damaged());
        }
        let mut bytes = vec![0; about as usize];
        file.read_exact(&mut bytes)?;
        if checksum_of_head(name, &bytes, length) != checksum {
            return Err(damaged());
        }
        Ok(Large { file, about: bytes.into(), place: Place { name, length } })
    }

    pub fn place(&self) -> Place {
        self.place
    }

    /// The content from here to there. Reads whole blocks, and waits for the disk.
    pub fn read(&self, from: u64, to: u64) -> io::Result<Bytes> {
        let to = to.min(self.place.length);
        let first = from / BLOCK;
        let before = usize::try_from(from - first * BLOCK).map_err(too_long)?;
        let wanted = usize::try_from(to.saturating_sub(from)).map_err(too_long)?;
        let mut content = Vec::with_capacity(before + wanted + (BLOCK + CHECKSUM) as usize);
        for number in first..to.div_ceil(BLOCK) {
            self.read_block(number, &mut content)?;
        }
        content.truncate(before + wanted);
        let mut content = Bytes::from(content);
        content.advance(before.min(content.len()));
        Ok(content)
    }

    /// Adds a block to what is there, if it is as it was written.
    fn read_block(&self, number: u64, content: &mut Vec<u8>) -> io::Result<()> {
        let length = (self.place.length - number * BLOCK).min(BLOCK) as usize;
        let start = HEAD as u64 + self.about.len() as u64 + number * (BLOCK + CHECKSUM);
        let before = content.len();
        content.resize(before + length + CHECKSUM as usize, 0);
        let block = content.get_mut(before..).unwrap_or_default();
        self.file.read_exact_at(block, start)?;
        let (block, mut checksum) = block.split_at(length);
        if xxh3_64_with_seed(block, seed(self.place.name, number + 1)) != checksum.get_u64_le() {
            return Err(damaged());
        }
        content.truncate(before + length);
        Ok(())
    }
}

/// One that is being written, beside; it gets its name when it is whole. Dropped before that, it is removed.
pub struct Writing {
    file: File,
    path: PathBuf,
    pub(super) name: Name,
    about: Vec<u8>,
    /// What is no whole block yet.
    block: Vec<u8>,
    /// What was written, without that.
    length: u64,
    pub(super) room: Room,
    is_whole: bool,
}

impl Writing {
    pub(super) fn begin(folder: &Path, name: Name, about: &[u8], room: Room) -> io::Result<Self> {
        let path = folder.join(format!("{UNFINISHED}{}", name.text()));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        let (about, block) = (about.to_vec(), Vec::with_capacity(BLOCK as usize));
        let mut writing = Writing { file, path, name, about, block, length: 0, room, is_whole: false };
        // The length of the content comes last.
        writing.file.write_all(&[0; HEAD])?;
        writing.file.write_all(&writing.about)?;
        Ok(writing)
    }

    /// Whether its room was not taken away. Asks no disk.
    pub fn has_room(&self) -> bool {
        self.room.is_held()
    }

    /// What the file takes, with so much more.
    pub(super) fn length_with(&self, more: u64) -> u64 {
        let content = (self.length + self.block.len() as u64).saturating_add(more);
        whole_length(self.about.len() as u64, content).unwrap_or(u64::MAX)
    }

    pub(super) fn push(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(BLOCK as usize - self.block.len()));
            self.block.extend_from_slice(now);
            data = later;
            if self.block.len() as u64 == BLOCK {
                self.write_block()?;
            }
        }
        Ok(())
    }

    fn write_block(&mut self) -> io::Result<()> {
        let checksum = xxh3_64_with_seed(&self.block, seed(self.name, self.length / BLOCK + 1));
        self.length += self.block.len() as u64;
        self.block.extend_from_slice(&checksum.to_le_bytes());
        self.file.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }

    /// It is not waited for the disk: what that loses the checksums tell.
    pub(super) fn finish(mut self, folder: &Path) -> io::Result<Place> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(MARK);
        head.extend_from_slice(&u32::try_from(self.about.len()).map_err(too_long)?.to_le_bytes());
        head.extend_from_slice(&self.length.to_le_bytes());
        head.extend_from_slice(&checksum_of_head(self.name, &self.about, self.length).to_le_bytes());
        self.file.write_all_at(&head, 0)?;
        fs::rename(&self.path, folder.join(self.name.text()))?;
        self.is_whole = true;
        Ok(Place { name: self.name, length: self.length })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = fs::remove_file(&self.path); // somebody may have removed it
        }
    }
}

fn whole_length(about: u64, content: u64) -> Option<u64> {
    let checksums = content.div_ceil(BLOCK).checked_mul(CHECKSUM)?;
    content.checked_add(checksums)?.checked_add(about)?.checked_add(HEAD as u64)
}

fn checksum_of_head(name: Name, about: &[u8], length: u64) -> u64 {
    let mut all = Xxh3::with_seed(seed(name, 0));
    all.update(&length.to_le_bytes());
    all.update(about);
    all.digest()
}

/// 0 is the head, then come the blocks.
fn seed(name: Name, number: u64) -> u64 {
    name.seed().wrapping_add(name.serial.rotate_left(32)).wrapping_add(number)
}

fn too_long(_: std::num::TryFromIntError) -> io::Error {
    io::Error::from(ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name { key: 1 << 100 | 7, variant: 2, serial: 3, is_large: true };

    fn content(length: u64) -> Vec<u8> {
        (0..length).map(|at| (at / 7 % 251) as u8).collect()
    }

    fn written(folder: &Path, name: Name, content: &[u8]) -> Place {
        let mut writing = Writing::begin(folder, name, b"about", Room::none()).unwrap();
        for piece in content.chunks(50_001) {
            writing.push(piece).unwrap();
        }
        let length = writing.length_with(0);
        let place = writing.finish(folder).unwrap();
        assert_eq!(fs::metadata(folder.join(name.text())).unwrap().len(), length);
        place
    }

    #[test]
    fn any_part_of_it_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let all = content(length);
            let place = written(folder.path(), NAME, &all);
            let large = Large::open(folder.path(), NAME).unwrap();
            assert_eq!((large.place(), &large.about[..], place.length()), (place, &b"about"[..], length));
            for (from, to) in
                [(0, length), (0, 1), (BLOCK - 1, BLOCK + 1), (2 * BLOCK, u64::MAX), (length, length)]
            {
                let range = from.min(length) as usize..to.min(length) as usize;
                let range = range.start.min(range.end)..range.end;
                assert_eq!(large.read(from, to).unwrap(), all[range], "{from} to {to} of {length}");
            }
            fs::remove_file(folder.path().join(NAME.text())).unwrap();
            assert_eq!(large.read(0, length).unwrap(), all, "it is open");
        }
    }

    #[test]
    fn a_block_that_is_damaged_is_not_read_and_the_others_are() {
        let folder = tempfile::tempdir().unwrap();
        let all = content(3 * BLOCK + 5);
        written(folder.path(), NAME, &all);
        let path = folder.path().join(NAME.text());
        let good = fs::read(&path).unwrap();
        let place = |block: usize| HEAD + 5 + block * (BLOCK + CHECKSUM) as usize;
        for (at, block) in [(place(1), 1), (place(2) - 1, 1), (place(2) + 9, 2), (good.len() - 1, 3)] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let large = Large::open(folder.path(), NAME).unwrap();
            for number in 0..4 {
                let from = number * BLOCK;
                assert_eq!(large.read(from + 1, from + 3).is_ok(), number != block, "{number} of {at}");
            }
            assert!(large.read(0, u64::MAX).is_err());
        }
        // One in the place of another, and a file that is cut off while it is read.
        let mut bytes = good.clone();
        bytes.copy_within(place(0)..place(1), place(1));
        fs::write(&path, bytes).unwrap();
        let large = Large::open(folder.path(), NAME).unwrap();
        assert!(large.read(0, BLOCK).is_ok() && large.read(BLOCK, BLOCK + 1).is_err());
        File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        assert!(large.read(0, BLOCK).is_err());
    }

    /// Cut off, with a byte of its head changed, or under another name: it is not opened.
    #[test]
    fn a_file_that_is_not_as_it_was_written_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), NAME, &content(BLOCK + 9));
        let path = folder.path().join(NAME.text());
        let good = fs::read(&path).unwrap();
        for length in (0..HEAD + 5).chain([BLOCK as usize, good.len() - 1]) {
            fs::write(&path, &good[..length]).unwrap();
            assert!(Large::open(folder.path(), NAME).is_err(), "cut off at {length}");
        }
        for at in 0..HEAD + 5 {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(Large::open(folder.path(), NAME).is_err(), "changed at {at}");
        }
        fs::write(&path, [&good[..], b"more"].concat()).unwrap();
        assert!(Large::open(folder.path(), NAME).is_err());
        for other in [Name { key: 8, ..NAME }, Name { serial: 4, ..NAME }] {
            fs::write(folder.path().join(other.text()), &good).unwrap();
            assert!(Large::open(folder.path(), other).is_err());
        }
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writing = Writing::begin(folder.path(), NAME, b"about", Room::none()).unwrap();
        writing.push(&content(BLOCK + 9)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(writing);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
