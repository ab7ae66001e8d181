//! Counter-Strike deathmatch of Pearce and Zhu (arXiv 2104.04258): an HDF5 file of 1000 frames.
//!
//! For frame `i` there are `frame_i_x`, a picture in blue, green, red, and `frame_i_y`, 51 numbers: eleven keys, two
//! mouse buttons, and where the mouse went, one-hot over 23 steps sideways and 15 up and down.

use std::path::Path;

use super::hdf5::Hdf5;
use crate::episode::{EpisodeError, Kind, MAX_SIDE, Recording};
use crate::{Action, ActionLayout, Buttons, Frame};

/// Frames per second of the recorder.
const FPS: f32 = 16.0;

/// Numbers of an action.
const NUMBERS: usize = 51;

/// Counts of the mouse that are 1 on an axis. Sideways there are rare flicks of 300, 500 and 1000, which count as this:
/// on a scale that holds them, aiming would hardly differ from standing still.
const MOST_COUNTS: f32 = 200.0;

/// Counts sideways of each number from 13 on (the recorder's `config.py`).
const SIDEWAYS: [f32; 23] = [
    -1000.0, -500.0, -300.0, -200.0, -100.0, -60.0, -30.0, -20.0, -10.0, -4.0, -2.0, 0.0, 2.0, 4.0,
    10.0, 20.0, 30.0, 60.0, 100.0, 200.0, 300.0, 500.0, 1000.0,
];

/// Counts down of each number from 36 on.
const DOWN: [f32; 15] = [
    -200.0, -100.0, -50.0, -20.0, -10.0, -4.0, -2.0, 0.0, 2.0, 4.0, 10.0, 20.0, 50.0, 100.0, 200.0,
];

/// Buttons, in the order of numbers 4 to 12. The first four are w, a, s, d, which are axes.
const BUTTONS: [&str; 9] =
    ["jump", "crouch", "walk", "weapon 1", "weapon 2", "weapon 3", "reload", "fire", "zoom"];

/// Opens the file at `path`.
pub(super) fn open(path: &Path) -> Result<Recording, EpisodeError> {
    let file = Hdf5::open(path)?;
    let mut names = file.names();
    names.sort_unstable();
    let has = |name: &String| names.binary_search(name).is_ok();
    let frames = (0..names.len()).take_while(|t| has(&picture_name(*t))).count();
    if frames == 0 {
        let expected = "`frame_0_x` (Counter-Strike) or the name main_data.hdf5 (Minari)";
        return Err(EpisodeError::invalid(expected, "neither", path.display()));
    }
    let shape = file.array(&picture_name(0))?.shape;
    let side =
        |side: &usize| u32::try_from(*side).ok().filter(|side| (1..=MAX_SIDE).contains(side));
    let size = match shape.as_slice() {
        [height, width, 3] => side(width).zip(side(height)),
        _ => None,
    };
    let Some((width, height)) = size else {
        return Err(file.fault("frame_0_x", "[height, width, 3]", format!("{shape:?}")));
    };
    // What was done upon seeing a frame led to the next; nothing led to the first.
    let upon = (0..frames - 1).map(|t| read_action(&file, t));
    let actions =
        std::iter::once(Ok(Action::NEUTRAL)).chain(upon).collect::<Result<Vec<_>, _>>()?;
    let pictures = (0..frames).map(move |t| read_picture(&file, t, (width, height)));
    Ok(Recording {
        kind: Kind::CounterStrike,
        width,
        height,
        fps: FPS,
        // How far a count turns depends on a setting that was not recorded.
        layout: ActionLayout { buttons: BUTTONS.map(str::to_owned).to_vec(), ..<_>::default() },
        source: "Counter-Strike deathmatch".to_owned(),
        actions,
        poses: None,
        frames: Box::new(pictures),
        given: 0,
    })
}

fn picture_name(t: usize) -> String {
    format!("frame_{t}_x")
}

fn read_picture(file: &Hdf5, t: usize, (width, height): (u32, u32)) -> Result<Frame, EpisodeError> {
    let array = file.array(&picture_name(t))?;
    let shape = [height as usize, width as usize, 3];
    if array.shape != shape {
        return Err(array.fault(&format!("{shape:?}"), format!("{:?}", array.shape)));
    }
    let mut pixels = array.bytes(&[0, 0, 0], &shape)?;
    pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.reverse());
    Ok(Frame { width, height, pixels })
}

fn read_action(file: &Hdf5, t: usize) -> Result<Action, EpisodeError> {
    let array = file.array(&format!("frame_{t}_y"))?;
    if array.shape != [NUMBERS] {
        return Err(array.fault("[51]", format!("{:?}", array.shape)));
    }
    let numbers = array.numbers()?;
    let pressed = |index: usize| numbers.get(index).is_some_and(|number| *number > 0.5);
    let axis = |ahead, back| f32::from(i8::from(pressed(ahead)) - i8::from(pressed(back)));
    let moved = |first: usize, counts: &[f32]| {
        let step = (0..counts.len()).find(|step| pressed(first + step));
        step.map_or(0.0, |step| counts[step] / MOST_COUNTS)
    };
    let buttons = (0..BUTTONS.len()).filter(|index| pressed(4 + index));
    Ok(Action {
        turn: moved(13, &SIDEWAYS),
        // Theirs is down.
        pitch: 0.0 - moved(36, &DOWN),
        // Keys w, a, s, d.
        forward: axis(0, 2),
        strafe: axis(3, 1),
        buttons: buttons.fold(Buttons::NONE, Buttons::with),
    }
    .clamped())
}
