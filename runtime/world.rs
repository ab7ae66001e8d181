//! Opening a world for a walk.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use input::{ActionLayout, Frame};
use serde::Deserialize;

use crate::dream::{Dream, Opener};
use crate::worlds;

/// What a walk begins from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Seed of the noise.
    pub seed: u64,
    /// A picture of one's own, of any size.
    pub start: Option<Frame>,
}

/// Opens the world of this folder or name, on the thread that calls the answer.
pub fn opener(world: PathBuf, beginning: Beginning) -> Opener {
    Box::new(move |tell| open(&world, &beginning, tell))
}

/// What actions mean in the world in folder `dir`.
///
/// # Errors
/// When its description cannot be read.
pub fn layout(dir: &Path) -> Result<ActionLayout> {
    #[derive(Deserialize)]
    struct Described {
        layout: ActionLayout,
    }
    let path = dir.join(worlds::WORLD_FILE);
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let described: Described =
        toml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    Ok(described.layout)
}

fn open(world: &Path, _: &Beginning, _: &mut dyn FnMut(String)) -> Result<Box<dyn Dream>> {
    let dir = worlds::find(world)?;
    bail!("the engine is not joined to the loop yet: {}", dir.display())
}
