//! The walks that are still missing, made on all cores: one walker a core, each with one thread of its own.
//!
//! Which core makes a walk, and beside which others, changes nothing about it but when it is done.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use engine::pack::Schedule;
use indicatif::ProgressBar;

use super::arm::Arm;
use super::trial::{Catalogue, Trial};
use super::unit::{Header, Key, Unit, Units};
use super::walker::{Ground, Scene, Walked, Walker, needs_poses};
use super::{film, worldproof};

/// What is asked of every trial.
#[derive(Debug)]
pub struct Order<'a> {
    /// Trials, those of one episode together.
    pub trials: &'a [Trial],
    /// Each packing schedule with the arms that are tried under it.
    pub arms: &'a [(Schedule, Vec<Arm>)],
    /// Seeds of the noise.
    pub seeds: u64,
    /// Folder of the run.
    pub out: &'a Path,
    /// What the units have in common.
    pub header: &'a Header,
    /// Whether walks are written out for worldproof.
    pub export: bool,
}

/// Trials that one walker takes at a time: they share what was encoded of their episode.
const JOB: usize = 4;

/// A trial with its walks that are still to be made.
type Missing<'a> = (&'a Trial, Vec<Wanted<'a>>);

/// One walk that is wanted.
struct Wanted<'a> {
    key: Key,
    arm: Arm,
    schedule: &'a Schedule,
}

impl Order<'_> {
    /// The walks of a trial.
    fn wanted(&self, ground: &Ground<'_>, trial: &Trial) -> Vec<Wanted<'_>> {
        let entry = &ground.catalogue.entries[trial.episode];
        let mut wanted = Vec::new();
        for (schedule, arms) in self.arms {
            for arm in arms.iter().filter(|arm| entry.poses.is_some() || !needs_poses(**arm)) {
                for seed in 0..self.seeds {
                    let key = Key {
                        task: trial.task,
                        split: trial.split,
                        episode: entry.name.clone(),
                        cut: trial.cut,
                        schedule: schedule.to_string(),
                        arm: arm.to_string(),
                        seed,
                    };
                    wanted.push(Wanted { key, arm: *arm, schedule });
                }
            }
        }
        wanted
    }

    /// Whether a walk was made before, with the pictures that are asked for.
    fn is_made(&self, trial: &Trial, key: &Key, ledger: &Units) -> bool {
        let filmed = || !is_filmed(trial, key) || film::path_of(self.out, key).exists();
        let exported = || {
            !(self.export && worldproof::takes(trial))
                || worldproof::holds(self.out, key, trial.frames)
        };
        ledger.holds(key) && filmed() && exported()
    }

    /// Makes what is missing and gives all that was ordered; `said` stands beside the bar.
    ///
    /// # Errors
    /// The first one met by any walker. What is finished by then is kept.
    pub fn fill(
        &self,
        ground: &Ground<'_>,
        ledger: &Mutex<Units>,
        said: &'static str,
    ) -> Result<Vec<Unit>> {
        let mut missing: Vec<Missing<'_>> =
            self.trials.iter().map(|trial| (trial, self.wanted(ground, trial))).collect();
        let keys: BTreeSet<Key> =
            missing.iter().flat_map(|(_, wanted)| wanted).map(|one| one.key.clone()).collect();
        {
            let ledger = ledger.lock().expect("no walker panics while holding it");
            for (trial, wanted) in &mut missing {
                wanted.retain(|one| !self.is_made(trial, &one.key, &ledger));
            }
        }
        missing.retain(|(_, wanted)| !wanted.is_empty());
        missing.sort_by_key(|(trial, _)| (trial.episode, trial.cut));
        let walkers = if ground.world.device.is_cpu() { rayon::current_num_threads() } else { 1 };
        // Where there is little to do, nobody waits for the one who has it all.
        let most = JOB.min(missing.len().div_ceil(2 * walkers)).max(1);
        let jobs: Vec<&[Missing<'_>]> = missing
            .chunk_by(|(a, _), (b, _)| a.episode == b.episode)
            .flat_map(|of_episode| of_episode.chunks(most))
            .collect();
        let walks = missing.iter().map(|(_, wanted)| wanted.len()).sum();
        let bar = crate::bench::progress(walks, said);
        let next = AtomicUsize::new(0);
        let made = thread::scope(|scope| {
            let walker = |at: usize| {
                let work = || self.walk(ground, ledger, &jobs, &next, &bar);
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1);
                let pool = pool.thread_name(move |_| format!("walker {at}")).build()?;
                let thread = thread::Builder::new().name(format!("walkers {at}"));
                Ok(thread.spawn_scoped(scope, move || pool.install(work))?)
            };
            let threads: Vec<_> = (0..walkers.min(jobs.len())).map(walker).collect();
            let joined = threads.into_iter().map(|thread: Result<_>| match thread?.join() {
                Ok(made) => made,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect::<Vec<Result<()>>>()
        });
        bar.finish_and_clear();
        made.into_iter().collect::<Result<()>>()?;
        let ledger = ledger.lock().expect("no walker panics while holding it");
        Ok(ledger.sorted().into_iter().filter(|unit| keys.contains(&unit.key)).collect())
    }

    /// Takes one job after the other until none is left, or somebody failed.
    fn walk(
        &self,
        ground: &Ground<'_>,
        ledger: &Mutex<Units>,
        jobs: &[&[Missing<'_>]],
        next: &AtomicUsize,
        bar: &ProgressBar,
    ) -> Result<()> {
        let mut walker = Walker::new(ground);
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            for (trial, wanted) in *job {
                let all = self.walk_trial(&mut walker, trial, wanted, ledger, bar);
                if let Err(error) = all {
                    next.store(jobs.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn walk_trial(
        &self,
        walker: &mut Walker<'_>,
        trial: &Trial,
        wanted: &[Wanted<'_>],
        ledger: &Mutex<Units>,
        bar: &ProgressBar,
    ) -> Result<()> {
        let catalogue = walker.catalogue();
        let scene = walker.scene(trial)?;
        for Wanted { key, arm, schedule } in wanted {
            let told = || format!("{} of {} under {arm}, {schedule}", key.task, key.episode);
            let walked = scene.walk(*arm, schedule, key.seed, key.clone()).with_context(told)?;
            self.show(catalogue, trial, &scene, &walked)?;
            let mut ledger = ledger.lock().expect("no walker panics while holding it");
            ledger.add(walked.unit)?;
            bar.inc(1);
        }
        Ok(())
    }

    /// Writes the pictures of a walk that are asked for.
    fn show(
        &self,
        catalogue: &Catalogue,
        trial: &Trial,
        scene: &Scene<'_>,
        walked: &Walked,
    ) -> Result<()> {
        let (key, size) = (&walked.unit.key, (catalogue.width, catalogue.height));
        if is_filmed(trial, key) {
            let truth = film::truth_path(self.out, key);
            film::draw(&truth, trial, size, |ahead| scene.real_picture(ahead))?;
            let dreamed = |ahead: usize| walked.frames.get(ahead - 1).map(Vec::as_slice);
            film::draw(&film::path_of(self.out, key), trial, size, dreamed)?;
        }
        if self.export && worldproof::takes(trial) {
            let play = (catalogue, trial, scene);
            worldproof::write(self.out, key, self.header, play, &walked.frames)?;
        }
        Ok(())
    }
}

fn is_filmed(trial: &Trial, key: &Key) -> bool {
    trial.shown && key.seed == 0
}
