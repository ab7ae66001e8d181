//! Training of the world model: flow matching with clean-latent prediction.

#[cfg(test)]
mod tests;

use super::adapted::Adapted;
use super::charted::Charted;
use super::clip::ClipSampler;
use super::init::widen_projections;
use super::rollout::Rollout;
use super::scene::{Lessons, Sample, Scene};
use super::slopes::slopes;
use super::teacher::Teacher;
use super::{Checkpoint, DrawnSchedule, Forcing, LatentEpisode, Muon, MuonConfig, initial_weights};
use crate::adapter::AdapterConfig;
use crate::atlas::Atlas;
use crate::codebook::{CODEBOOK, Codebook};
use crate::codec::Codec;
use crate::model::{HistoryAttention, ModelConfig, WorldModel};
use crate::noise::Random;
use crate::ops::approach;
use crate::sampler::Sampling;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;

/// Settings of a training.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorldTraining {
    /// Clips in a step; a clip is about eight section frames.
    pub clips: usize,
    /// Rate after warm-up.
    pub rate: f64,
    /// Steps over which the rate rises from zero.
    pub warmup: u32,
    /// Steps in all; over the last `cooldown` share of them the rate falls to zero.
    pub steps: u32,
    /// Share of the steps that the rate falls over.
    pub cooldown: f64,
    /// Decay of the moving average of the weights.
    pub average: f32,
    /// Share of the clips whose sections learn to make long steps, for play in 1, 2 or 4
    /// evaluations; 0 for none.
    pub shortcut_share: f32,
    /// Steps before they do: a young average has nothing to teach.
    pub shortcut_from: u32,
    /// Share of the clips that go on from what the average dreams instead of recorded frames,
    /// against drift; 0 for none.
    pub rollout_share: f32,
    /// Steps before they do: a young network's dreams are no history.
    pub rollout_from: u32,
    /// Guidance of these dreams, and of the world when it is played: see
    /// [`sample`](crate::sampler::sample).
    pub guidance: f32,
    /// Frames that every rest in the recording lasts longer: players stand still more than recorders do, and what stands
    /// still should stay.
    pub rests: usize,
    /// Weight of the error in grain where long steps of play end, against softness; 0 for none.
    pub grain: f32,
    /// Words that history may be discretized by (schedules with `+D`); 0 for none.
    pub codebook: usize,
    /// Share of the clips whose history is.
    pub discrete_odds: f32,
    /// Largest noise on recorded history, in standard deviations of a latent; 0 for none.
    pub history_noise: f32,
    /// Share of the clips, of schedules that are played, whose finest slots are filled by the ranking.
    pub retrieval: f32,
    /// Most views of the [atlas](crate::atlas) to [`WorldTrainer::chart`], where the recording tells its places and is
    /// of one map; 0 for none.
    pub atlas: usize,
    /// Noise of history that the network is told, in place of `history_noise`: diffusion forcing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forcing: Option<Forcing>,
    /// Of everything random.
    pub seed: u64,
    /// What sections see: schedules of any order and tail with their shares; where there is none, a mix of those
    /// that are played.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<DrawnSchedule>,
}

impl Default for WorldTraining {
    fn default() -> Self {
        Self {
            clips: 4,
            rate: 1.5e-3,
            warmup: 200,
            steps: 100_000,
            cooldown: 0.2,
            average: 0.9995,
            shortcut_share: 0.25,
            shortcut_from: 10_000,
            rollout_share: 0.5,
            rollout_from: 10_000,
            guidance: 0.5,
            rests: 0,
            grain: 0.0,
            codebook: 128,
            discrete_odds: 0.15,
            history_noise: 0.5,
            retrieval: 0.5,
            atlas: 3000,
            forcing: None,
            seed: 0,
            schedules: Vec::new(),
        }
    }
}

/// Most clips of a step.
const CLIPS_MAX: usize = 1024;

impl WorldTraining {
    /// The rate of step `step`.
    pub fn rate_at(&self, step: u32) -> f64 {
        rate_at(self.rate, (self.warmup, self.steps, self.cooldown), step)
    }

    /// Whether the average of the weights after `steps` steps knows shortcuts: once the steps that
    /// taught them are most of what it averages.
    pub fn knows_shortcuts(&self, steps: u32) -> bool {
        let taught = f64::from(steps) - f64::from(self.shortcut_from);
        self.shortcut_share > 0.0 && taught * f64::from(1.0 - self.average) >= 1.0
    }

    /// Refuses settings that are out of range, or do not go together.
    ///
    /// # Errors
    /// Which they are, and what is expected.
    pub fn check(&self, config: &ModelConfig) -> Result<()> {
        self.forcing.map_or(Ok(()), Forcing::check)?;
        if !(1..=CLIPS_MAX).contains(&self.clips) {
            let got = self.clips;
            candle_core::bail!("expected clips of 1 to {CLIPS_MAX} in [world_training], got {got}");
        }
        if !(self.rate > 0.0 && self.rate <= 1.0) {
            let got = self.rate;
            candle_core::bail!("expected a rate above 0, at most 1 in [world_training], got {got}");
        }
        if self.grain > 0.0 && self.shortcut_share == 0.0 {
            candle_core::bail!(
                "expected shortcut_share > 0 with grain: it is a matter of long steps"
            );
        }
        let causal = config.history == HistoryAttention::Causal;
        if (self.forcing.is_some() || causal) && self.shortcut_share + self.rollout_share > 0.0 {
            candle_core::bail!(
                "expected shortcut_share = 0 and rollout_share = 0 with forcing or causal history: averages teach neither"
            );
        }
        Ok(())
    }

    fn shortcut_share_at(&self, step: u32) -> f32 {
        if step >= self.shortcut_from { self.shortcut_share } else { 0.0 }
    }

    /// Clips of a step that are rollouts.
    fn rollouts_at(&self, step: u32) -> usize {
        let share = if step >= self.rollout_from { self.rollout_share } else { 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "a handful of clips")]
        let rollouts = |clips: &usize| *clips as f32 <= self.clips as f32 * share.clamp(0.0, 1.0);
        (1..=self.clips).take_while(rollouts).count()
    }
}

/// The rate of step `step` of `steps`: it rises from zero over `warmup` steps and falls to it over the last `cooldown`
/// share.
pub(crate) fn rate_at(rate: f64, (warmup, steps, cooldown): (u32, u32, f64), step: u32) -> f64 {
    let all = f64::from(steps.max(1));
    let rise = (f64::from(step) + 1.0) / f64::from(warmup.max(1));
    let fall = (all - f64::from(step)) / (all * cooldown).max(1.0);
    rate * rise.min(fall).clamp(0.0, 1.0)
}

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub struct WorldStep {
    /// Mean squared error of the velocity, for shortcuts of the clean latent, plus that of the moved frame.
    pub loss: f32,
    /// Norm of the gradients before clipping.
    pub gradient: f64,
    /// Section frames trained on.
    pub frames: usize,
}

/// A training under way.
#[derive(Debug)]
pub struct WorldTrainer {
    training: WorldTraining,
    model: WorldModel,
    sampler: ClipSampler,
    episodes: Vec<LatentEpisode>,
    /// What is trained: all weights, or an adapter's.
    vars: BTreeMap<String, Var>,
    adapted: Option<Adapted>,
    /// Moving average of the variables.
    average: BTreeMap<String, Vec<f32>>,
    optimizer: Muon,
    rollouts: Vec<Rollout>,
    step: u32,
    device: Device,
}

impl WorldTrainer {
    /// Starts from `weights`, or from a seed where there are none.
    pub fn new(
        config: &ModelConfig,
        training: WorldTraining,
        episodes: Vec<LatentEpisode>,
        weights: Option<BTreeMap<String, Tensor>>,
        device: &Device,
    ) -> Result<Self> {
        let mut weights = match weights {
            Some(mut weights) => {
                widen_projections(config, &mut weights)?;
                weights
            }
            None => initial_weights(config, training.seed, device)?,
        };
        // Words belong to the data: those of weights trained on other play are not taken over.
        let _other_words = weights.remove(CODEBOOK);
        let vars = weights
            .into_iter()
            .map(|(name, weight)| Ok((name, Var::from_tensor(&weight.to_device(device)?)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()));
        let model = network(config, tensors.collect(), device)?;
        let optimizer = Muon::new(&vars, MuonConfig::default(), config.precision)?;
        Self::begin((model, vars, None), optimizer, training, episodes, device)
    }

    /// Starts from `weights`, which stay as they are: an adapter of low rank beside them is what is trained.
    ///
    /// # Errors
    /// The weights are none of such a network.
    pub fn adapting(
        config: &ModelConfig,
        training: WorldTraining,
        episodes: Vec<LatentEpisode>,
        mut weights: BTreeMap<String, Tensor>,
        adapter: AdapterConfig,
        device: &Device,
    ) -> Result<Self> {
        widen_projections(config, &mut weights)?;
        let _other_words = weights.remove(CODEBOOK);
        let (adapted, vars) = Adapted::new(weights, adapter, device)?;
        let model = network(config, adapted.applied()?, device)?;
        let optimizer = Muon::without_matrices(&vars, MuonConfig::default())?;
        Self::begin((model, vars, Some(adapted)), optimizer, training, episodes, device)
    }

    fn begin(
        (model, vars, adapted): (WorldModel, BTreeMap<String, Var>, Option<Adapted>),
        optimizer: Muon,
        training: WorldTraining,
        episodes: Vec<LatentEpisode>,
        device: &Device,
    ) -> Result<Self> {
        let config = model.config();
        training.check(config)?;
        let longer = |episode: LatentEpisode| episode.with_longer_rests(training.rests);
        let episodes: Vec<_> = episodes.into_iter().map(longer).collect();
        let mut sampler = ClipSampler::new(config, &episodes, &training)?;
        if sampler.needs_words() && training.codebook == 0 {
            candle_core::bail!("expected a codebook for schedules with +D, got one of no words");
        }
        sampler.codebook =
            (training.codebook > 0).then(|| fit_codebook(config, &training, &episodes));
        let average = vars
            .iter()
            .map(|(name, var)| Ok((name.clone(), values(var)?)))
            .collect::<Result<_>>()?;
        let (device, rollouts, step) = (device.clone(), Vec::new(), 0);
        Ok(Self {
            training,
            model,
            sampler,
            episodes,
            vars,
            adapted,
            average,
            optimizer,
            rollouts,
            step,
            device,
        })
    }

    /// Goes on from a checkpoint.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let missing = |name: &str| candle_core::Error::Msg(format!("checkpoint: no tensor {name}"));
        for (name, var) in &self.vars {
            let weight = checkpoint.weights.get(name).ok_or_else(|| missing(name))?;
            if weight.shape() != var.shape() {
                candle_core::bail!(
                    "expected {name} of {:?} in the checkpoint, got {:?}: it is of a network that is told more or less; begin anew from its world (--from, another --out)",
                    var.dims(),
                    weight.dims()
                );
            }
            var.set(weight)?;
            let average = checkpoint.average.get(name).ok_or_else(|| missing(name))?;
            self.average.insert(name.clone(), average.flatten_all()?.to_vec1()?);
        }
        if let Some(words) = checkpoint.weights.get(CODEBOOK) {
            self.sampler.codebook = Some(Codebook::new(words)?);
        }
        let rollouts = (0..self.training.clips)
            .map_while(|number| Rollout::restore(&checkpoint.rollouts, number).transpose());
        self.rollouts = rollouts.collect::<Result<_>>()?;
        self.step = checkpoint.step;
        let step = i32::try_from(checkpoint.step).map_err(candle_core::Error::wrap)?;
        self.optimizer.restore(&checkpoint.optimizer, step)
    }

    /// Everything needed to go on.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        // Copies, because steps write in place.
        let weights = self.vars.iter().map(|(name, var)| Ok((name.clone(), var.copy()?)));
        let rollouts = self.rollouts.iter().enumerate().map(|(at, rollout)| rollout.tensors(at));
        Ok(Checkpoint {
            weights: weights.chain(self.words()).collect::<Result<_>>()?,
            average: self.averages()?,
            optimizer: self.optimizer.state()?,
            rollouts: rollouts.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect(),
            step: self.step,
        })
    }

    /// The moving average of the weights with the codebook, on the CPU: what is played. An adapter is worked into it.
    pub fn average(&self) -> Result<BTreeMap<String, Tensor>> {
        let averages = self.averages()?;
        let mut weights = match &self.adapted {
            Some(adapted) => adapted.merged(averages)?,
            None => averages,
        };
        weights.extend(self.words().transpose()?);
        Ok(weights)
    }

    /// The moving averages of the variables, on the CPU.
    fn averages(&self) -> Result<BTreeMap<String, Tensor>> {
        let tensor = |(name, values): (&String, &Vec<f32>)| {
            let shape = self.vars[name].shape().clone();
            Ok((name.clone(), Tensor::from_slice(values, shape, &Device::Cpu)?))
        };
        self.average.iter().map(tensor).collect()
    }

    /// The codebook under its name, if there is one.
    fn words(&self) -> Option<Result<(String, Tensor)>> {
        let codebook = self.sampler.codebook.as_ref();
        codebook.map(|codebook| Ok((CODEBOOK.to_owned(), codebook.tensor()?)))
    }

    /// Steps made so far.
    pub fn steps(&self) -> u32 {
        self.step
    }

    /// From here on sections retrieve from an atlas of latents of this codec, as play in its world will.
    pub fn chart(&mut self, atlas: Atlas, codec: &Codec) {
        let charted = Charted::new((atlas, codec), self.model.config(), &self.episodes);
        self.sampler.charted = Some(charted);
    }

    /// What sections retrieve from.
    pub fn atlas(&self) -> Option<&Atlas> {
        self.sampler.charted.as_ref().map(|charted| &charted.atlas)
    }

    /// Settings.
    pub fn training(&self) -> &WorldTraining {
        &self.training
    }

    /// Whether the average knows shortcuts: what play with it should be told.
    pub fn knows_shortcuts(&self) -> bool {
        self.training.knows_shortcuts(self.step)
    }

    /// One step. What is random in it is a function of the seed, the step, the rollouts and of whether it is made on a CPU.
    pub fn step(&mut self) -> Result<WorldStep> {
        let mut random = Random::new(self.training.seed, u64::from(self.step) + 1);
        let samples = self.samples(self.device.is_cpu(), &mut random)?;
        if let Some(adapted) = &self.adapted {
            self.model = network(self.model.config(), adapted.applied()?, &self.device)?;
        }
        let (loss, gradients) = slopes(&samples, &self.vars, |sample| self.loss(sample))?;
        let rate = self.training.rate_at(self.step);
        let gradient = self.optimizer.step(&gradients, rate)?;
        self.step += 1;
        self.follow()?;
        let frames = samples.iter().map(|sample| sample.frames).sum();
        Ok(WorldStep { loss, gradient, frames })
    }

    /// A batch, with rollouts taken further and with targets where the average teaches: all clips together, or each `apart`.
    fn samples(&mut self, apart: bool, random: &mut Random) -> Result<Vec<Sample>> {
        let (clips, rollouts) = (self.training.clips, &self.rollouts);
        let mut scene = self.sampler.draw(&self.episodes, clips, rollouts, random, &self.device)?;
        let count = if scene.played { self.training.rollouts_at(self.step) } else { 0 };
        let shortcut_share = self.training.shortcut_share_at(self.step);
        let sampled = |scene: Scene<'_>, lessons: Option<&Lessons<'_>>, random: &mut Random| {
            let scenes = if apart { scene.apart() } else { vec![scene] };
            scenes.into_iter().map(|scene| scene.sample(lessons, random)).collect()
        };
        if count == 0 && shortcut_share == 0.0 {
            return sampled(scene, None, random);
        }
        let teacher = self.teacher()?;
        if count > 0 {
            let (shortcut, guidance) = (self.knows_shortcuts(), self.training.guidance);
            let played = Sampling { evaluations: 1, shortcut, guidance };
            self.rollouts = scene.dream(&teacher, played, count, random)?;
        }
        let on_the_way = self.training.grain > 0.0;
        let lessons = Lessons { teacher: &teacher, shortcut_share, on_the_way };
        sampled(scene, Some(&lessons), random)
    }

    /// The average as it is now; made for the steps that need one.
    fn teacher(&self) -> Result<Teacher> {
        let guidance = self.training.guidance;
        Teacher::new(self.model.config(), self.average()?, guidance, &self.device)
    }

    /// Mean squared error of the velocity, for shortcuts of the clean latent; beside it that of the moved frame, which
    /// so learns to move before anything else does, and that of the grain.
    fn loss(&self, sample: &Sample) -> Result<Tensor> {
        let answer = self.model.estimate_batch(&sample.batch)?;
        let moved = (answer.moved - &sample.clean)?.broadcast_mul(&sample.batch.after)?;
        let moved = moved.sqr()?.mean_all()?;
        let error = (&answer.clean - &sample.clean)?.sqr()?;
        let loss = ((error.mean_keepdim(1)? * &sample.weight)?.mean_all()? + moved)?;
        let Some(ends) = &sample.ends else { return Ok(loss) };
        let (all, rows) = (answer.clean.dim(0)?, ends.dim(0)?);
        let error = (grain(&answer.clean.narrow(0, all - rows, rows)?)? - grain(ends)?)?.sqr()?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let share = rows as f64 / all as f64; // its mean is over all rows, as that of the others
        loss + (error.mean_all()? * (share * f64::from(self.training.grain)))?
    }

    /// Moves the average towards the weights; early on faster, so that it forgets the start.
    fn follow(&mut self) -> Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "only the first steps matter")]
        let step = self.step as f32;
        let decay = self.training.average.min((1.0 + step) / (10.0 + step));
        for (name, average) in &mut self.average {
            approach(average, &self.vars[name], 1.0 - decay)?;
        }
        Ok(())
    }
}

/// Root mean squares of the four cells of a token in each channel: (rows, C).
///
/// What a place has of a channel is to be kept even where it is not known how it lies: errors of single values would
/// rather see it smoothed away, a little in each frame, until walls are all that is left of a walk.
fn grain(tokens: &Tensor) -> Result<Tensor> {
    let (rows, values) = tokens.dims2()?;
    // Off zero, where a root has no slope.
    (tokens.reshape((rows, values / 4, 4))?.sqr()?.mean(2)? + 1e-4)?.sqrt()
}

fn network(
    config: &ModelConfig,
    weights: BTreeMap<String, Tensor>,
    device: &Device,
) -> Result<WorldModel> {
    let vb = VarBuilder::from_tensors(weights.into_iter().collect(), DType::F32, device);
    WorldModel::new(config, &vb)
}

/// Words for the cells of `episodes`.
fn fit_codebook(
    config: &ModelConfig,
    training: &WorldTraining,
    episodes: &[LatentEpisode],
) -> Codebook {
    Codebook::fit(training.codebook, config.channels, training.seed, |random| {
        let episode = &episodes[random.below(episodes.len())];
        episode.latents(random.below(episode.frames()), 1).collect()
    })
}

fn values(var: &Var) -> Result<Vec<f32>> {
    var.flatten_all()?.to_device(&Device::Cpu)?.to_vec1()
}
