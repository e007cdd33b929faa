//! Tells the crate which iceoryx2 it is compiled against.
//!
//! Cargo does not pass the version of a dependency to its dependents, but the
//! lock file of the workspace names it, also for a git revision or a local path.
//! The right one lies above `OUT_DIR` (inside the target directory of whoever
//! builds this crate) or, when the target directory is elsewhere, beside the
//! manifest; it is recognised by listing this crate as well.

use std::{env, path::Path};

use cargo_lock::{Lockfile, Package};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Compiled in with `include_dir`, which cargo does not see.
    println!("cargo::rerun-if-changed=fixtures/quirks");
    println!("cargo::rerun-if-changed=fixtures/scenarios");
    let iceoryx2 = ["OUT_DIR", "CARGO_MANIFEST_DIR"]
        .iter()
        .filter_map(env::var_os)
        .find_map(|start| Path::new(&start).ancestors().find_map(resolved_iceoryx2))
        .unwrap_or_else(|| {
            panic!("no Cargo.lock that lists iox2-gauntlet and iceoryx2 above OUT_DIR or CARGO_MANIFEST_DIR")
        });

    println!("cargo::rustc-env=GAUNTLET_IOX2_VERSION={}", iceoryx2.version);
    println!(
        "cargo::rustc-env=GAUNTLET_IOX2_SOURCE={}",
        iceoryx2.source.as_ref().map_or_else(|| "path".to_owned(), ToString::to_string)
    );
    for minor in [8, 9, 10] {
        // A pre-release of 0.10 already has the API of 0.10.
        if (iceoryx2.version.major, iceoryx2.version.minor) >= (0, minor) {
            println!("cargo::rustc-cfg=iox2_at_least_0_{minor}");
        }
    }
}

fn resolved_iceoryx2(dir: &Path) -> Option<Package> {
    let path = dir.join("Cargo.lock");
    if !path.is_file() {
        return None;
    }
    let lock = Lockfile::load(&path).ok()?;
    let find = |name: &str| lock.packages.iter().find(|p| p.name.as_str() == name).cloned();
    find("iox2-gauntlet")?;
    let found = find("iceoryx2");
    if found.is_some() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    found
}
