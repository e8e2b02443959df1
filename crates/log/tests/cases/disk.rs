//! The operating system's file system behind the seam: what the log and the folders above it take for granted.
#![cfg(unix)]

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use auth_log::fs::{DiskFs, Fs, Kind};

use crate::common::RealFolder;

fn real(name: &str) -> RealFolder {
    RealFolder::new(&std::env::temp_dir(), name)
}

#[test]
fn a_file_is_written_read_cut_and_looked_at() {
    let real = real("file");
    let file = real.dir.create("file", 0o640).unwrap();
    assert_eq!(file.write_at(b"hello", 3).unwrap(), 5);
    file.sync().unwrap();
    let mut bytes = [9; 10];
    assert_eq!(file.read_at(&mut bytes, 1).unwrap(), 7);
    assert_eq!(bytes, *b"\0\0hello\x09\x09\x09");
    assert_eq!(file.read_at(&mut bytes, 8).unwrap(), 0);
    file.set_len(4).unwrap();
    assert_eq!(std::fs::read(real.path.join("file")).unwrap(), b"\0\0\0h");
    file.set_mode(0o604).unwrap();
    let (stat, named) = (file.stat().unwrap(), real.dir.stat_name("file").unwrap().unwrap());
    assert_eq!(stat, named);
    let known = std::fs::metadata(real.path.join("file")).unwrap();
    assert_eq!((stat.id.dev, stat.id.ino, stat.links), (known.dev(), known.ino(), 1));
    assert_eq!((stat.kind, stat.size, stat.mode), (Kind::File, 4, 0o604));
    assert_eq!((stat.uid, stat.gid), (known.uid(), known.gid()));
    let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
    assert_eq!(stat.modified_ns, nanoseconds(known.mtime(), known.mtime_nsec()));
    assert_eq!(stat.changed_ns, nanoseconds(known.ctime(), known.ctime_nsec()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    assert!(now.abs_diff(stat.changed_ns as u128) < 600_000_000_000);
    std::fs::hard_link(real.path.join("file"), real.path.join("other")).unwrap();
    assert_eq!(file.stat().unwrap().links, 2);
    // An open file outlives its names.
    real.dir.remove("file").unwrap();
    real.dir.remove("other").unwrap();
    assert_eq!((file.stat().unwrap().links, file.read_at(&mut bytes, 0).unwrap()), (0, 4));
}

#[test]
fn a_read_that_does_not_wait_gives_what_is_there_or_nothing() {
    let real = real("now");
    let file = real.dir.create("file", 0o600).unwrap();
    file.write_at(&[7; 5000], 0).unwrap();
    let mut bytes = [0; 5000];
    let read = (0..50).find_map(|_| file.read_at_now(&mut bytes, 0).unwrap());
    assert!(read.is_none_or(|read| read == 5000 && bytes == [7; 5000]));
    #[cfg(target_os = "linux")]
    assert!(read.is_some() || rustix::fs::statfs(&real.path).unwrap().f_type != 0xef53, "ext4 can");
    assert_eq!(file.read_at_now(&mut bytes, 1).unwrap(), None, "fewer bytes than asked for");
}

#[test]
fn names_are_made_once_renamed_over_and_removed() {
    let real = real("names");
    let dir = &*real.dir;
    let bytes = |name: &str| std::fs::read(real.path.join(name)).unwrap();
    for name in ["a", "b"] {
        dir.create(name, 0o600).unwrap().write_at(name.as_bytes(), 0).unwrap();
    }
    assert_eq!(dir.create("a", 0o600).err().unwrap().kind(), ErrorKind::AlreadyExists);
    assert_eq!(bytes("a"), b"a");
    let mut names = dir.names().unwrap();
    names.sort();
    assert_eq!(names, ["a", "b"]);
    dir.rename("a", "b").unwrap();
    assert_eq!((dir.names().unwrap(), bytes("b")), (vec!["b".to_owned()], b"a".to_vec()));
    dir.sync().unwrap();
    dir.sync_all().unwrap();
    assert_eq!(dir.stat_name("a").unwrap(), None);
    dir.remove("b").unwrap();
    for error in
        [dir.open("b").err(), dir.open_write("b").err(), dir.remove("b").err(), dir.rename("b", "c").err()]
    {
        assert_eq!(error.unwrap().kind(), ErrorKind::NotFound);
    }
    assert!(dir.names().unwrap().is_empty());
    // An error other than a missing name is one.
    assert!(dir.stat_name(&"x".repeat(300)).is_err());
}

#[test]
fn what_is_opened_to_read_cannot_be_written() {
    let real = real("read");
    real.dir.create("file", 0o600).unwrap().write_at(b"bytes", 0).unwrap();
    assert!(real.dir.open("file").unwrap().write_at(b"x", 0).is_err());
    let file = real.dir.open_write("file").unwrap();
    assert_eq!(file.write_at(b"x", 0).unwrap(), 1);
    assert_eq!(std::fs::read(real.path.join("file")).unwrap(), b"xytes");
}

#[test]
fn links_folders_and_others_are_told_apart_and_no_file_waits_or_leads_elsewhere() {
    let real = real("kinds");
    let dir = &*real.dir;
    dir.create("file", 0o600).unwrap();
    DiskFs.create_dir(&real.path.join("below"), 0o750).unwrap();
    symlink("below/../file", real.path.join("link")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(real.path.join("fifo")).status();
    let kind = |name: &str| dir.stat_name(name).unwrap().unwrap().kind;
    assert_eq!((kind("file"), kind("below"), kind("link")), (Kind::File, Kind::Dir, Kind::Link));
    assert_eq!(dir.read_link("link").unwrap(), Path::new("below/../file"));
    assert!(dir.read_link("file").is_err());
    assert!(dir.open("link").is_err() && dir.open_write("link").is_err(), "a link is not followed");
    if fifo.is_ok_and(|status| status.success()) {
        assert!(std::fs::symlink_metadata(real.path.join("fifo")).unwrap().file_type().is_fifo());
        assert_eq!(kind("fifo"), Kind::Other);
        assert_eq!(dir.open("fifo").unwrap().stat().unwrap().kind, Kind::Other, "and it does not hang");
    }
    let below = dir.open_dir("below".as_ref()).unwrap();
    assert_eq!(below.stat().unwrap(), dir.stat_name("below").unwrap().unwrap());
    assert_eq!((below.stat().unwrap().kind, below.stat().unwrap().mode), (Kind::Dir, 0o750));
    assert_eq!(dir.open_dir("file".as_ref()).err().unwrap().kind(), ErrorKind::NotADirectory);
    assert_eq!(dir.open_dir("none".as_ref()).err().unwrap().kind(), ErrorKind::NotFound);
    // A removed folder has no links, and nothing can be made in it.
    DiskFs.remove_dir(&real.path.join("below")).unwrap();
    assert_eq!(below.stat().unwrap().links, 0);
    assert!(below.create("file", 0o600).is_err());
    assert!(DiskFs.remove_dir(&real.path.join("below")).is_err());
    assert!(DiskFs.remove_dir(&real.path).is_err(), "it is not empty");
}

#[test]
fn folders_are_made_once_and_paths_have_no_links_in_them() {
    let real = real("paths");
    let below = real.path.join("below");
    DiskFs.create_dir(&below, 0o700).unwrap();
    assert_eq!(std::fs::metadata(&below).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(DiskFs.create_dir(&below, 0o700).err().unwrap().kind(), ErrorKind::AlreadyExists);
    symlink(&below, real.path.join("link")).unwrap();
    let canonical = DiskFs.canonical(&real.path.join("link")).unwrap();
    assert_eq!(canonical, std::fs::canonicalize(&below).unwrap());
    let followed = DiskFs.open_dir(&real.path.join("link")).unwrap().stat().unwrap();
    assert_eq!(followed.id, DiskFs.open_dir(&below).unwrap().stat().unwrap().id);
    assert_eq!(DiskFs.open_dir(&real.path.join("none")).err().unwrap().kind(), ErrorKind::NotFound);
}

#[test]
fn one_has_the_lock_or_many_share_it_and_it_ends_with_the_file() {
    let real = real("locks");
    real.dir.create("file", 0o600).unwrap();
    let open = || real.dir.open("file").unwrap();
    let (one, other, third) = (open(), open(), open());
    assert!(one.try_lock().unwrap() && !other.try_lock().unwrap() && !other.try_lock_shared().unwrap());
    drop(one);
    assert!(
        other.try_lock_shared().unwrap() && third.try_lock_shared().unwrap() && !open().try_lock().unwrap()
    );
    drop(other);
    assert!(third.try_lock().unwrap());
}

#[test]
fn what_root_makes_in_another_users_folder_is_that_users() {
    let real = real("owner");
    let me = real.dir.stat().unwrap();
    // Whoever may give nothing away may still say what is so already.
    real.dir.set_owner(me.uid, me.gid).unwrap();
    real.dir.create("mine", 0o600).unwrap().set_owner(me.uid, me.gid).unwrap();
    if me.uid != 0 {
        return println!("skipped: only root can try this");
    }
    real.dir.set_owner(4321, 8765).unwrap();
    let known = std::fs::metadata(&real.path).unwrap();
    assert_eq!((known.uid(), known.gid()), (4321, 8765));
    let theirs = real.dir.create("theirs", 0o600).unwrap().stat().unwrap();
    assert_eq!((theirs.uid, theirs.gid), (4321, 8765));
    assert_eq!(real.dir.stat_name("mine").unwrap().unwrap().uid, 0);
    let file = real.dir.open_write("theirs").unwrap();
    file.set_owner(1234, 5678).unwrap();
    assert_eq!((file.stat().unwrap().uid, file.stat().unwrap().gid), (1234, 5678));
}
