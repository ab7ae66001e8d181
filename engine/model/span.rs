//! The latents that a group's kernel spans.

use crate::pack::Kernel;

/// One latent after another for each frame that a kernel spans: `latents` themselves, or where they are another
/// number, as in a compressed tail, their mean for each (`FramePack` §3.1, option 3).
///
/// # Panics
/// When there is no latent.
pub fn spanned(kernel: Kernel, latents: &[Vec<f32>]) -> Vec<f32> {
    let count = latents.len();
    assert!(count > 0, "a group holds frames");
    if count == kernel.frames() {
        return latents.concat();
    }
    let mut mean = vec![0.0; latents[0].len()];
    #[expect(clippy::cast_precision_loss, reason = "videos have far fewer than 2^24 frames")]
    let share = 1.0 / count as f32;
    for latent in latents {
        mean.iter_mut().zip(latent).for_each(|(mean, x)| *mean += share * x);
    }
    mean.repeat(kernel.frames())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_its_mean_and_a_group_is_itself() {
        let kernel = Kernel::simplified(2).unwrap();
        let latents = [vec![1.0, 2.0], vec![3.0, 6.0]];
        assert_eq!(spanned(kernel, &latents), [1.0, 2.0, 3.0, 6.0]);
        assert_eq!(spanned(kernel, &latents[..1]), [1.0, 2.0, 1.0, 2.0]);
        let four = [latents.clone(), latents].concat();
        assert_eq!(spanned(kernel, &four), [2.0, 4.0, 2.0, 4.0]);
    }
}
