//! `oneiro play`: a walk in a window, in a terminal, or without either.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use input::{ActionLayout, Script};

use crate::cli::{PlayArgs, Steps};
use crate::commands::Usage;
use crate::controls::Controls;
use crate::dream::Opener;
use crate::recall::Place;
use crate::steer::{ByHand, ByScript};
use crate::stream::Steer;
use crate::walk::{Plan, Walked};
use crate::world::Beginning;
use crate::{cores, date, headless, paths, settings, start, tape, terminal, world, worlds};

/// Frames of a walk without a window when nothing else is said: 20 seconds at 17.5 frames/s.
const HEADLESS_FRAMES: u64 = 350;

/// Walks in the world that the command line names.
///
/// # Errors
/// When the world cannot be opened or the walk fails.
pub fn run(args: &PlayArgs) -> Result<()> {
    check_memory(args, !args.headless)?;
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

/// Refuses to forget what a walk, watched or not, does not remember.
fn check_memory(args: &PlayArgs, watched: bool) -> Result<()> {
    if args.forget && place(args.memory.as_deref(), true, watched) == Place::Nowhere {
        let wanted = "expected --memory DIR with --forget: this walk has no memory to let go of";
        return Err(Usage(wanted.to_owned()).into());
    }
    Ok(())
}

/// What a walk begins from when no picture is given.
fn beginning(args: &PlayArgs, watched: bool) -> Beginning {
    let memory = place(args.memory.as_deref(), args.forget, watched);
    let evaluations = match args.steps {
        Some(Steps::Fixed(evaluations)) => Some(evaluations),
        Some(Steps::Auto) | None => None,
    };
    Beginning { seed: args.seed, evaluations, start: None, memory }
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
            Ok(walked) => return walked?.iter().try_for_each(report),
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
    check_memory(args, false)?;
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
    let controls = Controls::open(layout);
    let kept = settings::open(&args.settings.clone().unwrap_or_else(paths::settings));
    if let Some(notice) = kept.notice {
        tracing::warn!("{notice}");
    }
    controls.bind(&kept.settings);
    let plan = plan(args, script, &controls, dream);
    terminal::run(plan, controls, &kept.settings, args.record)
}

/// A walk that somebody watches, steered by a script or by hand.
fn plan(args: &PlayArgs, script: Option<Script>, controls: &Controls, dream: Opener) -> Plan {
    let frames = frames(args, script.as_ref());
    // A script is to give the same walk on every machine.
    let auto_steps = args.steps.map_or(script.is_none(), |steps| steps == Steps::Auto);
    let steer: Box<dyn Steer> = match script {
        Some(script) => Box::new(ByScript::new(script)),
        None => Box::new(ByHand::new(controls.clone())),
    };
    let sessions = args.out.clone().unwrap_or_else(paths::sessions);
    Plan { dream, steer, frames, sessions, auto_steps }
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
pub mod by_window {
    //! Walks in a window, one after another.

    use super::{
        ActionLayout, ByScript, Controls, Opener, Path, Plan, PlayArgs, Result, Script, Walked,
        beginning, paths, plan, settings, world, worlds,
    };
    use crate::present::{self, Goal, NoWindow, Options};
    use crate::replay;

    /// Walks in a window; the outer error says why there is none.
    ///
    /// # Errors
    /// When a walk fails.
    pub fn walk(
        args: &PlayArgs,
        layout: &ActionLayout,
        script: Option<Script>,
        dream: Opener,
    ) -> Result<Result<Vec<Walked>>, NoWindow> {
        present::preflight()?;
        let walks = Walks { args: args.clone(), script, controls: Controls::open(layout) };
        let first = plan(args, walks.script.clone(), &walks.controls, dream);
        walks.run(first, true)
    }

    /// Shows the session in folder `dir` in a window, from where the player may go on to others and to walks.
    ///
    /// # Errors
    /// When the session cannot be read or a walk fails.
    pub fn show(args: &PlayArgs, dir: &Path) -> Result<Result<Vec<Walked>>, NoWindow> {
        present::preflight()?;
        let controls = Controls::open(&ActionLayout::default());
        let walks = Walks { args: args.clone(), script: None, controls };
        match walks.recorded(dir) {
            Ok(first) => walks.run(first, false),
            Err(error) => Ok(Err(error)),
        }
    }

    /// What all walks in one window have in common.
    struct Walks {
        args: PlayArgs,
        script: Option<Script>,
        controls: Controls,
    }

    impl Walks {
        fn run(self, first: Plan, steered: bool) -> Result<Result<Vec<Walked>>, NoWindow> {
            let args = &self.args;
            let kept = settings::open(&args.settings.clone().unwrap_or_else(paths::settings));
            let options = Options {
                scaling: args.scaling,
                full_screen: args.full_screen,
                record: args.record,
                steered,
                controls: self.controls.clone(),
                kept,
                world: args.world.clone(),
                screenshots: paths::screenshots(),
            };
            present::run(first, Box::new(move |goal| self.elsewhere(goal)), options)
        }

        /// A walk elsewhere than first named, where start picture and forgetting are not meant.
        fn elsewhere(&self, goal: &Goal) -> Result<Plan> {
            let dir = match goal {
                Goal::Session(dir) => return self.recorded(dir),
                Goal::World(dir) => dir,
            };
            self.controls.suit(&worlds::describe(dir)?.layout);
            let args = PlayArgs { forget: false, ..self.args.clone() };
            let dream = world::opener(dir.clone(), beginning(&args, true));
            Ok(plan(&args, self.script.clone(), &self.controls, dream))
        }

        /// A session shown again, under the actions that were recorded.
        fn recorded(&self, dir: &Path) -> Result<Plan> {
            let (dream, actions) = replay::recorded(dir)?;
            let steer = Box::new(ByScript::new(Script::from_actions(actions)));
            let idle = plan(&self.args, None, &self.controls, dream);
            Ok(Plan { steer, frames: None, ..idle })
        }
    }
}
