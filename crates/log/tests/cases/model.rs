//! Any sequence of calls against a map in memory, on a healthy disk.

use std::sync::Arc;

use auth_log::fs::Fs;
use auth_log::sim::SimFs;
use auth_log::{Log, Reader};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::common::{Act, FOLDER, LOG, SALT, State, read_log, read_reader};

#[derive(Clone, Debug)]
enum Call {
    Commit(Vec<Act>),
    Append(Vec<Act>),
    /// Puts what the file holds: frames of this very log, as a value.
    Copy(u8),
    Sync,
    Read,
    Reopen(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let key = vec(0..3u8, 0..3);
    prop_oneof![
        6 => (key.clone(), vec(any::<u8>(), 0..5), any::<u8>(), vec(any::<u8>(), 0..700))
            .prop_map(|(key, label, flags, value)| Act::Put(key, label, flags, value)),
        3 => key.prop_map(Act::Delete),
        1 => Just(Act::Clear),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => vec(act(), 0..5).prop_map(Call::Commit),
        3 => vec(act(), 0..5).prop_map(Call::Append),
        1 => any::<u8>().prop_map(Call::Copy),
        1 => Just(Call::Sync),
        1 => Just(Call::Read),
        2 => any::<bool>().prop_map(Call::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: u32::try_from(crate::common::scale(1500)).unwrap(),
        // Failing cases are kept, and are run first from then on.
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/model.failures"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_log_is_a_map(calls in vec(call(), 0..30)) {
        let fs = SimFs::new(0);
        fs.create_dir(FOLDER.as_ref(), 0o700).unwrap();
        let folder = fs.open_dir(FOLDER.as_ref()).unwrap();
        let (mut log, opened) = Log::open(Arc::clone(&folder), SALT).unwrap();
        prop_assert!(opened.created && log.is_empty());
        let mut map = State::new();
        for call in calls {
            match call {
                Call::Commit(acts) | Call::Append(acts) if acts.is_empty() => {}
                Call::Commit(acts) => {
                    log.commit(&acts.iter().map(Act::change).collect::<Vec<_>>()).unwrap();
                    acts.iter().for_each(|act| { act.apply(&mut map); });
                }
                Call::Append(acts) => {
                    log.append(&acts.iter().map(Act::change).collect::<Vec<_>>()).unwrap();
                    acts.iter().for_each(|act| { act.apply(&mut map); });
                }
                Call::Copy(skip) => {
                    let value = fs.cached(LOG).unwrap().into_iter().skip(skip.into()).collect();
                    let act = Act::Put(b"copy".to_vec(), Vec::new(), 0, value);
                    log.commit(&[act.change()]).unwrap();
                    act.apply(&mut map);
                }
                Call::Sync => log.sync().unwrap(),
                Call::Read => {
                    let reader = Reader::open(&*folder).unwrap().unwrap();
                    prop_assert_eq!(read_reader(&reader), map.clone());
                    for key in map.keys() {
                        prop_assert!(reader.contains(key) && log.contains(key));
                    }
                    prop_assert!(!reader.contains(b"no such key") && log.get(b"no such key").unwrap().is_none());
                }
                Call::Reopen(close) => {
                    if close {
                        log.close().unwrap();
                    }
                    let (again, opened) = Log::open(Arc::clone(&folder), SALT).unwrap();
                    prop_assert_eq!((opened.created, opened.dropped_bytes, opened.records), (false, 0, map.len()));
                    log = again;
                }
            }
            prop_assert_eq!(read_log(&log).unwrap(), map.clone());
            prop_assert_eq!((log.len(), log.is_empty()), (map.len(), map.is_empty()));
        }
    }
}
