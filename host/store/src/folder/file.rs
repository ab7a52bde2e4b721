//! One file of the folder: what is told of its content, and its content, with checksums, so that one that is
//! damaged or cut off is nobody's answer.
//!
//! ```text
//! file  "limen folder 1\n\n"  length of `about` (4)  length of `content` (8)  their checksums (8, 8)  about  content
//! name  key (32 hexadecimal digits) - variant (16) - serial (16)
//! ```
//!
//! One that is too long for memory is [another](super::large) one, and its name says so.
//!
//! Numbers are little-endian. The checksums are XXH3, seeded with what the file is of: right bytes under another
//! name are wrong.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::{Buf, Bytes};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Key;

const MARK: &[u8; 16] = b"limen folder 1\n\n";
pub const HEAD: usize = 44;
/// What is being written; it gets its name when it is whole.
pub const UNFINISHED: &str = "new-";
const LARGE: &str = "-large";

/// What a file is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    pub key: Key,
    /// Which of several of one key.
    pub variant: u64,
    /// Grows: no file has the name of one that was there before.
    pub serial: u64,
    pub is_large: bool,
}

impl Name {
    pub fn text(self) -> String {
        let Name { key, variant, serial, is_large } = self;
        format!("{key:032x}-{variant:016x}-{serial:016x}{}", if is_large { LARGE } else { "" })
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (text, is_large) = text.strip_suffix(LARGE).map_or((text, false), |text| (text, true));
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let is_one =
                |part: &&str| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            parts.next().filter(is_one)
        };
        let key = u128::from_str_radix(part(32)?, 16).ok()?;
        let mut number = || u64::from_str_radix(part(16)?, 16).ok();
        let name = Name { key, variant: number()?, serial: number()?, is_large };
        parts.next().is_none().then_some(name)
    }

    pub fn seed(self) -> u64 {
        let [high, low] = [self.key >> 64, self.key].map(|half| half as u64);
        high ^ low.rotate_left(1) ^ self.variant.rotate_left(2)
    }
}

/// Writes it beside, then renames it: whoever looks sees all of it or none. It is not waited for the disk: what that
/// loses the checksums tell.
pub fn write(folder: &Path, name: Name, about: &[u8], content: &[u8]) -> io::Result<()> {
    let too_long = |_| io::Error::from(ErrorKind::FileTooLarge);
    let length = u32::try_from(about.len()).map_err(too_long)?;
    let mut head = Vec::with_capacity(HEAD + about.len());
    head.extend_from_slice(MARK);
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(&(content.len() as u64).to_le_bytes());
    for part in [about, content] {
        head.extend_from_slice(&xxh3_64_with_seed(part, name.seed()).to_le_bytes());
    }
    head.extend_from_slice(about);
    let beside = folder.join(format!("{UNFINISHED}{}", name.text()));
    let written =
        File::options().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut file| {
            file.write_all(&head)?;
            file.write_all(content)?;
            fs::rename(&beside, folder.join(name.text()))
        });
    if written.is_err() {
        let _ = fs::remove_file(&beside); // it may not even have been made
    }
    written
}

/// A file that is open, with what is told of it.
pub struct Opened {
    file: File,
    name: Name,
    pub about: Bytes,
    content: u64,
    checksum: u64,
}

impl Opened {
    pub fn open(folder: &Path, name: Name) -> io::Result<Self> {
        let mut file = File::open(folder.join(name.text()))?;
        let mut head = [0; HEAD];
        file.read_exact(&mut head)?;
        let (mark, mut rest) = head.split_at(MARK.len());
        let (about, content) = (rest.get_u32_le(), rest.get_u64_le());
        let [of_about, checksum] = [rest.get_u64_le(), rest.get_u64_le()];
        // What it says of its lengths is believed only as far as it is that long.
        let whole = u64::from(about).checked_add(content).and_then(|sum| sum.checked_add(HEAD as u64));
        if mark != MARK || whole != Some(file.metadata()?.len()) {
            return Err(damaged());
        }
        let mut bytes = vec![0; about as usize];
        file.read_exact(&mut bytes)?;
        if xxh3_64_with_seed(&bytes, name.seed()) != of_about {
            return Err(damaged());
        }
        Ok(Opened { file, name, about: bytes.into(), content, checksum })
    }

    pub fn content(mut self) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(self.content).map_err(|_| damaged())?];
        self.file.read_exact(&mut bytes)?;
        match xxh3_64_with_seed(&bytes, self.name.seed()) == self.checksum {
            true => Ok(bytes.into()),
            false => Err(damaged()),
        }
    }
}

pub fn damaged() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it is damaged")
}

/// Somebody else may have removed it in the meantime.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name { key: 1 << 100 | 7, variant: 2, serial: 3, is_large: false };

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [NAME, Name { is_large: true, ..NAME }] {
            assert_eq!(Name::parse(&name.text()), Some(name));
        }
        for other in ["", "lock", "new-1", &NAME.text()[1..], &format!("{}-1", NAME.text()), &"+".repeat(66)]
        {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    /// Cut off anywhere, with any byte changed, or under another name: it is no answer.
    #[test]
    fn what_is_not_as_it_was_written_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME.text());
        let read = || -> io::Result<(Bytes, Bytes)> {
            let opened = Opened::open(folder.path(), NAME)?;
            Ok((opened.about.clone(), opened.content()?))
        };
        write(folder.path(), NAME, b"about", b"the content").unwrap();
        let good = (Bytes::from("about"), Bytes::from("the content"));
        assert_eq!(read().unwrap(), good);
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(read().is_err(), "cut off at {length}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(read().is_err(), "changed at {at}");
        }
        fs::write(&path, [&bytes[..], b"more"].concat()).unwrap();
        assert!(read().is_err());
        let other = Name { key: 8, ..NAME };
        fs::write(folder.path().join(other.text()), &bytes).unwrap();
        assert!(Opened::open(folder.path(), other).is_err());
        fs::write(&path, &bytes).unwrap();
        assert_eq!(read().unwrap(), good);
    }
}
