//! The ways of picking history that are held against each other.

use std::fmt;
use std::str::FromStr;

use engine::pack::Arrangement;
use engine::world::WorldConfig;
use memory::{FieldOfView, Ranking};

/// One way of picking history, by its name on the command line: `cosine`, `hybrid@0.3`, `pose`, or with the other
/// arrangement `cosine+rules`, `pose+permuted`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// What frames are ranked by.
    pub by: By,
    /// Which of them go where.
    pub arrangement: Arrangement,
}

/// What history is ranked by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum By {
    /// Nothing: the latest frames in order, as released FramePack packs them.
    Time,
    /// Nothing: the newest frame is all there is, as at the start of a session.
    None,
    /// Cosine, nearness in time and of reckoned places with the world's own weights: as it plays.
    Reckoned,
    /// Mean cosine over positions (eq. 3).
    Cosine,
    /// One cosine of averages over 2×2 blocks.
    Pooled,
    /// Cosine and nearness in time (eq. 3-5); without a weight, the one that does best on the validation split.
    Hybrid(Option<f32>),
    /// Greedy cover of the coming view, from recorded poses.
    Pose,
    /// An order by chance.
    Random,
    /// Cosine of features from a file.
    Features,
    /// Distance to the true section: least mean squared difference of latents. It sees the future, so it is no way
    /// to play, and a bound only on picking frames for their likeness: another choice may still dream better.
    Oracle,
}

/// Names on the command line, in the order of the tables.
pub const NAMES: [(&str, By); 10] = [
    ("none", By::None),
    ("time", By::Time),
    ("random", By::Random),
    ("cosine", By::Cosine),
    ("pooled", By::Pooled),
    ("hybrid", By::Hybrid(None)),
    ("reckoned", By::Reckoned),
    ("features", By::Features),
    ("pose", By::Pose),
    ("oracle", By::Oracle),
];

/// The rankings as they are compared where nothing else is asked for. Features from a file join them where there is
/// one.
pub const DEFAULT: &str =
    "none,time,random,cosine,pooled,hybrid,hybrid@0.3+rules,reckoned,pose,oracle";

/// Farthest weight of nearness in time: beyond, it alone decides.
const WEIGHT_MAX: f32 = 1000.0;

impl Arm {
    /// This ranking in its usual arrangement: eq. 3-5 permute all history as the paper does, what the paper does not
    /// know fills the retrieved slots of the default rules.
    pub fn usual(by: By) -> Self {
        let arrangement = match by {
            By::Time | By::None => Arrangement::Recency,
            By::Cosine | By::Pooled | By::Hybrid(_) => Arrangement::Permutation,
            By::Reckoned | By::Pose | By::Random | By::Features | By::Oracle => {
                Arrangement::Default
            }
        };
        Self { by, arrangement }
    }

    /// The same arm with this weight of nearness in time.
    #[must_use]
    pub fn weighing(self, weight: f32) -> Self {
        Self { by: By::Hybrid(Some(weight)), ..self }
    }

    /// Whether its weight is still to be chosen.
    pub fn is_open(self) -> bool {
        self.by == By::Hybrid(None)
    }

    /// Its weight, where it is a hybrid with one.
    pub fn weight(self) -> Option<f32> {
        match self.by {
            By::Hybrid(weight) => weight,
            _ => None,
        }
    }

    /// How the engine ranks for it; what it does not know of is ranked by scores of the benchmark's.
    pub fn ranking(self, world: &WorldConfig, view: FieldOfView, seed: u64) -> Ranking {
        match self.by {
            By::Reckoned => world.ranking(),
            By::Cosine => Ranking::Similarity { time_weight: 0.0 },
            By::Pooled => Ranking::Pooled { time_weight: 0.0 },
            By::Hybrid(weight) => {
                Ranking::Similarity { time_weight: weight.unwrap_or(world.time_weight) }
            }
            By::Pose => Ranking::Pose(view),
            By::Random => Ranking::Random { seed },
            By::Time | By::None | By::Features | By::Oracle => Ranking::Recency,
        }
    }
}

/// The arms of a list with commas between, each once.
///
/// # Errors
/// Names the first word that is none.
pub fn parse_list(text: &str) -> Result<Vec<Arm>, String> {
    let mut arms: Vec<Arm> = Vec::new();
    for word in text.split(',') {
        let arm: Arm = word.trim().parse()?;
        if !arms.contains(&arm) {
            arms.push(arm);
        }
    }
    Ok(arms)
}

impl FromStr for Arm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || NAMES.map(|(name, _)| name).join(", ");
        let (ranking, arrangement) = match text.split_once('+') {
            None => (text, None),
            Some((ranking, "rules")) => (ranking, Some(Arrangement::Default)),
            Some((ranking, "permuted")) => (ranking, Some(Arrangement::Permutation)),
            Some((_, other)) => return Err(format!("expected +rules or +permuted, got +{other}")),
        };
        let (name, weight) = match ranking.split_once('@') {
            None => (ranking, None),
            Some((name, weight)) => (name, Some(parse_weight(weight)?)),
        };
        let found = NAMES.into_iter().find(|(known, _)| *known == name);
        let (_, by) = found.ok_or_else(|| format!("expected one of {}, got {text:?}", known()))?;
        let by = match (by, weight) {
            (By::Hybrid(_), weight) => By::Hybrid(weight),
            (by, None) => by,
            (_, Some(_)) => {
                return Err(format!("expected a weight with hybrid alone, got {text:?}"));
            }
        };
        let usual = Self::usual(by);
        if arrangement.is_some() && matches!(by, By::Time | By::None) {
            return Err(format!("expected {name} as it is, got {text:?}"));
        }
        Ok(Self { by, arrangement: arrangement.unwrap_or(usual.arrangement) })
    }
}

/// A weight of nearness in time.
pub(super) fn parse_weight(text: &str) -> Result<f32, String> {
    let weight = text.parse().ok().filter(|weight| (0.0..=WEIGHT_MAX).contains(weight));
    weight.ok_or_else(|| format!("expected a weight from 0 to {WEIGHT_MAX}, got {text:?}"))
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same = |by: By| match (by, self.by) {
            (By::Hybrid(_), By::Hybrid(_)) => true,
            (by, mine) => by == mine,
        };
        let (name, _) = NAMES.iter().find(|(_, by)| same(*by)).expect("every ranking has a name");
        f.write_str(name)?;
        if let Some(weight) = self.weight() {
            write!(f, "@{weight}")?;
        }
        if *self == Self::usual(self.by) {
            return Ok(());
        }
        match self.arrangement {
            Arrangement::Default => f.write_str("+rules"),
            Arrangement::Permutation => f.write_str("+permuted"),
            Arrangement::Recency => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_back() {
        let names = "none,time,random,cosine,pooled,hybrid,hybrid@0.3,reckoned,features,pose,oracle,cosine+rules,hybrid@2+rules,pose+permuted,reckoned+permuted";
        let arms = parse_list(names).unwrap();
        assert_eq!(arms.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), names);
        assert_eq!(arms[3].arrangement, Arrangement::Permutation);
        assert_eq!(arms[9].arrangement, Arrangement::Default);
        assert_eq!(parse_list("time, time").unwrap().len(), 1);
        assert!(parse_list(DEFAULT).unwrap().contains(&Arm::usual(By::Hybrid(None))));
    }

    #[test]
    fn other_names_say_what_is_known() {
        for (text, expected) in [
            ("tiem", "expected one of none, time"),
            ("", "expected one of"),
            ("pose@1", "hybrid alone"),
            ("hybrid@-1", "from 0 to 1000"),
            ("hybrid@nan", "from 0 to 1000"),
            ("cosine+twice", "+rules or +permuted"),
            ("time+rules", "time as it is"),
        ] {
            let error = parse_list(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            if let Ok(arms) = parse_list(&text) {
                for arm in arms {
                    prop_assert_eq!(arm.to_string().parse::<Arm>(), Ok(arm));
                }
            }
        }
    }
}
