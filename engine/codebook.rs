//! History made discrete: every latent cell becomes its nearest word (`FramePack` §4.2, eq. 6).
//!
//! What play remembers is not quite what was recorded, and errors grow from section to section. Words
//! are too coarse to tell the two apart.

use crate::noise::Random;
use candle_core::{DType, Device, Result, Tensor, bail};
use half::f16;

/// Latents in a mini-batch of the fit.
const BATCH_FRAMES: usize = 32;
/// Mini-batches of the fit.
const BATCHES: usize = 256;
/// A codebook's name among a network's weights.
pub(crate) const CODEBOOK: &str = "codebook";
/// Most words of a codebook.
const WORDS_MAX: usize = 1 << 16;

/// The words Ω that latent cells are replaced by.
#[derive(Clone, Debug, PartialEq)]
pub struct Codebook {
    /// (K, C).
    words: Vec<f32>,
    channels: usize,
}

impl Codebook {
    /// Words from a tensor (K, C).
    ///
    /// # Errors
    /// Another shape, or a value that is no number.
    pub fn new(words: &Tensor) -> Result<Self> {
        let (count, channels) = words.dims2()?;
        if !(1..=WORDS_MAX).contains(&count) || channels == 0 {
            bail!("expected a codebook of 1 to {WORDS_MAX} words, got ({count}, {channels})");
        }
        let words: Vec<f32> = words.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        if !words.iter().all(|x| x.is_finite()) {
            bail!("a codebook's word is no number");
        }
        Ok(Self { words, channels })
    }

    /// Mini-batch K-means (D. Sculley, "Web-Scale K-Means Clustering", 2010) over the cells of the
    /// latents (C, P) that `draw` gives, from k-means++ seeds.
    ///
    /// The words are rounded to the type they are stored in.
    ///
    /// # Panics
    /// When `words` is 0, or a latent is no whole number of cells.
    pub fn fit(
        words: usize,
        channels: usize,
        seed: u64,
        mut draw: impl FnMut(&mut Random) -> Vec<f32>,
    ) -> Self {
        assert!((1..=WORDS_MAX).contains(&words), "a codebook has words");
        let mut random = Random::new(seed, u64::MAX);
        let mut batch = |random: &mut Random| -> Vec<f32> {
            (0..BATCH_FRAMES).flat_map(|_| cells(&draw(random), channels)).collect()
        };
        let first = batch(&mut random);
        let mut book = Self { words: seeds(&first, words, channels, &mut random), channels };
        let mut counts = vec![0_u32; words];
        for _ in 0..BATCHES {
            let cells = batch(&mut random);
            // All are assigned before any word moves.
            let nearest: Vec<usize> =
                cells.chunks_exact(channels).map(|cell| book.nearest(cell)).collect();
            for (cell, word) in cells.chunks_exact(channels).zip(nearest) {
                counts[word] += 1;
                #[expect(clippy::cast_precision_loss, reason = "a rate")]
                let rate = 1.0 / counts[word] as f32;
                let word = &mut book.words[word * channels..(word + 1) * channels];
                word.iter_mut().zip(cell).for_each(|(x, value)| *x += rate * (value - *x));
            }
        }
        book.words.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
        book
    }

    /// How many words there are, K.
    pub fn words(&self) -> usize {
        self.words.len() / self.channels
    }

    /// Channels of a word, C.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Replaces every cell of a latent (C, P) by its nearest word.
    ///
    /// # Panics
    /// When the latent is no whole number of cells.
    pub fn quantise(&self, latent: &mut [f32]) {
        assert_eq!(latent.len() % self.channels, 0, "a latent is whole cells");
        let positions = latent.len() / self.channels;
        let mut cell = vec![0.0; self.channels];
        for p in 0..positions {
            cell.iter_mut().enumerate().for_each(|(c, x)| *x = latent[c * positions + p]);
            let word = self.nearest(&cell) * self.channels;
            for c in 0..self.channels {
                latent[c * positions + p] = self.words[word + c];
            }
        }
    }

    /// The words, (K, C), on the CPU.
    pub fn tensor(&self) -> Result<Tensor> {
        let count = self.words.len() / self.channels;
        Tensor::from_slice(&self.words, (count, self.channels), &Device::Cpu)
    }

    /// The word at the least Euclidean distance; of equal ones the first.
    fn nearest(&self, cell: &[f32]) -> usize {
        let distances = self.words.chunks_exact(self.channels).map(|word| distance(word, cell));
        let (at, _) = distances.enumerate().fold((0, f32::INFINITY), |best, (at, distance)| {
            if distance < best.1 { (at, distance) } else { best }
        });
        at
    }
}

/// (C, P) to (P, C).
fn cells(latent: &[f32], channels: usize) -> Vec<f32> {
    assert_eq!(latent.len() % channels, 0, "a latent is whole cells");
    let positions = latent.len() / channels;
    (0..positions).flat_map(|p| (0..channels).map(move |c| latent[c * positions + p])).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// k-means++ (D. Arthur, S. Vassilvitskii 2007): each next word is a cell drawn with odds of its squared
/// distance from the words before it.
fn seeds(cells: &[f32], words: usize, channels: usize, random: &mut Random) -> Vec<f32> {
    let count = cells.len() / channels;
    let cell = |at: usize| &cells[at * channels..(at + 1) * channels];
    let mut chosen = cell(random.below(count)).to_vec();
    let mut far = vec![f32::INFINITY; count];
    while chosen.len() < words * channels {
        let newest = &chosen[chosen.len() - channels..];
        for (far, cell) in far.iter_mut().zip(cells.chunks_exact(channels)) {
            *far = far.min(distance(newest, cell));
        }
        let total: f64 = far.iter().map(|&far| f64::from(far)).sum();
        let mut left = f64::from(random.uniform()) * total;
        let drawn = far.iter().position(|&far| {
            left -= f64::from(far);
            left < 0.0
        });
        // Fewer different cells than words: any cell will do.
        let drawn = drawn.unwrap_or_else(|| random.below(count));
        chosen.extend_from_slice(cell(drawn));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Latents of 2 channels and 12 cells around four corners.
    fn corners(random: &mut Random) -> Vec<f32> {
        let mut latent = vec![0.0; 24];
        for p in 0..12 {
            let corner = random.below(4);
            for c in 0..2 {
                let centre = if corner >> c & 1 == 1 { 3.0 } else { -3.0 };
                latent[c * 12 + p] = centre + 0.1 * random.normal();
            }
        }
        latent
    }

    #[test]
    fn words_are_the_centres_of_what_was_drawn() {
        let book = Codebook::fit(4, 2, 7, corners);
        let mut words: Vec<(bool, bool)> = Vec::new();
        for word in book.words.chunks(2) {
            assert!(word.iter().all(|x| (x.abs() - 3.0).abs() < 0.05), "{word:?}");
            words.push((word[0] > 0.0, word[1] > 0.0));
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 4, "one word for each corner");
        assert_eq!(book, Codebook::fit(4, 2, 7, corners), "a seed gives one codebook");
    }

    #[test]
    fn a_latent_becomes_its_nearest_words_and_stays_them() {
        let words = Tensor::new(&[[0.0_f32, 0.0], [1.0, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap();
        let book = Codebook::new(&words).unwrap();
        // Cells (0.9, 0.2), (0.1, 0.3), (0.4, 0.9), channel by channel.
        let mut latent = [0.9, 0.1, 0.4, 0.2, 0.3, 0.9];
        book.quantise(&mut latent);
        assert_eq!(latent, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        let again = latent;
        book.quantise(&mut latent);
        assert_eq!(latent, again);
        assert_eq!(
            book.tensor().unwrap().to_vec2::<f32>().unwrap(),
            words.to_vec2::<f32>().unwrap()
        );
    }

    #[test]
    fn more_words_are_nearer() {
        let error = |words| {
            let book = Codebook::fit(words, 2, 3, |random| random.normals(64));
            let mut random = Random::new(9, 9);
            let latent = random.normals(4096);
            let mut discrete = latent.clone();
            book.quantise(&mut discrete);
            distance(&latent, &discrete)
        };
        let errors: Vec<f32> = [1, 4, 16, 64].map(error).to_vec();
        assert!(errors.windows(2).all(|pair| pair[1] < 0.7 * pair[0]), "{errors:?}");
    }

    #[test]
    fn a_codebook_that_is_none_is_refused() {
        let flat = Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap();
        assert!(Codebook::new(&flat).is_err());
        let broken = Tensor::new(&[[f32::NAN, 0.0]], &Device::Cpu).unwrap();
        assert!(Codebook::new(&broken).is_err());
        let none = Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(Codebook::new(&none).is_err());
    }
}
