//! The schedules that training draws its sections by.

use crate::model::ModelConfig;
use crate::noise::Random;
use crate::pack::{Order, Schedule, Tail};
use candle_core::{Result, bail};

/// What training draws from unless it is told otherwise: schedule, sections of a clip, odds. They sum to 1.
const BUILT_IN: [(&str, usize, f32); 7] = [
    ("td_f16k4f4k2f5k1_g1", 8, 0.66),
    ("td_f16k4f2k2f2k1_g1", 8, 0.08),
    ("td_f4k2f3k1_g1", 8, 0.06),
    ("td_f16k4f4k2f5k1_g2", 4, 0.07),
    ("td_f16k4f4k2f5k1_g4", 2, 0.07),
    ("td_f16k4f2k2f1k1_g9", 1, 0.03),
    ("td_f16k4f4k2f5k1_g9", 1, 0.03),
];
/// Most frames of a clip: what an episode that is long enough to be trained on holds in any case.
const CLIP_MAX: usize = 48;

/// One schedule among those that training draws.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnSchedule {
    /// Its name, of any order and tail.
    pub name: String,
    /// Consecutive sections of a clip, which share what they see.
    #[serde(default = "one")]
    pub sections: usize,
    /// Share of the steps, relative to those of the others.
    pub share: f32,
}

fn one() -> usize {
    1
}

/// All of them, with their odds.
#[derive(Debug)]
pub(super) struct Schedules(Vec<(Schedule, usize, f32)>);

impl Schedules {
    /// Those of `drawn`, or the built-in ones where there is none.
    ///
    /// # Errors
    /// A name cannot be read or has a kernel that the network cannot embed, a share is no positive number, or
    /// clips are empty or too long.
    pub(super) fn new(config: &ModelConfig, drawn: &[DrawnSchedule]) -> Result<Self> {
        if drawn.is_empty() {
            let read = |name: &str| name.parse().expect("the names are tested");
            let all = BUILT_IN.iter().map(|&(name, sections, odds)| (read(name), sections, odds));
            return Ok(Self(all.collect()));
        }
        let total: f32 = drawn.iter().map(|drawn| drawn.share).sum();
        let all = drawn.iter().map(|drawn| {
            let schedule = checked(config, drawn)?;
            Ok((schedule, drawn.sections, drawn.share / total))
        });
        Ok(Self(all.collect::<Result<_>>()?))
    }

    /// One of them, and how many sections a clip has.
    pub(super) fn draw(&self, random: &mut Random) -> (&Schedule, usize) {
        let mut left = random.uniform();
        let drawn = self.0.iter().find(|(_, _, odds)| {
            left -= odds;
            left < 0.0
        });
        let (schedule, sections, _) = drawn.unwrap_or(&self.0[0]);
        (schedule, *sections)
    }

    /// Whether any of them discretizes history.
    pub(super) fn need_words(&self) -> bool {
        self.0.iter().any(|(schedule, ..)| schedule.is_discrete())
    }
}

/// Whether sections are planned as those of play are: from the past alone, with what is retrieved.
pub(super) fn is_played(schedule: &Schedule) -> bool {
    schedule.order() == Order::Forward && schedule.tail() == Tail::Delete
}

fn checked(config: &ModelConfig, drawn: &DrawnSchedule) -> Result<Schedule> {
    let DrawnSchedule { name, sections, share } = drawn;
    let schedule: Schedule = name
        .parse()
        .map_err(|error| candle_core::Error::Msg(format!("schedule {name}: {error}")))?;
    schedule.check_whole_groups().map_err(candle_core::Error::wrap)?;
    if let Some(tier) = schedule.tiers().find(|tier| config.embedding(tier.kernel).is_none()) {
        bail!("schedule {name}: expected a kernel of (1, 2, 2) or more, got {tier}");
    }
    if !(1..=CLIP_MAX).contains(&sections.saturating_mul(schedule.generate())) {
        bail!("schedule {name}: expected clips of 1 to {CLIP_MAX} frames, got {sections} sections");
    }
    if !(share.is_finite() && *share > 0.0) {
        bail!("schedule {name}: expected a positive share, got {share}");
    }
    Ok(schedule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(name: &str, sections: usize, share: f32) -> DrawnSchedule {
        DrawnSchedule { name: name.to_owned(), sections, share }
    }

    #[test]
    fn schedules_are_drawn_as_often_as_their_shares_say() {
        let wanted = [drawn("f1k1_x_g9_f1k1f4k2f16k4_td", 1, 1.0), drawn("td_f5k1_g1", 8, 3.0)];
        let schedules = Schedules::new(&ModelConfig::tiny(), &wanted).unwrap();
        let mut random = Random::new(3, 0);
        let draw = |_| schedules.draw(&mut random).1;
        let ones = (0..1000).map(draw).filter(|&sections| sections == 1).count();
        // Four standard errors of 250 are 55.
        assert!((195..305).contains(&ones), "{ones}");
    }

    #[test]
    fn what_cannot_be_drawn_is_named() {
        for (one, said) in [
            (drawn("td_f5k1", 1, 1.0), "schedule td_f5k1: expected"),
            (drawn("td_f6k4_g1", 1, 1.0), "got f6k4 in td_f6k4_g1"),
            (drawn("td_f1k1h1w2_g1", 1, 1.0), "got f1k1h1w2"),
            (drawn("td_f1k1_g9", 6, 1.0), "1 to 48 frames, got 6"),
            (drawn("td_f1k1_g9", 0, 1.0), "1 to 48 frames, got 0"),
            (drawn("td_f1k1_g9", 1, 0.0), "positive share, got 0"),
            (drawn("td_f1k1_g9", 1, f32::NAN), "positive share, got NaN"),
        ] {
            let error = Schedules::new(&ModelConfig::tiny(), &[one]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_built_in_ones_are_played_and_their_odds_are_all() {
        let schedules = Schedules::new(&ModelConfig::base(), &[]).unwrap();
        assert!(schedules.0.iter().all(|(schedule, ..)| is_played(schedule)));
        let odds: f32 = schedules.0.iter().map(|(_, _, odds)| odds).sum();
        assert!((odds - 1.0).abs() < 1e-6, "{odds}");
        for other in ["ta_f1k1_g1", "tc_f1k1_g1", "td_f1k1_g1_x_f1k1", "f1k1_x_g1_f1k1"] {
            assert!(!is_played(&other.parse().unwrap()), "{other}");
        }
    }
}
