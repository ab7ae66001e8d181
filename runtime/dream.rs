//! What the loop dreams with: the engine, or a stand-in.

use std::fmt;
use std::sync::Arc;

use anyhow::Result;
use input::{Action, ActionLayout, Frame, PastFrame, Room};
use serde_json::Value;

use crate::cores;
use crate::view::MemoryView;

/// What a world is, as far as loop and window need to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The world's name, for the title of the window.
    pub name: String,
    /// Hash of its weights in hex; empty where there are none.
    pub hash: String,
    /// Seed of its noise.
    pub seed: u64,
    /// All settings in force, for the session.
    pub settings: Value,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Frames a second in the world itself.
    pub fps: f32,
    /// Frames made at a time, at least 1.
    pub section_frames: u32,
    /// Evaluations of the network for each section, at least 1, unless told otherwise.
    pub evaluations: u32,
    /// What the axes and buttons of an action mean here.
    pub layout: ActionLayout,
}

/// What the frames of a section came from, for a session to be made again from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lineage {
    /// Names of the section's frames in the walk, one for each; none where a dream keeps no history.
    pub made: Vec<u32>,
    /// The frames that the section saw.
    pub past: Vec<PastFrame>,
}

/// A world being dreamed. The loop calls the stages in the order below, once for each section;
/// what one stage hands to the next stays inside. A stand-in leaves out the stages that it has no use for.
pub trait Dream: Send {
    /// What the world is.
    fn facts(&self) -> &Facts;

    /// The picture the walk opens with.
    fn opening(&self) -> Arc<Frame>;

    /// Begins a section under `actions`, one for each of its frames, and estimates it roughly.
    fn preview(&mut self, actions: &[Action]) -> Result<()>;

    /// Ranks the history by that estimate.
    fn retrieve(&mut self) -> Result<()> {
        Ok(())
    }

    /// Chooses what goes where in the context.
    fn plan(&mut self) -> Result<()> {
        Ok(())
    }

    /// Brings the planned groups together.
    fn pack(&mut self) -> Result<()> {
        Ok(())
    }

    /// Encodes the groups that are new.
    fn encode(&mut self) -> Result<()> {
        Ok(())
    }

    /// Runs the sampler.
    fn denoise(&mut self) -> Result<()> {
        Ok(())
    }

    /// Stores the section in the history.
    fn remember(&mut self) -> Result<()> {
        Ok(())
    }

    /// Gives the section's pictures, [`Facts::section_frames`] of them.
    fn decode(&mut self) -> Result<Vec<Frame>>;

    /// Does what the next section takes in any case, while nobody waits for it.
    fn anticipate(&mut self) -> Result<()> {
        Ok(())
    }

    /// All stages of one section, for callers that do not time them.
    fn section(&mut self, actions: &[Action]) -> Result<Vec<Frame>> {
        cores::awake(|| {
            self.preview(actions)?;
            self.retrieve()?;
            self.plan()?;
            self.pack()?;
            self.encode()?;
            self.denoise()?;
            self.remember()?;
            self.decode()
        })
    }

    /// Whether no section is left: a recording at its end. Dreams have none.
    fn over(&self) -> bool {
        false
    }

    /// What the player should be told since the last time.
    fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Marks this moment, between two sections, to go back to; takes the place of an earlier mark.
    fn bookmark(&mut self) -> Result<()>;

    /// Goes back to the marked moment; answers whether there is one.
    fn go_back(&mut self) -> Result<bool>;

    /// What the last section was made from, to be looked at.
    fn memory(&mut self) -> Result<MemoryView>;

    /// Evaluations of the network for each section from now on, where there is a network.
    fn evaluate(&mut self, _evaluations: u32) {}

    /// How much room there is to walk, where a map tells.
    fn room(&self) -> Option<Room> {
        None
    }

    /// What was to be remembered for walks to come and is lost, because the disk was too slow.
    fn lost(&self) -> u64 {
        0
    }

    /// What the last section was made from, for the session: plan, evaluations, what was retrieved.
    fn account(&self) -> Value {
        Value::Null
    }

    /// What the frames of the last section came from.
    fn lineage(&self) -> Lineage {
        Lineage::default()
    }
}

/// Opens a dream on the dream's own thread, telling its argument how far it has come.
pub type Opener = Box<dyn FnOnce(&mut dyn FnMut(String)) -> Result<Box<dyn Dream>> + Send>;

impl fmt::Debug for dyn Dream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dream").field("facts", self.facts()).finish_non_exhaustive()
    }
}
