//! Ways against drift: each a plan, an order, and what is done to history; network and sampler are the same.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use engine::codebook::Codebook;
use engine::pack::{Order, Schedule};
use engine::video::{HistoryOptions, VideoOptions};

/// Guidance of the arm that names none.
const GUIDANCE: f32 = 0.5;
/// Most words of a codebook to be tried.
const WORDS_MAX: usize = 4096;

/// One arm of the comparison (FramePack Table 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arm {
    /// Real frames, by the same measure.
    Game,
    /// From the past to the future.
    Vanilla,
    /// The same with history in words: so many, or the world's own.
    Discrete(Option<usize>),
    /// Beginning and end first.
    Endpoint,
    /// From the end towards the beginning.
    Inverted,
    /// Nine frames from the last one alone, again and again: repeated image-to-video.
    Repeat,
    /// Vanilla, the first frame always in sight: resembles `StreamingT2V`.
    Anchor,
    /// Vanilla, with this share of noise in history: `DiffusionForcing`'s σ at test time, on a network that learnt from
    /// history with random noise but is not told how much.
    Noise(f32),
    /// Vanilla, led on from what a history of noise shows: resembles `HistoryGuidance`.
    Guidance(f32),
}

/// How an arm makes its video.
#[derive(Clone, Debug)]
pub struct Way {
    /// The order of its sections.
    pub order: Order,
    /// What they see, and how.
    pub options: VideoOptions,
}

impl Arm {
    /// All arms that need no training of their own.
    pub const ALL: [Self; 12] = [
        Self::Game,
        Self::Vanilla,
        Self::Discrete(None),
        Self::Endpoint,
        Self::Inverted,
        Self::Repeat,
        Self::Anchor,
        Self::Noise(0.0),
        Self::Noise(0.1),
        Self::Noise(0.5),
        Self::Guidance(GUIDANCE),
        Self::Guidance(1.0),
    ];

    /// The words that are fitted for the arm.
    #[must_use]
    pub fn words(self) -> Option<usize> {
        match self {
            Self::Discrete(words) => words,
            _ => None,
        }
    }

    /// How the arm makes a video, where `own` is the world's schedule; nothing for the game's own frames.
    ///
    /// # Errors
    /// When the world's schedule is none that an arm can be made of.
    pub fn way(self, own: &Schedule, words: Option<&Codebook>, seed: u64) -> Result<Option<Way>> {
        let plain = plain(own)?;
        let mut history = HistoryOptions::default();
        let (order, schedule) = match self {
            Self::Game => return Ok(None),
            Self::Vanilla => (Order::Forward, plain),
            Self::Discrete(_) => {
                history.words = words.cloned();
                (Order::Forward, format!("{plain}+D").parse()?)
            }
            Self::Endpoint => (Order::Endpoint, plain.in_order(Order::Endpoint)?),
            Self::Inverted => (Order::Inverted, plain.in_order(Order::Inverted)?),
            Self::Repeat => (Order::Forward, "td_f1k1_g9".parse()?),
            Self::Anchor => {
                let window = plain.to_string();
                let window = window.strip_prefix("td_").unwrap_or(&window);
                (Order::Forward, format!("f1k1_x_{window}").parse()?)
            }
            Self::Noise(noise) => {
                history.noise = noise;
                (Order::Forward, plain)
            }
            Self::Guidance(guidance) => {
                history.guidance = guidance;
                (Order::Forward, plain)
            }
        };
        let options = VideoOptions { history, ..VideoOptions::new(schedule, seed) };
        Ok(Some(Way { order, options }))
    }

    /// What the arm is, for people.
    #[must_use]
    pub fn told(self) -> String {
        match self {
            Self::Game => "held-out play itself".to_owned(),
            Self::Vanilla => "from the past to the future".to_owned(),
            Self::Discrete(None) => "vanilla, history in the world's words".to_owned(),
            Self::Discrete(Some(words)) => format!("vanilla, history in {words} words"),
            Self::Endpoint => "beginning and end first".to_owned(),
            Self::Inverted => "from the end towards the beginning".to_owned(),
            Self::Repeat => "repeated image-to-video, nine frames from the last one".to_owned(),
            Self::Anchor => "vanilla and the first frame (resembles StreamingT2V)".to_owned(),
            Self::Noise(noise) => {
                format!("history with a share of noise of {noise} (DiffusionForcing, σ_test alone)")
            }
            Self::Guidance(guidance) => {
                format!("led on by {guidance} from a history of noise (resembles HistoryGuidance)")
            }
        }
    }
}

/// The world's schedule without its mark for words.
fn plain(own: &Schedule) -> Result<Schedule> {
    let name = own.to_string();
    let plain: Schedule = name.split('+').next().unwrap_or(&name).parse()?;
    ensure!(plain.order() == Order::Forward, "expected a world that plays forward, got {own}");
    Ok(plain)
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Game => f.write_str("game"),
            Self::Vanilla => f.write_str("vanilla"),
            Self::Discrete(None) => f.write_str("discrete"),
            Self::Discrete(Some(words)) => write!(f, "discrete@{words}"),
            Self::Endpoint => f.write_str("endpoint"),
            Self::Inverted => f.write_str("inverted"),
            Self::Repeat => f.write_str("repeat"),
            Self::Anchor => f.write_str("anchor"),
            Self::Noise(noise) => write!(f, "noise@{noise}"),
            Self::Guidance(guidance) => write!(f, "guidance@{guidance}"),
        }
    }
}

impl FromStr for Arm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = match text.split_once('@') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let number = |low: f32, high: f32| {
            let number: Option<f32> = number.and_then(|number| number.parse().ok());
            number.filter(|number| (low..=high).contains(number))
        };
        let words = |words: &str| {
            let words = words.parse().ok().filter(|words| (1..=WORDS_MAX).contains(words));
            words.ok_or_else(|| format!("expected 1 to {WORDS_MAX} words, got {text}"))
        };
        let arm = match (name, text.split_once('@')) {
            ("game", None) => Some(Self::Game),
            ("vanilla", None) => Some(Self::Vanilla),
            ("discrete", None) => Some(Self::Discrete(None)),
            ("discrete", Some((_, count))) => Some(Self::Discrete(Some(words(count)?))),
            ("endpoint", None) => Some(Self::Endpoint),
            ("inverted", None) => Some(Self::Inverted),
            ("repeat", None) => Some(Self::Repeat),
            ("anchor", None) => Some(Self::Anchor),
            ("noise", Some(_)) => number(0.0, 1.0).map(Self::Noise),
            ("guidance", Some(_)) => number(0.0, 16.0).map(Self::Guidance),
            _ => None,
        };
        arm.ok_or_else(|| {
            format!(
                "expected game, vanilla, discrete, discrete@128, endpoint, inverted, repeat, anchor, noise@0.1 or \
                 guidance@1, got {text}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_back() {
        for arm in Arm::ALL.into_iter().chain([Arm::Discrete(Some(64)), Arm::Guidance(1.5)]) {
            assert_eq!(arm.to_string().parse(), Ok(arm));
        }
        for wrong in ["", "noise", "noise@2", "noise@nan", "discrete@0", "vanilla@1", "guidance@-1"]
        {
            assert!(wrong.parse::<Arm>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn arms_differ_in_plan_order_and_history_alone() {
        let own: Schedule = "td_f16k4f4k2f5k1_g1".parse().unwrap();
        let way = |arm: Arm| arm.way(&own, None, 3).unwrap().unwrap();
        let schedule = |arm: Arm| way(arm).options.schedule.to_string();
        assert_eq!(schedule(Arm::Vanilla), "td_f16k4f4k2f5k1_g1");
        assert_eq!(schedule(Arm::Discrete(None)), "td_f16k4f4k2f5k1_g1+D");
        assert_eq!(schedule(Arm::Endpoint), "td_f16k4f4k2f5k1_g1_x_f1k1");
        assert_eq!(schedule(Arm::Inverted), "f1k1_x_g1_f5k1f4k2f16k4_td");
        assert_eq!(schedule(Arm::Anchor), "f1k1_x_f16k4f4k2f5k1_g1");
        assert_eq!(schedule(Arm::Repeat), "td_f1k1_g9");
        assert_eq!(way(Arm::Noise(0.5)).options.history.noise, 0.5);
        assert_eq!(way(Arm::Guidance(1.0)).options.history.guidance, 1.0);
        assert_eq!(way(Arm::Inverted).order, Order::Inverted);
        assert!(Arm::Game.way(&own, None, 3).unwrap().is_none());
        let worded: Schedule = "td_f5k1_g1+D".parse().unwrap();
        let plain = Arm::Vanilla.way(&worded, None, 3).unwrap().unwrap();
        assert_eq!(plain.options.schedule.to_string(), "td_f5k1_g1");
    }

    proptest! {
        #[test]
        fn reading_an_arm_never_panics(text in "\\PC*") {
            let _ = text.parse::<Arm>();
        }
    }
}
