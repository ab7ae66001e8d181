//! The context of a section: groups brought together, encoded and placed.

use super::{Dreamer, gone};
use crate::error::Error;
use crate::model::{PlacedContext, spanned};
use crate::pack::{Arrangement, Group, HistoryView, Kernel, PackPlan, SlotKind};
use candle_core::Tensor;
use memory::FrameStamp;
use std::sync::Arc;

impl Dreamer {
    /// Encodes what the next section will see of the newest frames, whatever is done in it. To be called once a section
    /// is remembered, where nobody waits: the next one then follows a touch the sooner, with the same frames.
    pub fn anticipate(&mut self) -> Result<(), Error> {
        // A permutation puts frames where the ranking tells, which looks at the actions.
        if !self.options.reuse || self.options.arrangement == Arrangement::Permutation {
            return Ok(());
        }
        // What will be retrieved is not known, but that it will leave as many places to the newest frames as the last time.
        let ranked: Vec<FrameStamp> = self.account.hits.iter().map(|hit| hit.stamp).collect();
        let view = HistoryView::new(self.history.live());
        let mut plan = self.schedule.plan(view, &ranked, &self.rules)?;
        plan.slots.retain(|slot| slot.kind != SlotKind::Retrieved);
        self.gather(&plan)?;
        self.section.missing.retain(|group| !group.is_tail());
        self.anticipated.extend(self.section.missing.iter().cloned());
        self.encode()
    }

    pub(super) fn gather(&mut self, plan: &PackPlan) -> Result<(), Error> {
        self.section.groups.clear();
        self.section.missing.clear();
        for slot in &plan.slots {
            let kept = if self.options.reuse { self.kv.get(&slot.group).cloned() } else { None };
            if kept.is_none() {
                self.section.missing.push(slot.group.clone());
            }
            self.section.groups.push((kept, slot.group.clone(), slot.position));
        }
        Ok(())
    }

    /// Encodes the groups that are missing.
    pub fn encode(&mut self) -> Result<(), Error> {
        let missing = std::mem::take(&mut self.section.missing);
        let told = missing.iter().map(|group| self.group(group)).collect::<Result<Vec<_>, _>>()?;
        let encoded = self.world.model.encode_each(0.0, &told)?.into_iter().map(Arc::new);
        for (group, encoded) in missing.into_iter().zip(encoded) {
            for (kept, other, _) in &mut self.section.groups {
                if *other == group {
                    *kept = Some(Arc::clone(&encoded));
                }
            }
            // Of a tail, the next section's holds another frame.
            if self.options.reuse && !group.is_tail() {
                let bytes = encoded.bytes();
                // One that is larger than the whole budget is simply not kept.
                let _not_kept = self.kv.insert(group, encoded, bytes);
            }
        }
        Ok(())
    }

    /// What the network is told of a group: kernel, latents, mean action.
    fn group(&self, group: &Group) -> Result<(Kernel, Tensor, Tensor), Error> {
        let model = &self.world.model;
        let config = model.config();
        let mut latents = Vec::with_capacity(group.frames.len());
        let mut action = vec![0.0_f32; config.action];
        #[expect(clippy::cast_precision_loss, reason = "groups are short")]
        let share = 1.0 / group.frames.len() as f32;
        for frame in &group.frames {
            latents.push(self.seen(*frame)?);
            let record = self.history.warm().peek(*frame).ok_or_else(|| gone(*frame))?;
            action.iter_mut().zip(record.action.iter()).for_each(|(sum, x)| *sum += share * x);
        }
        let shape = [group.kernel.frames(), config.channels, config.height, config.width];
        let latents = model.tensor(spanned(group.kernel, &latents), &shape)?;
        Ok((group.kernel, latents, model.tensor(action, &[config.action])?))
    }

    pub(super) fn placed(&self) -> Result<PlacedContext, Error> {
        let groups = self.section.groups.iter().map(|(kv, group, position)| {
            let kv = kv.as_ref().expect("`encode` comes before `denoise`");
            (Arc::clone(kv), group.kernel, *position)
        });
        Ok(self.world.model.place(&groups.collect::<Vec<_>>())?)
    }
}
