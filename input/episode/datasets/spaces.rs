//! Actions of environments that name no keys: spaces of numbers, as Gymnasium describes them.
//!
//! Numbers on a scale become axes, in the order turn, forward, strafe, pitch (steering, gas and brake of a car, say);
//! choices become buttons.

use serde::Deserialize;

use crate::{Action, ActionLayout, Buttons};

/// Axes that an action has.
const AXES: usize = 4;

/// A description of actions, as Minari keeps it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "type")]
pub(super) enum Space {
    /// One of `n` choices, the first of which has the number `start`.
    Discrete {
        /// How many.
        n: u32,
        /// Number of the first.
        #[serde(default)]
        start: i64,
    },
    /// Several choices at once.
    MultiDiscrete {
        /// How many of each.
        nvec: Vec<u32>,
    },
    /// Several things that are done or not.
    MultiBinary {
        /// How many.
        n: u32,
    },
    /// Numbers between bounds.
    Box {
        /// Least values.
        low: Vec<f64>,
        /// Greatest values.
        high: Vec<f64>,
    },
}

/// How rows of numbers become actions.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Meaning {
    /// One number, the button of that number, counted from this one.
    Choice(i64, u32),
    /// Each number is a choice among so many; the first choice presses nothing, as it mostly stands for nothing.
    Choices(Vec<u32>),
    /// Each number is a place or nothing.
    Places(Vec<Place>),
}

/// Where a number belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// This axis, of those of [`Action::axes`], 1 at this value.
    Axis(usize, f64),
    /// This button, pressed above one half.
    Button(usize),
}

impl Space {
    /// What its numbers mean here, and the layout that says so; or why an action cannot hold them.
    pub(super) fn meaning(&self) -> Result<(Meaning, ActionLayout), String> {
        let buttons = |names: Vec<String>| {
            let most = ActionLayout::MAX_BUTTONS;
            let layout = ActionLayout { buttons: names, ..<_>::default() };
            let count = layout.buttons.len();
            if count > most {
                Err(format!("{count} buttons of at most {most}"))
            } else {
                Ok(layout)
            }
        };
        let named =
            |count: u32| (0..count.min(64)).map(|number| format!("action {number}")).collect();
        match self {
            Self::Discrete { n, start } => Ok((Meaning::Choice(*start, *n), buttons(named(*n))?)),
            Self::MultiBinary { n } => {
                let places = (0..(*n).min(64) as usize).map(Place::Button).collect();
                Ok((Meaning::Places(places), buttons(named(*n))?))
            }
            Self::MultiDiscrete { nvec } => {
                let each = nvec.iter().take(64).enumerate();
                let names = each.flat_map(|(at, count)| {
                    (1..(*count).min(64)).map(move |number| format!("action {at}={number}"))
                });
                Ok((Meaning::Choices(nvec.clone()), buttons(names.collect())?))
            }
            Self::Box { low, high } => {
                if low.len() > AXES || low.len() != high.len() {
                    return Err(format!("{} numbers of at most {AXES}", low.len()));
                }
                let scales = low.iter().zip(high).map(|(low, high)| low.abs().max(high.abs()));
                let places = scales.enumerate().map(|(at, scale)| Place::Axis(at, scale)).collect();
                Ok((Meaning::Places(places), ActionLayout::default()))
            }
        }
    }
}

impl Meaning {
    /// Numbers in a row.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Choice(..) => 1,
            Self::Choices(counts) => counts.len(),
            Self::Places(places) => places.len(),
        }
    }

    /// The action of a row; `None` where a number is out of its bounds.
    pub(super) fn action(&self, row: &[f64]) -> Option<Action> {
        match self {
            Self::Choice(start, count) => {
                let number = chosen(*row.first()? - start_of(*start), *count)?;
                Some(Action { buttons: Buttons::NONE.with(number), ..Action::NEUTRAL })
            }
            Self::Choices(counts) => {
                let (mut buttons, mut first) = (Buttons::NONE, 0);
                for (number, count) in row.iter().zip(counts) {
                    if let Some(button) = chosen(*number, *count)?.checked_sub(1) {
                        buttons = buttons.with(first + button);
                    }
                    first += (*count as usize).saturating_sub(1);
                }
                Some(Action { buttons, ..Action::NEUTRAL })
            }
            Self::Places(places) => {
                let (mut axes, mut buttons) = ([0.0; AXES], Buttons::NONE);
                for (number, place) in row.iter().zip(places) {
                    match place {
                        Place::Axis(at, scale) => *axes.get_mut(*at)? = on_axis(*number, *scale)?,
                        Place::Button(at) if *number > 0.5 => buttons = buttons.with(*at),
                        Place::Button(_) => {}
                    }
                }
                Some(Action { buttons, ..Action::from_axes(axes) }.clamped())
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of choices are small")]
fn start_of(start: i64) -> f64 {
    start as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the bounds are checked before"
)]
fn chosen(number: f64, count: u32) -> Option<usize> {
    (number.fract() == 0.0 && (0.0..f64::from(count)).contains(&number)).then_some(number as usize)
}

#[expect(clippy::cast_possible_truncation, reason = "f64 to f32 rounds; it never wraps")]
fn on_axis(number: f64, scale: f64) -> Option<f32> {
    (number.is_finite() && scale.is_finite())
        .then(|| (number / scale.max(f64::MIN_POSITIVE)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Meaning, ActionLayout), String> {
        serde_json::from_str::<Space>(text).map_err(|error| error.to_string())?.meaning()
    }

    #[test]
    fn choices_become_buttons_and_scales_axes() {
        let (choice, layout) =
            read(r#"{"type":"Discrete","dtype":"int64","start":1,"n":3}"#).unwrap();
        assert_eq!(layout.buttons, ["action 0", "action 1", "action 2"]);
        assert_eq!(choice.action(&[3.0]).unwrap().buttons, Buttons::NONE.with(2));
        assert_eq!(choice.action(&[0.0]), None);
        let (choices, layout) =
            read(r#"{"type":"MultiDiscrete","nvec":[2,3],"start":[0,0]}"#).unwrap();
        assert_eq!(layout.buttons, ["action 0=1", "action 1=1", "action 1=2"]);
        assert_eq!(choices.action(&[1.0, 2.0]).unwrap().buttons, Buttons(0b101));
        let (both, _) = read(r#"{"type":"MultiBinary","n":2}"#).unwrap();
        assert_eq!(both.action(&[0.0, 1.0]).unwrap().buttons, Buttons(0b10));
        let (scales, _) =
            read(r#"{"type":"Box","shape":[2],"low":[-2.0,0.0],"high":[2.0,1.0]}"#).unwrap();
        assert_eq!(scales.action(&[-1.0, 0.5]).unwrap().axes(), [-0.5, 0.5, 0.0, 0.0]);
        assert_eq!(scales.action(&[f64::NAN, 0.0]), None);
    }

    #[test]
    fn what_an_action_cannot_hold_is_refused() {
        assert!(read(r#"{"type":"Discrete","n":33}"#).unwrap_err().contains("33 buttons"));
        assert!(read(r#"{"type":"Discrete","n":4294967295}"#).is_err());
        let seven = r#"{"type":"Box","low":[0,0,0,0,0,0,0],"high":[1,1,1,1,1,1,1]}"#;
        assert!(read(seven).unwrap_err().contains("7 numbers"));
        assert!(read(r#"{"type":"Dict","subspaces":{}}"#).unwrap_err().contains("unknown variant"));
    }
}
