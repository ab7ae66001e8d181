//! How far an evaluation goes.

/// How far one evaluation moves along the flow: what a shortcut model is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepSize {
    /// Infinitesimal: plain flow matching.
    Flow,
    /// A quarter of the way, four evaluations in all.
    Quarter,
    /// Half the way, two evaluations.
    Half,
    /// All the way, one evaluation.
    Whole,
}

impl StepSize {
    /// All of them, in the order of their embeddings.
    pub const ALL: [Self; 4] = [Self::Flow, Self::Quarter, Self::Half, Self::Whole];

    /// The step two of which lead as far; none for a step that clean latents teach.
    pub fn half(self) -> Option<Self> {
        match self {
            Self::Flow | Self::Quarter => None,
            Self::Half => Some(Self::Quarter),
            Self::Whole => Some(Self::Half),
        }
    }

    /// Whether steps of this size are taught to go where guidance leads.
    pub fn knows_guidance(self) -> bool {
        self.half().is_some()
    }

    /// How far the noise level falls.
    pub fn length(self) -> f32 {
        match self {
            Self::Flow => 0.0,
            Self::Quarter => 0.25,
            Self::Half => 0.5,
            Self::Whole => 1.0,
        }
    }

    pub(super) fn index(self) -> u32 {
        match self {
            Self::Flow => 0,
            Self::Quarter => 1,
            Self::Half => 2,
            Self::Whole => 3,
        }
    }
}
