//! Training of other ways against drift: what each changes, and nothing else.

use super::planned::{check_batch, only};
use super::*;
use crate::model::HistoryAttention;
use crate::pack::SlotKind;
use crate::train::{DrawnShare, Forcing};

const RANDOM: Forcing = Forcing::Drawn(DrawnShare::Random);
const NAME: &str = "td_f4k4f2k2f2k1_g1";

/// Plain history: no noise that is not told, nothing retrieved, no words.
fn plain() -> WorldTraining {
    let bare = WorldTraining { history_noise: 0.0, retrieval: 0.0, ..only(NAME, 2) };
    WorldTraining { discrete_odds: 0.0, rollout_share: 0.0, shortcut_share: 0.0, ..bare }
}

fn forced(forcing: Forcing) -> WorldTraining {
    WorldTraining { forcing: Some(forcing), ..plain() }
}

fn causal() -> ModelConfig {
    ModelConfig { history: HistoryAttention::Causal, ..ModelConfig::tiny() }
}

/// Away from the identity, so that every path matters.
fn moved(config: &ModelConfig, training: WorldTraining) -> WorldTrainer {
    let mut trainer = start_as(config, training, None);
    for _ in 0..6 {
        trainer.step().unwrap();
    }
    trainer
}

#[test]
fn a_batch_shows_forced_and_causal_sections_what_a_video_shows_them() {
    let tiny = ModelConfig::tiny();
    check_batch(&moved(&tiny, forced(RANDOM)), "random forcing");
    check_batch(&moved(&tiny, forced(Forcing::Always(0.5))), "forcing");
    check_batch(&moved(&causal(), plain()), "causal");
    check_batch(&moved(&causal(), forced(RANDOM)), "causal and forced");
}

/// Rows of a batch that attend to its coarsest groups, which are the oldest, and where these and the sections begin.
fn attending(config: &ModelConfig) -> (BTreeSet<usize>, usize, usize) {
    let trainer = start_as(config, plain(), None);
    let mut random = Random::new(8, 1);
    let mut scene = drawn_scene(&trainer, 1, &[], &mut random);
    let planned = scene.planned.clone();
    let noisy = vec![0.5; planned.len() * config.latent_len()];
    let levels = vec![0.5; planned.len()];
    let batch = scene.batch(&planned, noisy, levels, &mut random).unwrap();
    let rows = |group: &crate::model::GroupTokens| {
        group.latents.dim(0).unwrap() * group.kernel.tokens(config.cells())
    };
    let end: usize = batch.groups.iter().map(rows).sum();
    let coarsest = batch.groups.last().unwrap();
    assert_eq!(coarsest.kernel.frames(), 4);
    let start = end - rows(coarsest);
    let mut attending = BTreeSet::new();
    for route in batch.routes.iter() {
        let (queries, keys) = (route.query_phases.tokens(), route.key_phases.tokens());
        for (queries, keys) in route.queries.chunks(queries).zip(route.keys.chunks(keys)) {
            if keys.iter().any(|&key| (start..end).contains(&(key as usize))) {
                attending.extend(queries.iter().map(|&query| query as usize));
            }
        }
    }
    assert!(attending.range(end..).count() > 0, "sections see it in any case");
    (attending, start, end)
}

#[test]
fn causal_history_sees_what_is_before_it_and_own_history_does_not() {
    let (seen_by, start, end) = attending(&ModelConfig::tiny());
    assert_eq!(seen_by.range(..end).copied().collect::<Vec<_>>(), (start..end).collect::<Vec<_>>());
    let (seen_by, _, end) = attending(&causal());
    assert_eq!(seen_by.range(..end).copied().collect::<Vec<_>>(), (0..end).collect::<Vec<_>>());
}

#[test]
fn forced_history_is_told_the_share_of_noise_that_it_has() {
    let told = |forcing: Forcing| {
        let trainer = start(forced(forcing), None);
        let mut shares = Vec::new();
        for seed in 0..6 {
            let batch = draw(&trainer, seed).batch;
            for level in batch.groups.iter().flat_map(|group| group.levels.clone().unwrap()) {
                let of = |section: &f32| level / section;
                shares.push(batch.levels.iter().map(of).collect::<Vec<f32>>());
            }
        }
        shares
    };
    // Of a level of the section's own, among others.
    let is_tenth = |shares: &Vec<f32>| shares.iter().any(|share| (share - 0.1).abs() < 1e-5);
    let always = told(Forcing::Always(0.1));
    assert!(always.len() > 20 && always.iter().all(is_tenth));
    let drawn = told(RANDOM);
    assert!(drawn.iter().filter(|shares| is_tenth(shares)).count() < drawn.len() / 4);
}

#[test]
fn forced_history_is_the_frame_and_always_the_same_noise() {
    let trainer = start(forced(Forcing::Always(1.0)), None);
    let mut random = Random::new(2, 0);
    let mut scene = drawn_scene(&trainer, 1, &[], &mut random);
    let mut shown = |share| scene.history.shown((0, share), 70, &mut random);
    let (clean, half, noise) = (shown(0.0), shown(0.5), shown(1.0));
    assert_eq!(clean, trainer.episodes[0].latents(70, 1).collect::<Vec<_>>());
    for ((clean, half), noise) in clean.iter().zip(half).zip(&noise) {
        assert!((half - 0.5 * (clean + noise)).abs() < 1e-6);
    }
    let square = noise.iter().map(|n| n * n).sum::<f32>() / noise.len() as f32;
    // 192 normals: five standard errors of 1.
    assert!((square - 1.0).abs() < 0.52, "{square}");
}

#[test]
fn plain_history_is_what_was_recorded() {
    let sees = |training: WorldTraining, seed: u64| {
        let trainer = start(training, None);
        let mut random = Random::new(seed, 0);
        let mut scene = drawn_scene(&trainer, 4, &[], &mut random);
        let slots = scene.planned.iter().flat_map(|section| &section.plan.slots);
        let retrieved = slots.filter(|slot| slot.kind == SlotKind::Retrieved).count();
        let clips = 0..scene.history.clips.len();
        let noisy = clips.filter(|&clip| {
            let frame = scene.history.clips[clip].first - 1;
            let shown = scene.history.frame(clip, frame, &mut random).to_vec();
            shown != trainer.episodes[0].latents(frame, 1).collect::<Vec<_>>()
        });
        (retrieved, noisy.count())
    };
    let mut usual = (0, 0);
    for seed in 0..6 {
        assert_eq!(sees(plain(), seed), (0, 0));
        let (retrieved, noisy) = sees(only(NAME, 2), seed);
        usual = (usual.0 + retrieved, usual.1 + noisy);
    }
    assert!(usual.0 > 0 && usual.1 > 0, "{usual:?}");
}

#[test]
fn trainings_of_rivals_learn_and_go_on_as_if_unbroken() {
    goes_on_as_if_unbroken(&forced(RANDOM));
    let mut trainer = start_as(&causal(), plain(), None);
    let sample = draw(&trainer, 9);
    let loss = |trainer: &WorldTrainer| trainer.loss(&sample).unwrap().to_scalar::<f32>().unwrap();
    let before = loss(&trainer);
    for _ in 0..40 {
        trainer.step().unwrap();
    }
    assert!(loss(&trainer) < 0.5 * before, "{before} became {}", loss(&trainer));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let refused = |config: &ModelConfig, training: WorldTraining| {
        let episodes = vec![still_episode(config, 100)];
        let error = WorldTrainer::new(config, training, episodes, None, &Device::Cpu).unwrap_err();
        error.to_string()
    };
    let tiny = ModelConfig::tiny();
    let rollouts = WorldTraining { rollout_share: 0.5, ..forced(RANDOM) };
    assert!(refused(&tiny, rollouts).contains("rollout_share = 0"));
    let shortcuts = WorldTraining { shortcut_share: 0.5, ..plain() };
    assert!(refused(&causal(), shortcuts).contains("shortcut_share = 0"));
    assert!(refused(&tiny, forced(Forcing::Always(1.5))).contains("got 1.5"));
    for (wrong, said) in [
        (WorldTraining { clips: 0, ..plain() }, "clips of 1 to 1024 in [world_training], got 0"),
        (WorldTraining { clips: 100_000_000, ..plain() }, "got 100000000"),
        (WorldTraining { rate: f64::NAN, ..plain() }, "a rate above 0, at most 1"),
    ] {
        let error = refused(&tiny, wrong);
        assert!(error.contains(said), "{error}");
    }
}
