//! Which frames of a video in the making there are.

use std::ops::Range;

/// The frames of a video that exist so far: disjoint runs in temporal order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(Vec<Range<u32>>);

impl Known {
    /// No frame at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the frames of a run.
    pub fn add(&mut self, run: Range<u32>) {
        if run.is_empty() {
            return;
        }
        let (mut start, mut end) = (run.start, run.end);
        self.0.retain(|other| {
            let apart = other.end < start || other.start > end;
            if !apart {
                (start, end) = (start.min(other.start), end.max(other.end));
            }
            apart
        });
        let at = self.0.partition_point(|other| other.start < start);
        self.0.insert(at, start..end);
    }

    /// Runs of known frames, oldest first; a frame that is not known lies between any two.
    #[must_use]
    pub fn runs(&self) -> &[Range<u32>] {
        &self.0
    }

    /// Whether all frames of a run are known.
    #[must_use]
    pub fn has(&self, run: Range<u32>) -> bool {
        run.is_empty() || self.0.iter().any(|one| one.start <= run.start && run.end <= one.end)
    }

    /// The newest known frame before a frame.
    #[must_use]
    pub fn newest_before(&self, frame: u32) -> Option<u32> {
        let run = self.0.iter().rfind(|run| run.start < frame)?;
        Some(run.end.min(frame) - 1)
    }

    /// The oldest known frame that is not before a frame.
    #[must_use]
    pub fn oldest_from(&self, frame: u32) -> Option<u32> {
        let run = self.0.iter().find(|run| run.end > frame)?;
        Some(run.start.max(frame))
    }

    /// Runs of frames within `span` that are not known.
    #[must_use]
    pub fn blanks(&self, span: Range<u32>) -> Vec<Range<u32>> {
        let mut blanks = Vec::new();
        let mut at = span.start;
        for run in self.0.iter().filter(|run| run.end > span.start && run.start < span.end) {
            blanks.push(at..run.start.max(at));
            at = run.end;
        }
        blanks.push(at..span.end.max(at));
        blanks.retain(|blank| !blank.is_empty());
        blanks
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_what_a_set_of_frames_says(
            added in prop::collection::vec((0_u32..60, 0_u32..12), 0..12),
            frame in 0_u32..80,
            length in 0_u32..9,
        ) {
            let (mut known, mut set) = (Known::new(), BTreeSet::new());
            for (start, length) in added {
                known.add(start..start + length);
                set.extend(start..start + length);
            }
            let all: Vec<u32> = known.runs().iter().cloned().flatten().collect();
            prop_assert_eq!(&all, &set.iter().copied().collect::<Vec<_>>());
            prop_assert!(known.runs().windows(2).all(|pair| pair[0].end < pair[1].start));
            let run = frame..frame + length;
            prop_assert_eq!(known.has(run.clone()), run.clone().all(|frame| set.contains(&frame)));
            prop_assert_eq!(known.newest_before(frame), set.range(..frame).next_back().copied());
            prop_assert_eq!(known.oldest_from(frame), set.range(frame..).next().copied());
            let blanks: Vec<u32> = known.blanks(run.clone()).into_iter().flatten().collect();
            prop_assert_eq!(blanks, run.filter(|frame| !set.contains(frame)).collect::<Vec<_>>());
        }
    }
}
