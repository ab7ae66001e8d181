//! `oneiro episodes simulate`: make recorded play.

use std::fs;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result, ensure};
use indicatif::ProgressBar;
use input::{simulate_walk, write_npz};

use crate::cli::SimulateArgs;

/// Records simulated mazes into a folder. The same arguments give the same files.
///
/// # Errors
/// When a file cannot be written, or there is one of its name.
pub fn simulate_into(args: &SimulateArgs) -> Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("make {}", args.out.display()))?;
    let progress = ProgressBar::new(args.frames.into());
    let (mut left, mut seed) = (args.frames, args.seed);
    while left > 0 {
        // A last episode of one frame would have no motion in it.
        let frames =
            if left == args.episode_frames + 1 { left } else { left.min(args.episode_frames) };
        let (maze, frame_count) = (args.maze.unwrap_or(seed), usize::try_from(frames)?);
        let episode = simulate_walk((maze, seed), frame_count, args.policy, args.size, args.fps);
        let walk = args.maze.map_or(String::new(), |_| format!("-{seed:06}"));
        let path = args.out.join(format!("maze-{maze:06}{walk}-{}.npz", args.policy));
        ensure!(
            !path.exists(),
            "expected no recording there, got {}; remove it, or choose another --out or --seed",
            path.display()
        );
        write_npz(&episode, &path)?;
        progress.inc(frames.into());
        left -= frames;
        seed = seed.wrapping_add(1);
    }
    progress.finish_and_clear();
    let episodes = seed.wrapping_sub(args.seed);
    writeln!(
        io::stdout(),
        "{} frames in {episodes} episodes: {}",
        args.frames,
        args.out.display()
    )?;
    Ok(())
}
