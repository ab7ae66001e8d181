//! History: groups to keys and values that stay, and these at their positions in a section's context.

use super::{WorldModel, group_phases};
use crate::ops::{
    PackedKeys, Phases, Route, Rows, Token, View, attend, place, share, silu, with_all_floats,
    with_floats,
};
use crate::pack::Kernel;
use candle_core::{Result, Tensor};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Keys (after their norm, before RoPE) and values of one group, for each block: (L, D).
#[derive(Clone, Debug)]
pub struct GroupKv {
    layers: Vec<(Tensor, Tensor)>,
}

impl GroupKv {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        self.layers.iter().map(|(keys, values)| bytes(keys) + bytes(values)).sum()
    }

    /// Keys and values of a block.
    pub fn layer(&self, at: usize) -> (&Tensor, &Tensor) {
        (&self.layers[at].0, &self.layers[at].1)
    }
}

/// The keys and values of a section's whole history at their positions.
#[derive(Clone, Debug)]
pub struct PlacedContext {
    pub(super) layers: Layers,
    pub(super) tokens: usize,
    /// For sections of the number of frames that was asked for first.
    seating: Arc<OnceLock<Seating>>,
}

/// Where the tokens of a section sit: made once for all evaluations, so that it is copied to a GPU once.
#[derive(Clone, Debug)]
pub(super) struct Seating {
    /// Its frames.
    pub(super) rows: Rows,
    /// Who attends to whom, in plain blocks.
    pub(super) routes: Arc<[Route]>,
}

/// A history's keys and values, for each block.
#[derive(Clone, Debug)]
pub(super) enum Layers {
    /// As the plain blocks take them: (L, D).
    Plain(Vec<Option<(Tensor, Tensor)>>),
    /// As the packed blocks do, where there is any.
    Packed(Option<Vec<PackedKeys>>),
}

impl PlacedContext {
    fn new(layers: Layers, tokens: usize) -> Self {
        Self { layers, tokens, seating: Arc::default() }
    }

    /// Where the tokens of a section of so many frames sit.
    pub(super) fn seating(&self, frames: usize, make: impl Fn() -> Seating) -> Seating {
        let seating = self.seating.get_or_init(&make);
        if seating.rows.groups() == frames { seating.clone() } else { make() }
    }

    /// Its keys and values, block by block; none where they are packed for a CPU.
    pub(crate) fn tensors(&self) -> Option<Vec<Tensor>> {
        match &self.layers {
            Layers::Plain(layers) => {
                let pairs = layers.iter().flatten();
                Some(pairs.flat_map(|(keys, values)| [keys.clone(), values.clone()]).collect())
            }
            Layers::Packed(_) => None,
        }
    }

    /// The same history with keys and values that lie elsewhere.
    ///
    /// # Panics
    /// When there are not as many as [`Self::tensors`] gives.
    pub(crate) fn with_tensors(&self, tensors: impl IntoIterator<Item = Tensor>) -> Self {
        let Layers::Plain(layers) = &self.layers else {
            unreachable!("packed keys are no tensors")
        };
        let mut tensors = tensors.into_iter();
        let mut next = || tensors.next().expect("as many as there were");
        let layers = layers.iter().map(|layer| layer.as_ref().map(|_| (next(), next())));
        Self::new(Layers::Plain(layers.collect()), self.tokens)
    }

    /// History tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

/// One group of a plan.
#[derive(Clone, Debug)]
pub struct PlannedGroup {
    /// What embeds it.
    pub kernel: Kernel,
    /// (frames of the kernel, C, H, W).
    pub latents: Tensor,
    /// Mean action of its frames: (A).
    pub action: Tensor,
    /// Time of its first frame relative to the section.
    pub position: i32,
}

impl WorldModel {
    /// Encodes one group: latents (frames of the kernel, C, H, W), mean action of its frames (A).
    pub fn encode(&self, kernel: Kernel, latents: &Tensor, action: &Tensor) -> Result<GroupKv> {
        self.encode_at(0.0, kernel, latents, action)
    }

    /// The same for latents with noise of a level that the network is told.
    pub fn encode_at(
        &self,
        level: f32,
        kernel: Kernel,
        latents: &Tensor,
        action: &Tensor,
    ) -> Result<GroupKv> {
        let group = (kernel, latents.clone(), action.clone());
        Ok(self.encode_each(level, &[group])?.remove(0))
    }

    /// Encodes several groups, each as if it were alone: it attends to itself, and its bits do not depend on what else is
    /// encoded. Each is (kernel, latents, mean action).
    pub fn encode_each(
        &self,
        level: f32,
        groups: &[(Kernel, Tensor, Tensor)],
    ) -> Result<Vec<GroupKv>> {
        let Some(stack) = self.stack.as_deref().filter(|_| !groups.is_empty()) else {
            return groups.par_iter().map(|group| self.plain_encode(level, group)).collect();
        };
        let embed = |(kernel, latents, _): &(Kernel, Tensor, _)| {
            self.embed(*kernel, &latents.unsqueeze(0)?)
        };
        let mut parts: Vec<_> = groups.iter().map(|group| (group, None)).collect();
        share(&mut parts, |(group, part)| *part = Some(embed(group)));
        let parts = parts.into_iter().filter_map(|(_, part)| part).collect::<Result<Vec<_>>>()?;
        let lengths = parts.iter().map(|part| part.dim(0)).collect::<Result<Vec<_>>>()?;
        let actions: Vec<_> = groups.iter().map(|(.., action)| action).collect();
        let condition = silu(&self.group_condition(&[level], &Tensor::stack(&actions, 0)?)?)?;
        let phases: Vec<_> = groups
            .iter()
            .map(|&(kernel, ..)| self.phases.of_group(&self.config, kernel, 0))
            .collect();
        let half = self.config.dim / self.config.heads / 2;
        let phases = Phases::concatenated(half, phases.iter().map(Arc::as_ref));
        // One run for all, so that weights are read from memory once.
        let layers = with_floats([&Tensor::cat(&parts, 0)?, &condition], |[x, condition]| {
            let count = groups.len();
            let condition = View::rows(condition, count, condition.len() / count);
            Ok(stack.keys_values(x, condition, &lengths, &phases))
        })?;
        // From block by block to group by group.
        let mut encoded = vec![GroupKv { layers: Vec::new() }; groups.len()];
        for layer in layers {
            for ((own, part), [keys, values]) in encoded.iter_mut().zip(&parts).zip(layer) {
                let tensor = |all| Tensor::from_vec(all, part.shape(), part.device());
                own.layers.push((tensor(keys)?, tensor(values)?));
            }
        }
        Ok(encoded)
    }

    fn plain_encode(
        &self,
        level: f32,
        (kernel, latents, action): &(Kernel, Tensor, Tensor),
    ) -> Result<GroupKv> {
        let mut x = self.embed(*kernel, &latents.unsqueeze(0)?)?;
        let condition = silu(&self.group_condition(&[level], &action.unsqueeze(0)?)?)?;
        let phases = group_phases(&self.config, *kernel, 0);
        let tokens = x.dim(0)?;
        let rows = Rows::new(&[tokens]);
        let all: Arc<[u32]> = (0_u32..).take(tokens).collect();
        let phases = Arc::new(phases);
        let routes: Arc<[Route]> = [Route {
            queries: Arc::clone(&all),
            keys: all,
            query_phases: Arc::clone(&phases),
            key_phases: phases,
        }]
        .into();
        let mut layers = Vec::with_capacity(self.blocks.len());
        for (at, block) in self.blocks.iter().enumerate() {
            let modulation = block.modulation(&condition)?;
            if at + 1 == self.blocks.len() {
                layers.push(block.keys_values(&x, &modulation, &rows)?);
                break;
            }
            x = block.forward(&x, &modulation, &rows, |q, k, v| {
                layers.push((k.clone(), v.clone()));
                attend(q, &k, &v, &routes, self.config.precision)
            })?;
        }
        Ok(GroupKv { layers })
    }

    /// Places groups at their positions: once for each section.
    ///
    /// Each is (keys and values, kernel, time of its first frame relative to the section).
    pub fn place(&self, groups: &[(Arc<GroupKv>, Kernel, i32)]) -> Result<PlacedContext> {
        let head = self.config.dim / self.config.heads;
        let parts: Vec<_> = groups
            .iter()
            .map(|&(_, kernel, time)| self.phases.of_group(&self.config, kernel, time))
            .collect();
        let tokens = parts.iter().map(|part| part.tokens()).sum();
        if self.stack.is_some() {
            let packed = (tokens > 0).then(|| self.place_packed(groups, &parts));
            return Ok(PlacedContext::new(Layers::Packed(packed.transpose()?), tokens));
        }
        let phases = Arc::new(Phases::concatenated(head / 2, parts.iter().map(Arc::as_ref)));
        let all: Arc<[u32]> = (0_u32..).take(tokens).collect();
        let layer = |at: usize| {
            if groups.is_empty() {
                return Ok(None);
            }
            let keys: Vec<_> = groups.iter().map(|group| group.0.layer(at).0).collect();
            let values: Vec<_> = groups.iter().map(|group| group.0.layer(at).1).collect();
            let keys = place(&Tensor::cat(&keys, 0)?, &all, &phases)?;
            Ok(Some((keys, Tensor::cat(&values, 0)?)))
        };
        let layers = (0..self.blocks.len()).map(layer).collect::<Result<_>>()?;
        Ok(PlacedContext::new(Layers::Plain(layers), tokens))
    }

    /// The groups' keys, turned by `phases`, and their values, as the packed blocks take them.
    fn place_packed(
        &self,
        groups: &[(Arc<GroupKv>, Kernel, i32)],
        phases: &[Arc<Phases>],
    ) -> Result<Vec<PackedKeys>> {
        let mut placed: Vec<_> = self.blocks.iter().map(|_| Ok(PackedKeys::default())).collect();
        share(placed.iter_mut().enumerate(), |(at, placed)| {
            let layers = groups.iter().map(|(group, ..)| <[&Tensor; 2]>::from(group.layer(at)));
            *placed = with_all_floats(layers.flatten(), |all| {
                let mut tokens = Vec::with_capacity(phases.iter().map(|it| it.tokens()).sum());
                for ([keys, values], phases) in all.as_chunks::<2>().0.iter().zip(phases) {
                    let rows = keys.chunks_exact(self.config.dim);
                    let rows = rows.zip(values.chunks_exact(self.config.dim)).enumerate();
                    assert_eq!(rows.len(), phases.tokens(), "as many tokens as the kernel makes");
                    tokens.extend(rows.map(|(token, (key, value))| {
                        let phases = phases.token(token);
                        Token { key, value, phases }
                    }));
                }
                Ok(PackedKeys::placed(&tokens))
            });
        });
        placed.into_iter().collect()
    }

    /// Encodes the groups of a plan with each other, every one seeing itself and those before it in time, at
    /// their positions ([`HistoryAttention::Causal`](super::HistoryAttention::Causal)).
    ///
    /// `level` is the noise level that the network is told of all of them. Always by the plain blocks, which are not
    /// packed for play: nothing of it can be kept.
    pub fn encode_causal(&self, groups: &[PlannedGroup], level: f32) -> Result<PlacedContext> {
        if groups.is_empty() {
            return self.place(&[]);
        }
        let embed = |group: &PlannedGroup| self.embed(group.kernel, &group.latents.unsqueeze(0)?);
        let parts = groups.iter().map(embed).collect::<Result<Vec<_>>>()?;
        let lengths = parts.iter().map(|part| part.dim(0)).collect::<Result<Vec<_>>>()?;
        let mut x = Tensor::cat(&parts, 0)?;
        let rows = Rows::new(&lengths);
        let actions: Vec<_> = groups.iter().map(|group| &group.action).collect();
        let condition = self.group_condition(&[level], &Tensor::stack(&actions, 0)?)?;
        let condition = silu(&condition)?;
        let slots: Vec<_> = groups.iter().map(|group| (group.kernel, group.position)).collect();
        let routes: Arc<[Route]> = self.causal_routes(&slots, &lengths);
        let all: Arc<[u32]> = (0_u32..).take(lengths.iter().sum()).collect();
        let half = self.config.dim / self.config.heads / 2;
        let phases: Vec<_> =
            slots.iter().map(|&(kernel, at)| group_phases(&self.config, kernel, at)).collect();
        let phases = Arc::new(Phases::concatenated(half, &phases));
        let mut layers = Vec::with_capacity(self.blocks.len());
        for (at, block) in self.blocks.iter().enumerate() {
            let modulation = block.modulation(&condition)?;
            let mut seen = None;
            if at + 1 == self.blocks.len() {
                seen = Some(block.keys_values(&x, &modulation, &rows)?);
            } else {
                x = block.forward(&x, &modulation, &rows, |q, k, v| {
                    seen = Some((k.clone(), v.clone()));
                    attend(q, &k, &v, &routes, self.config.precision)
                })?;
            }
            let (keys, values) = seen.expect("every block has keys and values");
            layers.push(Some((place(&keys, &all, &phases)?, values)));
        }
        Ok(PlacedContext::new(Layers::Plain(layers), all.len()))
    }

    /// A route for every group, to itself and to those before it.
    fn causal_routes(&self, slots: &[(Kernel, i32)], lengths: &[usize]) -> Arc<[Route]> {
        let half = self.config.dim / self.config.heads / 2;
        let rows = |group: usize| {
            let first: usize = lengths[..group].iter().sum();
            (0_u32..).skip(first).take(lengths[group])
        };
        let route = |group: usize| {
            let seen: Vec<usize> = causal(slots, group).collect();
            let phases =
                seen.iter().map(|&at| group_phases(&self.config, slots[at].0, slots[at].1));
            let phases: Vec<_> = phases.collect();
            let (kernel, position) = slots[group];
            Route {
                queries: rows(group).collect(),
                keys: seen.iter().flat_map(|&at| rows(at)).collect(),
                query_phases: Arc::new(group_phases(&self.config, kernel, position)),
                key_phases: Arc::new(Phases::concatenated(half, &phases)),
            }
        };
        (0..slots.len()).map(route).collect()
    }
}

/// The groups of a plan that one of them attends to under causal attention: itself, and those that begin before it.
pub(crate) fn causal(slots: &[(Kernel, i32)], group: usize) -> impl Iterator<Item = usize> {
    let own = slots[group].1;
    (0..slots.len()).filter(move |&at| at == group || slots[at].1 < own)
}
