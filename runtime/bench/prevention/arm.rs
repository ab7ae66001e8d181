//! Ways against drift: each a plan, an order, and what is done to history; network and sampler are the same.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use engine::codebook::Codebook;
use engine::model::HistoryAttention;
use engine::pack::{Order, Schedule};
use engine::video::{HistoryOptions, VideoOptions};
use engine::world::WorldConfig;

/// Guidance of the arm that names none.
const GUIDANCE: f32 = 0.5;
/// Share of the section's noise in what `HistoryGuidance` leads on to; the paper does not say its own.
const DELAY: f32 = 0.1;
/// Most words of a codebook to be tried.
const WORDS_MAX: usize = 4096;

/// One arm of the comparison (FramePack Tables 1 and 2).
#[derive(Clone, Debug, PartialEq)]
pub enum Arm {
    /// Real frames, by the same measure.
    Game,
    /// From the past to the future.
    Vanilla,
    /// The same, shown what the world's atlas shows from where the actions lead, as in play. All others stay off the map.
    Map,
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
    /// Vanilla, history attending to what lies before it: resembles `CausVid`. On a network trained so.
    Causal,
    /// Vanilla, history with this share of the section's noise, σ at test time, of which the network is told:
    /// `DiffusionForcing` with a random σ in training.
    Forcing(f32),
    /// The same with one σ in training.
    ForcingFixed(f32),
    /// The same, led on from what a history of noise shows: resembles `HistoryGuidance`.
    HistoryGuidance(f32),
    /// A schedule of one's own, of any order.
    Named(Schedule),
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
    pub const ALL: [Self; 13] = [
        Self::Game,
        Self::Vanilla,
        Self::Map,
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
    pub fn words(&self) -> Option<usize> {
        match self {
            Self::Discrete(words) => *words,
            _ => None,
        }
    }

    /// Whether it is a row of Table 1, which compares schedules, not methods.
    #[must_use]
    pub fn is_schedule(&self) -> bool {
        matches!(self, Self::Named(_))
    }

    /// Whether a world can be used for the arm: `words` is how many its codebook has, `has_map` whether the network is shown its
    /// atlas.
    ///
    /// # Errors
    /// Says what the world lacks.
    pub fn check(&self, world: &WorldConfig, words: Option<usize>, has_map: bool) -> Result<()> {
        let title = &world.title;
        ensure!(
            has_map || *self != Self::Map,
            "expected a world with an atlas whose views can be warped for {self}, got {title}"
        );
        let causal = world.model.history == HistoryAttention::Causal;
        let wanted = matches!(self, Self::Causal);
        ensure!(
            causal || !wanted,
            "expected a world trained with causal attention for {self}, got {title}"
        );
        ensure!(
            wanted || !causal,
            "expected a world whose history attends to itself for {self}, got {title}"
        );
        let forced =
            matches!(self, Self::Forcing(_) | Self::ForcingFixed(_) | Self::HistoryGuidance(_));
        ensure!(
            world.forcing || !forced,
            "expected a world trained with diffusion forcing for {self}, got {title}"
        );
        let worded = match self {
            Self::Discrete(words) => words.is_none(),
            Self::Named(schedule) => schedule.is_discrete(),
            _ => false,
        };
        ensure!(words.is_some() || !worded, "expected a world with words for {self}, got {title}");
        Ok(())
    }

    /// Which keys and values are used again.
    #[must_use]
    pub fn kept(&self) -> &'static str {
        match self {
            Self::Game => "",
            Self::Causal => "uncached: what is known of a group depends on those before it",
            Self::Forcing(_) | Self::ForcingFixed(_) | Self::HistoryGuidance(_) => {
                "keys and values kept for each level of noise"
            }
            _ => "keys and values kept",
        }
    }

    /// How the arm makes a video, where `own` is the world's schedule; nothing for the game's own frames.
    ///
    /// # Errors
    /// When the world's schedule is none that an arm can be made of.
    pub fn way(&self, own: &Schedule, words: Option<&Codebook>, seed: u64) -> Result<Option<Way>> {
        let plain = plain(own)?;
        let mut history = HistoryOptions::default();
        let (order, schedule) = match self {
            Self::Game => return Ok(None),
            Self::Vanilla | Self::Map => (Order::Forward, plain),
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
                history.noise = *noise;
                (Order::Forward, plain)
            }
            Self::Guidance(guidance) => {
                history.guidance = *guidance;
                (Order::Forward, plain)
            }
            Self::Causal => (Order::Forward, plain),
            Self::Forcing(share) | Self::ForcingFixed(share) => {
                (history.noise, history.forced) = (*share, true);
                (Order::Forward, plain)
            }
            Self::HistoryGuidance(guidance) => {
                (history.noise, history.forced) = (DELAY, true);
                history.guidance = *guidance;
                (Order::Forward, plain)
            }
            Self::Named(schedule) => (made(schedule), schedule.clone()),
        };
        let options = VideoOptions { history, ..VideoOptions::new(schedule, seed) };
        Ok(Some(Way { order, options }))
    }

    /// What the arm is, for people.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Game => "held-out play itself".to_owned(),
            Self::Vanilla => "from the past to the future".to_owned(),
            Self::Map => {
                "vanilla, shown what the atlas shows, where the beginning is on its map".to_owned()
            }
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
                format!(
                    "led on by {guidance} from a history of noise, of which the network is not told"
                )
            }
            Self::Causal => "causal attention (resembles CausVid)".to_owned(),
            Self::Forcing(share) => {
                format!("DiffusionForcing, σ_train random, σ_test = {share}")
            }
            Self::ForcingFixed(share) => {
                format!("DiffusionForcing, σ_train fixed, σ_test = {share}")
            }
            Self::HistoryGuidance(guidance) => format!(
                "led on by {guidance} from a history of noise to one of σ_test = {DELAY} (resembles HistoryGuidance)"
            ),
            Self::Named(schedule) => match made(schedule) {
                Order::Endpoint => "a schedule, beginning and end first".to_owned(),
                Order::Inverted => "a schedule, from the end towards the beginning".to_owned(),
                Order::Forward | Order::Mixed => {
                    "a schedule, from the past to the future".to_owned()
                }
            },
        }
    }
}

/// The order in which the sections of a schedule are made.
fn made(schedule: &Schedule) -> Order {
    match schedule.order() {
        Order::Mixed => Order::Forward,
        order => order,
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
            Self::Map => f.write_str("map"),
            Self::Discrete(None) => f.write_str("discrete"),
            Self::Discrete(Some(words)) => write!(f, "discrete@{words}"),
            Self::Endpoint => f.write_str("endpoint"),
            Self::Inverted => f.write_str("inverted"),
            Self::Repeat => f.write_str("repeat"),
            Self::Anchor => f.write_str("anchor"),
            Self::Noise(noise) => write!(f, "noise@{noise}"),
            Self::Guidance(guidance) => write!(f, "guidance@{guidance}"),
            Self::Causal => f.write_str("causal"),
            Self::Forcing(share) => write!(f, "forcing@{share}"),
            Self::ForcingFixed(share) => write!(f, "forcing-fixed@{share}"),
            Self::HistoryGuidance(guidance) => write!(f, "history-guidance@{guidance}"),
            Self::Named(schedule) => schedule.fmt(f),
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
            ("map", None) => Some(Self::Map),
            ("discrete", None) => Some(Self::Discrete(None)),
            ("discrete", Some((_, count))) => Some(Self::Discrete(Some(words(count)?))),
            ("endpoint", None) => Some(Self::Endpoint),
            ("inverted", None) => Some(Self::Inverted),
            ("repeat", None) => Some(Self::Repeat),
            ("anchor", None) => Some(Self::Anchor),
            ("noise", Some(_)) => number(0.0, 1.0).map(Self::Noise),
            ("guidance", Some(_)) => number(0.0, 16.0).map(Self::Guidance),
            ("causal", None) => Some(Self::Causal),
            ("forcing", Some(_)) => number(0.0, 1.0).map(Self::Forcing),
            ("forcing-fixed", Some(_)) => number(0.0, 1.0).map(Self::ForcingFixed),
            ("history-guidance", Some(_)) => number(0.0, 16.0).map(Self::HistoryGuidance),
            _ => text.parse().ok().map(Self::Named),
        };
        arm.ok_or_else(|| {
            format!(
                "expected game, vanilla, map, discrete, discrete@128, endpoint, inverted, repeat, anchor, noise@0.1, \
                 guidance@1, causal, forcing@0.1, forcing-fixed@0.1, history-guidance@1 or a schedule, got {text}"
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
        let schedule = "f1k1_x_g9_f1k1f4k2f16k4_td+D".parse().unwrap();
        let trained =
            [Arm::Causal, Arm::Forcing(0.5), Arm::ForcingFixed(0.1), Arm::HistoryGuidance(2.0)];
        let others = [Arm::Discrete(Some(64)), Arm::Guidance(1.5), Arm::Named(schedule)];
        for arm in Arm::ALL.into_iter().chain(trained).chain(others) {
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
        let forced = way(Arm::Forcing(0.5)).options.history;
        assert_eq!((forced.noise, forced.forced, forced.guidance), (0.5, true, 0.0));
        let guided = way(Arm::HistoryGuidance(1.5)).options.history;
        assert_eq!((guided.noise, guided.forced, guided.guidance), (0.1, true, 1.5));
        assert_eq!(schedule(Arm::Causal), schedule(Arm::Vanilla));
        let named = |name: &str| way(Arm::Named(name.parse().unwrap()));
        assert_eq!(named("f1k1_x_g9_f1k1f4k2f1k1_g9+D").order, Order::Inverted);
        assert_eq!(named("tc_f16k4f2k2f1k1_g9_x_f1k1").order, Order::Endpoint);
        assert!(Arm::Game.way(&own, None, 3).unwrap().is_none());
        let worded: Schedule = "td_f5k1_g1+D".parse().unwrap();
        let plain = Arm::Vanilla.way(&worded, None, 3).unwrap().unwrap();
        assert_eq!(plain.options.schedule.to_string(), "td_f5k1_g1");
    }

    #[test]
    fn worlds_have_to_be_trained_for_their_arms() {
        let text = include_str!("../../../assets/worlds/doom-rooms/world.toml");
        let plain: WorldConfig = toml::from_str(text).unwrap();
        let mut causal = plain.clone();
        causal.model.history = HistoryAttention::Causal;
        let forcing = WorldConfig { forcing: true, ..plain.clone() };
        let fits = |arm: &str, world: &WorldConfig, words: Option<usize>| {
            arm.parse::<Arm>().unwrap().check(world, words, false).is_ok()
        };
        let [one, other] = [&plain, &causal].map(|world| fits("causal", world, None));
        assert!(!one && other && fits("vanilla", &plain, None) && !fits("vanilla", &causal, None));
        for arm in ["forcing@0", "forcing-fixed@0.1", "history-guidance@1"] {
            assert!(!fits(arm, &plain, None) && fits(arm, &forcing, None), "{arm}");
        }
        for arm in ["discrete", "td_f1k1_g9+D"] {
            assert!(!fits(arm, &plain, None) && fits(arm, &plain, Some(128)), "{arm}");
        }
        assert!(fits("discrete@16", &plain, None), "its words are fitted");
        assert!(!fits("map", &plain, None) && Arm::Map.check(&plain, None, true).is_ok());
    }

    proptest! {
        #[test]
        fn reading_an_arm_never_panics(text in "\\PC*") {
            let _ = text.parse::<Arm>();
        }
    }
}
