//! The figures of a world in one table, each beside its floor and its aim.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::drift::{Drift, Shares};
use super::rollout::Rollouts;
use super::steer::Steering;

/// Starts below which figures are too uncertain to be held against the floors.
const STARTS_MIN: usize = 200;

/// Minutes of random play that the floor is meant for, in frames of the slowest world (10 a
/// second); shorter play is easier.
const DRIFT_FRAMES_MIN: usize = 6000;

/// All figures of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Rollouts against the game.
    pub rollout: Rollouts,
    /// Whether it turns as told.
    pub steer: Steering,
    /// Random play, where it was asked for.
    pub drift: Option<Drift>,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured.
    pub figure: String,
    /// What it came to.
    pub value: f64,
    /// What a world must reach.
    pub floor: Bound,
    /// What a good world reaches.
    pub aim: Bound,
    /// The unit, and how the value is written.
    pub unit: Unit,
    /// What stands beside it, for comparison.
    pub beside: String,
}

/// Where a value has to lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This or more.
    AtLeast(f64),
    /// Between these, ends included.
    Within(f64, f64),
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Decibels.
    Decibel,
    /// Decibels more than something else.
    Gain,
    /// A quotient.
    Ratio,
    /// A share, shown in per cent.
    Share,
    /// Frames a second.
    Rate,
}

impl Bound {
    /// Whether a value lies where it has to.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(low) => value >= low,
            Self::Within(low, high) => low <= value && value <= high,
        }
    }

    fn text(self, unit: Unit) -> String {
        match self {
            Self::AtLeast(low) => unit.text(low),
            Self::Within(low, high) => format!("{} to {}", unit.text(low), unit.text(high)),
        }
    }
}

impl Unit {
    fn text(self, value: f64) -> String {
        self.text_to(value, 0)
    }

    /// With so many digits more than is usual.
    fn text_to(self, value: f64, more: usize) -> String {
        let (one, two) = (1 + more, 2 + more);
        match self {
            Self::Decibel => format!("{value:.one$} dB"),
            Self::Gain => format!("{value:+.one$} dB"),
            Self::Ratio => format!("{value:.two$}"),
            Self::Share => format!("{:.one$} %", value * 100.0),
            Self::Rate => format!("{value:.one$}"),
        }
    }
}

impl Report {
    /// Every figure with its floor and aim.
    pub fn rows(&self) -> Vec<Row> {
        let codec = &self.rollout.codec;
        let ssim = format!("SSIM {:.3}", codec.ssim);
        let mut rows = vec![
            row("codec, PSNR", codec.psnr, [31.0, 34.0], Unit::Decibel, ssim),
            row(
                "codec, detail over real",
                codec.gradient_ratio,
                [0.8, 0.95],
                Unit::Ratio,
                "".into(),
            ),
        ];
        rows.extend(self.likeness_rows());
        rows.extend(self.gain_rows());
        rows.push(self.detail_row());
        let steer = &self.steer;
        let beside = format!(
            "left {}, right {}; the game itself {}; amount over the game's {:.2}; {} starts",
            Unit::Share.text(steer.left),
            Unit::Share.text(steer.right),
            Unit::Share.text(steer.game),
            steer.amount,
            steer.starts
        );
        rows.push(row("steering, sign agrees", steer.both, [0.95, 0.99], Unit::Share, beside));
        rows.extend(self.drift.as_ref().map(drift_row));
        let rate = self.rollout.frames_per_second;
        rows.push(row("frames/s, decode included", rate, [17.5, 35.0], Unit::Rate, "".into()));
        rows
    }

    fn likeness_rows(&self) -> impl Iterator<Item = Row> {
        let wanted = [(1, 26.5, 29.4), (8, 22.5, 26.0), (16, 20.5, 24.0), (32, 19.0, 22.0)];
        wanted.into_iter().map(|(frame, floor, aim)| {
            let horizon = self.rollout.at(frame);
            let name = match frame {
                1 => "next frame from real history, PSNR".to_owned(),
                _ => format!("rollout frame {frame}, PSNR"),
            };
            let mut beside = format!(
                "SSIM {:.3}; copy {:.1} dB, mean frame {:.1} dB",
                horizon.dream.ssim, horizon.copy.psnr, horizon.mean_frame.psnr
            );
            if let Some(atlas) = &horizon.atlas {
                let (starts, all) = (horizon.atlas_starts, self.rollout.starts);
                let _ = write!(beside, ", atlas alone {:.1} dB", atlas.psnr);
                if starts < all {
                    let _ = write!(beside, " ({starts} of {all} starts)");
                }
            }
            row(&name, horizon.dream.psnr, [floor, aim], Unit::Decibel, beside)
        })
    }

    fn gain_rows(&self) -> impl Iterator<Item = Row> {
        [1, 8, 16, 32].into_iter().map(|frame| {
            let horizon = self.rollout.at(frame);
            let gain = horizon.dream.psnr - horizon.copy.psnr;
            let name = format!("above copy-last-frame, frame {frame}");
            row(&name, gain, [3.0, 6.0], Unit::Gain, String::new())
        })
    }

    fn detail_row(&self) -> Row {
        let horizon = self.rollout.at(16);
        Row {
            figure: "rollout frame 16, detail over real".to_owned(),
            value: horizon.dream.gradient_ratio,
            floor: Bound::Within(0.6, 1.4),
            aim: Bound::Within(0.85, 1.15),
            unit: Unit::Ratio,
            beside: format!("mean frame {:.2}", horizon.mean_frame.gradient_ratio),
        }
    }

    /// The table in Markdown, with a line on each shortcoming of the run itself.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| figure | floor | aim | measured | floor holds | beside it |\n|---|---|---|---|---|---|\n",
        );
        for row in self.rows() {
            let _ = writeln!(text, "{row}");
        }
        let _ = writeln!(text, "\n{} rollouts of 32 frames.", self.rollout.starts);
        if self.rollout.starts.min(self.steer.starts) < STARTS_MIN {
            let _ = writeln!(text, "The floors are meant for {STARTS_MIN} starts or more.");
        }
        if let Some(drift) = &self.drift {
            let tenths = drift.tenths.iter().map(|&share| Unit::Share.text(share));
            let tenths = tenths.collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "Random play, tenth by tenth: {tenths}.");
        }
        if self.drift.as_ref().is_none_or(|drift| drift.dream.frames < DRIFT_FRAMES_MIN) {
            let _ = writeln!(text, "The floor of random play is meant for 10 minutes.");
        }
        text
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, value, floor, aim, unit, beside } = self;
        let [floor_text, aim_text] = [floor, aim].map(|bound| bound.text(*unit));
        let holds = floor.holds(*value);
        // A value just below its floor is not written as the floor.
        let is_floor = |text: &String| floor_text.split(" to ").any(|floor| floor == text);
        let mut texts = (0..4).map(|more| unit.text_to(*value, more));
        let told = texts.find(|text| holds || !is_floor(text));
        let value = told.unwrap_or_else(|| unit.text(*value));
        let holds = if holds { "yes" } else { "no" };
        write!(f, "| {figure} | {floor_text} | {aim_text} | {value} | {holds} | {beside} |")
    }
}

fn row(figure: &str, value: f64, [floor, aim]: [f64; 2], unit: Unit, beside: String) -> Row {
    let (floor, aim) = (Bound::AtLeast(floor), Bound::AtLeast(aim));
    Row { figure: figure.to_owned(), value, floor, aim, unit, beside }
}

fn drift_row(drift: &Drift) -> Row {
    let (dream, game) = (&drift.dream, &drift.game);
    let parts = |shares: &Shares| {
        let each = [shares.sharpness, shares.colour, shares.movement];
        let [sharpness, colour, movement] = each.map(|share| Unit::Share.text(share));
        format!("sharpness {sharpness}, colour {colour}, movement {movement}")
    };
    let atlas = drift.atlas.as_ref();
    let atlas =
        atlas.map(|it| format!(" atlas alone {} ({}),", Unit::Share.text(it.all), parts(it)));
    let random = drift.game_random.as_ref();
    let random = random.map(|it| {
        format!(" random play of the game {} ({});", Unit::Share.text(it.all), parts(it))
    });
    let beside = format!(
        "{}; change over the game's {:.2} turning, {:.2} walking;{} held-out play itself {} ({});{} {} frames",
        parts(dream),
        dream.turning_change,
        dream.walking_change,
        atlas.unwrap_or_default(),
        Unit::Share.text(game.all),
        parts(game),
        random.unwrap_or_default(),
        dream.frames
    );
    row("random play, frames like real ones", dream.all, [0.9, 0.98], Unit::Share, beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_include_their_ends() {
        assert!(Bound::AtLeast(3.0).holds(3.0) && !Bound::AtLeast(3.0).holds(2.99));
        let within = Bound::Within(0.6, 1.4);
        assert!([0.6, 1.0, 1.4].iter().all(|&value| within.holds(value)));
        assert!(![0.59, 1.41, f64::NAN].iter().any(|&value| within.holds(value)));
    }

    #[test]
    fn a_row_says_whether_its_floor_holds() {
        let text = row("x", 2.5, [3.0, 6.0], Unit::Gain, "y".into()).to_string();
        assert_eq!(text, "| x | +3.0 dB | +6.0 dB | +2.5 dB | no | y |");
        let text = row("x", 0.955, [0.95, 0.99], Unit::Share, String::new()).to_string();
        assert_eq!(text, "| x | 95.0 % | 99.0 % | 95.5 % | yes |  |");
        let text = row("x", 0.797, [0.8, 0.95], Unit::Ratio, String::new()).to_string();
        assert_eq!(text, "| x | 0.80 | 0.95 | 0.797 | no |  |");
    }
}
