//! A tiny world with random weights: what must hold whatever the weights are.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use engine::dreamer::{DreamOptions, Dreamer, EstimateBy};
use engine::model::StepSize;
use engine::noise::section_noise;
use engine::pack::Arrangement;
use engine::sampler::{Sampling, Sight, sample};
use engine::world::World;
use input::{Action, Pose};
use memory::{FieldOfView, Ranking};

use crate::support::world::{tiny_world, tiny_world_in_words};

/// Frames of a scripted walk: turns, steps, pauses.
fn walk(world: &Arc<World>, options: DreamOptions, sections: usize) -> Vec<Vec<u8>> {
    let mut dreamer = Dreamer::new(Arc::clone(world), options).expect("the options fit");
    let start = &world.starts[0];
    let frames: Vec<&[u8]> = start.frames().collect();
    dreamer.open_with(&frames, &start.actions).expect("the opening fits");
    let mut made = Vec::new();
    for tick in 0..sections * dreamer.section_frames() {
        let turn = [0.5, 0.0, -0.5, 0.25][tick / 5 % 4];
        let action = Action { turn, forward: f32::from(u8::from(tick % 7 < 4)), ..Action::NEUTRAL };
        if tick % dreamer.section_frames() == 0 {
            let actions = vec![action; dreamer.section_frames()];
            made.extend(dreamer.section(&actions).expect("a section can be dreamed"));
        }
    }
    made
}

#[test]
fn kept_keys_and_values_change_nothing() {
    let world = tiny_world();
    let tail = "tc_f4k4f2k2f2k1_g1";
    for schedule in ["td_f16k4f4k2f5k1_g1", "td_f4k2f3k1_g1", "td_f8k4f2k2f2k1_g2", tail] {
        for arrangement in [Arrangement::Default, Arrangement::Recency, Arrangement::Permutation] {
            for estimate in [EstimateBy::Last, EstimateBy::Preview] {
                let options = |reuse| DreamOptions {
                    schedule: Some(schedule.parse().expect("a schedule")),
                    arrangement,
                    estimate,
                    reuse,
                    ..DreamOptions::default()
                };
                // A group is encoded alone in one shape, so a hit and a miss give the same bits.
                let (with, without) =
                    (walk(&world, options(true), 12), walk(&world, options(false), 12));
                assert!(with == without, "{schedule} {arrangement:?} {estimate:?}");
            }
        }
    }
}

#[test]
fn a_cache_too_small_for_anything_changes_nothing() {
    let world = tiny_world();
    let small = DreamOptions { kv_budget_bytes: 1, ..DreamOptions::default() };
    assert!(walk(&world, small, 6) == walk(&world, DreamOptions::default(), 6));
}

#[test]
fn frames_follow_from_seed_and_actions() {
    let world = tiny_world();
    let seeded = |seed| walk(&world, DreamOptions { seed, ..DreamOptions::default() }, 6);
    assert!(seeded(1) == seeded(1));
    assert!(seeded(1) != seeded(2), "the seed draws the noise");
}

#[test]
fn frames_are_the_same_at_any_number_of_threads() {
    let world = tiny_world();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| walk(&world, DreamOptions::default(), 6))
    };
    assert!(with(1) == with(2));
}

#[test]
fn actions_and_history_matter() {
    let world = tiny_world();
    let once = |turn: f32, opening: usize| {
        let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default()).expect("fits");
        let start = &world.starts[0];
        let frames: Vec<&[u8]> = start.frames().take(opening).collect();
        dreamer.open_with(&frames, &start.actions[..opening]).expect("fits");
        dreamer.section(&[Action { turn, ..Action::NEUTRAL }]).expect("a section")
    };
    assert!(once(1.0, 20) != once(-1.0, 20), "the action is not seen");
    assert!(once(0.0, 20) != once(0.0, 12), "the history is not seen");
}

#[test]
fn a_compressed_tail_is_seen_and_costs_the_same_however_long_the_walk() {
    let world = tiny_world();
    let once = |schedule: &str, first: u8| {
        let schedule = Some(schedule.parse().expect("a schedule"));
        let arrangement = Arrangement::Recency;
        let options = DreamOptions { schedule, arrangement, ..DreamOptions::default() };
        let mut dreamer = Dreamer::new(Arc::clone(&world), options).expect("fits");
        let size = world.starts[0].frame_bytes();
        let (old, new) = (vec![first; size], vec![100; size]);
        let frames: Vec<&[u8]> = (0..40).map(|t| if t < 20 { &old[..] } else { &new }).collect();
        dreamer.open_with(&frames, &[Action::NEUTRAL; 40]).expect("fits");
        let mut tokens = Vec::new();
        let mut made = Vec::new();
        for _ in 0..120 {
            made.extend(dreamer.section(&[Action::NEUTRAL]).expect("a section"));
            let plan = dreamer.account().plan.as_ref().expect("it was planned");
            tokens.push(plan.history_tokens());
            let longest = plan.groups().map(|group| group.frames.len()).max();
            assert_eq!(longest > Some(4), plan.slots.len() == 5);
        }
        tokens.dedup();
        (made.swap_remove(0), tokens)
    };
    let (delete, compress) = ("td_f4k4f2k2f2k1_g1", "tc_f4k4f2k2f2k1_g1");
    assert!(once(delete, 10).0 == once(delete, 200).0, "it is out of sight");
    let ((dark, tokens), (bright, _)) = (once(compress, 10), once(compress, 200));
    assert!(dark != bright, "its mean is seen");
    // Three tiers of 1, 4 and 2 x 12 tokens on 6 x 8 cells, and one more group of k4.
    assert_eq!((tokens, once(delete, 10).1), (vec![30], vec![29]));
}

#[test]
fn a_tail_that_grows_without_end_is_not_played() {
    let schedule = Some("ta_f16k4f4k2f5k1_g1".parse().expect("a schedule"));
    let options = DreamOptions { schedule, ..DreamOptions::default() };
    let error = Dreamer::new(tiny_world(), options).expect_err("it grows");
    assert!(error.to_string().contains("play has no end"), "{error}");
}

#[test]
fn history_in_one_word_is_no_history() {
    // FramePack §4.2: with K = 1 "the history becomes meaningless as one single color".
    let word = Tensor::zeros((1, 4), DType::F32, &Device::Cpu).expect("a tensor");
    let world = tiny_world_in_words(Some(word));
    let once = |schedule: &str, fill: u8| {
        let schedule = Some(schedule.parse().expect("a schedule"));
        let options = DreamOptions { schedule, ..DreamOptions::default() };
        let mut dreamer = Dreamer::new(Arc::clone(&world), options).expect("fits");
        let frame = vec![fill; world.starts[0].frame_bytes()];
        dreamer.open_with(&[frame.as_slice(); 20], &[Action::NEUTRAL; 20]).expect("fits");
        dreamer.section(&[Action::NEUTRAL]).expect("a section")
    };
    assert!(once("td_f16k4f4k2f5k1_g1", 10) != once("td_f16k4f4k2f5k1_g1", 200));
    assert!(once("td_f16k4f4k2f5k1_g1+D", 10) == once("td_f16k4f4k2f5k1_g1+D", 200));
}

#[test]
fn a_schedule_in_words_needs_a_codebook() {
    let schedule = Some("td_f16k4f4k2f5k1_g1+D".parse().expect("a schedule"));
    let options = DreamOptions { schedule, ..DreamOptions::default() };
    let error = Dreamer::new(tiny_world_in_words(None), options).expect_err("no words");
    assert!(error.to_string().contains("codebook"), "{error}");
}

#[test]
fn in_steady_state_one_group_a_tier_is_new() {
    let world = tiny_world();
    let options = DreamOptions { arrangement: Arrangement::Recency, ..DreamOptions::default() };
    let mut dreamer = Dreamer::new(Arc::clone(&world), options).expect("fits");
    let start = &world.starts[0];
    let frames: Vec<&[u8]> = start.frames().collect();
    dreamer.open_with(&frames, &start.actions).expect("fits");
    for section in 0..16 {
        dreamer.section(&[Action::NEUTRAL]).expect("a section");
        // The default schedule has three tiers; the first four sections fill the k4 tier.
        if section >= 4 {
            assert_eq!(dreamer.account().kv_misses, 3, "section {section}");
        }
    }
}

#[test]
fn what_is_anticipated_is_what_the_next_section_sees() {
    let world = tiny_world();
    for (arrangement, tail) in [
        (Arrangement::Recency, false),
        (Arrangement::Default, false),
        (Arrangement::Default, true),
        (Arrangement::Permutation, false),
    ] {
        let schedule = if tail { "tc_f4k4f2k2f2k1_g1" } else { "td_f16k4f4k2f5k1_g1" };
        let schedule = Some(schedule.parse().expect("a schedule"));
        let options = DreamOptions { arrangement, schedule, ..DreamOptions::default() };
        let begin = || {
            let mut dreamer = Dreamer::new(Arc::clone(&world), options.clone()).expect("fits");
            let start = &world.starts[0];
            let frames: Vec<&[u8]> = start.frames().collect();
            dreamer.open_with(&frames, &start.actions).expect("fits");
            dreamer
        };
        let (mut plain, mut ahead) = (begin(), begin());
        for section in 0..20_u8 {
            let action = [Action { turn: 0.25 * f32::from(section % 3), ..Action::NEUTRAL }];
            ahead.anticipate().expect("groups are encoded");
            // Twice is as good as once.
            ahead.anticipate().expect("nothing is left");
            let (a, b) = (plain.section(&action), ahead.section(&action));
            assert!(a.expect("a section") == b.expect("a section"), "{arrangement:?} {tail}");
            let (a, b) = (plain.account(), ahead.account());
            assert_eq!(a.kv_anticipated, 0);
            assert!(a.reused.iter().zip(&b.reused).all(|(a, b)| a <= b), "what is new stays new");
            if arrangement == Arrangement::Recency {
                assert_eq!(a.reused, b.reused, "nothing is encoded in vain");
            }
            // Until there is as much to retrieve as there are places.
            if section < 10 {
                continue;
            }
            match arrangement {
                // All of them but the tail, which is another for every section.
                Arrangement::Recency | Arrangement::Default => {
                    assert_eq!(b.kv_anticipated, 3, "one a tier");
                }
                Arrangement::Permutation => assert_eq!(b.kv_anticipated, 0),
            }
        }
    }
}

#[test]
fn a_fork_retrieves_from_before_it_only_and_leaves_the_walk_as_it_was() {
    let world = tiny_world();
    let begin = || {
        let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default()).expect("fits");
        let start = &world.starts[0];
        let frames: Vec<&[u8]> = start.frames().collect();
        // Long enough that there is something behind the recent window.
        for _ in 0..4 {
            dreamer.open_with(&frames, &start.actions).expect("the opening fits");
        }
        dreamer
    };
    let action = [Action { turn: 0.5, ..Action::NEUTRAL }];
    let hybrid = Ranking::Similarity { time_weight: world.config.time_weight };
    let mut walk = begin();
    let newest = walk.history().live().last().expect("it has opened").frame;
    let mut fork = walk.fork(hybrid, Arrangement::Default);
    let forked: Vec<_> = (0..60).map(|_| fork.section(&action).expect("a section")).collect();
    assert!(!fork.account().hits.is_empty(), "something is retrieved");
    assert!(fork.account().hits.iter().all(|hit| hit.stamp.frame <= newest));
    let (first, unforked) = (walk.section(&action), begin().section(&action));
    assert!(first.expect("a section") == unforked.expect("a section"), "the walk has changed");
    let mut again = begin().fork(hybrid, Arrangement::Default);
    assert!(forked[0] == again.section(&action).expect("a section"));
    // What the walk itself dreamed is retrieved once it is old.
    let mut hits = Vec::new();
    for _ in 0..60 {
        walk.section(&action).expect("a section");
        hits.extend(walk.account().hits.iter().map(|hit| hit.stamp.frame));
    }
    assert!(hits.iter().any(|&frame| frame > newest));
}

#[test]
fn poses_rank_where_frames_have_them() {
    let world = tiny_world();
    let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default()).expect("fits");
    let start = &world.starts[0];
    let frames: Vec<&[u8]> = (0..8).flat_map(|_| start.frames()).collect();
    let actions = vec![Action::NEUTRAL; frames.len()];
    let place = |t: usize| Pose { x: f32::from(u16::try_from(t).expect("few")), ..Pose::default() };
    let poses: Vec<Pose> = (0..frames.len()).map(place).collect();
    dreamer.open_with_poses(&frames, &actions, &poses).expect("the opening fits");
    let view = FieldOfView { degrees: 90.0, reach: 5.0 };
    let mut fork = dreamer.fork(Ranking::Pose(view), Arrangement::Default);
    fork.stand_at(Some(poses[3]));
    fork.section(&[Action::NEUTRAL]).expect("a section");
    let best = fork.account().hits.first().expect("the place is known");
    assert_eq!(best.stamp.frame.0, 3, "the view from the same place covers all of it");
    fork.stand_at(None);
    assert!(fork.section(&[Action::NEUTRAL]).is_err(), "a ranking by pose needs one");
}

#[test]
fn what_is_packed_stays_ahead_and_a_bookmark_keeps_that() {
    let world = tiny_world();
    let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default()).expect("fits");
    let frames = [world.starts[0].frame(0); 100];
    dreamer.open_with(&frames, &[Action::NEUTRAL; 100]).expect("the opening fits");
    // All look the same, and these are too old for time to tell them apart: what the best of them has ahead of its looks.
    let lead = |dreamer: &mut Dreamer| {
        let feature =
            |dreamer: &Dreamer, frame| dreamer.history().warm().record(frame).unwrap().feature;
        let newest = dreamer.history().live().last().expect("it has opened").frame;
        let estimate = feature(dreamer, newest).to_estimate().expect("it is sound");
        dreamer.section(&[Action::NEUTRAL]).expect("a section");
        let old = dreamer.account().hits.iter().filter(|hit| hit.stamp.frame.0 < 50);
        let leads = old.map(|hit| hit.score - feature(dreamer, hit.stamp.frame).cosine(&estimate));
        leads.fold(f32::MIN, f32::max)
    };
    let fresh = lead(&mut dreamer);
    let bookmark = dreamer.bookmark();
    // The estimate is rounded once more here than there.
    let near = |lead: f32| (lead - fresh - 0.05).abs() < 2e-3;
    assert!(near(lead(&mut dreamer)), "it was packed before");
    dreamer.go_back(&bookmark).expect("of this walk");
    assert!(near(lead(&mut dreamer)), "as it was at the bookmark");
}

#[test]
fn what_comes_back_lies_behind_the_tail_and_fills_all_places() {
    let world = tiny_world();
    let size = world.starts[0].frame_bytes();
    let frame = |level: u8| {
        (0..size).map(|at| level.wrapping_mul(u8::try_from(at % 97).expect("small"))).collect()
    };
    let [then, now]: [Vec<u8>; 2] = [3, 5].map(frame);
    // What looks like now is all in the tail of the one schedule, and behind the window of the other.
    let frames: Vec<&[u8]> = (0..250).map(|t| if t < 110 { &then[..] } else { &now }).collect();
    let retrieved = |schedule: &str| {
        let schedule = Some(schedule.parse().expect("a schedule"));
        let options = DreamOptions { schedule, ..DreamOptions::default() };
        let mut dreamer = Dreamer::new(Arc::clone(&world), options).expect("fits");
        dreamer.open_with(&frames, &[Action::NEUTRAL; 250]).expect("the opening fits");
        dreamer.section(&[Action::NEUTRAL]).expect("a section");
        let account = dreamer.account();
        let plan = account.plan.as_ref().expect("there was a section");
        let frames: Vec<u32> = plan.retrieved().map(|frame| frame.0).collect();
        assert_eq!(account.hits.len(), frames.len(), "no more is asked for than is packed");
        frames
    };
    let tail = retrieved("tc_f16k4f4k2f5k1_g1");
    assert!(tail.len() == 4 && tail.iter().all(|&frame| frame < 97), "{tail:?}");
    let window = retrieved("td_f16k4f4k2f5k1_g1");
    assert!(window.len() == 4 && window.iter().all(|&frame| frame >= 110), "{window:?}");
}

/// A walk that has looked ahead for 40 frames, turned right for 6 and looked there for the rest of 100.
fn opened_to_the_right(world: &Arc<World>, poses: &[Pose]) -> Dreamer {
    let mut dreamer = Dreamer::new(Arc::clone(world), DreamOptions::default()).expect("fits");
    let size = world.starts[0].frame_bytes();
    let frame = |level: u8| {
        (0..size).map(|at| level.wrapping_mul(u8::try_from(at % 97).expect("small"))).collect()
    };
    let [ahead, right]: [Vec<u8>; 2] = [3, 5].map(frame);
    let frames: Vec<&[u8]> = (0..100).map(|t| if t < 40 { &ahead[..] } else { &right }).collect();
    let mut actions = [Action::NEUTRAL; 100];
    // A quarter turn in six ticks.
    actions[40..46].fill(Action { turn: 1.0, ..Action::NEUTRAL });
    dreamer.open_with_poses(&frames, &actions, poses).expect("the opening fits");
    dreamer
}

/// The best of what is remembered for a section under `action`.
fn best(dreamer: &mut Dreamer, action: Action) -> u32 {
    dreamer.section(&[action]).expect("a section");
    dreamer.account().hits.first().expect("something is retrieved").stamp.frame.0
}

const LEFT: Action = Action { turn: -1.0, ..Action::NEUTRAL };

#[test]
fn a_turn_back_brings_back_what_was_seen_before_the_turn() {
    let world = tiny_world();
    let mut dreamer = opened_to_the_right(&world, &[]);
    assert!((45..100).contains(&best(&mut dreamer, Action::NEUTRAL)), "the same way as now");
    let back: Vec<u32> = (0..6).map(|_| best(&mut dreamer, LEFT)).collect();
    // Through the very frames of the turn, whatever was dreamed on the way.
    assert_eq!(back[..5], [44, 43, 42, 41, 40]);
    assert!(back[5] < 40, "{back:?}");
}

#[test]
fn recorded_poses_are_not_reckoned_with() {
    let world = tiny_world();
    let wild = |t: u8| Pose { x: f32::from(t), y: -7.0, yaw: 33.0 * f32::from(t) };
    let mut with = opened_to_the_right(&world, &(0..100).map(wild).collect::<Vec<_>>());
    let mut without = opened_to_the_right(&world, &[]);
    for tick in 0..8 {
        with.stand_at(Some(wild(3 * tick)));
        with.section(&[LEFT]).expect("a section");
        without.section(&[LEFT]).expect("a section");
        assert_eq!(with.account().hits, without.account().hits);
    }
}

#[test]
fn a_bookmark_knows_which_way_it_looks() {
    let world = tiny_world();
    let mut dreamer = opened_to_the_right(&world, &[]);
    let bookmark = dreamer.bookmark();
    let ahead: Vec<u32> = (0..6).map(|_| best(&mut dreamer, LEFT)).collect();
    assert!((0..40).contains(&ahead[5]), "{ahead:?}");
    for _ in 0..9 {
        best(&mut dreamer, LEFT);
    }
    dreamer.go_back(&bookmark).expect("it is of this walk");
    let again: Vec<u32> = (0..6).map(|_| best(&mut dreamer, LEFT)).collect();
    assert_eq!(again, ahead);
}

#[test]
fn from_a_bookmark_the_same_actions_lead_to_the_same_frames() {
    let world = tiny_world();
    let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default()).expect("fits");
    let start = &world.starts[0];
    let frames: Vec<&[u8]> = start.frames().collect();
    dreamer.open_with(&frames, &start.actions).expect("the opening fits");
    let turn = |turn: f32| [Action { turn, forward: 1.0, ..Action::NEUTRAL }];
    let dream = |dreamer: &mut Dreamer, by: f32, count: usize| -> Vec<_> {
        (0..count).map(|_| dreamer.section(&turn(by)).expect("a section")).collect()
    };
    dream(&mut dreamer, 0.5, 10);
    let bookmark = dreamer.bookmark();
    let marked = dreamer.history().live().last().expect("it has begun").frame;
    let first = dream(&mut dreamer, -0.5, 40);
    let abandoned = marked.0 + 1..=dreamer.history().live().last().expect("it goes on").frame.0;
    for by in [0.25, -0.5] {
        dreamer.go_back(&bookmark).expect("it is of this walk");
        let again = dream(&mut dreamer, by, 40);
        assert_eq!(again == first, by == -0.5, "turning by {by}");
        let hits = dreamer.account().hits.iter().map(|hit| hit.stamp.frame.0);
        let seen: Vec<u32> = hits.collect();
        assert!(!seen.is_empty() && seen.iter().all(|frame| !abandoned.contains(frame)));
    }
}

#[test]
fn noise_changes_only_where_something_is_done() {
    let world = tiny_world();
    let mut dreamer =
        Dreamer::new(Arc::clone(&world), DreamOptions::default()).expect("the options fit");
    let start = &world.starts[0];
    let frames: Vec<&[u8]> = start.frames().collect();
    dreamer.open_with(&frames, &start.actions).expect("the opening fits");
    let walk = Action { forward: 1.0, ..Action::NEUTRAL };
    let noise = |dreamer: &mut Dreamer, action: Action| {
        dreamer.section(&[action]).expect("a section");
        let account = dreamer.account();
        (account.tick, account.noise)
    };
    let (first, _) = noise(&mut dreamer, walk);
    let told = [walk, Action::NEUTRAL, Action::NEUTRAL, walk].map(|done| {
        let marked = dreamer.bookmark();
        noise(&mut dreamer, walk);
        // What was taken back has no part in it.
        dreamer.go_back(&marked).expect("a bookmark of this walk");
        noise(&mut dreamer, done)
    });
    let [a, b, c, d] = [1, 2, 3, 4].map(|later| first + later);
    assert_eq!(told, [(a, a), (b, a), (c, a), (d, d)]);
}

#[test]
fn guidance_leads_the_first_evaluation_on_from_standing_still() {
    let world = tiny_world();
    let (model, config) = (&world.model, &world.config.model);
    let latent = [1, config.channels, config.height, config.width];
    let noise = section_noise(3, 0, latent.iter().product());
    let noise = model.tensor(noise, &latent).expect("the sizes agree");
    let turning = (0_u8..).map(|at| 0.3 + 0.1 * f32::from(at)).take(3 * config.action).collect();
    let turning = model.tensor(turning, &[1, 3 * config.action]).expect("the sizes agree");
    let still = turning.zeros_like().expect("it is a tensor");
    let context = model.place(&[]).expect("no history is no error");
    let newest = section_noise(4, 0, latent.iter().product());
    let newest = model.tensor(newest, &latent[1..]).expect("the sizes agree");
    let sight = Sight { context: context.clone(), newest: Some(newest.clone()), renderings: None };
    let sampled = |actions: &Tensor, evaluations, guidance| {
        let sampling = Sampling { evaluations, shortcut: false, guidance };
        sample(model, &noise, actions, &sight, sampling).expect("a section can be sampled")
    };
    let values = |x: &Tensor| x.flatten_all().and_then(|x| x.to_vec1::<f32>()).expect("floats");
    let (moved, stood) = (sampled(&turning, 1, 0.0), sampled(&still, 1, 0.0));
    assert_ne!(values(&moved), values(&stood));
    let led = (&moved + (&moved - &stood).expect("one shape") * 1.5).expect("one shape");
    assert_eq!(values(&sampled(&turning, 1, 1.5)), values(&led));
    assert_eq!(values(&sampled(&still, 1, 1.5)), values(&stood));
    // The second of two evaluations sees what half of the noise is left in, and is not led.
    let halfway = (&led + (&noise - &led).expect("one shape") * 0.5).expect("one shape");
    let lead = model.lead(Some(&newest), None, &turning).expect("the sizes agree");
    let drawn = model.estimate(&halfway, 0.5, StepSize::Flow, &lead, &context);
    let drawn = values(&drawn.expect("a section can be estimated"));
    for (got, expected) in values(&sampled(&turning, 2, 1.5)).iter().zip(drawn) {
        // The sum over halves is in another order; the network is smooth.
        assert!((got - expected).abs() < 1e-4, "{got} {expected}");
    }
    // Long steps were taught it, short ones were not.
    let told = |evaluations, guidance| {
        let sampling = Sampling { evaluations, shortcut: true, guidance };
        let x = sample(model, &noise, &turning, &sight, sampling);
        values(&x.expect("a section can be sampled"))
    };
    assert!([1, 2].iter().all(|&few| told(few, 1.5) == told(few, 0.0)));
    assert_ne!(told(4, 1.5), told(4, 0.0));
}
