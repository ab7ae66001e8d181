//! What a session says its sections were made from.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use engine::dreamer::Recipe;
use engine::pack::{Group, Kernel};
use input::{Action, FrameRecord};
use memory::{BranchId, FrameId};
use serde::Deserialize;

/// A section of a session.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recorded {
    /// What it was made from.
    pub recipe: Recipe,
    /// What was applied before each frame.
    pub actions: Vec<Action>,
    /// Its frames among the session's.
    pub frames: Range<usize>,
}

/// What a walk writes beside the first frame of a section.
#[derive(Deserialize)]
struct MadeFrom {
    tick: u64,
    /// Sessions of earlier versions have noise by ticks.
    noise: Option<u64>,
    before: [Vec<f32>; 2],
    made: Vec<u32>,
    evaluations: u32,
    slots: Vec<(String, Vec<u32>, i32)>,
    /// Absent from sessions of worlds without a map.
    #[serde(default)]
    bearings: Vec<f32>,
    /// Absent where nothing was rendered.
    #[serde(default)]
    places: Vec<[f32; 3]>,
}

/// The sections of a session in `dir`. Frames that belong to none are the one it opens with and those of a last
/// section that was cut short.
///
/// # Errors
/// Names the line that does not say what its section was made from.
pub(super) fn sections(dir: &Path, records: &[FrameRecord]) -> Result<Vec<Recorded>> {
    let mut sections = Vec::new();
    let mut at = 1;
    while at < records.len() {
        let place = || format!("{}, line {}", dir.join("frames.jsonl").display(), at + 1);
        let Some(recipe) = recipe(&records[at]).with_context(place)? else {
            bail!("expected the first frame of a section, got one without a plan: {}", place());
        };
        let end = at + recipe.made.len().max(1);
        let Some(frames) = records.get(at..end) else { break };
        let follows =
            |record: &&FrameRecord| record.plan.is_none() && record.section == records[at].section;
        if let Some(odd) = frames[1..].iter().position(|record| !follows(&record)) {
            let frame = odd + 2;
            bail!("expected frame {frame} of a section of {}: {}", frames.len(), place());
        }
        let actions = frames.iter().map(|record| record.action).collect();
        sections.push(Recorded { recipe, actions, frames: at..end });
        at = end;
    }
    Ok(sections)
}

fn recipe(record: &FrameRecord) -> Result<Option<Recipe>> {
    let account = record.plan.read::<MadeFrom>().context(
        "expected all that the section was made from; sessions of earlier versions lack it and can only be shown",
    )?;
    let Some(account) = account else { return Ok(None) };
    let group = |(kernel, frames, position): (String, Vec<u32>, i32)| {
        let size = kernel.strip_prefix('k').and_then(|size| size.parse().ok());
        let kernel = size.and_then(Kernel::simplified);
        let kernel = kernel.context("expected kernels such as k4")?;
        let frames = frames.into_iter().map(FrameId).collect();
        Ok((Group { kernel, branch: BranchId(0), frames }, position))
    };
    Ok(Some(Recipe {
        noise: account.noise.unwrap_or(account.tick),
        evaluations: account.evaluations,
        before: account.before.map(Into::into),
        bearings: account.bearings,
        places: account.places,
        groups: account.slots.into_iter().map(group).collect::<Result<_>>()?,
        made: account.made.into_iter().map(FrameId).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn record(section: u64, plan: &Value) -> FrameRecord {
        FrameRecord {
            tick: 0,
            section,
            action: Action::NEUTRAL,
            frame_sha256: String::new(),
            device_time_us: 0,
            present_time_us: None,
            plan: input::Account::from(plan),
        }
    }

    fn plan(made: &[u32]) -> Value {
        let slots = json!([["k1", [3], -1], ["k2", [1, 2], -3]]);
        json!({"tick": 7, "before": [[0.1], [0.5]], "made": made, "evaluations": 2, "slots": slots})
    }

    #[test]
    fn a_session_is_an_opening_and_whole_sections() {
        let first = record(4, &plan(&[8, 9]));
        let records = [
            record(0, &Value::Null),
            first.clone(),
            record(4, &Value::Null),
            record(5, &plan(&[10, 11])),
        ];
        let read = sections(Path::new("walk"), &records).unwrap();
        let [section] = &read[..] else { panic!("the last section is cut short: {read:?}") };
        assert_eq!(section.frames, 1..3);
        assert_eq!((section.recipe.noise, &section.recipe.before[0][..]), (7, &[0.1][..]));
        assert_eq!(section.recipe.sees().map(|frame| frame.0).collect::<Vec<_>>(), [3, 1, 2]);
        let mut told = plan(&[8]);
        told["noise"] = json!(5);
        assert_eq!(recipe(&record(4, &told)).unwrap().unwrap().noise, 5);
        let odd = [record(0, &Value::Null), first, record(5, &Value::Null)];
        let error = sections(Path::new("walk"), &odd).unwrap_err().to_string();
        assert!(error.starts_with("expected frame 2 of a section of 2: walk"), "{error}");
    }

    #[test]
    fn lines_that_say_too_little_are_named() {
        for (plan, said) in [
            (Value::Null, "one without a plan"),
            (json!({"slots": []}), "earlier versions"),
            (
                json!({"tick": 0, "before": [[], []], "made": [1], "evaluations": 1, "slots": [["4", [], 0]]}),
                "kernels such as k4",
            ),
        ] {
            let records = [record(0, &Value::Null), record(0, &plan)];
            let error = format!("{:#}", sections(Path::new("walk"), &records).unwrap_err());
            assert!(error.contains(said) && error.contains("frames.jsonl, line 2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_plan_makes_it_panic(
            kernel in "k?[0-9]{0,5}",
            frames: Vec<u32>,
            position: i32,
            made: Vec<u32>,
            cut in 0_usize..6,
        ) {
            let mut plan = json!({
                "tick": u64::MAX, "before": [[1], []], "made": made, "evaluations": 0,
                "slots": [[kernel, frames, position]],
            });
            let keys: Vec<String> = plan.as_object().unwrap().keys().cloned().collect();
            if let Some(key) = keys.get(cut) {
                plan.as_object_mut().unwrap().remove(key);
            }
            let records = [record(0, &Value::Null), record(1, &plan), record(1, &plan)];
            let _ = sections(Path::new("walk"), &records);
        }
    }
}
