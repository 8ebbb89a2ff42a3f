//! What is kept: hashes and texts by key, and the order in which a scan comes by. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::glob;

/// The field by which the view's script compares.
const REVISION: &[u8] = b"revision";
/// The field that it writes along.
const STATUS: &[u8] = b"status";

/// Everything by key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    kept: HashMap<Arc<[u8]>, Kept>,
    /// Keys by the number under which they came. A scan goes by these numbers, so a key that is there all the time is told
    /// once, whatever comes and goes meanwhile.
    order: BTreeMap<u64, Arc<[u8]>>,
    last: u64,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Hash(Fields),
    /// Its text is never read.
    Text,
}

/// Fields with their values, in the order in which they came. They are two, so that to look through them beats a hash.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Why a key can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyError {
    /// It holds something else than a hash.
    WrongKind,
    /// Its hash has a revision that is no number.
    NoRevision,
}

impl Keys {
    /// The view's script: writes `revision` and `status` unless the key holds the same or a later revision; returns the revision that is
    /// there now, and whether one was there before.
    pub(super) fn put_if_newer(
        &mut self,
        key: &[u8],
        revision: u64,
        status: &[u8],
    ) -> Result<(u64, bool), KeyError> {
        let fields = self.hash(key)?;
        let held = field(fields, REVISION);
        let was_there = held.is_some();
        if let Some(held) = held {
            let held = std::str::from_utf8(held).ok().and_then(|held| held.parse().ok());
            let held: u64 = held.ok_or(KeyError::NoRevision)?;
            if held >= revision {
                return Ok((held, was_there));
            }
        }
        put(fields, REVISION, revision.to_string().as_bytes());
        put(fields, STATUS, status);
        Ok((revision, was_there))
    }

    /// Sets fields of a hash; how many of them are new.
    pub(super) fn set_fields<'a>(
        &mut self,
        key: &[u8],
        set: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<usize, KeyError> {
        let fields = self.hash(key)?;
        Ok(set.map(|(name, value)| usize::from(put(fields, name, value))).sum())
    }

    /// The values of fields; nothing where there is no such key or field.
    pub(super) fn fields<'a>(
        &'a self,
        key: &[u8],
        names: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<Option<&'a [u8]>>, KeyError> {
        match self.kept.get(key).map(|kept| &kept.value) {
            Some(Value::Text) => Err(KeyError::WrongKind),
            Some(Value::Hash(fields)) => Ok(names.map(|name| field(fields, name)).collect()),
            None => Ok(names.map(|_| None).collect()),
        }
    }

    /// Puts a text where there may be something else.
    pub(super) fn set_text(&mut self, key: &[u8]) {
        self.entry(key, || Value::Text).value = Value::Text;
    }

    /// Forgets a key; whether it was there.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let removed = self.kept.remove(key);
        removed.is_some_and(|kept| self.order.remove(&kept.number).is_some())
    }

    /// Looks at up to `count` keys from `cursor` on; those that fit, and the cursor to go on from, which is 0 at the end.
    pub(super) fn scan(&self, cursor: u64, count: usize, pattern: &[u8]) -> (u64, Vec<Arc<[u8]>>) {
        let mut range = self.order.range(cursor..);
        let seen = range.by_ref().take(count).map(|(_, key)| key);
        let found = seen.filter(|key| glob::fits(pattern, key)).cloned().collect();
        (range.next().map_or(0, |(number, _)| *number), found)
    }

    fn hash(&mut self, key: &[u8]) -> Result<&mut Fields, KeyError> {
        match &mut self.entry(key, || Value::Hash(Vec::with_capacity(2))).value {
            Value::Hash(fields) => Ok(fields),
            Value::Text => Err(KeyError::WrongKind),
        }
    }

    fn entry(&mut self, key: &[u8], new: impl FnOnce() -> Value) -> &mut Kept {
        // Looked for first: a key of its own is made only where it is new.
        if !self.kept.contains_key(key) {
            self.last += 1;
            let own: Arc<[u8]> = key.into();
            self.order.insert(self.last, Arc::clone(&own));
            self.kept.insert(own, Kept { number: self.last, value: new() });
        }
        self.kept.get_mut(key).expect("it was there or was just put there")
    }
}

fn field<'a>(fields: &'a [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'a [u8]> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
}

/// Sets a field; whether it is new.
fn put(fields: &mut Fields, name: &[u8], value: &[u8]) -> bool {
    if let Some((_, held)) = fields.iter_mut().find(|(known, _)| known == name) {
        held.clear();
        held.extend_from_slice(value);
        return false;
    }
    fields.push((name.to_vec(), value.to_vec()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_tells_every_key_once_while_others_come_and_go() {
        let mut keys = Keys::default();
        for n in 0..100 {
            keys.put_if_newer(format!("a{n}").as_bytes(), 1, b"PAID").unwrap();
        }
        let (mut cursor, mut told) = (0, Vec::new());
        loop {
            let (next, found) = keys.scan(cursor, 7, b"a*");
            assert!(found.len() <= 7);
            for key in &found {
                assert!(keys.remove(key), "told twice: {key:?}");
            }
            told.extend(found);
            keys.set_text(format!("b{}", told.len()).as_bytes());
            if next == 0 {
                break;
            }
            cursor = next;
        }
        assert_eq!(told.len(), 100);
        assert_eq!(keys.scan(0, 1_000, b"a*").1.len(), 0);
        assert_eq!(keys.kept.len(), keys.order.len());
    }
}
