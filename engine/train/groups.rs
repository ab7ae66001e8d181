//! The distinct groups of a batch, and who attends to whom.

use super::scene::NoisyHistory;
use crate::model::{GroupTokens, ModelConfig, StepSize, group_phases, section_phases};
use crate::noise::Random;
use crate::ops::{Phases, Route};
use crate::pack::{Group, Kernel, PackPlan};
use candle_core::{Device, Result, Tensor};
use memory::FrameId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One section of a clip, planned.
#[derive(Clone, Debug)]
pub(super) struct PlannedSection {
    /// Which clip of the batch.
    pub(super) clip: usize,
    /// First frame of the section in its episode.
    pub(super) first: usize,
    pub(super) plan: PackPlan,
    /// What the network is told of the step that it makes.
    pub(super) step: StepSize,
}

/// The groups of a batch: by kernel, numbered in order of first use.
pub(super) struct GroupTable {
    /// Kernel to (clip, frames) to number.
    numbers: BTreeMap<Kernel, BTreeMap<(usize, Vec<FrameId>), u32>>,
    /// First row of each kernel's groups.
    base: BTreeMap<Kernel, u32>,
    /// First row of the sections.
    section_base: u32,
}

/// Sections in a row whose plans have the same kernels at the same positions.
#[derive(Default)]
struct Run {
    slots: Vec<(Kernel, i32)>,
    queries: Vec<u32>,
    keys: Vec<u32>,
}

impl GroupTable {
    pub(super) fn new(config: &ModelConfig, planned: &[PlannedSection]) -> Self {
        let mut numbers: BTreeMap<Kernel, BTreeMap<_, _>> = BTreeMap::new();
        for section in planned {
            for group in section.plan.groups() {
                let of_kernel = numbers.entry(group.kernel).or_default();
                let next = narrow(of_kernel.len());
                of_kernel.entry((section.clip, group.frames.clone())).or_insert(next);
            }
        }
        let mut row = 0;
        let mut base = BTreeMap::new();
        for (&kernel, groups) in &numbers {
            base.insert(kernel, row);
            row += narrow(groups.len() * kernel.tokens(config.cells()));
        }
        Self { numbers, base, section_base: row }
    }

    /// The groups' latents and actions.
    pub(super) fn tokens(
        &self,
        config: &ModelConfig,
        history: &mut NoisyHistory<'_>,
        random: &mut Random,
        device: &Device,
    ) -> Result<Vec<GroupTokens>> {
        let mut all = Vec::new();
        for (&kernel, groups) in &self.numbers {
            let mut order: Vec<_> = groups.iter().collect();
            order.sort_by_key(|(_, number)| **number);
            let (mut latents, mut actions) = (Vec::new(), Vec::new());
            for ((clip, frames), _) in order {
                latents.extend(history.group(*clip, kernel, frames, random));
                actions.extend(history.mean_action(*clip, frames));
            }
            let frames = kernel.frames();
            let shape = (groups.len(), frames, config.channels, config.height, config.width);
            all.push(GroupTokens {
                kernel,
                latents: Tensor::from_vec(latents, shape, device)?,
                actions: Tensor::from_vec(actions, (groups.len(), config.action), device)?,
            });
        }
        Ok(all)
    }

    /// Every group attends to itself; every section to the groups of its plan and to itself.
    pub(super) fn routes(
        &self,
        config: &ModelConfig,
        planned: &[PlannedSection],
        frames: usize,
    ) -> Arc<[Route]> {
        let of_groups = self.numbers.iter().map(|(&kernel, groups)| {
            let first = self.base[&kernel];
            let count = narrow(groups.len() * kernel.tokens(config.cells()));
            let rows: Arc<[u32]> = (first..first + count).collect();
            let phases = Arc::new(group_phases(config, kernel, 0));
            Route {
                queries: Arc::clone(&rows),
                keys: rows,
                query_phases: Arc::clone(&phases),
                key_phases: phases,
            }
        });
        let section = Arc::new(section_phases(config, frames));
        let of_sections = self.section_runs(config, planned, frames).into_iter().map(|run| {
            let placed = run.slots.iter().map(|&(kernel, at)| group_phases(config, kernel, at));
            let placed: Vec<_> = placed.collect();
            let parts = placed.iter().chain([section.as_ref()]);
            Route {
                queries: run.queries.into(),
                keys: run.keys.into(),
                query_phases: Arc::clone(&section),
                key_phases: Arc::new(Phases::concatenated(section.half, parts)),
            }
        });
        of_groups.chain(of_sections).collect()
    }

    fn section_runs(
        &self,
        config: &ModelConfig,
        planned: &[PlannedSection],
        frames: usize,
    ) -> Vec<Run> {
        let own = narrow(frames * config.frame_tokens());
        let mut runs: Vec<Run> = Vec::new();
        for (number, section) in (0_u32..).zip(planned) {
            let slots = section.plan.slots.iter();
            let slots: Vec<_> = slots.map(|slot| (slot.group.kernel, slot.position)).collect();
            if runs.last().is_none_or(|run| run.slots != slots) {
                runs.push(Run { slots, ..Run::default() });
            }
            let run = runs.last_mut().expect("one was pushed");
            for Group { kernel, frames, .. } in section.plan.groups() {
                let number = self.numbers[kernel][&(section.clip, frames.clone())];
                let tokens = narrow(kernel.tokens(config.cells()));
                let first = self.base[kernel] + number * tokens;
                run.keys.extend(first..first + tokens);
            }
            let first = self.section_base + number * own;
            run.queries.extend(first..first + own);
            run.keys.extend(first..first + own);
        }
        runs
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("a batch has far fewer than 2^32 rows")
}
