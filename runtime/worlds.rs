//! Finding a world by folder or by name.

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};
use engine::world::World;

/// The file that makes a folder a world.
pub const WORLD_FILE: &str = "world.toml";

/// The folder of a world: `world` itself, or the shipped world of that name.
///
/// # Errors
/// When there is none; the message lists those that were found.
pub fn find(world: &Path) -> Result<PathBuf> {
    find_in(world, &shipped())
}

fn find_in(world: &Path, roots: &[PathBuf]) -> Result<PathBuf> {
    if world.join(WORLD_FILE).is_file() {
        return Ok(world.to_owned());
    }
    let mut parts = world.components();
    let is_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    let named = roots.iter().filter(|_| is_name).map(|root| root.join(world));
    if let Some(found) = named.into_iter().find(|folder| folder.join(WORLD_FILE).is_file()) {
        return Ok(found);
    }
    let names = names(roots);
    let known = if names.is_empty() { "none".into() } else { names.join(", ") };
    bail!(
        "expected a folder with a {WORLD_FILE} or one of these worlds: {known}; got {}",
        world.display()
    )
}

/// The name of a world: that of its folder, else its title.
pub fn name(dir: &Path, world: &World) -> String {
    let folder = dir.file_name().map(|name| name.to_string_lossy().into_owned());
    folder.unwrap_or_else(|| world.config.title.clone())
}

/// Folders that may hold shipped worlds: here, beside the program, and where it was built.
fn shipped() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    [PathBuf::new(), program.with_file_name(""), PathBuf::from(env!("CARGO_MANIFEST_DIR"))]
        .into_iter()
        .map(|root| root.join("assets/worlds"))
        .collect()
}

/// Names of the worlds in `roots`, sorted, each once.
fn names(roots: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<_> = roots
        .iter()
        .filter_map(|root| std::fs::read_dir(root).ok())
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join(WORLD_FILE).is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_world_is_found_by_folder_and_by_name_and_others_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        for name in ["rooms", "mazes"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::write(root.join(name).join(WORLD_FILE), "").unwrap();
        }
        fs::create_dir(root.join("empty")).unwrap();
        let roots = [root.clone(), root.clone()];
        assert_eq!(find_in(Path::new("mazes"), &roots).unwrap(), root.join("mazes"));
        assert_eq!(find_in(&root.join("rooms"), &[]).unwrap(), root.join("rooms"));
        for wrong in ["empty", "nowhere", "../rooms"] {
            let error = find_in(Path::new(wrong), &roots).unwrap_err().to_string();
            assert!(
                error.contains("these worlds: mazes, rooms; got") && error.ends_with(wrong),
                "{error}"
            );
        }
    }
}
