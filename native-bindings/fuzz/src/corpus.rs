//! Inputs on disk: the committed corpus, what earlier runs found on this machine, and findings. A file is named by a
//! digest of its bytes, so that the same input is never kept twice.

use crate::support::read_vectors;
use crate::targets::Target;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The committed corpus of a target.
#[must_use]
pub fn committed(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// What runs on this machine found; not committed.
#[must_use]
pub fn found(target: &Target) -> PathBuf {
    cache().join("corpus").join(target.name)
}

/// Where inputs that broke a promise go.
#[must_use]
pub fn findings() -> PathBuf {
    cache().join("findings")
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/fuzz")
}

/// FNV-1a, 64 bits: enough to tell a few thousand inputs apart.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The inputs of a folder in the order of their names; a folder that is not there has none.
#[must_use]
pub fn load(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// Writes an input; says where.
pub fn save(folder: &Path, prefix: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{prefix}{:016x}", digest(bytes)));
    fs::write(&path, bytes)?;
    Ok(path)
}

/// Makes a folder hold exactly these inputs.
pub fn replace(folder: &Path, inputs: &[Vec<u8>]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    for bytes in inputs {
        save(folder, "", bytes)?;
    }
    Ok(())
}

/// Everything a target starts from: the vectors that suit it and both corpora.
#[must_use]
pub fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = target.vectors.iter().flat_map(|file| from_vectors(target, file)).collect();
    all.extend(load(&committed(target)));
    all.extend(load(&found(target)));
    all.retain(|bytes| bytes.len() <= target.longest);
    all.sort();
    all.dedup();
    // Short ones first: they are cheap, and what they cover need not be covered by a long one.
    all.sort_by_key(Vec::len);
    if all.is_empty() {
        all.push(Vec::new());
    }
    all
}

fn from_vectors(target: &Target, file: &str) -> Vec<Vec<u8>> {
    let vectors = read_vectors(file);
    vectors.iter().map(|vector| [target.before_vector, vector.bytes.as_slice()].concat()).collect()
}
