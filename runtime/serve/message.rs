//! What a browser and the program say to each other in JSON; what comes in is hostile until read.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use input::{Key, PadInput, PadState};
use serde::{Deserialize, Serialize};

/// Longest message that is read, in bytes: the longest that a page of ours sends has about two hundred.
pub(super) const MESSAGE_BYTES_MAX: usize = 4096;
/// Longest that a page may have known of a touch before it says so, in milliseconds: beyond, its clock is wrong.
const AGO_MAX: f32 = 1000.0;
/// Most pixels that one message may move the mouse: more than any screen is wide.
const PIXELS_MAX: f32 = 20_000.0;

/// Buttons of a pad in the order of a page's bits; two triggers follow them.
const BUTTONS: [PadInput; 6] = [
    PadInput::South,
    PadInput::East,
    PadInput::West,
    PadInput::North,
    PadInput::LeftShoulder,
    PadInput::RightShoulder,
];

/// What a page says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Said {
    /// A key or mouse button went down or up, `ago` milliseconds before the page said so.
    Key {
        key: Key,
        down: bool,
        #[serde(default)]
        ago: f32,
    },
    /// The mouse or a finger moved by this many pixels.
    Look {
        right: f32,
        down: f32,
        #[serde(default)]
        ago: f32,
    },
    /// A gamepad, or a stick drawn on a touch screen, is held like this now.
    Pad {
        left: (f32, f32),
        right: (f32, f32),
        directions: (f32, f32),
        buttons: u32,
        #[serde(default)]
        ago: f32,
    },
    /// Nothing is held any more: the page lost the focus.
    Release {},
    /// Pause or go on.
    Pause { paused: bool },
    /// Show one more frame while paused.
    Next {},
    /// Begin or end recording.
    Record {},
    /// Mark this moment.
    Bookmark {},
    /// Go back to the marked moment.
    GoBack {},
    /// The frame of this number was shown.
    Seen { number: u64 },
    /// Are you there? `at` is given back.
    Ping { at: f64 },
}

impl Said {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is too long or none of ours.
    pub(super) fn read(text: &str) -> Result<Self> {
        ensure!(
            text.len() <= MESSAGE_BYTES_MAX,
            "expected a message of at most {MESSAGE_BYTES_MAX} bytes"
        );
        let said: Self = serde_json::from_str(text).context("a page said what cannot be read")?;
        Ok(match said {
            Self::Look { right, down, ago } => {
                Self::Look { right: pixels(right), down: pixels(down), ago }
            }
            said => said,
        })
    }

    /// How long before the page said so something was touched; `None` when it says something else.
    pub(super) fn touched_before(&self) -> Option<Duration> {
        match *self {
            Self::Key { ago, .. } | Self::Look { ago, .. } | Self::Pad { ago, .. } => {
                let millis = ago.clamp(0.0, AGO_MAX);
                Some(Duration::try_from_secs_f32(millis / 1e3).unwrap_or_default())
            }
            _ => None,
        }
    }

    /// The pad of [`Said::Pad`].
    pub(super) fn pad(&self) -> Option<PadState> {
        match *self {
            Self::Pad { left, right, directions: (x, y), buttons, .. } => {
                let mut pad =
                    PadState { left: axes(left), right: axes(right), ..PadState::default() };
                let held = (0..).zip(BUTTONS).filter(|(bit, _)| is_down(buttons, *bit) > 0.0);
                held.for_each(|(_, button)| pad.press(button));
                let directions = [
                    (y > 0.5, PadInput::DirectionUp),
                    (y < -0.5, PadInput::DirectionDown),
                    (x < -0.5, PadInput::DirectionLeft),
                    (x > 0.5, PadInput::DirectionRight),
                ];
                directions.into_iter().filter(|(held, _)| *held).for_each(|(_, it)| pad.press(it));
                pad.triggers = (is_down(buttons, 6), is_down(buttons, 7));
                Some(pad)
            }
            _ => None,
        }
    }
}

/// A bit as the way of a trigger.
fn is_down(buttons: u32, bit: u32) -> f32 {
    if buttons >> bit & 1 == 1 { 1.0 } else { 0.0 }
}

fn pixels(value: f32) -> f32 {
    value.clamp(-PIXELS_MAX, PIXELS_MAX)
}

fn axes((x, y): (f32, f32)) -> (f32, f32) {
    (x.clamp(-1.0, 1.0), y.clamp(-1.0, 1.0))
}

/// What a page is told.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Told<'a> {
    /// How things stand.
    Status {
        /// The world's name; `None` until it is open.
        world: Option<&'a str>,
        /// What the player should read.
        text: &'a str,
        /// Whether this page steers.
        steering: bool,
        /// Whether nobody does: the next to press a key will.
        free: bool,
        /// Pages that are open.
        pages: usize,
        /// Whether the walk is paused.
        paused: bool,
        /// Whether the walk is recorded.
        recording: bool,
        /// Whether the walk has ended: nothing comes after this.
        over: bool,
    },
    /// The answer to [`Said::Ping`].
    Pong { at: f64 },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_page_of_ours_says_is_read() {
        let check = |text: &str, expected: Said| assert_eq!(Said::read(text).unwrap(), expected);
        check(
            r#"{"type":"key","key":"w","down":true,"ago":2.5}"#,
            Said::Key { key: Key::W, down: true, ago: 2.5 },
        );
        check(
            r#"{"type":"key","key":"page_up","down":false}"#,
            Said::Key { key: Key::PageUp, down: false, ago: 0.0 },
        );
        check(
            r#"{"type":"look","right":1e30,"down":-3}"#,
            Said::Look { right: PIXELS_MAX, down: -3.0, ago: 0.0 },
        );
        check(r#"{"type":"release"}"#, Said::Release {});
        check(r#"{"type":"go_back"}"#, Said::GoBack {});
        check(r#"{"type":"seen","number":7}"#, Said::Seen { number: 7 });
        let pad = r#"{"type":"pad","left":[0.5,-9],"right":[0,1],"directions":[0,0],"buttons":3}"#;
        let mut expected = PadState { left: (0.5, -1.0), right: (0.0, 1.0), ..<_>::default() };
        expected.press(PadInput::South);
        expected.press(PadInput::East);
        assert_eq!(Said::read(pad).unwrap().pad(), Some(expected));
    }

    #[test]
    fn a_touch_lies_within_the_last_second() {
        let before = |ago| Said::Key { key: Key::W, down: true, ago }.touched_before();
        assert_eq!(before(2.5), Some(Duration::from_micros(2500)));
        assert_eq!(before(1e30), Some(Duration::from_secs(1)));
        for wrong in [-3.0, f32::NEG_INFINITY, f32::NAN] {
            assert_eq!(before(wrong), Some(Duration::ZERO), "{wrong}");
        }
        assert_eq!(Said::Next {}.touched_before(), None);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for text in [
            "",
            "w",
            "[]",
            r#"{"type":"fly"}"#,
            r#"{"type":"key","key":"any","down":true}"#,
            r#"{"type":"key","key":"w"}"#,
            r#"{"type":"release","more":1}"#,
            r#"{"type":"seen","number":-1}"#,
            r#"{"type":"pad","left":[0],"right":[0,1],"directions":[0,0],"buttons":3}"#,
        ] {
            assert!(Said::read(text).is_err(), "{text}");
        }
        let long = format!(r#"{{"type":"release"}}{}"#, " ".repeat(MESSAGE_BYTES_MAX));
        assert!(Said::read(&long).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_message_or_an_error(text in "\\PC*") {
            let _ = Said::read(&text);
        }

        #[test]
        fn numbers_stay_within_bounds(right: f32, down: f32, x: f32, y: f32) {
            let number = |value: f32| serde_json::to_string(&value).unwrap();
            let look = format!(r#"{{"type":"look","right":{},"down":{}}}"#, number(right), number(down));
            if let Ok(Said::Look { right, down, .. }) = Said::read(&look) {
                prop_assert!(right.abs() <= PIXELS_MAX && down.abs() <= PIXELS_MAX);
            }
            let (x, y) = (number(x), number(y));
            let pad = format!(r#"{{"type":"pad","left":[{x},{y}],"right":[{y},{x}],"directions":[0,{y}],"buttons":0}}"#);
            if let Some(pad) = Said::read(&pad).ok().and_then(|said| said.pad()) {
                for axis in [pad.left.0, pad.left.1, pad.right.0, pad.right.1] {
                    prop_assert!(axis.abs() <= 1.0);
                }
            }
        }
    }
}
