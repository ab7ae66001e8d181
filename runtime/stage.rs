//! The stages a section goes through, each with one name.
//!
//! The name is the function's, the tracing span's and the benchmark column's.

use tracing::Span;

/// One stage of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Sample the controls.
    Poll,
    /// Estimate the next section roughly, to look for its like.
    Preview,
    /// Rank the history by that estimate.
    Retrieve,
    /// Choose what goes where in the context: integers only.
    Plan,
    /// Bring the planned groups together, and what the section is sampled from beside them.
    Pack,
    /// Encode the groups that are new.
    Encode,
    /// Run the sampler.
    Denoise,
    /// Store the section in the history.
    Remember,
    /// Turn latents into pictures.
    Decode,
    /// Hand the pictures on.
    Publish,
    /// Encode what the next section sees in any case, while nobody waits for it.
    Anticipate,
    /// Show a picture (main thread).
    Present,
}

impl Stage {
    /// All stages, in the order in which a section meets them.
    pub const ALL: [Self; 12] = [
        Self::Poll,
        Self::Preview,
        Self::Retrieve,
        Self::Plan,
        Self::Pack,
        Self::Encode,
        Self::Denoise,
        Self::Remember,
        Self::Decode,
        Self::Publish,
        Self::Anticipate,
        Self::Present,
    ];

    /// The stage's name, everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Preview => "preview",
            Self::Retrieve => "retrieve",
            Self::Plan => "plan",
            Self::Pack => "pack",
            Self::Encode => "encode",
            Self::Denoise => "denoise",
            Self::Decode => "decode",
            Self::Remember => "remember",
            Self::Publish => "publish",
            Self::Anticipate => "anticipate",
            Self::Present => "present",
        }
    }

    /// A tracing span of the stage's name.
    pub fn span(self) -> Span {
        // A span's name must be a literal at its call site, hence one call for each.
        match self {
            Self::Poll => tracing::debug_span!("poll"),
            Self::Preview => tracing::debug_span!("preview"),
            Self::Retrieve => tracing::debug_span!("retrieve"),
            Self::Plan => tracing::debug_span!("plan"),
            Self::Pack => tracing::debug_span!("pack"),
            Self::Encode => tracing::debug_span!("encode"),
            Self::Denoise => tracing::debug_span!("denoise"),
            Self::Decode => tracing::debug_span!("decode"),
            Self::Remember => tracing::debug_span!("remember"),
            Self::Publish => tracing::debug_span!("publish"),
            Self::Anticipate => tracing::debug_span!("anticipate"),
            Self::Present => tracing::debug_span!("present"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_span_carries_its_stages_name() {
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).finish();
        tracing::subscriber::with_default(subscriber, || {
            for stage in Stage::ALL {
                let span = stage.span();
                let name = span.metadata().map(tracing::Metadata::name);
                assert_eq!(name, Some(stage.name()));
            }
        });
    }
}
