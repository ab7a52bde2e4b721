//! What policies keep over reloads: counts, what was learned, what was fetched.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// States by their type and the name of whose they are. It holds them weakly: what no policy uses any more
/// is gone.
#[derive(Debug, Default)]
pub struct Kept(Mutex<HashMap<(TypeId, String), Weak<dyn Any + Send + Sync>>>);

impl Kept {
    /// The one there is, or a new one.
    pub(super) fn take<T: Send + Sync + 'static>(&self, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
        let new = || Ok::<_, Infallible>(Arc::new(new()));
        match self.try_take(name, new) {
            Ok(one) => one,
            Err(never) => match never {},
        }
    }

    /// The same, of what may fail to be made.
    pub(super) fn try_take<T: Send + Sync + 'static, E>(
        &self,
        name: &str,
        new: impl FnOnce() -> Result<Arc<T>, E>,
    ) -> Result<Arc<T>, E> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, one| one.strong_count() > 0);
        let key = (TypeId::of::<T>(), name.to_owned());
        let known = all.get(&key).and_then(Weak::upgrade).and_then(|known| known.downcast().ok());
        if let Some(known) = known {
            return Ok(known);
        }
        let new = new()?;
        let shared: Arc<dyn Any + Send + Sync> = new.clone();
        all.insert(key, Arc::downgrade(&shared));
        Ok(new)
    }

    /// All of one type that somebody uses, by the names of whose they are.
    pub fn all<T: Send + Sync + 'static>(&self) -> Vec<(String, Arc<T>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_type = all.iter().filter(|((of, _), _)| *of == TypeId::of::<T>());
        let live =
            of_type.filter_map(|((_, name), one)| Some((name.clone(), one.upgrade()?.downcast().ok()?)));
        let mut live: Vec<_> = live.collect();
        live.sort_by(|(one, _), (other, _)| one.cmp(other));
        live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_as_long_as_somebody_holds_it() {
        let kept = Kept::default();
        let one = kept.take("one", || 1u32);
        assert!(Arc::ptr_eq(&one, &kept.take("one", || 2u32)), "by its name");
        assert_eq!(*kept.take("two", || 2u32), 2);
        assert_eq!(*kept.take("one", || 3u64), 3, "and its type");
        let all: Vec<_> = kept.all::<u32>().into_iter().map(|(name, one)| (name, *one)).collect();
        assert_eq!(all, [("one".to_owned(), 1)]);
        drop(one);
        assert_eq!(*kept.take("one", || 4u32), 4, "gone with its last holder");
    }
}
