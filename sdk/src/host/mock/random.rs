//! Random numbers that are the same in every run (SplitMix64).

use super::current;

pub(crate) fn fill(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        let next = current(|process, _| {
            process.random = process.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (process.random ^ (process.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        for (byte, random) in chunk.iter_mut().zip(next.to_le_bytes()) {
            *byte = random;
        }
    }
}
