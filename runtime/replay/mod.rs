//! `oneiro replay`: a session shown again, or made again and compared to the bit.

mod recipe;
mod verify;
#[cfg(feature = "window")]
mod video;

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use input::SessionReader;

use crate::cores;

/// Options of `replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Folder of the session
    #[arg(value_name = "DIR")]
    pub session: PathBuf,
    /// Make every frame again from what the session stored, and compare it to the bit
    #[arg(long)]
    pub verify: bool,
    /// Folder of the world to verify with, or its name [default: where the session was recorded]
    #[arg(long, value_name = "WORLD", requires = "verify")]
    pub world: Option<PathBuf>,
}

/// Does what the command line says.
///
/// # Errors
/// When the session cannot be read, or is verified and differs.
pub fn run(args: &ReplayArgs) -> Result<()> {
    if args.verify {
        return cores::on_all(|| verify::verify(&args.session, args.world.as_deref()))?;
    }
    let session = SessionReader::open(&args.session)?;
    #[cfg(feature = "window")]
    match by_window::show(args, &session) {
        Ok(shown) => return shown.map(|_| ()),
        Err(reason) => writeln!(io::stderr(), "oneiro: {reason}")?,
    }
    // Without a window it is at least said what could be seen.
    let (frames, header) = (session.records().len(), session.header());
    let video = args.session.join("video.mp4");
    writeln!(
        io::stdout(),
        "{frames} frames of {} at {} frames/s; video: {}",
        header.world,
        header.fps,
        video.display()
    )?;
    Ok(())
}

#[cfg(feature = "window")]
mod by_window {
    use super::video::Showing;
    use super::{ReplayArgs, Result, SessionReader};
    use crate::paths;
    use crate::present::{self, NoWindow, Options};
    use crate::steer::ByScript;
    use crate::walk::{Plan, Walked};
    use input::Script;

    /// Shows a session in a window; the outer error says why there is none.
    pub(super) fn show(
        args: &ReplayArgs,
        session: &SessionReader,
    ) -> Result<Result<Walked>, NoWindow> {
        present::preflight()?;
        let (dir, session) = (args.session.clone(), session.clone());
        let actions = session.records().iter().skip(1).map(|record| record.action).collect();
        let plan = Plan {
            dream: Box::new(move |_| Ok(Box::new(Showing::open(&dir, session)?))),
            steer: Box::new(ByScript::new(Script::from_actions(actions))),
            frames: None,
            sessions: paths::sessions(),
            auto_steps: false,
        };
        let options = Options {
            scaling: None,
            full_screen: false,
            record: false,
            steered: false,
            touch: Box::new(|_| ()),
        };
        present::run(plan, options)
    }
}
