//! Videos of overlapping sections joined by a cross-fade.
//!
//! A section's latents are decoded together with the neighbouring ones that are already known, because the beginning
//! of a decoded video is unlike the rest. What both decodings show fades from the earlier to the later one (the
//! released FramePack's `soft_append_bcthw`).

use super::tiling::fade;
use candle_core::{Result, Tensor, bail};

/// Frames that the decodings of neighbouring windows of `latents` latents share: 4 · `latents` - 3.
pub fn overlap(latents: usize) -> usize {
    (4 * latents).saturating_sub(3)
}

/// `earlier` followed by `later`, both (B, 3, T, H, W), whose last and first `overlap` frames are the same time:
/// there the earlier one's weight falls linearly from 1 to 0.
///
/// # Errors
/// One has fewer frames than they share, or they differ in another size.
pub fn append(earlier: &Tensor, later: &Tensor, overlap: usize) -> Result<Tensor> {
    let (before, after) = (earlier.dim(2)?, later.dim(2)?);
    if overlap > before || overlap > after {
        bail!("expected sections of at least {overlap} shared frames, got {before} and {after}");
    }
    if overlap == 0 {
        return Tensor::cat(&[earlier, later], 2);
    }
    #[expect(clippy::cast_precision_loss, reason = "a section has few frames")]
    let weights = (0..overlap).map(|at| at as f32 / (overlap - 1).max(1) as f32).collect();
    let shared = fade(
        &earlier.narrow(2, before - overlap, overlap)?,
        &later.narrow(2, 0, overlap)?,
        2,
        weights,
    )?;
    let start = earlier.narrow(2, 0, before - overlap)?;
    Tensor::cat(&[&start, &shared, &later.narrow(2, overlap, after - overlap)?], 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    fn section(value: f32, frames: usize) -> Tensor {
        Tensor::full(value, (1, 3, frames, 1, 1), &Device::Cpu).unwrap()
    }

    fn values(video: &Tensor) -> Vec<f32> {
        video.get(0).unwrap().get(0).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn windows_share_what_the_released_loop_says() {
        assert_eq!(overlap(9), 33);
        assert_eq!(overlap(0), 0);
    }

    #[test]
    fn the_earlier_section_fades_out_over_what_is_shared() {
        let joined = append(&section(1.0, 4), &section(5.0, 5), 3).unwrap();
        assert_eq!(values(&joined), [1.0, 1.0, 3.0, 5.0, 5.0, 5.0]);
        assert_eq!(
            values(&append(&section(1.0, 1), &section(2.0, 2), 0).unwrap()),
            [1.0, 2.0, 2.0]
        );
        // One shared frame is the earlier section's.
        assert_eq!(
            values(&append(&section(1.0, 2), &section(2.0, 2), 1).unwrap()),
            [1.0, 1.0, 2.0]
        );
        assert_eq!(values(&append(&section(1.0, 2), &section(2.0, 2), 2).unwrap()), [1.0, 2.0]);
        let error = append(&section(1.0, 2), &section(2.0, 5), 3).unwrap_err().to_string();
        assert!(error.contains("at least 3 shared frames, got 2 and 5"), "{error}");
        let half = |video: &Tensor| video.to_dtype(DType::F16).unwrap();
        let joined = append(&half(&section(0.0, 3)), &half(&section(1.0, 3)), 3).unwrap();
        assert_eq!(joined.dtype(), DType::F16);
    }
}
