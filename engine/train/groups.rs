//! The distinct groups of a batch, and who attends to whom.

use super::history::NoisyHistory;
use crate::model::{
    GroupTokens, HistoryAttention, ModelConfig, StepSize, causal, group_phases, section_phases,
};
use crate::noise::Random;
use crate::ops::{Phases, Route};
use crate::pack::{Group, Kernel, PackPlan};
use candle_core::{Device, Result, Tensor};
use memory::FrameId;
use std::collections::BTreeMap;
use std::ops::Range;
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
    /// What an atlas shows from where each of its frames is, with the share of each cell that anybody saw, (g, C + 1, H, W);
    /// none where that is not known.
    pub(super) renderings: Option<Arc<[f32]>>,
}

/// The groups of a batch: by kernel, numbered in order of first use.
pub(super) struct GroupTable<'a> {
    config: &'a ModelConfig,
    planned: &'a [PlannedSection],
    /// Whether sections have groups of their own, because what is known of a group differs from one to the next.
    private: bool,
    /// Kernel to (scope, frames) to number; the scope is a clip, or a section where groups are private.
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

impl<'a> GroupTable<'a> {
    /// `private`: whether sections have groups of their own, as they do under causal attention in any case.
    pub(super) fn new(
        config: &'a ModelConfig,
        planned: &'a [PlannedSection],
        private: bool,
    ) -> Self {
        let private = private || config.history == HistoryAttention::Causal;
        let mut numbers: BTreeMap<Kernel, BTreeMap<_, _>> = BTreeMap::new();
        for (section, slot) in order(planned, private) {
            let group = &planned[section].plan.slots[slot].group;
            let of_kernel = numbers.entry(group.kernel).or_default();
            let next = narrow(of_kernel.len());
            let scope = if private { section } else { planned[section].clip };
            of_kernel.entry((scope, group.frames.clone())).or_insert(next);
        }
        let mut row = 0;
        let mut base = BTreeMap::new();
        for (&kernel, groups) in &numbers {
            base.insert(kernel, row);
            row += narrow(groups.len() * kernel.tokens(config.cells()));
        }
        Self { config, planned, private, numbers, base, section_base: row }
    }

    /// The groups' latents and actions; with `shares` of noise, one for each section, where history has any.
    pub(super) fn tokens(
        &self,
        history: &mut NoisyHistory<'_>,
        shares: Option<&[f32]>,
        random: &mut Random,
        device: &Device,
    ) -> Result<Vec<GroupTokens>> {
        let (config, mut all) = (self.config, Vec::new());
        for (&kernel, groups) in &self.numbers {
            let (mut latents, mut actions, mut levels) = (Vec::new(), Vec::new(), Vec::new());
            for (scope, frames) in in_order(groups) {
                let clip = if self.private { self.planned[scope].clip } else { scope };
                let share = shares.map_or(0.0, |shares| shares[scope]);
                latents.extend(history.group((clip, share), kernel, frames, random));
                actions.extend(history.mean_action(clip, frames));
                levels.push(share);
            }
            let frames = kernel.frames();
            let shape = (groups.len(), frames, config.channels, config.height, config.width);
            all.push(GroupTokens {
                kernel,
                latents: Tensor::from_vec(latents, shape, device)?,
                actions: Tensor::from_vec(actions, (groups.len(), config.action), device)?,
                levels: shares.map(|_| levels),
            });
        }
        Ok(all)
    }

    /// Every group attends to itself, under causal attention to those before it too; every section to the groups
    /// of its plan and to itself.
    pub(super) fn routes(&self, frames: usize) -> Arc<[Route]> {
        let config = self.config;
        let of_groups = match config.history {
            HistoryAttention::Own => self.own_routes(),
            HistoryAttention::Causal => self.causal_routes(),
        };
        let section = Arc::new(section_phases(config, frames));
        let of_sections = self.section_runs(frames).into_iter().map(|run| {
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
        of_groups.into_iter().chain(of_sections).collect()
    }

    /// One route for each kernel.
    fn own_routes(&self) -> Vec<Route> {
        let of_kernel = |(&kernel, groups): (&Kernel, &BTreeMap<_, u32>)| {
            let first = self.base[&kernel];
            let count = narrow(groups.len() * kernel.tokens(self.config.cells()));
            let rows: Arc<[u32]> = (first..first + count).collect();
            let phases = Arc::new(group_phases(self.config, kernel, 0));
            Route {
                queries: Arc::clone(&rows),
                keys: rows,
                query_phases: Arc::clone(&phases),
                key_phases: phases,
            }
        };
        self.numbers.iter().map(of_kernel).collect()
    }

    /// One route for groups in a row that see others of the same kernels at the same positions.
    fn causal_routes(&self) -> Vec<Route> {
        let half = self.config.dim / self.config.heads / 2;
        let mut runs: Vec<(Kernel, i32, Run)> = Vec::new();
        for groups in self.numbers.values() {
            for (section, frames) in in_order(groups) {
                let plan = &self.planned[section].plan;
                let slots: Vec<_> =
                    plan.slots.iter().map(|slot| (slot.group.kernel, slot.position)).collect();
                let own = plan.slots.iter().position(|slot| slot.group.frames == *frames);
                let own = own.expect("private groups are those of a plan");
                let seen: Vec<usize> = causal(&slots, own).collect();
                let signature: Vec<_> = seen.iter().map(|&at| slots[at]).collect();
                let (kernel, position) = slots[own];
                let fits = |(k, p, run): &(Kernel, i32, Run)| {
                    (*k, *p) == (kernel, position) && run.slots == signature
                };
                if !runs.last().is_some_and(fits) {
                    runs.push((kernel, position, Run { slots: signature, ..Run::default() }));
                }
                let (.., run) = runs.last_mut().expect("one was pushed");
                run.queries.extend(self.rows(section, &plan.slots[own].group));
                for at in seen {
                    run.keys.extend(self.rows(section, &plan.slots[at].group));
                }
            }
        }
        let route = |(kernel, position, run): (Kernel, i32, Run)| {
            let placed = run.slots.iter().map(|&(k, at)| group_phases(self.config, k, at));
            Route {
                queries: run.queries.into(),
                keys: run.keys.into(),
                query_phases: Arc::new(group_phases(self.config, kernel, position)),
                key_phases: Arc::new(Phases::concatenated(half, &placed.collect::<Vec<_>>())),
            }
        };
        runs.into_iter().map(route).collect()
    }

    /// Rows of a group that a section sees.
    fn rows(&self, section: usize, group: &Group) -> Range<u32> {
        let scope = if self.private { section } else { self.planned[section].clip };
        let number = self.numbers[&group.kernel][&(scope, group.frames.clone())];
        let tokens = narrow(group.kernel.tokens(self.config.cells()));
        let first = self.base[&group.kernel] + number * tokens;
        first..first + tokens
    }

    fn section_runs(&self, frames: usize) -> Vec<Run> {
        let own = narrow(frames * self.config.frame_tokens());
        let mut runs: Vec<Run> = Vec::new();
        for (number, section) in self.planned.iter().enumerate() {
            let slots = section.plan.slots.iter();
            let slots: Vec<_> = slots.map(|slot| (slot.group.kernel, slot.position)).collect();
            if runs.last().is_none_or(|run| run.slots != slots) {
                runs.push(Run { slots, ..Run::default() });
            }
            let run = runs.last_mut().expect("one was pushed");
            for group in section.plan.groups() {
                run.keys.extend(self.rows(number, group));
            }
            let first = self.section_base + narrow(number) * own;
            run.queries.extend(first..first + own);
            run.keys.extend(first..first + own);
        }
        runs
    }
}

/// The slots of all sections, each by section and slot: section after section, or where groups are private slot
/// after slot, so that those alike come together.
fn order(planned: &[PlannedSection], private: bool) -> Vec<(usize, usize)> {
    let slots = planned.iter().enumerate();
    let mut all: Vec<_> = slots
        .flat_map(|(number, section)| (0..section.plan.slots.len()).map(move |at| (number, at)))
        .collect();
    if private {
        all.sort_by_key(|&(number, at)| (at, number));
    }
    all
}

/// Groups of a kernel by scope and frames, in the order of their numbers.
fn in_order(groups: &BTreeMap<(usize, Vec<FrameId>), u32>) -> Vec<(usize, &Vec<FrameId>)> {
    let mut all: Vec<_> = groups.iter().collect();
    all.sort_by_key(|(_, number)| **number);
    all.into_iter().map(|((scope, frames), _)| (*scope, frames)).collect()
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("a batch has far fewer than 2^32 rows")
}
