//! Puts a checksum of the Rust sources into the module, so that Python can refuse a stale build.
//!
//! The same sum as in `sfu/dataplane/freshness.py`: over all `.rs` files of the three crates in the
//! order of their paths, each as path, zero byte, content.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const CRATES: [&str; 3] = ["dtls/src", "engine/src", "python/src"];

fn main() -> io::Result<()> {
    let workspace = Path::new("..");
    let mut files = Vec::new();
    for name in CRATES {
        println!("cargo::rerun-if-changed=../{name}");
        collect(&workspace.join(name), &mut files)?;
    }
    let mut named: Vec<(String, PathBuf)> = files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(workspace).unwrap_or(&file);
            (name.to_string_lossy().into_owned(), file)
        })
        .collect();
    named.sort();
    let mut crc = u32::MAX;
    for (name, file) in named {
        crc = update(crc, name.as_bytes());
        crc = update(crc, &[0]);
        crc = update(crc, &fs::read(file)?);
    }
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("source_checksum.rs"), format!("{}", !crc))
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// CRC-32 of ISO 3309, bit by bit: a megabyte once per build needs no table.
fn update(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    crc
}
