//! A file system over another one, whose calls fail as a test says, and which may fold case.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use auth_log::fs::{Dir, File, Fs, Stat};
use rustix::io::Errno;

/// What an operation on a name fails with.
type Script = Box<dyn FnMut(&str, &str) -> Option<Errno> + Send>;

#[derive(Clone)]
pub struct Trouble {
    script: Arc<Mutex<Script>>,
    folds: bool,
}

impl Trouble {
    pub fn none() -> Self {
        Self { script: Arc::new(Mutex::new(Box::new(|_, _| None))), folds: false }
    }

    pub fn folding() -> Self {
        Self { folds: true, ..Self::none() }
    }

    /// From now on.
    pub fn set(&self, script: impl FnMut(&str, &str) -> Option<Errno> + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// This operation on this name fails so often.
    pub fn fail(&self, operation: &'static str, name: &'static str, errno: Errno, mut times: usize) {
        self.set(move |at, on| {
            let fails = at == operation && on.starts_with(name) && times > 0;
            times -= usize::from(fails);
            fails.then_some(errno)
        });
    }

    fn at(&self, operation: &str, name: &str) -> io::Result<()> {
        let errno = (self.script.lock().unwrap())(operation, name);
        errno.map_or(Ok(()), |errno| Err(errno.into()))
    }
}

pub struct TroubledFs(pub Arc<dyn Fs>, pub Trouble);
struct TroubledDir(Arc<dyn Dir>, Trouble);
struct TroubledFile(Arc<dyn File>, Trouble, String);

fn dir(inner: Arc<dyn Dir>, trouble: &Trouble) -> Arc<dyn Dir> {
    Arc::new(TroubledDir(inner, trouble.clone()))
}

impl Fs for TroubledFs {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        self.1.at("open_dir", &path.display().to_string())?;
        Ok(dir(self.0.open_dir(path)?, &self.1))
    }
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.0.create_dir(path, mode)
    }
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.0.canonical(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }
}

impl TroubledDir {
    fn file(&self, file: Arc<dyn File>, name: &str) -> Arc<dyn File> {
        Arc::new(TroubledFile(file, self.1.clone(), name.to_owned()))
    }

    /// The name as it is in the directory, where case is folded.
    fn real(&self, name: &str) -> String {
        let names = if self.1.folds { self.0.names().unwrap() } else { Vec::new() };
        names.into_iter().find(|real| real.eq_ignore_ascii_case(name)).unwrap_or_else(|| name.to_owned())
    }
}

impl Dir for TroubledDir {
    fn stat(&self) -> io::Result<Stat> {
        self.1.at("stat", ".")?;
        self.0.stat()
    }
    fn names(&self) -> io::Result<Vec<String>> {
        self.1.at("names", ".")?;
        self.0.names()
    }
    fn stat_name(&self, name: &str) -> io::Result<Option<Stat>> {
        self.1.at("stat", name)?;
        self.0.stat_name(&self.real(name))
    }
    fn read_link(&self, name: &str) -> io::Result<PathBuf> {
        self.0.read_link(name)
    }
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        Ok(dir(self.0.open_dir(path)?, &self.1))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.1.at("open", name)?;
        Ok(self.file(self.0.open(&self.real(name))?, name))
    }
    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.1.at("open_write", name)?;
        Ok(self.file(self.0.open_write(&self.real(name))?, name))
    }
    fn create(&self, name: &str, mode: u32) -> io::Result<Arc<dyn File>> {
        self.1.at("create", name)?;
        Ok(self.file(self.0.create(name, mode)?, name))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.1.at("rename", to)?;
        self.0.rename(from, &self.real(to))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.1.at("remove", name)?;
        self.0.remove(&self.real(name))
    }
    fn sync(&self) -> io::Result<()> {
        self.1.at("sync", ".")?;
        self.0.sync()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        self.0.set_owner(uid, gid)
    }
}

impl File for TroubledFile {
    fn stat(&self) -> io::Result<Stat> {
        self.0.stat()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.at("read", &self.2)?;
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.1.at("write", &self.2)?;
        self.0.write_at(bytes, offset)
    }
    fn set_len(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }
    fn sync(&self) -> io::Result<()> {
        self.1.at("sync", &self.2)?;
        self.0.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.1.at("chmod", &self.2)?;
        self.0.set_mode(mode)
    }
    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        self.1.at("chown", &self.2)?;
        self.0.set_owner(uid, gid)
    }
}
