//! The next index, while it is read from a store that gateways share.

use std::collections::HashSet;

use limen_store::{Gone, Head, SharedRecords};

use super::KeyError;
use super::index::{Entry, Index};
use super::mirror::Seen;
use super::record::Record;

/// The next index, while it is read.
pub struct Draft {
    index: Index,
    is_changed: bool,
}

/// Keys that the store has.
#[derive(Default)]
pub struct Met {
    /// As they are here now.
    pub alike: HashSet<String>,
    /// It does not know yet, or not any more, how these have ended.
    pub behind: HashSet<String>,
    /// It has no others.
    pub is_all: bool,
}

impl Met {
    pub fn has(&self, id: &str) -> bool {
        self.alike.contains(id) || self.behind.contains(id)
    }
}

/// What becomes of a record of the store.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    New,
    Known,
    Behind,
}

impl Draft {
    pub fn of(index: Index) -> Self {
        Draft { index, is_changed: false }
    }

    /// The index, if it is another one now.
    pub fn changed(self) -> Option<Index> {
        self.is_changed.then_some(self.index)
    }

    /// Page by page. None: what was seen before is not in the store's history.
    pub fn read(
        &mut self,
        shared: &SharedRecords,
        seen: &mut Seen,
        met: &mut Met,
    ) -> Result<Option<Head>, KeyError> {
        loop {
            let page = shared.read(seen.version).map_err(|Gone| KeyError::Away)?;
            if page.head.version < seen.version {
                return Ok(None);
            }
            if let (Some(ours), Some(theirs)) = (&seen.identity, &page.head.identity)
                && ours != theirs
            {
                return Err(KeyError::OtherKeys);
            }
            for (id, bytes) in page.records {
                match self.take(&bytes) {
                    Ok(Taken::New) => seen.mirror_later([id.clone()]),
                    Ok(Taken::Known) => {}
                    Ok(Taken::Behind) => {
                        // It is to be told.
                        seen.is_settled = false;
                        seen.mirror_later([id.clone()]);
                        met.alike.remove(&id);
                        met.behind.insert(id);
                        continue;
                    }
                    Err(error) => {
                        tracing::error!("key {id} of the store can't be read, and is left as it is: {error}");
                    }
                }
                met.behind.remove(&id);
                met.alike.insert(id);
            }
            seen.version = page.known;
            if page.known >= page.head.version {
                if page.head.identity.is_some() {
                    seen.identity.clone_from(&page.head.identity);
                }
                return Ok(Some(page.head));
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Taken, String> {
        let theirs: Record = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let Some(known) = self.index.get(&theirs.id) else {
            self.put(Entry::new(theirs, 0)?);
            return Ok(Taken::New);
        };
        let joined = theirs.clone().joined(&known.record);
        let taken = match joined == theirs {
            true if theirs == known.record => return Ok(Taken::Known),
            true => Taken::New,
            false => Taken::Behind,
        };
        if joined != known.record {
            let renewed = known.renew(joined)?;
            self.put(renewed);
        }
        Ok(taken)
    }

    fn put(&mut self, entry: Entry) {
        self.index.insert(entry.into());
        self.is_changed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(with: Value) -> Vec<u8> {
        let mut record =
            json!({ "id": "k", "tag": vec![1; 32], "pepper": [1, 2, 3, 4], "consumer": "ada", "created": 5 });
        record.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        record.to_string().into_bytes()
    }

    #[test]
    fn what_is_known_of_an_end_stays_known() {
        let ended = json!({ "expires": 70, "replaced_by": "next", "revoked": 60 });
        for (name, end) in ended.as_object().unwrap() {
            let end = json!({ (name): end });
            let mut draft = Draft::of(Index::default());
            assert_eq!(draft.take(&record(json!({}))), Ok(Taken::New));
            assert_eq!(draft.take(&record(end.clone())), Ok(Taken::New));
            assert_eq!(draft.take(&record(json!({}))), Ok(Taken::Behind), "{name}");
            assert_eq!(draft.take(&record(end)), Ok(Taken::Known), "{name} is as it was");
        }
    }

    #[test]
    fn of_two_stories_everybody_makes_the_same() {
        let one = json!({ "expires": 70, "replaced_by": "one" });
        let other = json!({ "expires": 80, "replaced_by": "other", "revoked": 60 });
        let both = [[&one, &other], [&other, &one]].map(|stories| {
            let mut draft = Draft::of(Index::default());
            for story in stories {
                draft.take(&record(story.clone())).unwrap();
            }
            draft.index.get("k").unwrap().record.clone()
        });
        assert_eq!(both[0], both[1]);
        assert_eq!((both[0].revoked, both[0].terms.expires), (Some(60), Some(70)));
    }
}
