//! The pictures of episodes, to draw batches from.

use crate::codec::{COLOURS, picture_len, pixels};
use crate::noise::Random;
use candle_core::{Device, Result, Tensor, bail};
use input::Episode;

/// All pictures of some episodes, of one size.
#[derive(Debug)]
pub(super) struct Pictures {
    videos: Vec<Vec<u8>>,
    /// Pictures up to and with each video.
    ends: Vec<usize>,
    pub(super) total: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    len: usize,
}

impl Pictures {
    pub(super) fn new(episodes: Vec<Episode>) -> Result<Self> {
        let Some(first) = episodes.first() else { bail!("expected at least one episode") };
        let (width, height) = (first.width, first.height);
        let side = |side: u32| usize::try_from(side).map_err(candle_core::Error::wrap);
        let (rows, columns) = (side(height)?, side(width)?);
        let len = picture_len(rows, columns)?;
        let (mut ends, mut videos, mut total) = (Vec::new(), Vec::new(), 0);
        for (at, episode) in episodes.into_iter().enumerate() {
            if (episode.width, episode.height) != (width, height) {
                let (got, line) = (episode.width, episode.height);
                bail!("episode {at}: expected pictures of {width}x{height}, got {got}x{line}");
            }
            total += episode.video.len() / len;
            ends.push(total);
            videos.push(episode.video);
        }
        if total == 0 {
            bail!("expected at least one picture in the episodes");
        }
        Ok(Self { videos, ends, total, height: rows, width: columns, len })
    }

    /// RGB bytes of one picture.
    pub(super) fn picture(&self, at: usize) -> &[u8] {
        let video = self.ends.partition_point(|&end| end <= at);
        let before = video.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.videos[video][(at - before) * self.len..][..self.len]
    }

    /// `count` random pictures, every second one mirrored, as the networks see them.
    pub(super) fn draw(
        &self,
        count: usize,
        random: &mut Random,
        device: &Device,
    ) -> Result<Tensor> {
        let mut batch = Vec::with_capacity(count * self.len);
        for _ in 0..count {
            let picture = self.picture(random.below(self.total));
            if random.chance(0.5) {
                for line in picture.chunks_exact(self.width * COLOURS) {
                    batch.extend(line.chunks_exact(COLOURS).rev().flatten());
                }
            } else {
                batch.extend_from_slice(picture);
            }
        }
        pixels(&batch, self.height, self.width, device)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::episode;
    use super::*;

    #[test]
    fn draws_every_picture_both_ways_round() {
        let pictures = Pictures::new(vec![episode(2, 1), episode(3, 2)]).unwrap();
        assert_eq!(pictures.total, 5);
        let mirrored = |picture: &[u8]| -> Vec<u8> {
            let lines = picture.chunks(16 * COLOURS);
            lines.flat_map(|line| line.chunks(COLOURS).rev().flatten().copied()).collect()
        };
        let mut seen = [[false; 2]; 5];
        let mut random = Random::new(1, 1);
        let batch = pictures.draw(200, &mut random, &Device::Cpu).unwrap();
        for drawn in batch.flatten_from(1).unwrap().to_vec2::<f32>().unwrap() {
            let is = |picture: &[u8]| {
                drawn
                    .iter()
                    .zip(picture)
                    .all(|(x, &b)| (x - (f32::from(b) / 127.5 - 1.0)).abs() < 1e-6)
            };
            for (at, seen) in seen.iter_mut().enumerate() {
                seen[0] |= is(pictures.picture(at));
                seen[1] |= is(&mirrored(pictures.picture(at)));
            }
        }
        assert_eq!(seen, [[true; 2]; 5]);
    }

    #[test]
    fn refuses_other_sizes() {
        let message = |episodes| Pictures::new(episodes).unwrap_err().to_string();
        let wide = Episode { width: 32, height: 8, ..episode(1, 1) };
        assert!(
            message(vec![episode(1, 1), wide]).contains("episode 1: expected pictures of 16x16")
        );
        assert!(message(vec![]).contains("at least one episode"));
        assert!(message(vec![episode(0, 1)]).contains("at least one picture"));
        let odd = Episode { width: 12, height: 16, ..episode(1, 1) };
        assert!(message(vec![odd]).contains("multiples of 8"));
    }
}
