//! The worlds of a comparison: one that serves all arms, and those that were trained for one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use engine::world::World;

use super::arm::Arm;
use crate::bench::dreamed;

/// An arm and the world that was trained for it, as they are typed.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The arm.
    pub arm: Arm,
    /// Folder of its world.
    pub world: PathBuf,
}

impl FromStr for Trained {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (arm, world) = text
            .split_once('=')
            .filter(|(_, world)| !world.is_empty())
            .ok_or("expected an arm and its world, such as causal=runs/causal/world")?;
        Ok(Self { arm: arm.parse()?, world: world.into() })
    }
}

/// All of them, opened.
#[derive(Debug)]
pub struct Worlds {
    /// Serves arms that have none of their own.
    pub shared: Arc<World>,
    /// By the names of the arms.
    own: BTreeMap<String, Arc<World>>,
}

impl Worlds {
    /// Opens them; one of several arms is opened once.
    ///
    /// # Errors
    /// When one cannot be read, or has other pictures, actions or latents than the shared one.
    pub fn open(shared: &Path, trained: &[Trained]) -> Result<Self> {
        let shared = dreamed::open(shared)?;
        let mut by_path: BTreeMap<&Path, Arc<World>> = BTreeMap::new();
        let mut own = BTreeMap::new();
        for Trained { arm, world: path } in trained {
            let world = match by_path.get(path.as_path()) {
                Some(world) => Arc::clone(world),
                None => dreamed::open(path)?,
            };
            check_alike(&shared, &world).with_context(|| path.display().to_string())?;
            by_path.insert(path, Arc::clone(&world));
            let before = own.insert(arm.to_string(), world);
            ensure!(before.is_none(), "expected one world for {arm}, got several");
        }
        Ok(Self { shared, own })
    }

    /// The world of an arm.
    #[must_use]
    pub fn of(&self, arm: &Arm) -> &Arc<World> {
        self.own.get(&arm.to_string()).unwrap_or(&self.shared)
    }
}

/// Whether two worlds can be held against each other: of one size, one rate, one codec, one network.
fn check_alike(shared: &World, own: &World) -> Result<()> {
    let (one, other) = (&shared.config, &own.config);
    let same = (one.width, one.height, &one.layout, &one.codec)
        == (other.width, other.height, &other.layout, &other.codec)
        && one.fps.total_cmp(&other.fps).is_eq();
    ensure!(same, "expected pictures, rate, actions and codec as those of {}", one.title);
    let mut model = other.model.clone();
    model.history = one.model.history;
    ensure!(
        one.guidance.total_cmp(&other.guidance).is_eq(),
        "expected a guidance of {}, as {} has, got {}",
        one.guidance,
        one.title,
        other.guidance
    );
    ensure!(model == one.model, "expected a network of the size of {}'s", one.title);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_world_belongs_to_an_arm() {
        let causal = Trained { arm: Arm::Causal, world: PathBuf::from("runs/a=b/world") };
        assert_eq!("causal=runs/a=b/world".parse(), Ok(causal));
        for wrong in ["causal", "causal=", "=world", "fly=world"] {
            assert!(wrong.parse::<Trained>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn reading_one_never_panics(text in "\\PC*") {
            let _ = text.parse::<Trained>();
        }
    }
}
