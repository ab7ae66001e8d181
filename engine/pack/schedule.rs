//! Packing schedules in FramePack's notation (FramePack §5.1).
//!
//! # Syntax
//! A name is parts in temporal order, joined by `_`:
//! - `td`, `ta` or `tc`: what happens to older frames; at one end only, beside a run;
//! - `f16k4f4k2f1k1`: a run of tiers, each `f` frames at one kernel. `k4` means `k4h8w8`;
//! - `g9`: the section, nine frames to generate; in Table 1 some names carry a second one;
//! - `x`: skip any number of frames;
//! - `+D` or `+d` at the end: the history is discretized (FramePack §4.2).
//!
//! `td_f16k4f2k2f1k1_g9` reads: forget the tail; 16 frames at k4, 2 at k2, the newest at k1; make
//! nine. `f1k1_x_g9_f1k1f4k2f16k4_td` is the same backwards: from later frames towards a first one.
//!
//! Numbers are bounded, and a name is printed back as it was written.

use std::fmt;
use std::str::FromStr;

use super::kernel::{Grid, Kernel};
use super::parse;

/// What happens to frames beyond the last tier (FramePack §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// `td`: forget them, so that context length never grows.
    Delete,
    /// `ta`: pool each by (1, 32, 32) and keep it; context length grows with the session.
    Append,
    /// `tc`: average them all into one frame at the coarsest kernel.
    Compress,
}

/// A run of consecutive frames embedded by one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Run length, 1 to [`Tier::FRAMES_MAX`].
    pub frames: u16,
    /// Kernel the run is embedded with.
    pub kernel: Kernel,
    /// Whether the kernel was written out, `k1h2w2` for `k1`.
    pub(super) long: bool,
}

/// One part of a name, between two `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `f16k4f1k1`: tiers in temporal order.
    Run(Vec<Tier>),
    /// `x`: any number of frames left out.
    Skip,
    /// `g9`: frames to generate.
    Generate(u16),
}

/// How a discretized history was marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscreteMark {
    /// `+D`, as in the paper's tables.
    Upper,
    /// `+d`, as in its text.
    Lower,
}

/// The order in which a schedule generates time (FramePack §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Forward in time, from the past alone.
    Forward,
    /// Forward in time, towards an endpoint beyond a gap.
    Endpoint,
    /// Backward in time, from later frames towards a first one.
    Inverted,
    /// Any other arrangement of parts.
    Mixed,
}

/// A validated schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub(super) head: Option<Tail>,
    pub(super) parts: Vec<Part>,
    pub(super) foot: Option<Tail>,
    pub(super) discrete: Option<DiscreteMark>,
}

/// A schedule that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {wanted} at byte {at}")]
pub struct ScheduleError {
    /// What would have been accepted.
    pub wanted: &'static str,
    /// Offset into the text.
    pub at: usize,
}

impl Tier {
    /// Longest run: eight times the longest of the paper.
    pub const FRAMES_MAX: u16 = 4096;

    /// Groups of the tier; the last one may be padded.
    #[must_use]
    pub fn groups(self) -> usize {
        self.kernel.groups(usize::from(self.frames))
    }

    /// Tokens of the tier: `ceil(frames / k) · ceil(h / 2k) · ceil(w / 2k)`.
    #[must_use]
    pub fn tokens(self, grid: Grid) -> usize {
        self.groups() * self.kernel.tokens(grid)
    }
}

impl Schedule {
    /// Longest name read, in bytes; the longest of the paper has 37.
    pub const TEXT_MAX: usize = 256;
    /// Largest section, in frames.
    pub const GENERATE_MAX: u16 = 256;
    /// The project's own schedule: 280 history tokens at 12 rows of 16 columns.
    pub const DEFAULT_NAME: &str = "td_f16k4f4k2f5k1_g1";

    /// Parts in temporal order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The tail option; a name without one deletes, as Table 2 of the paper does.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.head.or(self.foot).unwrap_or(Tail::Delete)
    }

    /// Whether the history is discretized (FramePack §4.2, eq. 6).
    #[must_use]
    pub fn is_discrete(&self) -> bool {
        self.discrete.is_some()
    }

    /// Frames of the section. Of two sections the first counts; see [`Schedule::has_two_sections`].
    #[must_use]
    pub fn generate(&self) -> usize {
        let generate = |part: &Part| match part {
            Part::Generate(frames) => Some(usize::from(*frames)),
            Part::Run(_) | Part::Skip => None,
        };
        self.parts.iter().find_map(generate).expect("the parser asks for a section")
    }

    /// Whether the name holds a second `g`, as the inverted names of Table 1 do.
    #[must_use]
    pub fn has_two_sections(&self) -> bool {
        self.parts.iter().filter(|part| matches!(part, Part::Generate(_))).count() == 2
    }

    /// All tiers, in temporal order.
    pub fn tiers(&self) -> impl Iterator<Item = Tier> + '_ {
        self.parts
            .iter()
            .flat_map(|part| match part {
                Part::Run(tiers) => tiers.as_slice(),
                Part::Skip | Part::Generate(_) => &[],
            })
            .copied()
    }

    /// The order in which the parts make time.
    #[must_use]
    pub fn order(&self) -> Order {
        match self.parts.as_slice() {
            [Part::Run(_), Part::Generate(_)] => Order::Forward,
            [Part::Run(_), Part::Generate(_), Part::Skip, Part::Run(_)] => Order::Endpoint,
            [Part::Run(_), Part::Skip, Part::Generate(_), Part::Run(_)]
            | [Part::Run(_), Part::Skip, Part::Generate(_), Part::Run(_), Part::Generate(_)] => {
                Order::Inverted
            }
            _ => Order::Mixed,
        }
    }

    /// History frames the schedule asks for, tail aside.
    #[must_use]
    pub fn history_frames(&self) -> usize {
        self.tiers().map(|tier| usize::from(tier.frames)).sum()
    }

    /// Groups of the finest kernel: the newest frame's, and one for each frame that is retrieved.
    #[must_use]
    pub fn finest_groups(&self) -> usize {
        self.tiers().filter(|tier| tier.kernel == Kernel::FINEST).map(|tier| tier.groups()).sum()
    }

    /// History tokens when all frames are there, tail aside.
    #[must_use]
    pub fn history_tokens(&self, grid: Grid) -> usize {
        self.tiers().map(|tier| tier.tokens(grid)).sum()
    }

    /// Tokens of the section, which is always embedded by the base patch.
    #[must_use]
    pub fn section_tokens(&self, grid: Grid) -> usize {
        self.generate() * Kernel::FINEST.tokens(grid)
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::DEFAULT_NAME.parse().expect("the default name is read by a test")
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        parse::schedule(text)
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "td",
            Self::Append => "ta",
            Self::Compress => "tc",
        })
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.long {
            write!(f, "f{}{}", self.frames, self.kernel.long_name())
        } else {
            write!(f, "f{}{}", self.frames, self.kernel)
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(tiers) => tiers.iter().try_for_each(|tier| tier.fmt(f)),
            Self::Skip => f.write_str("x"),
            Self::Generate(frames) => write!(f, "g{frames}"),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.head.iter().map(ToString::to_string);
        let parts = self.parts.iter().map(ToString::to_string);
        let foot = self.foot.iter().map(ToString::to_string);
        f.write_str(&head.chain(parts).chain(foot).collect::<Vec<_>>().join("_"))?;
        match self.discrete {
            Some(DiscreteMark::Upper) => f.write_str("+D"),
            Some(DiscreteMark::Lower) => f.write_str("+d"),
            None => Ok(()),
        }
    }
}
