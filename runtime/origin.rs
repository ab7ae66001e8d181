//! What decides the bits of a walk, beside the world's weights, its seed, its actions and its memory.

use std::sync::LazyLock;

use anyhow::Result;
use engine::world::World;
use serde::{Deserialize, Serialize};

use crate::hash::file_sha256;

/// Where and by what a walk was dreamed. Two walks of equal origin can be compared to the bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Version of the program.
    pub version: String,
    /// SHA-256 of the program's file, the first 16 digits; empty where it cannot be read.
    pub build: String,
    /// What decides how the device rounds.
    pub arithmetic: String,
    /// Whether the world's network is told its step size.
    pub shortcut: bool,
    /// How far actions are led on.
    #[serde(default)]
    pub guidance: f32,
}

impl Origin {
    /// That of walks in this world here and now.
    pub fn here(world: &World) -> Self {
        static BUILD: LazyLock<String> = LazyLock::new(|| build().unwrap_or_default());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: BUILD.clone(),
            arithmetic: engine::device::arithmetic(&world.device),
            shortcut: world.config.shortcut,
            guidance: world.config.guidance,
        }
    }

    /// In what a session differs that was recorded there: one clause each.
    pub fn differences(&self, there: &Self) -> Vec<String> {
        let of = |what: &str, there: &str, here: &str| {
            (there != here).then(|| format!("recorded with {what} {there}, here {here}"))
        };
        let told = |told: bool| if told { "told" } else { "not told" };
        let differences = [
            of("version", &there.version, &self.version),
            of("build", &there.build, &self.build),
            of("the arithmetic of", &there.arithmetic, &self.arithmetic),
            of("a network", told(there.shortcut), told(self.shortcut)).map(|it| it + " its steps"),
            of("guidance", &there.guidance.to_string(), &self.guidance.to_string()),
        ];
        differences.into_iter().flatten().collect()
    }
}

fn build() -> Result<String> {
    Ok(file_sha256(&std::env::current_exe()?)?[..16].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_said_and_nothing_else() {
        let here = Origin {
            version: "1.0.0".into(),
            build: build().expect("a test can be read"),
            arithmetic: "x86_64 fma+avx512".into(),
            shortcut: true,
            guidance: 0.5,
        };
        assert_eq!(here.build.len(), 16);
        assert!(here.differences(&here).is_empty());
        let there = Origin {
            arithmetic: "x86_64 fma".into(),
            shortcut: false,
            guidance: 0.0,
            ..here.clone()
        };
        assert_eq!(
            here.differences(&there),
            [
                "recorded with the arithmetic of x86_64 fma, here x86_64 fma+avx512",
                "recorded with a network not told, here told its steps",
                "recorded with guidance 0, here 0.5",
            ]
        );
    }
}
