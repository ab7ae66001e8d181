//! Minecraft as recorded for OpenAI's Video PreTraining: a video and a JSON line for each frame.
//!
//! Rules of its loader (`data_loader.py`, `run_inverse_dynamics_model.py`) that hold here: a full turn is 2400 counts of
//! the mouse; an attack that is held from the first line on is stuck until it is pressed anew; a change of the hotbar's
//! place is a press of that place's key. Unlike it, nothing is drawn over the pictures (the cursor of open menus is
//! not in them), and frames without an action stay.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::super::video;
use super::minecraft;
use crate::episode::{EpisodeError, Kind, Recording, beside};
use crate::{Action, ActionLayout, Buttons, Pose};

/// Degrees of one count of the mouse.
const DEGREES_PER_COUNT: f32 = 360.0 / 2400.0;

/// Degrees of the largest turn in one tick; faster ones count as this. As in models trained on the set (Oasis).
const MOST_DEGREES: f32 = 20.0;

/// Frames per second of the game.
const FPS: f32 = 20.0;

/// Longest line accepted; inventories take a few KiB.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Most lines accepted: two days and more of play.
const MAX_LINES: usize = 1 << 22;

/// Buttons and the keys that press them; those of the mouse come first.
const BUTTONS: [(&str, &str); 19] = [
    ("attack", ""),
    ("use", ""),
    ("pick", ""),
    ("jump", "key.keyboard.space"),
    ("sneak", "key.keyboard.left.shift"),
    ("sprint", "key.keyboard.left.control"),
    ("drop", "key.keyboard.q"),
    ("inventory", "key.keyboard.e"),
    ("swap hands", "key.keyboard.f"),
    ("escape", "key.keyboard.escape"),
    ("hotbar 1", "key.keyboard.1"),
    ("hotbar 2", "key.keyboard.2"),
    ("hotbar 3", "key.keyboard.3"),
    ("hotbar 4", "key.keyboard.4"),
    ("hotbar 5", "key.keyboard.5"),
    ("hotbar 6", "key.keyboard.6"),
    ("hotbar 7", "key.keyboard.7"),
    ("hotbar 8", "key.keyboard.8"),
    ("hotbar 9", "key.keyboard.9"),
];

/// Index in [`BUTTONS`] of the hotbar's first place.
const HOTBAR: usize = 10;

#[derive(Debug, Deserialize)]
struct Line {
    mouse: Mouse,
    keyboard: Keyboard,
    #[serde(default)]
    hotbar: usize,
    yaw: Option<f32>,
    xpos: Option<f32>,
    zpos: Option<f32>,
}

#[derive(Debug, Deserialize)]
struct Mouse {
    dx: f32,
    dy: f32,
    #[serde(default)]
    buttons: Vec<u32>,
    #[serde(default, rename = "newButtons")]
    new_buttons: Vec<u32>,
}

#[derive(Debug, Deserialize)]
struct Keyboard {
    keys: Vec<String>,
}

/// Opens the recording whose lines are at `path`.
pub(super) fn open(path: &Path) -> Result<Recording, EpisodeError> {
    let video = beside(path, "mp4");
    let video = video.ok_or_else(|| {
        EpisodeError::invalid("an .mp4 of the same name beside it", "none", path.display())
    })?;
    let video = video::open(&video, 0)?;
    let (mut actions, poses) = read_lines(path)?;
    // What was done upon seeing a frame led to the next; nothing led to the first.
    actions.insert(0, Action::NEUTRAL);
    actions.pop();
    Ok(Recording {
        kind: Kind::Vpt,
        width: video.width,
        height: video.height,
        fps: FPS,
        layout: ActionLayout {
            turn_degrees: MOST_DEGREES,
            pitch_degrees: MOST_DEGREES,
            buttons: BUTTONS.map(|(name, _)| name.to_owned()).to_vec(),
        },
        source: "VPT Minecraft".to_owned(),
        actions,
        poses,
        frames: video.frames,
        given: 0,
    })
}

/// What was done upon each frame, and where the player stood where every line says.
fn read_lines(path: &Path) -> Result<(Vec<Action>, Option<Vec<Pose>>), EpisodeError> {
    let io = |error| EpisodeError::io("read", path, error);
    let mut file = BufReader::new(File::open(path).map_err(|e| EpisodeError::io("open", path, e))?);
    let (mut actions, mut poses) = (Vec::new(), Some(Vec::new()));
    let (mut line, mut hotbar, mut stuck) = (Vec::new(), 0, false);
    for number in 1..=MAX_LINES {
        line.clear();
        let read = (&mut file).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(io)?;
        if read == 0 {
            break;
        }
        let line: Line = serde_json::from_slice(&line).map_err(|error| {
            let place = format!("{}, line {number}", path.display());
            EpisodeError::invalid("a frame's mouse and keyboard in JSON", error, place)
        })?;
        let pressed = &line.mouse.new_buttons;
        stuck = if number == 1 { *pressed == [0] } else { stuck && !pressed.contains(&0) };
        actions.push(action(&line, stuck, hotbar));
        hotbar = line.hotbar;
        let pose = line.xpos.zip(line.zpos).zip(line.yaw);
        match (pose, &mut poses) {
            (Some(((x, z), yaw)), Some(poses)) => poses.push(minecraft::pose(x, z, yaw)),
            _ => poses = None,
        }
    }
    Ok((actions, poses))
}

fn action(line: &Line, stuck: bool, hotbar: usize) -> Action {
    let held = |key: &str| line.keyboard.keys.iter().any(|held| held == key);
    let axis = |ahead, back| f32::from(i8::from(held(ahead)) - i8::from(held(back)));
    let mut buttons = Buttons::NONE;
    for (index, (_, key)) in BUTTONS.iter().enumerate() {
        let by_mouse =
            u32::try_from(index).is_ok_and(|number| line.mouse.buttons.contains(&number));
        let pressed = if key.is_empty() { by_mouse && !(stuck && index == 0) } else { held(key) };
        if pressed {
            buttons = buttons.with(index);
        }
    }
    if line.hotbar != hotbar && line.hotbar < 9 {
        buttons = buttons.with(HOTBAR + line.hotbar);
    }
    let turned = |counts: f32| counts * DEGREES_PER_COUNT / MOST_DEGREES;
    Action {
        turn: turned(line.mouse.dx),
        // Theirs counts down the screen.
        pitch: -turned(line.mouse.dy),
        forward: axis("key.keyboard.w", "key.keyboard.s"),
        strafe: axis("key.keyboard.d", "key.keyboard.a"),
        buttons,
    }
    .clamped()
}
