//! Finding a world by folder or by name, and telling what worlds there are.

use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use engine::world::World;
use input::{ActionLayout, Episode, Frame, episodes_in};
use serde::Deserialize;

use crate::paths;
use crate::picture::small;

/// The file that makes a folder a world.
pub const WORLD_FILE: &str = "world.toml";

/// The folder that a training makes of its world, in its own.
pub const TRAINED: &str = "world";

/// Longest description that is read, in bytes; what is beyond is cut off.
const MAX_BYTES: u64 = 1 << 20;

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
    // Also of a network beside a world's own: `mazes/off-map`.
    let is_name = world.components().all(|part| matches!(part, Component::Normal(_)));
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
    folder_name(dir).unwrap_or_else(|| world.config.title.clone())
}

/// The name of a folder, however one came there; with that of the folder around it where it is what training calls every
/// world's.
fn folder_name(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let named = |dir: &Path| Some(dir.file_name()?.to_string_lossy().into_owned());
    let name = named(&dir)?;
    match dir.parent().and_then(named) {
        Some(around) if name == TRAINED => Some(format!("{around}-{name}")),
        _ => Some(name),
    }
}

/// Beside a world's own network, one that is trained for videos of what its map does not show.
pub fn off_map(dir: &Path) -> Option<PathBuf> {
    Some(dir.join("off-map")).filter(|beside| beside.join(WORLD_FILE).is_file())
}

/// A world that can be walked in, as far as it can be told without its weights.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its folder.
    pub dir: PathBuf,
    /// The name of the folder.
    pub name: String,
    /// Bytes of all its files.
    pub bytes: u64,
    /// What it says about itself, or why it says nothing.
    pub described: Result<Described, String>,
    /// A real frame that it can begin from.
    pub picture: Option<Frame>,
}

/// What a world says about itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Described {
    /// Name for people.
    pub title: String,
    /// One sentence about it.
    pub description: String,
    /// Who made what it was learnt from, under which licence.
    pub credits: Vec<String>,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Frames a second.
    pub fps: f32,
    /// What actions mean in it.
    pub layout: ActionLayout,
}

/// Tells all worlds that came with the program, and those in `others`, one after the other; reading a picture of
/// each takes a while.
pub fn list(others: &[PathBuf], mut tell: impl FnMut(Listed)) {
    let roots = shipped();
    let shipped =
        names(&roots).into_iter().filter_map(|name| find_in(Path::new(&name), &roots).ok());
    let mut told = Vec::new();
    for dir in shipped.chain(others.iter().cloned()) {
        // The same folder may be known under several names.
        let place = fs::canonicalize(&dir).unwrap_or_else(|_| dir.clone());
        if !told.contains(&place) {
            told.push(place);
            tell(look(&dir));
        }
    }
}

fn look(dir: &Path) -> Listed {
    let starts = episodes_in(&dir.join("starts")).unwrap_or_default();
    let picture = starts.first().and_then(|path| {
        let start = Episode::open(path).ok()?;
        let pixels = start.frames().last()?.to_vec();
        Some(small(Frame { width: start.width, height: start.height, pixels }))
    });
    Listed {
        dir: dir.to_owned(),
        name: folder_name(dir).unwrap_or_default(),
        bytes: paths::bytes(dir) + paths::bytes(&dir.join("starts")),
        described: describe(dir).map_err(|error| format!("{error:#}")),
        picture,
    }
}

/// What the world in folder `dir` says about itself.
///
/// # Errors
/// When its description cannot be read; it is named.
pub fn describe(dir: &Path) -> Result<Described> {
    let path = dir.join(WORLD_FILE);
    let named = || format!("read {}", path.display());
    let mut text = String::new();
    let file = fs::File::open(&path).with_context(named)?;
    file.take(MAX_BYTES).read_to_string(&mut text).with_context(named)?;
    toml::from_str(&text).with_context(named)
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
        .filter_map(|root| fs::read_dir(root).ok())
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
    use super::*;

    #[test]
    fn worlds_of_trainings_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["rooms/world", "halls/world"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let name = |name: &str| folder_name(&dir.path().join(name)).unwrap();
        assert_eq!(name("rooms/world"), "rooms-world");
        assert_eq!(name("rooms/world/."), "rooms-world");
        assert_eq!(name("rooms/../halls"), "halls");
    }

    #[test]
    fn a_world_is_found_by_folder_and_by_name_and_others_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        for name in ["rooms", "mazes"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::write(root.join(name).join(WORLD_FILE), "").unwrap();
        }
        fs::create_dir(root.join("empty")).unwrap();
        assert_eq!(off_map(&root.join("mazes")), None);
        fs::create_dir(root.join("mazes/off-map")).unwrap();
        fs::write(root.join("mazes/off-map").join(WORLD_FILE), "").unwrap();
        assert_eq!(off_map(&root.join("mazes")), Some(root.join("mazes/off-map")));
        let roots = [root.clone(), root.clone()];
        let beside = find_in(Path::new("mazes/off-map"), &roots).unwrap();
        assert_eq!(beside, root.join("mazes/off-map"), "by name, but not among the listed");
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

    #[test]
    fn shipped_worlds_are_listed_with_a_picture_and_a_damaged_one_with_its_fault() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(WORLD_FILE), "title = 3").unwrap();
        let mut listed = Vec::new();
        let rooms = find(Path::new("doom-rooms")).unwrap();
        list(&[dir.path().to_owned(), rooms], |world| listed.push(world));
        let names: Vec<_> = listed.iter().map(|world| world.name.as_str()).collect();
        let own = dir.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(names, ["doom-rooms", "mazes", own], "each once");
        let beside = listed.iter().filter_map(|world| off_map(&world.dir)).collect::<Vec<_>>();
        assert!(matches!(&beside[..], [dir] if describe(dir).is_ok()), "{beside:?}");
        let described = listed[0].described.as_ref().unwrap();
        assert_eq!((described.title.as_str(), described.fps), ("Doom rooms", 17.5));
        let picture = listed[0].picture.as_ref().unwrap();
        assert_eq!((picture.width, picture.height), (described.width, described.height));
        assert!(listed[0].bytes > 20 << 20, "{} bytes", listed[0].bytes);
        let fault = listed[2].described.as_ref().unwrap_err();
        assert!(fault.contains(WORLD_FILE) && listed[2].picture.is_none(), "{fault}");
    }
}
