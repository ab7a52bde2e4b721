//! Rates that one gateway keeps, in its memory.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hasher, RandomState};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::shards::Shards;
use super::{Level, Taken, Want, nanos};

/// The arrivals of keys. It has room for a number of keys; one more takes the place of idle ones, which are
/// as good as unknown, and then of the tenth that is nearest to idle. A key is some 50 bytes.
pub struct Buckets {
    shards: Shards<Shard>,
    /// Keys of one shard at most.
    room: AtomicUsize,
    /// Times are nanoseconds from here.
    started: Instant,
    seeds: KeySeeds,
}

/// Arrivals by their keys, which are hashes already.
#[derive(Default)]
struct Shard(HashMap<u128, u64, BuildHasherDefault<Hashed>>);

/// The shards that a taking is about, locked.
struct Held<'a>(Vec<(usize, MutexGuard<'a, Shard>)>);

/// What keys of this process are made with: nobody outside can find some that meet.
#[derive(Clone, Debug, Default)]
pub struct KeySeeds([RandomState; 2]);

/// Makes a key of what is written to it.
pub struct KeyHasher([DefaultHasher; 2]);

impl Buckets {
    pub fn new(keys: usize) -> Self {
        Buckets {
            shards: Shards::default(),
            room: AtomicUsize::new(room(keys)),
            started: Instant::now(),
            seeds: KeySeeds::default(),
        }
    }

    /// Makes room for another number of keys.
    pub fn resize(&self, keys: usize) {
        self.room.store(room(keys), Ordering::Relaxed);
    }

    pub fn hasher(&self) -> KeyHasher {
        self.seeds.hasher()
    }

    /// Takes from all of these rates, or from none. Their keys must be different ones.
    pub fn take(&self, wants: &[Want], cost: u64) -> Taken {
        let mut numbers: Vec<usize> = wants.iter().map(|want| Shards::<Shard>::number(want.key)).collect();
        // Everybody locks them in the same order.
        numbers.sort_unstable();
        numbers.dedup();
        let shards = numbers.into_iter().filter_map(|number| Some((number, self.shards.lock(number)?)));
        let mut held = Held(shards.collect());
        // What time it is counts from when nobody else can write: what was written must not lie ahead of it.
        let now = nanos(self.started.elapsed());
        let mut steps = Vec::with_capacity(wants.len());
        for want in wants {
            let arrival = held.shard(want.key).and_then(|shard| shard.0.get(&want.key).copied());
            let arrival = arrival.unwrap_or(now).max(now);
            steps.push((arrival, want.rate.step(arrival, now, cost)));
        }
        let allowed = steps.iter().all(|(_, step)| step.allowed);
        let mut levels = Vec::with_capacity(wants.len());
        for (want, (arrival, step)) in wants.iter().zip(steps) {
            let kept = if allowed { step.next } else { arrival };
            if allowed && let Some(shard) = held.shard(want.key) {
                shard.put(want.key, kept, now, self.room.load(Ordering::Relaxed));
            }
            levels.push(Level {
                allowed: step.allowed,
                remaining: want.rate.remaining(kept, now),
                full: Duration::from_nanos(kept - now),
                wait: step.wait.map(Duration::from_nanos),
            });
        }
        Taken { allowed, levels }
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        (0..Shards::<Shard>::COUNT)
            .filter_map(|number| self.shards.lock(number))
            .map(|shard| shard.0.len())
            .sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Of one shard, for so many keys in all.
fn room(keys: usize) -> usize {
    keys.div_ceil(Shards::<Shard>::COUNT).max(1)
}

impl Held<'_> {
    fn shard(&mut self, key: u128) -> Option<&mut Shard> {
        let number = Shards::<Shard>::number(key);
        self.0.iter_mut().find(|(known, _)| *known == number).map(|(_, shard)| &mut **shard)
    }
}

impl Shard {
    fn put(&mut self, key: u128, arrival: u64, now: u64, room: usize) {
        if let Some(known) = self.0.get_mut(&key) {
            *known = arrival;
            return;
        }
        if self.0.len() >= room.min(self.0.capacity()) {
            self.make_room(now, room);
        }
        self.0.insert(key, arrival);
    }

    /// Drops what is idle, before it grows; and more of it if it must not grow.
    fn make_room(&mut self, now: u64, room: usize) {
        self.0.retain(|_, arrival| *arrival > now);
        if self.0.len() >= room {
            let mut arrivals: Vec<_> = self.0.values().copied().collect();
            let tenth = arrivals.len() / 10;
            let (_, bar, _) = arrivals.select_nth_unstable(tenth);
            let bar = *bar;
            self.0.retain(|_, arrival| *arrival > bar);
        } else if self.0.len() > self.0.capacity() / 2 {
            // So that what it takes to look through all is not asked for by each new one.
            self.0.reserve(self.0.len());
        } else {
            self.0.shrink_to(self.0.len() * 2);
        }
    }
}

impl Default for Buckets {
    fn default() -> Self {
        Buckets::new(100_000)
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl KeySeeds {
    pub fn hasher(&self) -> KeyHasher {
        KeyHasher(self.0.each_ref().map(RandomState::build_hasher))
    }
}

impl KeyHasher {
    pub fn key(&self) -> u128 {
        let [high, low] = self.0.each_ref().map(Hasher::finish);
        u128::from(high) << 64 | u128::from(low)
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|hasher| hasher.write(bytes));
    }

    fn finish(&self) -> u64 {
        self.key() as u64
    }
}

/// Of what is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::thread;

    use super::super::Rate;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn want(key: u128, limit: u64, period: Duration) -> Want {
        // Of one shard each, and of several.
        Want { key: key << 64 | key, rate: Rate::new(limit, period, limit).unwrap() }
    }

    #[test]
    fn all_allow_or_nothing_is_taken() {
        let buckets = Buckets::default();
        let wants = [want(1, 5, HOUR), want(2, 2, HOUR)];
        assert_eq!([1, 1, 1].map(|cost| buckets.take(&wants, cost).allowed), [true, true, false]);
        let refused = buckets.take(&wants, 1);
        assert_eq!(
            refused.levels.iter().map(|it| (it.allowed, it.remaining)).collect::<Vec<_>>(),
            [(true, 3), (false, 0)]
        );
        assert!(refused.levels[1].wait.unwrap() > HOUR / 3);
        assert!(buckets.take(&wants[..1], 3).allowed, "nothing was taken by what was refused");
    }

    /// Many threads, each with two limits in an order of its own, one of which all of them share.
    #[test]
    fn it_is_exact_under_concurrency() {
        let buckets = Buckets::default();
        let passed = AtomicU64::new(0);
        let began = Instant::now();
        let (limit, second) = (50_000, Duration::from_secs(1));
        thread::scope(|scope| {
            for thread in 0..8 {
                let (buckets, passed) = (&buckets, &passed);
                scope.spawn(move || {
                    let mut wants = [want(1, limit, second), want(2 + thread, limit, second)];
                    if thread % 2 == 0 {
                        wants.reverse();
                    }
                    while began.elapsed() < second / 2 {
                        passed.fetch_add(u64::from(buckets.take(&wants, 1).allowed), Ordering::Relaxed);
                    }
                });
            }
        });
        let most = limit as f64 * (1.0 + began.elapsed().as_secs_f64());
        let share = passed.into_inner() as f64 / most;
        println!("passed {:.3} % of what may", share * 100.0);
        assert!(share <= 1.0, "never over: {share}");
        assert!(share > 0.9, "and not far under: {share}");
    }

    #[test]
    fn keys_are_bounded_and_idle_ones_go_first() {
        let buckets = Buckets::new(6400);
        let kept = want(7, 1, HOUR);
        assert!(buckets.take(&[kept], 1).allowed);
        let hashed = |number: u64| {
            let mut hasher = buckets.hasher();
            hasher.write_u64(number);
            Want { key: hasher.key(), ..want(0, 1_000_000, Duration::from_millis(1)) }
        };
        for number in 0..20_000 {
            assert!(buckets.take(&[hashed(number)], 1).allowed);
        }
        assert!(buckets.len() < 6400);
        assert!(!buckets.take(&[kept], 1).allowed, "one that is not idle stays");
        for number in 0..20_000 {
            buckets.take(&[Want { rate: kept.rate, ..hashed(number) }], 1);
        }
        assert!(buckets.len() <= 6400, "{}", buckets.len());
    }
}
