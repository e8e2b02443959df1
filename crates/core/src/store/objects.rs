//! The `creds` objects of JavaScript, as the store knows them.
//!
//! Baileys mutates `state.creds` in place, so handles of one store in one environment share one object: a
//! reconnect goes on with what is in memory. A new object is made when all handles of the environment are gone,
//! or when what is stored is not what this environment last read or saved.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::creds::{Identity, Summary};
use crate::events::EnvironmentId;

static MADE: AtomicU64 = AtomicU64::new(1);

/// One `creds` object: a number that no other has in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId(pub u64);

struct Object {
    handles: usize,
    /// The identity with which it was last read or saved.
    identity: Option<Identity>,
}

struct Environment {
    handles: usize,
    /// What it last read or saved (`None`: nothing was stored), and the object that holds that.
    last: (Option<[u8; 32]>, ObjectId),
}

/// All `creds` objects of a store.
#[derive(Default)]
pub struct Objects {
    objects: HashMap<ObjectId, Object>,
    environments: HashMap<EnvironmentId, Environment>,
}

impl Objects {
    /// Which object a new handle gets, with this stored.
    pub fn open(&mut self, environment: EnvironmentId, stored: Option<&Summary>) -> ObjectId {
        let hash = stored.map(|stored| stored.hash);
        let known = self.environments.get(&environment).map(|environment| environment.last);
        let id = match known {
            Some((last, id)) if last == hash => id,
            _ => ObjectId(MADE.fetch_add(1, Ordering::Relaxed)),
        };
        let environment =
            self.environments.entry(environment).or_insert(Environment { handles: 0, last: (hash, id) });
        environment.handles += 1;
        environment.last = (hash, id);
        let object = self.objects.entry(id).or_insert(Object { handles: 0, identity: None });
        object.handles += 1;
        object.identity = stored.map(|stored| stored.identity).or(object.identity);
        id
    }

    /// Takes note of a save.
    pub fn saved(&mut self, environment: EnvironmentId, id: ObjectId, summary: &Summary) {
        self.moved(environment, id, summary);
        if let Some(object) = self.objects.get_mut(&id) {
            object.identity = Some(summary.identity);
        }
    }

    /// Takes note of credentials that were moved here: this object is going to hold them. What is in it until then is
    /// another identity's, and must not be saved over them.
    pub fn moved(&mut self, environment: EnvironmentId, id: ObjectId, summary: &Summary) {
        if let Some(environment) = self.environments.get_mut(&environment) {
            environment.last = (Some(summary.hash), id);
        }
    }

    /// The identity with which this object was last read or saved.
    pub fn identity(&self, id: ObjectId) -> Option<Identity> {
        self.objects.get(&id).and_then(|object| object.identity)
    }

    /// A handle is gone.
    pub fn close(&mut self, environment: EnvironmentId, id: ObjectId) {
        if let Some(object) = self.objects.get_mut(&id) {
            object.handles = object.handles.saturating_sub(1);
            if object.handles == 0 {
                self.objects.remove(&id);
            }
        }
        if let Some(entry) = self.environments.get_mut(&environment) {
            entry.handles = entry.handles.saturating_sub(1);
            if entry.handles == 0 {
                self.environments.remove(&environment);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(identity: u8, text: u8) -> Summary {
        Summary { identity: [identity; 32], paired: false, hash: [text; 32] }
    }

    #[test]
    fn handles_share_an_object_as_long_as_the_stored_text_is_theirs() {
        let (env, mut objects) = (EnvironmentId(1), Objects::default());
        let first = objects.open(env, None);
        assert_eq!(objects.open(env, None), first);
        objects.saved(env, first, &summary(1, 1));
        assert_eq!(objects.open(env, Some(&summary(1, 1))), first);
        let other = objects.open(env, Some(&summary(2, 2)));
        assert_ne!(other, first);
        assert_eq!(objects.identity(first), Some([1; 32]), "a newer handle does not free an older one");
        assert_ne!(objects.open(EnvironmentId(2), Some(&summary(2, 2))), other);
    }

    #[test]
    fn the_object_that_was_saved_last_is_the_one_that_is_shared() {
        let (env, mut objects) = (EnvironmentId(1), Objects::default());
        let old = objects.open(env, Some(&summary(1, 1)));
        let new = objects.open(env, Some(&summary(1, 2)));
        objects.saved(env, old, &summary(1, 3));
        assert_eq!(objects.open(env, Some(&summary(1, 3))), old);
        assert_ne!(old, new);
    }

    #[test]
    fn it_is_read_again_when_every_handle_is_closed() {
        let (env, mut objects) = (EnvironmentId(1), Objects::default());
        let first = objects.open(env, Some(&summary(1, 1)));
        objects.open(env, Some(&summary(1, 1)));
        objects.close(env, first);
        assert_eq!(objects.open(env, Some(&summary(1, 1))), first);
        objects.close(env, first);
        objects.close(env, first);
        assert_ne!(objects.open(env, Some(&summary(1, 1))), first);
        assert_eq!(objects.objects.len(), 1);
    }
}
