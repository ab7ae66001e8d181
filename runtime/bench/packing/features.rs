//! Features of one's own, such as those of a vision network, to rank history by.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// A folder of features: for the episode `a/b.npz` the file `a/b.npy`, f32 (T, D), a row for each frame.
#[derive(Clone, Debug)]
pub struct Features {
    folder: PathBuf,
}

impl Features {
    /// The features in this folder.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(folder: &Path) -> Result<Self> {
        ensure!(folder.is_dir(), "expected a folder of features, got {}", folder.display());
        Ok(Self { folder: folder.to_owned() })
    }

    /// The features of an episode of `frames` frames.
    ///
    /// # Errors
    /// Names the file that cannot be read, and the layout it should have.
    pub fn of(&self, episode: &str, frames: usize) -> Result<Vec<Vec<f32>>> {
        let path = self.folder.join(Path::new(episode).with_extension("npy"));
        let read = || -> Result<Vec<Vec<f32>>> {
            let (shape, values) = input::read_npy(&path)?;
            let width = match shape[..] {
                [rows, width] if rows == frames && width > 0 => width,
                _ => anyhow::bail!("expected shape ({frames}, D), got {shape:?}"),
            };
            ensure!(values.iter().all(|value| value.is_finite()), "expected finite numbers");
            Ok(values.chunks_exact(width).map(<[f32]>::to_vec).collect())
        };
        read().with_context(|| {
            format!("read features of {episode} from {}: f32 (T, D), a row a frame", path.display())
        })
    }
}

/// The cosine of two vectors, 0 where one has no direction.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "between -1 and 1")]
    let cosine = if lengths > 0.0 { (dot(a, b) / lengths) as f32 } else { 0.0 };
    cosine
}
