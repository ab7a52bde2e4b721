//! Changes as bytes in the file, and back.
//!
//! ```text
//! file    "limen store 1\n\n\n"  record*
//! record  mark (4)  length of the payload (4)  checksum (8)  payload
//! payload change*
//! change  table: length (1), text   key: length (4), bytes   value: length (4) and bytes, or 0xFFFFFFFF: removed
//! ```
//!
//! Numbers are little-endian. The checksum is XXH3 of length and payload, seeded with where the record
//! stands, so that bytes which are right and in the wrong place are wrong.

use bytes::{Buf, Bytes};
use xxhash_rust::xxh3::Xxh3;

use super::{Change, Changes};

/// What a file begins with.
pub const HEADER: &[u8; 16] = b"limen store 1\n\n\n";
const MARK: [u8; 4] = [0xc5, b'L', b'r', 0x0a];
const HEAD: usize = 16;
const REMOVED: u32 = u32::MAX;

/// A record of these changes, to stand at this place of the file.
pub fn encode(changes: &Changes, at: u64) -> Option<Vec<u8>> {
    let mut record = vec![0; HEAD];
    for Change { table, key, value } in &changes.0 {
        record.push(u8::try_from(table.len()).ok()?);
        record.extend_from_slice(table.as_bytes());
        record.extend_from_slice(&length(key)?);
        record.extend_from_slice(key);
        match value {
            Some(value) => {
                record.extend_from_slice(&length(value)?);
                record.extend_from_slice(value);
            }
            None => record.extend_from_slice(&REMOVED.to_le_bytes()),
        }
    }
    let payload = record.split_off(HEAD);
    let length = length(&payload)?;
    let checksum = checksum(length, &payload, at).to_le_bytes();
    Some([&MARK[..], &length, &checksum, &payload].concat())
}

/// The record that begins at this place of a file, and where the next one does. None: there is none, or not
/// all of it.
pub fn decode(file: &Bytes, at: usize) -> Option<(Changes, usize)> {
    decode_behind(0, file, at)
}

/// The same of a file that goes on where another one ends, of so many bytes.
pub fn decode_behind(before: u64, file: &Bytes, at: usize) -> Option<(Changes, usize)> {
    let head = file.get(at..at.checked_add(HEAD)?)?;
    let (mark, mut head) = head.split_at_checked(MARK.len())?;
    let length = head.get_u32_le();
    let expected = head.get_u64_le();
    let from = at + HEAD;
    let to = from.checked_add(length as usize)?;
    let payload = file.get(from..to)?;
    if mark != MARK || checksum(length.to_le_bytes(), payload, before + at as u64) != expected {
        return None;
    }
    changes(file.slice(from..to)).map(|changes| (changes, to))
}

/// Whether a whole record begins anywhere behind this place.
pub fn is_any_behind(file: &Bytes, at: usize) -> bool {
    let rest = file.get(at..).unwrap_or_default();
    let marks = rest.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    marks.skip_while(|(place, _)| *place == 0).any(|(place, _)| decode(file, at + place).is_some())
}

fn changes(mut payload: Bytes) -> Option<Changes> {
    let mut changes = Changes::default();
    while payload.has_remaining() {
        let table = payload.try_get_u8().ok()?.into();
        let table = String::from_utf8(take(&mut payload, table)?.to_vec()).ok()?;
        let key = payload.try_get_u32_le().ok()?;
        let key = take(&mut payload, key)?;
        let value = match payload.try_get_u32_le().ok()? {
            REMOVED => None,
            length => Some(take(&mut payload, length)?),
        };
        changes.0.push(Change { table: table.into(), key, value });
    }
    Some(changes)
}

fn take(payload: &mut Bytes, length: u32) -> Option<Bytes> {
    let length = length as usize;
    (length <= payload.remaining()).then(|| payload.split_to(length))
}

fn length(bytes: &[u8]) -> Option<[u8; 4]> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length != REMOVED)?;
    Some(length.to_le_bytes())
}

fn checksum(length: [u8; 4], payload: &[u8], at: u64) -> u64 {
    let mut hash = Xxh3::with_seed(at);
    hash.update(&length);
    hash.update(payload);
    hash.digest()
}
