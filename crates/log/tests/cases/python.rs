//! `docs/format.md` is enough to write another reader: one in Python, which knows nothing else, reads what the
//! crate wrote.

use std::fmt::Write as _;
use std::process::Command;

use auth_log::{Change, Log, Reader};

use crate::common::{RealFolder, SALT, State, read_reader};

/// What the Python reader prints of a file; `None` where there is no Python.
fn by_python(path: &std::path::Path) -> Option<Result<String, String>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/read_log.py");
    let output = Command::new("python3").arg(script).arg(path).output().ok()?;
    Some(if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let sixth = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= chunk.len() { char::from(DIGITS[sixth]) } else { '=' });
        }
    }
    text
}

fn expected(state: &State) -> String {
    let mut text = String::new();
    for (key, (label, flags, value)) in state {
        let (key, label) = (String::from_utf8_lossy(key), String::from_utf8_lossy(label));
        let value = base64(value);
        writeln!(
            text,
            "{{\"key\": \"{key}\", \"label\": \"{label}\", \"flags\": {flags}, \"value\": \"{value}\"}}"
        )
        .unwrap();
    }
    text
}

#[test]
fn a_reader_in_python_reads_the_same() {
    let real = RealFolder::new(&std::env::temp_dir(), "python");
    let (path, folder) = (&real.path, real.dir.clone());
    let file = path.join("keys.1.log");
    let compare = |what: &str| {
        let reader = Reader::open(&*folder).unwrap().unwrap();
        let name = path.join(format!("keys.{}.log", reader.generation()));
        let Some(read) = by_python(&name) else { return println!("skipped: no python3") };
        assert_eq!(read, Ok(expected(&read_reader(&reader))), "{what}");
    };
    let golden: String = include_str!("golden.hex")
        .lines()
        .map(|line| line.split('#').next().unwrap().replace(' ', ""))
        .collect();
    let golden: Vec<u8> = (0..golden.len() / 2)
        .map(|at| u8::from_str_radix(&golden[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    std::fs::write(&file, &golden).unwrap();
    compare("the golden log");
    std::fs::write(&file, &golden[..golden.len() - 52 - 75]).unwrap();
    compare("the golden log before its delete");
    std::fs::remove_file(&file).unwrap();

    let (log, _) = Log::open(folder.clone(), SALT).unwrap();
    for (key, size) in [("a", 0), ("b", 40), ("c", 300), ("d", 70_000), ("a", 1)] {
        let value = vec![size as u8; size];
        log.append(&[Change::Put { key: key.as_bytes(), label: b"the label", flags: 200, value: &value }])
            .unwrap();
    }
    log.commit(&[Change::Delete { key: b"b" }]).unwrap();
    compare("with zeros ahead");
    log.compact().unwrap();
    compare("compacted");
    log.commit(&[Change::Clear, Change::Put { key: b"z", label: b"", flags: 0, value: b"{}" }]).unwrap();
    log.close().unwrap();
    compare("closed");

    let mut damaged = std::fs::read(path.join("keys.2.log")).unwrap();
    damaged[200] ^= 1;
    std::fs::write(path.join("keys.2.log"), &damaged).unwrap();
    if let Some(read) = by_python(&path.join("keys.2.log")) {
        assert!(read.is_err_and(|error| error.contains("a later one says that there was")));
    }
}
