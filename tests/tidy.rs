//! The tree itself: what may lie where, how long a file may be, who may depend on what.

use std::fs;
use std::path::{Path, PathBuf};

/// What the top level may hold, beside dot-files.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "assets",
    "engine",
    "examples",
    "input",
    "memory",
    "runtime",
    "rust-toolchain.toml",
    "tests",
];
/// Folders that git ignores.
const IGNORED: &[&str] = &["target", "runs", "shared"];
/// Most lines of a source file.
const LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("the folder is there");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.map(|entry| name(entry.expect("it can be listed"))).collect();
    names.sort();
    names
}

/// Every Rust, Python and shader file of the project.
fn sources() -> Vec<PathBuf> {
    let mut folders: Vec<_> = ["engine", "examples", "input", "memory", "runtime", "tests"]
        .iter()
        .map(|name| root().join(name))
        .collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for name in names(&folder) {
            let path = folder.join(&name);
            if path.is_dir() {
                folders.push(path);
            } else if [".rs", ".py", ".wgsl", ".cu"].iter().any(|end| name.ends_with(end)) {
                sources.push(path);
            }
        }
    }
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

#[test]
fn the_top_level_holds_what_it_may() {
    let odd: Vec<_> = names(root())
        .into_iter()
        .filter(|name| !name.starts_with('.'))
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()) && !IGNORED.contains(&name.as_str()))
        .collect();
    assert!(odd.is_empty(), "these do not belong at the top level: {odd:?}");
}

#[test]
fn no_member_has_a_src_folder() {
    for member in ["engine", "input", "memory", "runtime"] {
        assert!(!root().join(member).join("src").exists(), "{member}/src");
    }
}

#[test]
fn files_are_short_and_nothing_is_left_to_do() {
    // Put together here so that this file does not contain it.
    let left_to_do = ["TO", "DO"].concat();
    let mut faults = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).expect("sources are text");
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines", path.display()));
        }
        for (number, line) in (1..).zip(text.lines()) {
            if line.contains(&left_to_do) && !line.contains(&format!("{left_to_do}(#")) {
                faults.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn leaf_crates_know_no_tensor_and_no_window() {
    for (member, banned) in [
        ("input", &["candle", "wgpu", "winit", "engine", "memory"][..]),
        ("memory", &["candle", "wgpu", "winit", "engine", "input"]),
        ("engine", &["wgpu", "winit", "egui", "gilrs", "tokio"]),
    ] {
        let path = root().join(member).join("Cargo.toml");
        let manifest: toml::Table =
            fs::read_to_string(&path).expect("each member has one").parse().expect("it is TOML");
        let dependencies = manifest["dependencies"].as_table().expect("a table");
        let known = |name: &String| banned.iter().any(|banned| name.starts_with(banned));
        let odd: Vec<_> = dependencies.keys().filter(|name| known(name)).collect();
        assert!(odd.is_empty(), "{member} depends on {odd:?}");
    }
}
