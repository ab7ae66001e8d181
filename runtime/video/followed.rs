//! The plan that a video followed, as JSON: section by section in the order of their making.

use engine::pack::{Schedule, Slot};
use engine::video::Made;
use engine::world::World;
use memory::FrameId;
use serde_json::{Value, json};

use super::{Film, VideoArgs};
use crate::origin::Origin;

/// Frames are counted from the beginning of the file; those of the opening before it are negative.
pub(super) fn json(
    args: &VideoArgs,
    world: &World,
    schedule: &Schedule,
    film: &Film,
    made: &[Made],
) -> Value {
    let frame = |at: u32| i64::from(at) - i64::from(film.first);
    let waypoint = |(at, picture): &(u32, String)| json!({"frame": frame(*at), "picture": picture});
    let waypoints = film.waypoints.iter().map(waypoint);
    let sections = made.iter().map(|made| {
        let slots = made.plan.slots.iter().map(|slot| slot_json(slot, &frame));
        json!({
            "frames": [frame(made.section.start), frame(made.section.end - 1)],
            "told_actions": made.told,
            "history_tokens": made.plan.history_tokens(),
            "section_tokens": made.plan.section_tokens,
            "slots": slots.collect::<Vec<_>>(),
        })
    });
    json!({
        "world": world.config.title,
        "origin": Origin::here(world),
        "order": args.order().to_string(),
        "schedule": schedule.to_string(),
        "note": schedule.has_two_sections().then_some("two g: planned as the inverted form of section 5.1"),
        "seed": args.seed,
        "evaluations": film.video.evaluations(),
        "on_map": film.video.is_on_map(),
        "frames_per_second": film.fps,
        "frames": film.frames - film.first,
        "start": args.start.as_ref().map(|path| path.display().to_string()),
        "actions": args.actions.as_ref().map(|path| path.display().to_string()),
        "waypoints": waypoints.collect::<Vec<_>>(),
        "sections": sections.collect::<Vec<_>>(),
    })
}

/// Kernel, runs of frames from first to last, position, tokens.
fn slot_json(slot: &Slot, frame: &dyn Fn(u32) -> i64) -> Value {
    let runs = runs(&slot.group.frames);
    let runs: Vec<_> = runs.into_iter().map(|(first, last)| [frame(first), frame(last)]).collect();
    json!({
        "kernel": slot.group.kernel.to_string(),
        "frames": runs,
        "position": slot.position,
        "tokens": slot.tokens,
    })
}

/// Runs of consecutive frames, first and last of each.
fn runs(frames: &[FrameId]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for frame in frames {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(frame.0) => *last = frame.0,
            Some(_) | None => runs.push((frame.0, frame.0)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_frames_are_one_run() {
        let frames: Vec<_> = [3, 4, 5, 8, 10, 11].map(FrameId).to_vec();
        assert_eq!(runs(&frames), [(3, 5), (8, 8), (10, 11)]);
        assert_eq!(runs(&[]), []);
    }
}
