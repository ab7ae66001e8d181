//! The world model: groups to keys and values, noisy sections to clean ones.

use super::block::Block;
use super::history::{Layers, Seating};
use super::motion::Motion;
use super::rendering::{Rendered, RenderingLayer};
use super::rope::KeptPhases;
use super::{
    ModelConfig, PlacedContext, StepSize, embed_cells, patchify, section_phases, unpatchify,
};
use crate::device::round_products;
use crate::ops::{
    Linear, PackedKeys, Phases, Route, Rows, Stack, View, attend, modulate, silu, with_floats,
};
use crate::pack::Kernel;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Channels of the sinusoids that describe the noise level.
const SINUSOID: usize = 128;

/// What leads a section: its actions, and what they make of the newest frame before it.
#[derive(Clone, Debug)]
pub struct Lead {
    /// The last three actions of each frame: (g, 3 · A).
    actions: Tensor,
    /// The newest frame, moved, and what is rendered, as an addition to the section's tokens: (g · L, D).
    reference: Option<Tensor>,
    rendered: Option<Rendered>,
}

/// What the network answers to a batch, as token vectors that [`patchify()`] orders: (S · g · L, C · 4).
#[derive(Clone, Debug)]
pub struct Answer {
    /// The clean sections.
    pub clean: Tensor,
    /// The newest frame before each, moved as the actions say.
    pub moved: Tensor,
}

/// Groups of one kernel for training.
#[derive(Clone, Debug)]
pub struct GroupTokens {
    /// The kernel.
    pub kernel: Kernel,
    /// (G, frames of the kernel, C, H, W).
    pub latents: Tensor,
    /// Mean action of each group's frames: (G, A).
    pub actions: Tensor,
    /// Noise level of each group that the network is told; none for clean ones.
    pub levels: Option<Vec<f32>>,
}

/// A training step's input: groups that are encoded once, and the sections that use them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The groups of all clips.
    pub groups: Vec<GroupTokens>,
    /// Noisy sections: (S, g, C, H, W).
    pub sections: Tensor,
    /// The frame just before each section, as it is seen, zeros where none is: (S, C, H, W).
    pub newest: Tensor,
    /// 1 for rows of sections that see the frame just before them, 0 for others: (S · g · L, 1).
    pub after: Tensor,
    /// What is rendered of each section frame, zeros where nothing is: (S · g, C + 1, H, W); none of networks that are not
    /// shown any.
    pub renderings: Option<Tensor>,
    /// Noise level of each section, 0 clean to 1 noise: S of them.
    pub levels: Vec<f32>,
    /// Step size of each section: S of them.
    pub steps: Vec<StepSize>,
    /// The last three actions of each section frame: (S · g, 3 · A).
    pub actions: Tensor,
    /// Who attends to whom, over the rows of the groups in order and then of the sections.
    pub routes: Arc<[Route]>,
}

/// The network.
#[derive(Clone, Debug)]
pub struct WorldModel {
    pub(super) config: ModelConfig,
    patch: BTreeMap<usize, Linear>,
    section: Linear,
    motion: Motion,
    reference: Linear,
    rendering: Option<RenderingLayer>,
    time_in: Linear,
    time_out: Linear,
    step: Tensor,
    action_section: Linear,
    action_group: Linear,
    pub(super) blocks: Vec<Block>,
    /// The blocks packed for play, once the weights no longer change.
    pub(super) stack: Option<Arc<Stack>>,
    pub(super) phases: Arc<KeptPhases>,
    final_modulation: Linear,
    head: Linear,
}

impl WorldModel {
    /// Reads the weights.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn new(config: &ModelConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (dim, condition, precision) = (config.dim, config.condition, config.precision);
        let linear =
            |inputs, outputs, name: &str| Linear::new(inputs, outputs, precision, &vb.pp(name));
        let bare = |inputs, outputs, name: &str| {
            Linear::without_bias(inputs, outputs, precision, &vb.pp(name))
        };
        let patch = config.kernels.iter().map(|&k| {
            let inputs = config.channels * k * (2 * k) * (2 * k);
            Ok((k, linear(inputs, dim, &format!("patch.k{k}"))?))
        });
        let blocks = (0..config.depth).map(|i| Block::new(config, &vb.pp("blocks").pp(i)));
        Ok(Self {
            patch: patch.collect::<Result<_>>()?,
            section: linear(4 * config.channels, dim, "section")?,
            motion: Motion::new(config, &vb.pp("motion"))?,
            reference: bare(4 * config.channels, dim, "reference")?,
            rendering: config
                .rendering
                .then(|| RenderingLayer::new(config, &vb.pp("rendering")))
                .transpose()?,
            time_in: linear(SINUSOID, condition, "time_in")?,
            time_out: linear(condition, condition, "time_out")?,
            step: vb.pp("step").get((StepSize::ALL.len(), condition), "weight")?,
            action_section: bare(config.told(), condition, "action_section")?,
            action_group: bare(config.action, condition, "action_group")?,
            blocks: blocks.collect::<Result<_>>()?,
            stack: None,
            phases: Arc::default(),
            final_modulation: linear(condition, 2 * dim, "final_modulation")?,
            head: linear(dim, 4 * config.channels, "head")?,
            config: config.clone(),
        })
    }

    /// Sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Prepares weights that no longer change for play.
    pub fn freeze(&mut self) -> Result<()> {
        round_products(self.step.device(), self.config.precision.is_int16());
        if self.config.precision.is_int16() && self.step.device().is_cpu() {
            let (dim, head) = (self.config.dim, self.config.dim / self.config.heads);
            let weights: Vec<_> = self.blocks.iter().map(Block::weights).collect();
            self.stack = Some(Arc::new(Stack::new(&weights, dim, head)?));
        } else if self.config.precision.is_int16() {
            self.halve()?;
        }
        let rest = [&mut self.section, &mut self.time_in, &mut self.time_out, &mut self.head];
        for linear in rest.into_iter().chain(self.patch.values_mut()) {
            linear.freeze()?;
        }
        self.reference.freeze()?;
        if let Some(rendering) = &mut self.rendering {
            rendering.freeze()?;
        }
        self.action_section.freeze()?;
        self.action_group.freeze()?;
        self.final_modulation.freeze()
    }

    /// Rounds the weights of the blocks to 16-bit floats.
    pub(super) fn halve(&mut self) -> Result<()> {
        self.blocks.iter_mut().try_for_each(Block::halve)
    }

    /// What leads a section under these actions, the last three of each frame, and bearings: (g, [`ModelConfig::told`]).
    ///
    /// newest: the frame before the section, (C, H, W); none where it is not known. renderings: what an atlas shows from
    /// where its frames are, with the share of each cell that anybody saw, (g, C + 1, H, W); none where nothing is known,
    /// and of no effect on a network that is shown none.
    pub fn lead(
        &self,
        newest: Option<&Tensor>,
        renderings: Option<&Tensor>,
        actions: &Tensor,
    ) -> Result<Lead> {
        self.led(self.reference(newest, actions)?, renderings, actions)
    }

    /// The part of [`Self::lead`] that needs no renderings: the newest frame, moved, as an addition to the section's tokens,
    /// (g · L, D).
    pub(crate) fn reference(
        &self,
        newest: Option<&Tensor>,
        actions: &Tensor,
    ) -> Result<Option<Tensor>> {
        let reference = newest.map(|newest| {
            let moved = patchify(&self.moved(&newest.unsqueeze(0)?, actions)?, 1)?;
            self.reference.forward(&moved)
        });
        reference.transpose()
    }

    /// The rest of it.
    pub(crate) fn led(
        &self,
        reference: Option<Tensor>,
        renderings: Option<&Tensor>,
        actions: &Tensor,
    ) -> Result<Lead> {
        let rendered = self.rendering.as_ref().zip(renderings);
        let rendered = rendered.map(|(layer, renderings)| layer.embed(renderings)).transpose()?;
        let reference = match (reference, &rendered) {
            (Some(reference), Some(rendered)) => Some((reference + &rendered.tokens)?),
            (None, Some(rendered)) => Some(rendered.tokens.clone()),
            (reference, None) => reference,
        };
        Ok(Lead { actions: actions.clone(), reference, rendered })
    }

    /// Newest frames (S, C, H, W), moved by action after action (S · g, 3 · A): (S · g, 1, C, H, W).
    fn moved(&self, newest: &Tensor, actions: &Tensor) -> Result<Tensor> {
        let sections = newest.dim(0)?;
        let actions = actions.reshape((sections, (), actions.dim(1)?))?;
        let mut frames = Vec::new();
        for at in 0..actions.dim(1)? {
            let action = actions.narrow(1, at, 1)?.squeeze(1)?.contiguous()?;
            let moved = self.motion.forward(frames.last().unwrap_or(newest), &action)?;
            frames.push(moved);
        }
        Tensor::stack(&frames, 1)?.flatten(0, 1)?.unsqueeze(1)
    }

    /// The clean section that the network sees in a noisy one: (g, C, H, W).
    ///
    /// `level` is the noise level in 0..=1.
    pub fn estimate(
        &self,
        noisy: &Tensor,
        level: f32,
        step: StepSize,
        lead: &Lead,
        context: &PlacedContext,
    ) -> Result<Tensor> {
        Ok(self.estimate_each(noisy, level, step, &[lead], context)?.remove(0))
    }

    /// The same for each of one or several leads, whose bits do not depend on the others.
    pub fn estimate_each(
        &self,
        noisy: &Tensor,
        level: f32,
        step: StepSize,
        leads: &[&Lead],
        context: &PlacedContext,
    ) -> Result<Vec<Tensor>> {
        let frames = noisy.dim(0)?;
        let tokens = self.config.frame_tokens();
        let Seating { rows, routes } = context.seating(frames, || Seating {
            rows: Rows::new(&vec![tokens; frames]),
            routes: match &context.layers {
                Layers::Plain(_) => self.section_routes(frames, context.tokens),
                Layers::Packed(_) => Arc::default(),
            },
        });
        let noisy = self.section.forward(&patchify(&noisy.unsqueeze(1)?, 1)?)?; // g · L, D
        let begin = |lead: &&Lead| {
            let condition = self.section_condition(&[level], &[step], &lead.actions)?;
            let x = lead.reference.as_ref().map_or_else(|| Ok(noisy.clone()), |r| &noisy + r)?;
            Ok((x, silu(&condition)?))
        };
        let begun: Vec<_> = leads.iter().map(begin).collect::<Result<_>>()?;
        let seen = match (&self.stack, &context.layers) {
            (Some(stack), Layers::Packed(history)) => {
                self.packed_blocks(stack, &begun, history.as_deref())?
            }
            (_, Layers::Plain(history)) => {
                let blocks = |(x, condition): &(Tensor, Tensor)| {
                    self.plain_blocks(x.clone(), condition, &rows, history, &routes)
                };
                begun.iter().map(blocks).collect::<Result<_>>()?
            }
            (None, Layers::Packed(_)) => candle_core::bail!("the context is of packed weights"),
        };
        let levels = vec![level; noisy.dim(0)?];
        let finish = |((lead, (_, condition)), x): ((&&Lead, &(Tensor, Tensor)), &Tensor)| {
            let rendered = lead.rendered.as_ref().map(|rendered| (rendered, &levels[..]));
            let y = self.finish(x, condition, &rows, rendered)?;
            unpatchify(&y, self.config.channels, self.config.grid())
        };
        leads.iter().zip(&begun).zip(&seen).map(finish).collect()
    }

    /// Tokens (g · L, D) and conditions (g, condition) of several sections through the blocks in one run, so that weights
    /// are read from memory once.
    fn packed_blocks(
        &self,
        stack: &Stack,
        begun: &[(Tensor, Tensor)],
        history: Option<&[PackedKeys]>,
    ) -> Result<Vec<Tensor>> {
        let frames = begun[0].1.dim(0)?;
        let (xs, conditions): (Vec<_>, Vec<_>) = begun.iter().map(|(x, c)| (x, c)).unzip();
        let phases = section_phases(&self.config, frames);
        let phases = Phases::concatenated(phases.half, begun.iter().map(|_| &phases));
        let (x, condition) = (Tensor::cat(&xs, 0)?, Tensor::cat(&conditions, 0)?);
        let values = with_floats([&x, &condition], |[x, condition]| {
            let count = frames * begun.len();
            let condition = View::rows(condition, count, condition.len() / count);
            Ok(stack.forward(x, condition, begun.len(), &phases, history))
        })?;
        let own = values.chunks_exact(values.len() / begun.len());
        own.map(|own| Tensor::from_slice(own, begun[0].0.shape(), x.device())).collect()
    }

    fn plain_blocks(
        &self,
        mut x: Tensor,
        condition: &Tensor,
        rows: &Rows,
        history: &[Option<(Tensor, Tensor)>],
        routes: &Arc<[Route]>,
    ) -> Result<Tensor> {
        for (block, placed) in self.blocks.iter().zip(history) {
            let modulation = block.modulation(condition)?;
            x = block.forward(&x, &modulation, rows, |q, k, v| {
                let (k, v) = match placed {
                    Some((keys, values)) => {
                        (Tensor::cat(&[keys, &k], 0)?, Tensor::cat(&[values, &v], 0)?)
                    }
                    None => (k, v),
                };
                attend(q, &k, &v, routes, self.config.precision)
            })?;
        }
        Ok(x)
    }

    /// What the network sees in a batch's sections.
    pub fn estimate_batch(&self, batch: &Batch) -> Result<Answer> {
        let (sections, frames, ..) = batch.sections.dims5()?;
        let (mut parts, mut conditions, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for group in &batch.groups {
            let kernel = group.kernel;
            parts.push(self.embed(kernel, &group.latents)?);
            conditions.push(
                self.group_condition(group.levels.as_deref().unwrap_or(&[0.0]), &group.actions)?,
            );
            let tokens = kernel.tokens(self.config.cells());
            lengths.extend(std::iter::repeat_n(tokens, group.latents.dim(0)?));
        }
        let flat = batch.sections.flatten(0, 1)?.unsqueeze(1)?;
        let moved = patchify(&self.moved(&batch.newest, &batch.actions)?, 1)?;
        let section = self.section.forward(&patchify(&flat, 1)?)?;
        let reference = self.reference.forward(&moved)?.broadcast_mul(&batch.after)?;
        let rendered = self.rendering.as_ref().zip(batch.renderings.as_ref());
        let rendered = rendered.map(|(layer, renderings)| layer.embed(renderings)).transpose()?;
        let section = (section + reference)?;
        parts.push(match &rendered {
            Some(rendered) => (section + &rendered.tokens)?,
            None => section,
        });
        conditions.push(self.section_condition(&batch.levels, &batch.steps, &batch.actions)?);
        lengths.extend(std::iter::repeat_n(self.config.frame_tokens(), sections * frames));
        let rows = Rows::new(&lengths);
        let condition = silu(&Tensor::cat(&conditions, 0)?)?;
        let mut x = Tensor::cat(&parts, 0)?; // R, D
        for block in &self.blocks {
            let modulation = block.modulation(&condition)?;
            x = block.forward(&x, &modulation, &rows, |q, k, v| {
                attend(q, &k, &v, &batch.routes, self.config.precision)
            })?;
        }
        let section_rows = sections * frames * self.config.frame_tokens();
        let x = x.narrow(0, x.dim(0)? - section_rows, section_rows)?.contiguous()?;
        let count = condition.dim(0)?;
        let condition = condition.narrow(0, count - sections * frames, sections * frames)?;
        let rows = Rows::new(&vec![self.config.frame_tokens(); sections * frames]);
        let of_section = frames * self.config.frame_tokens();
        let levels = batch.levels.iter().flat_map(|&level| std::iter::repeat_n(level, of_section));
        let levels: Vec<f32> = levels.collect();
        let rendered = rendered.as_ref().map(|rendered| (rendered, &levels[..]));
        Ok(Answer { clean: self.finish(&x, &condition.contiguous()?, &rows, rendered)?, moved })
    }

    /// Tokens of groups (G, frames of the kernel, C, H, W): (G · L, D).
    pub(super) fn embed(&self, kernel: Kernel, latents: &Tensor) -> Result<Tensor> {
        let Some(embedding) = self.config.embedding(kernel) else {
            candle_core::bail!("this world has no projection for kernel {kernel}")
        };
        self.patch[&embedding.k].forward(&embed_cells(latents, embedding)?)
    }

    /// rendered: with the noise level of each row.
    fn finish(
        &self,
        x: &Tensor,
        condition: &Tensor,
        rows: &Rows,
        rendered: Option<(&Rendered, &[f32])>,
    ) -> Result<Tensor> {
        let modulation = self.final_modulation.forward(condition)?.chunk(2, 1)?;
        let (shift, scale) = (modulation[0].contiguous()?, modulation[1].contiguous()?);
        let x = modulate(x, &shift, &scale, rows, x.dtype())?;
        let answer = self.head.forward(&x)?;
        match (&self.rendering, rendered) {
            (Some(layer), Some((rendered, levels))) => layer.mix(&answer, &x, rendered, levels),
            _ => Ok(answer),
        }
    }

    /// History is modulated at its noise levels, one for each group or one for all; 0 unless it has noise on
    /// purpose: (G, condition).
    pub(super) fn group_condition(&self, levels: &[f32], actions: &Tensor) -> Result<Tensor> {
        self.time(levels, actions.device())?.broadcast_add(&self.action_group.forward(actions)?)
    }

    /// One condition for each section frame: (S · g, condition).
    fn section_condition(
        &self,
        levels: &[f32],
        steps: &[StepSize],
        actions: &Tensor,
    ) -> Result<Tensor> {
        let device = actions.device();
        let steps: Vec<u32> = steps.iter().map(|step| step.index()).collect();
        let steps = Tensor::from_slice(&steps, steps.len(), device)?;
        let shared = (self.time(levels, device)? + self.step.index_select(&steps, 0)?)?; // S, c
        let (sections, condition) = shared.dims2()?;
        let actions = self.action_section.forward(actions)?;
        let frames = actions.dim(0)? / sections;
        actions
            .reshape((sections, frames, condition))?
            .broadcast_add(&shared.unsqueeze(1)?)?
            .flatten(0, 1)
    }

    fn time(&self, levels: &[f32], device: &Device) -> Result<Tensor> {
        let sinusoids = Tensor::from_vec(sinusoids(levels), (levels.len(), SINUSOID), device)?;
        self.time_out.forward(&silu(&self.time_in.forward(&sinusoids)?)?)
    }

    /// All section tokens attend to the placed history and to each other.
    fn section_routes(&self, frames: usize, history: usize) -> Arc<[Route]> {
        let half = self.config.dim / self.config.heads / 2;
        let own = Arc::new(section_phases(&self.config, frames));
        let keys = [&Phases::none(half, history), own.as_ref()];
        let key_phases = Arc::new(Phases::concatenated(half, keys));
        [Route {
            queries: (0_u32..).take(own.tokens()).collect(),
            keys: (0_u32..).take(key_phases.tokens()).collect(),
            query_phases: own,
            key_phases,
        }]
        .into()
    }

    /// An action or latent tensor on the model's device.
    pub fn tensor(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        Tensor::from_vec(values, shape, self.step.device())?.to_dtype(DType::F32)
    }
}

/// Cosines, then sines, of each level at 64 frequencies.
fn sinusoids(levels: &[f32]) -> Vec<f32> {
    let half = SINUSOID / 2;
    let mut out = Vec::with_capacity(levels.len() * SINUSOID);
    for &level in levels {
        let angle = |i: usize| {
            #[expect(clippy::cast_precision_loss, reason = "i < 64")]
            let exponent = i as f32 / half as f32;
            1000.0 * level * (-10_000_f32.ln() * exponent).exp()
        };
        out.extend((0..half).map(|i| angle(i).cos()));
        out.extend((0..half).map(|i| angle(i).sin()));
    }
    out
}
