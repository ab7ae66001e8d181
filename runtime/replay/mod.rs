//! `oneiro replay`: a session shown again, or made again and compared to the bit.

mod recipe;
mod verify;
#[cfg(feature = "window")]
mod video;

use std::io::{self, Write as _};
#[cfg(feature = "window")]
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
#[cfg(feature = "window")]
use input::Action;
use input::SessionReader;

#[cfg(feature = "window")]
use self::video::Showing;
#[cfg(feature = "window")]
use crate::cli::PlayArgs;
use crate::cores;
#[cfg(feature = "window")]
use crate::dream::Opener;
#[cfg(feature = "window")]
use crate::play;

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
    match play::by_window::show(&PlayArgs::default(), &args.session) {
        Ok(shown) => return shown.map(|_| ()),
        Err(reason) => writeln!(io::stderr(), "oneiro: {reason}")?,
    }
    // Without a window it is at least said what could be seen.
    let (frames, header) = (session.records().len(), session.header());
    let video = args.session.join("video.mp4");
    session.video()?;
    writeln!(
        io::stdout(),
        "{frames} frames of {} at {} frames/s; video: {}",
        header.world,
        header.fps,
        video.display()
    )?;
    Ok(())
}

/// Opens the video of a session in the place of a dream; gives the actions that were recorded, too.
///
/// # Errors
/// When the session cannot be read.
#[cfg(feature = "window")]
pub fn recorded(dir: &Path) -> Result<(Opener, Vec<Action>)> {
    let (dir, session) = (dir.to_owned(), SessionReader::open(dir)?);
    let actions = session.records().iter().skip(1).map(|record| record.action).collect();
    Ok((Box::new(move |_| Ok(Box::new(Showing::open(&dir, session)?))), actions))
}
