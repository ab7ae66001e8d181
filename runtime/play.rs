//! `oneiro play`: a walk in a window, in a terminal, or without either.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use input::{ActionLayout, KeyBindings, Keyboard, Script};

use crate::cli::{PlayArgs, Steps};
use crate::commands::Usage;
use crate::dream::Opener;
use crate::recall::Place;
use crate::steer::{ByHand, ByScript, SharedKeyboard};
use crate::stream::Steer;
use crate::walk::{Plan, Walked};
use crate::world::Beginning;
use crate::{cores, date, headless, paths, start, tape, terminal, world, worlds};

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
        let memory = place(args.memory.as_deref(), args.forget, watched);
        let start = start.clone();
        let evaluations = match args.steps {
            Some(Steps::Fixed(evaluations)) => Some(evaluations),
            Some(Steps::Auto) | None => None,
        };
        let beginning = Beginning { seed: args.seed, evaluations, start, memory };
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
pub fn place(memory: Option<&Path>, forget: bool, watched: bool) -> Place {
    let own = || watched.then(paths::memory);
    let dir = memory.map(Path::to_owned).or_else(own).filter(|dir| dir.as_os_str() != "none");
    dir.map_or(Place::Nowhere, |dir| Place::Folder { dir, forget })
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
    if !args.headless && !args.terminal {
        match by_window::walk(args, layout, script.clone(), dream(true)) {
            Ok(walked) => return report(&walked?),
            Err(reason) => {
                let instead =
                    if terminal::is_there() { "in the terminal" } else { "without a window" };
                writeln!(io::stderr(), "oneiro: {reason}; walking {instead}")?;
            }
        }
    }
    if !args.headless && terminal::is_there() {
        return report(&in_terminal(args, layout, script, dream(true))?);
    }
    if args.terminal {
        let wanted =
            "expected a terminal on standard input and output; --headless walks without one";
        return Err(Usage(wanted.into()).into());
    }
    let sessions = paths::sessions();
    let own = || sessions.join(tape::session_name(&date::now(), &sessions));
    let out = args.out.clone().unwrap_or_else(own);
    let frames = frames(args, script.as_ref()).unwrap_or(HEADLESS_FRAMES);
    let plan = Plan {
        dream: dream(false),
        steer: Box::new(script.map_or_else(|| ByScript::wander(args.seed), ByScript::new)),
        frames: Some(frames),
        sessions: PathBuf::new(),
        auto_steps: false,
    };
    report(&cores::on_all(|| headless::run(plan, &out))??)
}

fn in_terminal(
    args: &PlayArgs,
    layout: &ActionLayout,
    script: Option<Script>,
    dream: Opener,
) -> Result<Walked> {
    let frames = frames(args, script.as_ref());
    let (keyboard, steer) = hand(layout, script);
    let sessions = args.out.clone().unwrap_or_else(paths::sessions);
    let auto_steps = args.steps == Some(Steps::Auto);
    terminal::run(Plan { dream, steer, frames, sessions, auto_steps }, keyboard, args.record)
}

/// A keyboard to feed, and what steers: it and gamepads, or a script.
fn hand(layout: &ActionLayout, script: Option<Script>) -> (SharedKeyboard, Box<dyn Steer>) {
    let keyboard = Keyboard::new(KeyBindings::default(), layout.clone());
    let keyboard: SharedKeyboard = Arc::new(Mutex::new(keyboard));
    let steer: Box<dyn Steer> = match script {
        Some(script) => Box::new(ByScript::new(script)),
        None => Box::new(ByHand::new(Arc::clone(&keyboard), layout)),
    };
    (keyboard, steer)
}

/// Frames of the walk: as many as asked for, or as the script has actions.
fn frames(args: &PlayArgs, script: Option<&Script>) -> Option<u64> {
    let written = script.and_then(|script| u64::try_from(script.actions().len()).ok());
    args.frames.or(written.filter(|frames| *frames > 0))
}

/// Says where recordings are, then prints the figures: in a sentence to a person, else in JSON.
///
/// # Errors
/// When standard output cannot be written.
pub fn report(walked: &Walked) -> Result<()> {
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
    use std::sync::PoisonError;

    use super::{
        ActionLayout, Opener, Plan, PlayArgs, Result, Script, Walked, frames, hand, paths,
    };
    use crate::cli::{ScalingArg, Steps};
    use crate::present::{self, NoWindow, Options, Scaling, Touch};
    use crate::steer::SharedKeyboard;

    /// Walks in a window; the outer error says why there is none.
    pub(super) fn walk(
        args: &PlayArgs,
        layout: &ActionLayout,
        script: Option<Script>,
        dream: Opener,
    ) -> Result<Result<Walked>, NoWindow> {
        present::preflight()?;
        let frames = frames(args, script.as_ref());
        let (keyboard, steer) = hand(layout, script);
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
        let auto_steps = args.steps == Some(Steps::Auto);
        present::run(Plan { dream, steer, frames, sessions, auto_steps }, options)
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
