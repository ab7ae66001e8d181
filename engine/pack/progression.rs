//! Schedules from numbers: compression by powers of two, up to any context length (FramePack §3.1,
//! eq. 1-2).
//!
//! The i-th most important frame keeps `1 / λ^i` of its tokens, and all together are worth
//! `λ / (λ - 1)` frames. For λ = 2 the shares are 1, 1/2, 1/4, …, worth 2 frames. Any other worth is had
//! by duplicating or dropping some of these: as many as the binary digits of the difference say.

use std::str::FromStr;

use super::kernel::Kernel;
use super::schedule::{Part, Schedule, Tail, Tier};

/// Finest share is 1 / 2^12: one frame in a kernel of (1, 128, 128).
const SHARES: usize = 13;
/// The share 1 in units of the smallest one.
const UNIT: u64 = 1 << (SHARES - 1);
/// Largest worth of a context, in frames.
const LENGTH_MAX: u64 = Tier::FRAMES_MAX as u64;

/// A positive number as a fraction, so that nothing is rounded before it is counted in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    over: u64,
    under: u64,
}

/// Which kernels the shares are given to (FramePack Fig. 1-c).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// One frame to a share; a kernel may be twice as wide as high.
    #[default]
    Plain,
    /// Kernels as high as wide, one frame each: two of half the share in place of each oblong one.
    Square,
    /// The simplified kernels k1, k2, k4, …: as square, and each spans as many frames as its name says.
    Temporal,
}

/// What a schedule is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progression {
    /// Worth of the whole context in frames at the base patch, if history had no end.
    pub length: Ratio,
    /// History frames at most: as many whole groups as fit are taken.
    pub frames: u16,
    /// Kernels of the shares.
    pub shape: Shape,
    /// Whether the oldest frames matter as much as the newest: the far half is the near one reversed.
    pub symmetric: bool,
    /// Frames of the section.
    pub generate: u16,
}

/// Numbers that no schedule belongs to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgressionError {
    /// Not a positive number of few digits.
    #[error("expected a number such as 2.625, got {0}")]
    Number(String),
    /// Nothing is compressed.
    #[error("expected a compression above 1")]
    Rate,
    /// More than a tier can hold.
    #[error("expected a context worth at most {LENGTH_MAX} frames")]
    Length,
    /// No group fits.
    #[error("expected frames for at least one group")]
    Frames,
    /// The section is empty or too long.
    #[error("expected a section of 1 to {max} frames", max = Schedule::GENERATE_MAX)]
    Generate,
}

impl Ratio {
    /// A fraction; `None` where it is no positive number.
    #[must_use]
    pub fn new(over: u32, under: u32) -> Option<Self> {
        (over > 0 && under > 0).then_some(Self { over: over.into(), under: under.into() })
    }

    /// What a context compressed at this rate is worth in the end: `λ / (λ - 1)` (eq. 2).
    ///
    /// # Errors
    /// The rate is not above 1.
    pub fn worth(self) -> Result<Self, ProgressionError> {
        match self.over.checked_sub(self.under) {
            Some(under @ 1..) => Ok(Self { over: self.over, under }),
            Some(0) | None => Err(ProgressionError::Rate),
        }
    }

    /// To the nearest smallest share.
    fn units(self) -> u64 {
        (self.over * UNIT + self.under / 2) / self.under
    }
}

impl FromStr for Ratio {
    type Err = ProgressionError;

    /// Reads a decimal number of at most six digits before and after its point.
    fn from_str(text: &str) -> Result<Self, ProgressionError> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let number = |digits: &str| {
            let fits = digits.len() <= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
            if fits {
                Some(digits.bytes().fold(0, |n, byte| 10 * n + u64::from(byte - b'0')))
            } else {
                None
            }
        };
        let under = 10_u64.pow(u32::try_from(part.len().min(6)).unwrap_or(6));
        number(whole)
            .zip(number(part))
            .map(|(whole, part)| Self { over: whole * under + part, under })
            .filter(|ratio| ratio.over > 0 && !whole.is_empty())
            .ok_or_else(|| ProgressionError::Number(text.to_owned()))
    }
}

impl Progression {
    /// The schedule, its tail deleted.
    ///
    /// Shares below 1/4096 and frames beyond them are left to the tail.
    ///
    /// # Errors
    /// The numbers belong to no schedule.
    pub fn schedule(&self) -> Result<Schedule, ProgressionError> {
        if !(1..=Schedule::GENERATE_MAX).contains(&self.generate) {
            return Err(ProgressionError::Generate);
        }
        let counts = self.shape.counts(shares(self.length)?);
        let far = if self.symmetric { self.frames / 2 } else { 0 };
        let near = self.tiers(counts, self.frames - far);
        let mut tiers = self.tiers(counts, far);
        for tier in near.into_iter().rev() {
            match tiers.last_mut() {
                Some(last) if last.kernel == tier.kernel => last.frames += tier.frames,
                Some(_) | None => tiers.push(tier),
            }
        }
        if tiers.is_empty() {
            return Err(ProgressionError::Frames);
        }
        let parts = vec![Part::Run(tiers), Part::Generate(self.generate)];
        Ok(Schedule { head: Some(Tail::Delete), parts, foot: None, discrete: None })
    }

    /// Tiers of up to `frames` frames, the most important first.
    fn tiers(&self, counts: [u64; SHARES], frames: u16) -> Vec<Tier> {
        let mut left = frames;
        let mut tiers = Vec::new();
        for (exponent, count) in (0_u32..).zip(counts) {
            let kernel = self.shape.kernel(exponent);
            let span = u16::try_from(kernel.frames()).expect("kernels span at most 64 frames");
            let groups = u16::try_from(count).unwrap_or(u16::MAX).min(left / span);
            if groups > 0 {
                tiers.push(Tier { frames: groups * span, kernel, long: !kernel.is_simplified() });
                left -= groups * span;
            }
            if u64::from(groups) < count {
                break;
            }
        }
        tiers
    }
}

impl Schedule {
    /// The schedule whose frames keep `1 / rate^i` of their tokens, most of them in the newest frame,
    /// for a section of one frame (eq. 1).
    ///
    /// # Errors
    /// The rate is not above 1, or no group fits into `frames`.
    pub fn geometric(rate: Ratio, frames: u16) -> Result<Self, ProgressionError> {
        let (shape, symmetric, generate) = (Shape::Plain, false, 1);
        Progression { length: rate.worth()?, frames, shape, symmetric, generate }.schedule()
    }
}

impl Shape {
    /// How many groups of each share there are, oblong kernels made square where they are to be.
    fn counts(self, mut counts: [u64; SHARES]) -> [u64; SHARES] {
        if self != Self::Plain {
            for oblong in (1..SHARES).step_by(2) {
                counts[oblong + 1] += 2 * std::mem::take(&mut counts[oblong]);
            }
        }
        counts
    }

    /// The kernel of a share of `1 / 2^exponent`.
    fn kernel(self, exponent: u32) -> Kernel {
        let (height, width) = (2_u16 << (exponent / 2), 2_u16 << exponent.div_ceil(2));
        let frames = if self == Self::Temporal { height / 2 } else { 1 };
        Kernel::new(frames, height, width).expect("shares end where kernels do")
    }
}

/// How often each share 1, 1/2, 1/4, … occurs in a context worth `length`: once, and more or less often by the
/// binary digits of what `length` has above or below 2.
fn shares(length: Ratio) -> Result<[u64; SHARES], ProgressionError> {
    let units = length.units();
    if units > LENGTH_MAX * UNIT {
        return Err(ProgressionError::Length);
    }
    let (above, below) = (units.saturating_sub(2 * UNIT), (2 * UNIT).saturating_sub(units));
    let mut counts = [1; SHARES];
    for (exponent, count) in counts.iter_mut().enumerate() {
        let digit = |number: u64| match exponent {
            0 => number / UNIT,
            _ => number >> (SHARES - 1 - exponent) & 1,
        };
        // All of it is below: a length of 0 is none, and so at most one of each is dropped.
        *count = (*count + digit(above)).saturating_sub(digit(below));
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::kernel::Grid;
    use super::*;

    /// 4096 tokens to a frame: every share is a whole number of them.
    const GRID: Grid = Grid { height: 128, width: 128 };

    fn ratio(text: &str) -> Ratio {
        text.parse().unwrap()
    }

    fn progression(length: &str, frames: u16) -> Progression {
        let (shape, symmetric) = (Shape::Plain, false);
        Progression { length: ratio(length), frames, shape, symmetric, generate: 1 }
    }

    fn name(progression: Progression) -> String {
        progression.schedule().unwrap().to_string()
    }

    #[test]
    fn a_rate_of_two_halves_frame_by_frame() {
        let schedule = Schedule::geometric(ratio("2"), 5).unwrap();
        let expected = "td_f1k1h8w8f1k1h4w8f1k1h4w4f1k1h2w4f1k1_g1";
        assert_eq!(schedule.to_string(), expected);
        assert_eq!(schedule.history_tokens(GRID), 4096 + 2048 + 1024 + 512 + 256);
    }

    #[test]
    fn rates_of_the_powers_of_two_drop_what_lies_between() {
        let tokens = |rate| Schedule::geometric(ratio(rate), 4).unwrap().history_tokens(GRID);
        assert_eq!(tokens("4"), 4096 + 1024 + 256 + 64);
        assert_eq!(tokens("8"), 4096 + 512 + 64 + 8);
        // 1.5 is worth 3 frames: one more whole frame.
        assert_eq!(tokens("1.5"), 4096 + 4096 + 2048 + 1024);
    }

    #[test]
    fn a_length_of_2_625_duplicates_a_half_and_an_eighth() {
        let expected = "td_f1k1h8w8f2k1h4w8f1k1h4w4f2k1h2w4f1k1_g1";
        assert_eq!(name(progression("2.625", 7)), expected);
        // Where one of two duplicates no longer fits, the schedule ends.
        assert_eq!(name(progression("2.625", 2)), "td_f1k1h2w4f1k1_g1");
    }

    #[test]
    fn square_and_temporal_kernels_cost_the_same() {
        let square = Progression { shape: Shape::Square, ..progression("2", 7) };
        assert_eq!(name(square), "td_f3k1h8w8f3k1h4w4f1k1_g1");
        let temporal = Progression { shape: Shape::Temporal, frames: 19, ..square };
        assert_eq!(name(temporal), "td_f12k4f6k2f1k1_g1");
        let tokens =
            |progression: Progression| progression.schedule().unwrap().history_tokens(GRID);
        assert_eq!(tokens(square), tokens(temporal));
    }

    #[test]
    fn a_symmetric_progression_is_its_own_mirror() {
        let symmetric = Progression { symmetric: true, generate: 9, ..progression("2", 6) };
        assert_eq!(name(symmetric), "td_f1k1f1k1h2w4f2k1h4w4f1k1h2w4f1k1_g9");
    }

    #[test]
    fn numbers_that_make_no_schedule_are_refused() {
        for text in ["", "-2", "0", "0.0", ".5", "1e3", "1.2.3", "1234567", "0.1234567", "2,5"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
        assert_eq!(Schedule::geometric(ratio("1"), 5), Err(ProgressionError::Rate));
        assert_eq!(Schedule::geometric(ratio("0.5"), 5), Err(ProgressionError::Rate));
        assert_eq!(Schedule::geometric(ratio("2"), 0), Err(ProgressionError::Frames));
        let error = |progression: Progression| progression.schedule().unwrap_err();
        assert_eq!(error(progression("4097", 5)), ProgressionError::Length);
        let none = Progression { generate: 0, ..progression("2", 5) };
        assert_eq!(error(none), ProgressionError::Generate);
    }

    proptest! {
        #[test]
        fn a_context_is_worth_what_was_asked_for(over in 1_u32..40_000, under in 1_u32..4000) {
            let length = Ratio::new(over, under).unwrap();
            prop_assume!(u64::from(over / under) < 100);
            for shape in [Shape::Plain, Shape::Square, Shape::Temporal] {
                let progression =
                    Progression { length, frames: 4096, shape, symmetric: false, generate: 1 };
                let Ok(schedule) = progression.schedule() else {
                    // Less than the smallest share.
                    prop_assert!(length.units() <= 1);
                    continue;
                };
                // The sum of the shares left off below 1/4096 is one such share; half of one is rounded.
                let tokens = u64::try_from(schedule.history_tokens(GRID)).unwrap();
                prop_assert_eq!(tokens, length.units().saturating_sub(1), "{}", schedule);
                prop_assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
            }
        }

        #[test]
        fn the_longest_names_are_read_back(length in 1_u32..4096, frames in 2_u16..=4096) {
            let length = Ratio::new(length, 1).unwrap();
            let (shape, generate) = (Shape::Plain, 256);
            let progression = Progression { length, frames, shape, symmetric: true, generate };
            let schedule = progression.schedule().unwrap();
            prop_assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
        }

        #[test]
        fn reading_a_number_never_panics(text in "\\PC*") {
            let _ = text.parse::<Ratio>();
        }
    }
}
