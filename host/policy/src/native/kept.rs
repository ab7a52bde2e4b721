//! What policies keep over reloads: counts, what was learned, what was fetched.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// States by their type and the name of whose they are. It holds them weakly: what no policy uses any more
/// is gone. There are several of one name while a snapshot still has one that does not fit the next.
#[derive(Debug, Default)]
pub struct Kept(Mutex<HashMap<(TypeId, String), Vec<Held>>>);

type Held = Weak<dyn Any + Send + Sync>;

impl Kept {
    /// The one there is, or a new one.
    pub(super) fn take<T: Send + Sync + 'static>(&self, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
        let new = || Ok::<_, Infallible>(Arc::new(new()));
        match self.try_take(name, new) {
            Ok(one) => one,
            Err(never) => match never {},
        }
    }

    /// The same, but a new one also in place of one that does not fit any more. Whoever holds that still has it.
    pub(super) fn take_if<T: Send + Sync + 'static>(
        &self,
        name: &str,
        fits: impl FnMut(&T) -> bool,
        new: impl FnOnce() -> Arc<T>,
    ) -> Arc<T> {
        match self.find(name, fits, || Ok::<_, Infallible>(new())) {
            Ok(one) => one,
            Err(never) => match never {},
        }
    }

    /// The one there is, or a new one, of what may fail to be made.
    pub(super) fn try_take<T: Send + Sync + 'static, E>(
        &self,
        name: &str,
        new: impl FnOnce() -> Result<Arc<T>, E>,
    ) -> Result<Arc<T>, E> {
        self.find(name, |_| true, new)
    }

    fn find<T: Send + Sync + 'static, E>(
        &self,
        name: &str,
        mut fits: impl FnMut(&T) -> bool,
        new: impl FnOnce() -> Result<Arc<T>, E>,
    ) -> Result<Arc<T>, E> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, known| {
            known.retain(|one| one.strong_count() > 0);
            !known.is_empty()
        });
        let key = (TypeId::of::<T>(), name.to_owned());
        let mut known = all.get(&key).into_iter().flatten().filter_map(|one| one.upgrade()?.downcast().ok());
        if let Some(known) = known.find(|known| fits(known)) {
            return Ok(known);
        }
        let new = new()?;
        let shared: Arc<dyn Any + Send + Sync> = new.clone();
        all.entry(key).or_default().push(Arc::downgrade(&shared));
        Ok(new)
    }

    /// All of one type that somebody uses, by the names of whose they are.
    pub fn all<T: Send + Sync + 'static>(&self) -> Vec<(String, Arc<T>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_type = all.iter().filter(|((of, _), _)| *of == TypeId::of::<T>());
        let of_type = of_type.flat_map(|((_, name), known)| known.iter().map(move |one| (name, one)));
        let live = of_type.filter_map(|(name, one)| Some((name.clone(), one.upgrade()?.downcast().ok()?)));
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
        let other = kept.take_if("one", |one| *one == 7, || Arc::new(7u32));
        assert_eq!((*one, *other), (1, 7), "it does not fit");
        assert!(Arc::ptr_eq(&other, &kept.take_if("one", |one| *one == 7, || Arc::new(7u32))));
        assert!(Arc::ptr_eq(&one, &kept.take("one", || 9u32)), "what was there first is still there");
        assert_eq!(kept.all::<u32>().len(), 2);
        drop((one, other));
        assert_eq!(*kept.take("one", || 4u32), 4, "gone with its last holder");
    }
}
