//! `oneiro play`: a walk in a window, or without one.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::Result;
use input::{ActionLayout, Script};

use crate::cli::PlayArgs;
use crate::dream::Opener;
use crate::recall::Place;
use crate::steer::ByScript;
use crate::walk::{Plan, Walked};
use crate::world::Beginning;
use crate::{cores, date, headless, paths, start, tape, world, worlds};

/// Frames of a walk without a window when nothing else is said: 20 seconds at 17.5 frames/s.
const HEADLESS_FRAMES: u64 = 350;

/// Walks in the world that the command line names.
///
/// # Errors
/// When the world cannot be opened or the walk fails.
pub fn run(args: &PlayArgs) -> Result<()> {
    let script = script(args)?;
    let start = args.start.as_deref().map(start::read).transpose()?;
    let dir = worlds::find(&args.world)?;
    let layout = world::layout(&dir)?;
    let dream = |watched| {
        let memory = place(args, watched);
        let start = start.clone();
        let beginning = Beginning { seed: args.seed, evaluations: args.steps, start, memory };
        world::opener(dir.clone(), beginning)
    };
    walk(args, script, &layout, &dream)
}

/// The script that the command line names, if any.
///
/// # Errors
/// When it cannot be read; the line at fault is named.
pub fn script(args: &PlayArgs) -> Result<Option<Script>> {
    Ok(args.actions.as_deref().map(Script::open).transpose()?)
}

/// Where memory lies: where the command line says, else in the user's folder when the walk is watched.
fn place(args: &PlayArgs, watched: bool) -> Place {
    let own = || watched.then(paths::memory);
    let dir = args.memory.clone().or_else(own).filter(|dir| dir.as_os_str() != "none");
    dir.map_or(Place::Nowhere, |dir| Place::Folder { dir, forget: args.forget })
}

/// Walks in what `dream` opens, being told whether somebody watches; it is asked once more when there is no window
/// after all.
///
/// # Errors
/// When the dream cannot be opened or the walk fails.
pub fn walk(
    args: &PlayArgs,
    script: Option<Script>,
    layout: &ActionLayout,
    dream: &dyn Fn(bool) -> Opener,
) -> Result<()> {
    #[cfg(feature = "window")]
    if !args.headless {
        match by_window::walk(args, layout, script.clone(), dream(true)) {
            Ok(walked) => return report(&walked?),
            Err(reason) => {
                writeln!(io::stderr(), "oneiro: {reason}; walking without a window")?;
            }
        }
    }
    #[cfg(not(feature = "window"))]
    let _ = layout;
    let sessions = paths::sessions();
    let own = || sessions.join(tape::session_name(&date::now(), &sessions));
    let out = args.out.clone().unwrap_or_else(own);
    let frames = frames(args, script.as_ref()).unwrap_or(HEADLESS_FRAMES);
    let plan = Plan {
        dream: dream(false),
        steer: Box::new(script.map_or_else(|| ByScript::wander(args.seed), ByScript::new)),
        frames: Some(frames),
        sessions: PathBuf::new(),
    };
    report(&cores::on_all(|| headless::run(plan, &out))??)
}

/// Frames of the walk: as many as asked for, or as the script has actions.
fn frames(args: &PlayArgs, script: Option<&Script>) -> Option<u64> {
    let written = script.and_then(|script| u64::try_from(script.actions().len()).ok());
    args.frames.or(written.filter(|frames| *frames > 0))
}

/// Says where recordings are, then prints the figures: in a sentence to a person, else in JSON.
fn report(walked: &Walked) -> Result<()> {
    let mut out = io::stdout().lock();
    for recording in &walked.recordings {
        writeln!(out, "{recording}")?;
        writeln!(out, "video: {}", recording.dir.join("video.mp4").display())?;
    }
    let figures = &walked.figures;
    if out.is_terminal() && !walked.headless {
        let (frames, fps) = (figures.frames, figures.fps);
        writeln!(out, "{frames} frames in {:.0} s, {fps:.1} frames/s", figures.seconds)?;
    } else {
        serde_json::to_writer(&mut out, figures)?;
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(feature = "window")]
mod by_window {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{
        ActionLayout, ByScript, Opener, Plan, PlayArgs, Result, Script, Walked, frames, paths,
    };
    use crate::cli::ScalingArg;
    use crate::present::{self, NoWindow, Options, Scaling, Touch};
    use crate::steer::{ByHand, SharedKeyboard};
    use crate::stream::Steer;
    use input::{KeyBindings, Keyboard};

    /// Walks in a window; the outer error says why there is none.
    pub(super) fn walk(
        args: &PlayArgs,
        layout: &ActionLayout,
        script: Option<Script>,
        dream: Opener,
    ) -> Result<Result<Walked>, NoWindow> {
        present::preflight()?;
        let keyboard = Keyboard::new(KeyBindings::default(), layout.clone());
        let keyboard: SharedKeyboard = Arc::new(Mutex::new(keyboard));
        let frames = frames(args, script.as_ref());
        let steer: Box<dyn Steer> = match script {
            Some(script) => Box::new(ByScript::new(script)),
            None => Box::new(ByHand::new(Arc::clone(&keyboard), layout)),
        };
        let sessions = args.out.clone().unwrap_or_else(paths::sessions);
        let options = Options {
            scaling: match args.scaling {
                ScalingArg::Auto => None,
                ScalingArg::Nearest => Some(Scaling::Nearest),
                ScalingArg::Smooth => Some(Scaling::Smooth),
            },
            full_screen: args.full_screen,
            record: args.record,
            steered: true,
            touch: Box::new(move |touch| feed(&keyboard, touch)),
        };
        present::run(Plan { dream, steer, frames, sessions }, options)
    }

    fn feed(keyboard: &SharedKeyboard, touch: Touch) {
        let mut keyboard = keyboard.lock().unwrap_or_else(PoisonError::into_inner);
        match touch {
            Touch::Key(key, true) => keyboard.press(key),
            Touch::Key(key, false) => keyboard.release(key),
            Touch::Motion { right, down } => keyboard.move_mouse(right, down),
            Touch::Release => keyboard.release_all(),
        }
    }
}
