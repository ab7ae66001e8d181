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
    let layout = worlds::describe(&dir)?.layout;
    let dream = |watched| {
        let beginning = Beginning { start: start.clone(), ..beginning(args, watched) };
        world::opener(dir.clone(), beginning)
    };
    walk(args, script, &layout, &dream)
}

/// What a walk begins from when no picture is given.
fn beginning(args: &PlayArgs, watched: bool) -> Beginning {
    let memory = place(args, watched);
    Beginning { seed: args.seed, evaluations: args.steps, start: None, memory }
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
            Ok(walked) => return walked?.iter().try_for_each(report),
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
    use super::{
        ActionLayout, ByScript, Opener, Plan, PlayArgs, Result, Script, Walked, beginning, frames,
        paths, world, worlds,
    };
    use crate::controls::Controls;
    use crate::present::{self, Goal, NoWindow, Options};
    use crate::rerun;
    use crate::settings;
    use crate::steer::ByHand;
    use crate::stream::Steer;

    /// Walks in a window; the outer error says why there is none.
    pub(super) fn walk(
        args: &PlayArgs,
        layout: &ActionLayout,
        script: Option<Script>,
        dream: Opener,
    ) -> Result<Result<Vec<Walked>>, NoWindow> {
        present::preflight()?;
        let controls = Controls::open(layout);
        let kept = settings::open(&args.settings.clone().unwrap_or_else(paths::settings));
        let walks = Walks { args: args.clone(), script, controls: controls.clone() };
        let options = Options {
            scaling: args.scaling,
            full_screen: args.full_screen,
            record: args.record,
            controls,
            kept,
            world: args.world.clone(),
            screenshots: paths::screenshots(),
        };
        let first = walks.plan(dream);
        present::run(first, Box::new(move |goal| walks.elsewhere(goal)), options)
    }

    /// What all walks in one window have in common.
    struct Walks {
        args: PlayArgs,
        script: Option<Script>,
        controls: Controls,
    }

    impl Walks {
        fn plan(&self, dream: Opener) -> Plan {
            let steer: Box<dyn Steer> = match self.script.clone() {
                Some(script) => Box::new(ByScript::new(script)),
                None => Box::new(ByHand::new(self.controls.clone())),
            };
            let frames = frames(&self.args, self.script.as_ref());
            let sessions = self.args.out.clone().unwrap_or_else(paths::sessions);
            Plan { dream, steer, frames, sessions }
        }

        /// A walk elsewhere than first named, where start picture and forgetting are not meant.
        fn elsewhere(&self, goal: &Goal) -> Result<Plan> {
            let dir = match goal {
                Goal::Session(dir) => return Ok(self.plan(rerun::opener(dir.clone()))),
                Goal::World(dir) => dir,
            };
            self.controls.suit(&worlds::describe(dir)?.layout);
            let args = PlayArgs { forget: false, ..self.args.clone() };
            Ok(self.plan(world::opener(dir.clone(), beginning(&args, true))))
        }
    }
}
