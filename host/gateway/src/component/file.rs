//! Files: read whole, and when they are whole.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// Whoever copies a file in writes to it more often than this.
const SETTLED: Duration = Duration::from_millis(250);
/// What is still being written after so long is left for the next change of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The bytes of a file, which is one and not without end.
pub fn read(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe would wait for someone to write.
    let found = std::fs::metadata(path)?;
    if !found.is_file() && !found.is_dir() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut file = File::open(path)?;
    let before = file.metadata()?;
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        // A limit of ours is of whole KiB; what a manifest says of a blob may be anything.
        let most = match largest % 1024 {
            0 => format!("{} KiB", largest >> 10),
            _ => format!("{largest} bytes"),
        };
        return Err(io::Error::other(format!("it has more than {most}")));
    }
    let after = file.metadata()?;
    if written(&before)? != written(&after)? || before.len() != after.len() {
        return Err(io::Error::other("it was written to while it was read"));
    }
    Ok(bytes)
}

/// Waits until nobody writes to a file any more.
pub fn settle(path: &Path) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        // A time that is yet to come is no reason to wait for it.
        match written(&std::fs::metadata(path)?)?.elapsed().map(|age| SETTLED.checked_sub(age)) {
            Ok(Some(left)) if begun.elapsed() < PATIENCE => sleep(left),
            Ok(Some(_)) => return Err(io::Error::other("it is still being written")),
            Ok(None) | Err(_) => return Ok(()),
        }
    }
}

fn written(file: &Metadata) -> io::Result<SystemTime> {
    file.modified()
}
