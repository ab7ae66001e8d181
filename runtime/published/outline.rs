//! Where the pictures and texts of a video lie among its sections.

use anyhow::{Context as _, Result, ensure};

/// What happens between which sections. A boundary `b` lies before section `b` in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    /// Runs of sections, each after the picture of this number, or after none.
    pub(super) shots: Vec<(Option<usize>, usize)>,
    /// Number of the picture that the video ends at.
    pub(super) end: Option<usize>,
    /// Number of the text of each section.
    pub(super) texts: Vec<usize>,
}

impl Outline {
    /// A video of `sections` sections that begins with picture 0 where there is a `start`, and with text 0.
    ///
    /// pictures, texts: the boundaries of the further ones.
    ///
    /// # Errors
    /// Two pictures lie at one boundary, or something lies outside of the video.
    pub(super) fn new(
        sections: usize,
        start: bool,
        pictures: &[usize],
        texts: &[usize],
    ) -> Result<Self> {
        let first = usize::from(start);
        let mut marks: Vec<(usize, usize)> =
            pictures.iter().enumerate().map(|(at, &boundary)| (boundary, first + at)).collect();
        marks.sort_unstable();
        ensure!(
            marks.iter().all(|(boundary, _)| (1..=sections).contains(boundary)),
            "expected pictures to come by after the first section and within the video"
        );
        ensure!(
            marks.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "expected pictures to come by at least one section apart"
        );
        ensure!(
            texts.iter().all(|boundary| *boundary < sections),
            "expected texts before the last section ends"
        );
        let end = marks.pop_if(|(boundary, _)| *boundary == sections).map(|(_, number)| number);
        let mut shots = Vec::new();
        let (mut begun, mut picture) = (0, start.then_some(0));
        for (boundary, number) in marks {
            shots.push((picture, boundary - begun));
            (begun, picture) = (boundary, Some(number));
        }
        shots.push((picture, sections - begun));
        let text = |section: usize| {
            // The last one that has begun; of two at one time the later one given.
            let begun = texts.iter().enumerate().filter(|(_, boundary)| **boundary <= section);
            begun.max_by_key(|(at, boundary)| (**boundary, *at)).map_or(0, |(at, _)| at + 1)
        };
        Ok(Self { shots, end, texts: (0..sections).map(text).collect() })
    }
}

/// The boundary nearest to a time, for sections of so many seconds.
///
/// # Errors
/// The time is far beyond any video.
pub(super) fn boundary(seconds: f64, section: f64) -> Result<usize> {
    let nearest = (seconds / section).round();
    ensure!((0.0..1e6).contains(&nearest), "expected a time within the video, got {seconds} s");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let nearest = nearest as u64;
    usize::try_from(nearest).context("a boundary is small")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_part_shots_and_texts_hold_until_the_next() {
        let outline = Outline::new(6, true, &[4, 6, 1], &[3, 2]).unwrap();
        assert_eq!(outline.shots, [(Some(0), 1), (Some(3), 3), (Some(1), 2)]);
        assert_eq!(outline.end, Some(2));
        assert_eq!(outline.texts, [0, 0, 2, 1, 1, 1]);
        let plain = Outline::new(2, false, &[], &[]).unwrap();
        assert_eq!((plain.shots, plain.end), (vec![(None, 2)], None));
        let first = Outline::new(2, false, &[1], &[0]).unwrap();
        assert_eq!((first.shots, first.texts), (vec![(None, 1), (Some(0), 1)], vec![1, 1]));
    }

    #[test]
    fn what_lies_outside_of_the_video_is_refused() {
        assert!(Outline::new(3, true, &[0], &[]).is_err());
        assert!(Outline::new(3, true, &[4], &[]).is_err());
        assert!(Outline::new(3, true, &[2, 2], &[]).is_err());
        assert!(Outline::new(3, true, &[], &[3]).is_err());
        assert_eq!(boundary(2.5, 1.2).unwrap(), 2);
        assert!(boundary(f64::NAN, 1.2).is_err() && boundary(1e9, 1.2).is_err());
    }
}
