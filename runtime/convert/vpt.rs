//! Video and a JSON line for each frame, as OpenAI recorded Minecraft for Video PreTraining.
//!
//! Keys are Minecraft's: a stick pushed by any amount is a key held. Turns are mouse motion at 2400 counts to a full
//! turn, which its loader assumes; a recording that does not say how far a turn goes has none. The exact action
//! stands in each line as `action`, which other readers pass over.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use input::{Action, ActionLayout, Episode};
use serde_json::{Value, json};

use super::{Target, action_upon, write_video};

/// Counts of the mouse in a degree (VPT `data_loader.py`: 360 / 2400 degrees a count).
const COUNTS_PER_DEGREE: f32 = 2400.0 / 360.0;

/// Buttons that Minecraft has, by the names that recordings use, and its keys.
const KEYS: &[(&str, &str)] = &[
    ("jump", "key.keyboard.space"),
    ("sneak", "key.keyboard.left.shift"),
    ("crouch", "key.keyboard.left.shift"),
    ("sprint", "key.keyboard.left.control"),
    ("run", "key.keyboard.left.control"),
    ("drop", "key.keyboard.q"),
    ("inventory", "key.keyboard.e"),
];
/// Mouse buttons by the names that recordings use.
const MOUSE: &[(&str, u8)] = &[("attack", 0), ("fire", 0), ("use", 1), ("pick", 2)];

/// A folder of such recordings.
pub(super) struct Lines {
    out: PathBuf,
    written: usize,
}

impl Lines {
    pub(super) fn new(out: &Path) -> Self {
        Self { out: out.to_owned(), written: 0 }
    }
}

impl Target for Lines {
    fn add(&mut self, episode: &Episode, video: Option<&Path>) -> Result<()> {
        let name = format!("episode-{:06}", self.written);
        write_video(episode, video, &self.out.join(format!("{name}.mp4")))?;
        let path = self.out.join(format!("{name}.jsonl"));
        write_lines(episode, &path).with_context(|| format!("write {}", path.display()))?;
        self.written += 1;
        Ok(())
    }
}

fn write_lines(episode: &Episode, path: &Path) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut before = Held::default();
    for t in 0..episode.len() {
        let action = action_upon(episode, t);
        let held = Held::of(&action, &episode.layout);
        serde_json::to_writer(&mut file, &line(episode, t, &action, &held, &before))?;
        file.write_all(b"\n")?;
        before = held;
    }
    Ok(file.flush()?)
}

/// What is held down.
#[derive(Default, PartialEq, Debug)]
struct Held {
    keys: Vec<String>,
    buttons: Vec<u8>,
}

impl Held {
    fn of(action: &Action, layout: &ActionLayout) -> Self {
        let axis = |value: f32, ahead: &str, back: &str| match value {
            value if value > 0.0 => Some(format!("key.keyboard.{ahead}")),
            value if value < 0.0 => Some(format!("key.keyboard.{back}")),
            _ => None,
        };
        let mut held = Self::default();
        held.keys.extend(axis(action.forward, "w", "s"));
        held.keys.extend(axis(action.strafe, "d", "a"));
        let pressed = |(at, _): &(usize, &String)| action.buttons.contains(*at);
        for (_, name) in layout.buttons.iter().enumerate().filter(pressed) {
            let name = name.to_lowercase();
            if let Some((_, button)) = MOUSE.iter().find(|(known, _)| *known == name) {
                held.buttons.push(*button);
            } else if let Some((_, key)) = KEYS.iter().find(|(known, _)| *known == name) {
                held.keys.push((*key).to_owned());
            }
        }
        held
    }
}

fn line(episode: &Episode, t: usize, action: &Action, held: &Held, before: &Held) -> Value {
    let Episode { layout, fps, .. } = episode;
    let new_keys: Vec<_> = held.keys.iter().filter(|key| !before.keys.contains(key)).collect();
    let new_buttons: Vec<_> =
        held.buttons.iter().filter(|button| !before.buttons.contains(button)).collect();
    let mut line = json!({
        "mouse": {
            "x": 0.0, "y": 0.0,
            "dx": action.turn * layout.turn_degrees * COUNTS_PER_DEGREE,
            // Theirs counts down the screen.
            "dy": 0.0 - action.pitch * layout.pitch_degrees * COUNTS_PER_DEGREE,
            "scaledX": 0.0, "scaledY": 0.0, "dwheel": 0.0,
            "buttons": held.buttons, "newButtons": new_buttons,
        },
        "keyboard": {"keys": held.keys, "newKeys": new_keys, "chars": ""},
        "isGuiOpen": false, "isGuiInventory": false, "hotbar": 0,
        "tick": t, "serverTick": t, "milli": t as f64 * 1000.0 / f64::from(*fps),
        "inventory": [], "stats": {},
        "action": action,
    });
    if let Some(pose) = episode.poses.as_ref().and_then(|poses| poses.get(t)) {
        // Theirs counts clockwise from south; x is east and z south.
        line["yaw"] = json!(-90.0 - pose.yaw);
        line["pitch"] = json!(0.0);
        line["xpos"] = json!(pose.x);
        line["ypos"] = json!(0.0);
        line["zpos"] = json!(-pose.y);
    }
    line
}

#[cfg(test)]
mod tests {
    use input::Buttons;

    use super::*;

    #[test]
    fn sticks_are_keys_and_known_buttons_minecrafts() {
        let layout = ActionLayout {
            turn_degrees: 15.0,
            pitch_degrees: 0.0,
            buttons: ["Attack", "jump", "yodel"].map(str::to_owned).to_vec(),
        };
        let action = Action { buttons: Buttons(0b111), ..Action::from_axes([0.5, 0.1, -1.0, 0.0]) };
        let held = Held::of(&action, &layout);
        assert_eq!(held.keys, ["key.keyboard.w", "key.keyboard.a", "key.keyboard.space"]);
        assert_eq!(held.buttons, [0]);
        assert_eq!(Held::of(&Action::NEUTRAL, &layout), Held::default());
    }
}
