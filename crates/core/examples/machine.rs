//! A machine whose power can be cut: a native store, put together as in production, on the simulated disk. It does what
//! lines of JSON on its input say, and answers each with a line: `__test__/power.test.mjs` lets Baileys live on it.
//!
//! `machine <seed> <within>`, in milliseconds. A request has an `id`, which its answer repeats, and what to `do`:
//! - `open` (`durability`): a new process, after a restart if the machine is down. The text of the stored credentials.
//! - `get` (`type`, `ids`): a text or null each. `set` (`number`, `changes`: type, id, text or null each). `save`
//!   (`creds`), `compact`.
//! - `end` (`power`: cut it, else the process is killed; `after`: so many operations of the disk, else now). Every call
//!   fails from then on.
//! - `state`: whether it is `down`, and `due`: the number of the last set that has to be on disk, since that time is over
//!   since it was answered, or credentials were saved. `lie`: from now on no sync of a file does anything.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_core::backend::{Durability, FolderBackend, FolderOptions, Format, Write, hold};
use auth_core::creds::Creds;
use auth_core::error::Result;
use auth_core::events::{EnvironmentId, Listener, Listeners, Sink};
use auth_core::keys::Key;
use auth_core::runtime::{self, Lane};
use auth_core::store::{Handle, NotOpened, Opened, Store};
use auth_core::value::Value;
use auth_log::sim::{Fault, Lie, SimFs};
use serde_json::json;
use serde_json::value::Value as Json;

const FOLDER: &str = "/accounts/one";

#[derive(Clone)]
struct Machine {
    disk: SimFs,
    /// What is answered at `interval` is on disk after this.
    within: Duration,
    handle: Arc<Mutex<Option<Handle>>>,
    /// Which process this is: timers of an earlier one count no more.
    life: Arc<AtomicU64>,
    acknowledged: Arc<AtomicU64>,
    due: Arc<AtomicU64>,
}

fn answer(id: &Json, result: Result<Json>) {
    let line = match result {
        Ok(value) => json!({ "id": id, "value": value }),
        Err(error) => json!({ "id": id, "code": error.code().name(), "message": error.to_string() }),
    };
    writeln!(std::io::stdout().lock(), "{line}").unwrap();
}

impl Machine {
    fn with_handle(&self, act: impl FnOnce(&Handle)) {
        act(self.handle.lock().unwrap().as_ref().expect("not opened"));
    }

    async fn open(&self, durability: Durability) -> Result<Json> {
        // The process is gone: what it still wants to do reaches no disk.
        drop(self.handle.lock().unwrap().take());
        if self.disk.is_down() {
            self.disk.restart();
        }
        let folder = hold(Arc::new(self.disk.clone()), FOLDER.into(), true, Listeners::default()).await?;
        let options = FolderOptions {
            format: Format::Native,
            create: true,
            lock: true,
            durability,
            lock_timeout: Duration::ZERO,
        };
        let backend = FolderBackend::open(folder, options).await?;
        let store = Store::new(Arc::new(backend), Some(Format::Native), FOLDER.into(), Listeners::default());
        store.look_after()?;
        let nobody = Listener { environment: EnvironmentId(1), number: 1, sink: Sink::new(|_, _| ()) };
        let Opened { handle, creds, .. } = store.open(nobody).await.map_err(|not| match not {
            NotOpened::Failed(error) => error,
            NotOpened::Finished => panic!("a new store is finished"),
        })?;
        *self.handle.lock().unwrap() = Some(handle);
        self.life.fetch_add(1, Ordering::SeqCst);
        // Opening puts on disk what a process that was killed had handed to the system.
        self.due.fetch_max(self.acknowledged.load(Ordering::SeqCst), Ordering::SeqCst);
        Ok(json!(creds.map(|creds| String::from_utf8(creds.text.to_vec()).unwrap())))
    }

    /// A set was answered: when its time is over, it must be on disk. By the store's own clock, and through its own
    /// threads, so that a busy computer is late with both.
    fn acknowledge(&self, number: u64) {
        self.acknowledged.fetch_max(number, Ordering::SeqCst);
        let (machine, life) = (self.clone(), self.life.load(Ordering::SeqCst));
        runtime::spawn(async move {
            tokio::time::sleep(machine.within).await;
            runtime::run(Lane::Commit, || ()).await.unwrap();
            if machine.life.load(Ordering::SeqCst) == life && !machine.disk.is_down() {
                machine.due.fetch_max(number, Ordering::SeqCst);
            }
        })
        .unwrap();
    }

    fn set(&self, request: &Json) {
        let text = |json: &Json| json.as_str().map(str::to_owned);
        let change = |change: &Json| {
            let key = Key::new(text(&change[0]).unwrap(), text(&change[1]).unwrap()).unwrap();
            let value = text(&change[2]).map(|text| Value { text: text.into_bytes().into(), plain: false });
            (key, value)
        };
        let changes = request["changes"].as_array().unwrap().iter().map(change).collect();
        let (machine, id, number) =
            (self.clone(), request["id"].clone(), request["number"].as_u64().unwrap());
        let reply = move |result: Result<()>| {
            if result.is_ok() {
                machine.acknowledge(number);
            }
            answer(&id, result.map(|()| Json::Null));
        };
        self.with_handle(|handle| handle.write(Write::Set(changes), None, Box::new(reply)));
    }

    fn get(&self, request: &Json) {
        let key = |id: &Json| Key::new(request["type"].as_str().unwrap(), id.as_str().unwrap()).unwrap();
        let keys = request["ids"].as_array().unwrap().iter().map(key).collect();
        let id = request["id"].clone();
        let reply = move |found: Result<Vec<Option<Value>>>| {
            let text = |value: Value| String::from_utf8(value.text.to_vec()).unwrap();
            answer(&id, found.map(|found| found.into_iter().map(|value| value.map(text)).collect()));
        };
        self.with_handle(|handle| handle.read(keys, Box::new(reply)));
    }

    fn save(&self, request: &Json) {
        let creds = Creds::judge(request["creds"].as_str().unwrap().as_bytes().to_vec()).unwrap();
        let (machine, id) = (self.clone(), request["id"].clone());
        // At either durability they take with them what was set before.
        let before = self.acknowledged.load(Ordering::SeqCst);
        let reply = move |result: Result<()>| {
            if result.is_ok() {
                machine.due.fetch_max(before, Ordering::SeqCst);
            }
            answer(&id, result.map(|()| Json::Null));
        };
        self.with_handle(|handle| handle.save_creds(creds, Box::new(reply)));
    }

    fn spawn(&self, id: Json, work: impl Future<Output = Result<Json>> + Send + 'static) {
        runtime::spawn(async move { answer(&id, work.await) }).unwrap();
    }

    fn take(&self, request: &Json) {
        let id = request["id"].clone();
        match request["do"].as_str().unwrap() {
            "open" => {
                let durability =
                    if request["durability"] == "sync" { Durability::Sync } else { Durability::Interval };
                let machine = self.clone();
                self.spawn(id, async move { machine.open(durability).await });
            }
            "set" => self.set(request),
            "get" => self.get(request),
            "save" => self.save(request),
            "compact" => {
                let mut store = None;
                self.with_handle(|handle| store = Some(handle.store().clone()));
                let store = store.unwrap();
                self.spawn(id, async move { store.compact().await.map(|sizes| json!(sizes.after)) });
            }
            "end" => {
                let power = request["power"] == true;
                // An end that never came is forgotten.
                self.disk.heal();
                match (request["after"].as_u64(), power) {
                    (Some(after), true) => self.disk.fail_at(self.disk.operations() + after, Fault::Power),
                    (Some(after), false) => self.disk.fail_at(self.disk.operations() + after, Fault::Kill),
                    (None, true) => self.disk.power_cut(),
                    (None, false) => self.disk.kill(),
                }
                answer(&id, Ok(Json::Null));
            }
            "lie" => {
                self.disk.set_lie(Some(Lie::SyncDoesNothing));
                answer(&id, Ok(Json::Null));
            }
            "state" => {
                let (down, due) = (self.disk.is_down(), self.due.load(Ordering::SeqCst));
                answer(&id, Ok(json!({ "down": down, "due": due })));
            }
            other => panic!("what is {other}?"),
        }
    }
}

fn main() {
    let [seed, within] = [1, 2].map(|nth| std::env::args().nth(nth).expect("a number").parse().unwrap());
    let machine = Machine {
        disk: SimFs::new(seed),
        within: Duration::from_millis(within),
        handle: Arc::default(),
        life: Arc::default(),
        acknowledged: Arc::default(),
        due: Arc::default(),
    };
    for line in std::io::stdin().lines() {
        machine.take(&serde_json::from_str(&line.unwrap()).unwrap());
    }
}
