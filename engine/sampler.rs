//! From noise to a clean section, in a few evaluations.

use crate::graph::Graphs;
use crate::model::{Lead, PlacedContext, StepSize, WorldModel};
use candle_core::{Result, Tensor};

/// How a section is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Evaluations of the network, at least 1: Euler steps of equal size from noise to clean.
    pub evaluations: u32,
    /// Whether the world was trained to be told its step size (shortcut models).
    pub shortcut: bool,
    /// How far the first evaluation is led on from what standing still would show to what the actions
    /// do, 0 for not at all. It costs one evaluation more, but where a step that was taught it comes first.
    pub guidance: f32,
}

impl Sampling {
    /// What the network is told: a step size it was trained for, or plain flow.
    pub(crate) fn step(self) -> StepSize {
        match (self.shortcut, self.evaluations) {
            (true, 1) => StepSize::Whole,
            (true, 2) => StepSize::Half,
            (true, 4) => StepSize::Quarter,
            (true | false, _) => StepSize::Flow,
        }
    }

    /// What the network is told at the first evaluation: where a quarter of the way knows no guidance, half of it, which
    /// was taught to go where guidance leads.
    fn first_step(self) -> StepSize {
        match self.step() {
            StepSize::Quarter if self.guidance != 0.0 => StepSize::Half,
            step => step,
        }
    }

    /// Whether the first evaluation is led on.
    fn leads(self) -> bool {
        self.guidance != 0.0 && !self.first_step().knows_guidance()
    }

    /// Runs of the network for a section.
    pub fn runs(self) -> u32 {
        self.evaluations.max(1) + u32::from(self.leads())
    }

    /// Noise levels at which the network is evaluated, then 0.
    pub(crate) fn levels(self) -> Vec<f32> {
        let count = self.evaluations.max(1);
        #[expect(clippy::cast_precision_loss, reason = "a handful of evaluations")]
        let level = |left: u32| left as f32 / count as f32;
        (0..=count).rev().map(level).collect()
    }
}

/// A clean section from `noise` (g, C, H, W) under the last three actions of each frame (g, 3 · A) and what is in sight.
///
/// Guidance is classifier-free guidance (J. Ho, T. Salimans 2022) with the neutral action, which every
/// recording holds, for the condition left out. Only the first evaluation has it: there it is decided
/// where things go, later ones only draw them.
pub fn sample(
    model: &WorldModel,
    noise: &Tensor,
    actions: &Tensor,
    sight: &Sight,
    sampling: Sampling,
) -> Result<Tensor> {
    sample_led(model, noise, actions, std::slice::from_ref(sight), None, sampling)
}

/// The same, all evaluations as one piece of work where a GPU can do it so.
pub(crate) fn sample_at_once(
    graphs: &Graphs,
    model: &WorldModel,
    noise: &Tensor,
    actions: &Tensor,
    sight: &Sight,
    sampling: Sampling,
) -> Result<Tensor> {
    let Sight { context, newest, renderings } = sight;
    let Some(history) = context.tensors() else {
        return sample(model, noise, actions, sight, sampling);
    };
    let seen = [noise, actions].into_iter().chain(newest).chain(renderings).cloned();
    graphs.run(sampling, seen.chain(history).collect(), |inputs| {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("as many as were given");
        let (noise, actions) = (next(), next());
        let (newest, renderings) =
            (newest.as_ref().map(|_| next()), renderings.as_ref().map(|_| next()));
        let sight = Sight { newest, renderings, context: context.with_tensors(inputs) };
        move || sample(model, &noise, &actions, &sight, sampling)
    })
}

/// What a section sees at an evaluation.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Its history.
    pub context: PlacedContext,
    /// The frame before it, (C, H, W), if there is one.
    pub newest: Option<Tensor>,
    /// What an atlas shows from where its frames are, with the share of each cell that anybody saw, (g, C + 1, H, W), if
    /// that is known.
    pub renderings: Option<Tensor>,
}

impl Sight {
    /// What leads a section under these actions.
    pub(crate) fn lead(&self, model: &WorldModel, actions: &Tensor) -> Result<Lead> {
        model.lead(self.newest.as_ref(), self.renderings.as_ref(), actions)
    }
}

/// The same with what is seen at each evaluation in turn, of which the last serves for all that follow; led on at
/// every evaluation from what another history shows to what this one does, by a share of the way (K. Song et al.,
/// "History-Guided Video Diffusion", 2025).
///
/// # Panics
/// When nothing is seen.
pub fn sample_led(
    model: &WorldModel,
    noise: &Tensor,
    actions: &Tensor,
    sights: &[Sight],
    from: Option<(&PlacedContext, f32)>,
    sampling: Sampling,
) -> Result<Tensor> {
    let seen = sights.iter().map(|sight| Ok((sight, sight.lead(model, actions)?)));
    let seen = seen.collect::<Result<Vec<_>>>()?;
    sample_by(model, noise, actions, &seen, from, sampling)
}

/// The same where it is known already what leads the section at each of these evaluations.
pub(crate) fn sample_by(
    model: &WorldModel,
    noise: &Tensor,
    actions: &Tensor,
    seen: &[(&Sight, Lead)],
    from: Option<(&PlacedContext, f32)>,
    sampling: Sampling,
) -> Result<Tensor> {
    let mut x = noise.clone();
    for (at, pair) in sampling.levels().windows(2).enumerate() {
        let (level, next) = (pair[0], pair[1]);
        let step = if at == 0 { sampling.first_step() } else { sampling.step() };
        let (sight, lead) = &seen[at.min(seen.len() - 1)];
        let estimate = |leads: &[&Lead], context: &PlacedContext| {
            model.estimate_each(&x, level, step, leads, context)
        };
        let mut clean = if level == 1.0 && sampling.leads() {
            let still = sight.lead(model, &actions.zeros_like()?)?;
            let both = estimate(&[lead, &still], &sight.context)?;
            led_on(&both[0], &both[1], sampling.guidance)?
        } else {
            estimate(&[lead], &sight.context)?.remove(0)
        };
        if let Some((other, share)) = from {
            // Another history has another newest frame, if any.
            let bare = model.lead(None, None, actions)?;
            clean = led_on(&clean, &estimate(&[&bare], other)?[0], share)?;
        }
        x = euler(&x, clean, f64::from(next / level))?;
    }
    Ok(x)
}

/// `x`, moved on by a share of the way that it lies from `from`.
pub(crate) fn led_on(x: &Tensor, from: &Tensor, share: f32) -> Result<Tensor> {
    x + ((x - from)? * f64::from(share))?
}

/// One Euler step from `x` at noise level t to a lower level s, towards the `clean` that is seen in it.
///
/// Along the straight path `x_t` = (1 - t) x + t n the velocity is (`x_t` - x̂) / t, so the step leads
/// to x̂ + (s / t)(`x_t` - x̂); the last one to x̂ itself. `left` is s / t.
pub(crate) fn euler(x: &Tensor, clean: Tensor, left: f64) -> Result<Tensor> {
    if left == 0.0 {
        return Ok(clean);
    }
    ((x - &clean)? * left)? + clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_fall_from_noise_to_clean() {
        let sampling = Sampling { evaluations: 4, shortcut: false, guidance: 0.0 };
        assert_eq!(sampling.levels(), [1.0, 0.75, 0.5, 0.25, 0.0]);
        assert_eq!(Sampling { evaluations: 1, ..sampling }.levels(), [1.0, 0.0]);
    }

    #[test]
    fn only_a_shortcut_world_is_told_its_step() {
        let step = |evaluations, shortcut| Sampling { evaluations, shortcut, guidance: 0.0 }.step();
        assert_eq!(step(2, true), StepSize::Half);
        assert_eq!(step(2, false), StepSize::Flow);
        assert_eq!(step(3, true), StepSize::Flow);
    }

    #[test]
    fn guidance_costs_a_run_where_steps_do_not_know_it() {
        let runs =
            |evaluations, shortcut, guidance| Sampling { evaluations, shortcut, guidance }.runs();
        assert_eq!([runs(2, true, 0.5), runs(2, false, 0.5), runs(2, false, 0.0)], [2, 3, 2]);
        assert_eq!(runs(4, true, 0.5), 4, "begun by a step that was taught");
        let first = |guidance| Sampling { evaluations: 4, shortcut: true, guidance }.first_step();
        assert_eq!([first(0.5), first(0.0)], [StepSize::Half, StepSize::Quarter]);
        assert_eq!(runs(3, true, 0.5), 4, "a step that was not taught");
    }
}
