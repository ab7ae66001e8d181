//! In which order the sections of a video are made (FramePack §4.1, Fig. 2).

use std::ops::Range;

use super::kernel::Kernel;
use super::known::Known;
use super::plan::PlanError;
use super::schedule::{Order, Part, Schedule, Tier};

impl Order {
    /// The sections that make all frames of `span` that are not known, in the order of their making; each has
    /// `length` frames, or fewer where a blank ends.
    ///
    /// Forward fills blanks from the past, inverted from the future. With an endpoint, the first section of the last
    /// blank and its last one are made before all others, which then lie between what is known.
    ///
    /// # Panics
    /// When `length` is 0.
    #[must_use]
    pub fn sections(self, known: &Known, span: Range<u32>, length: u32) -> Vec<Range<u32>> {
        assert!(length > 0, "sections have frames");
        let blanks = known.blanks(span);
        match self {
            Self::Forward | Self::Mixed => {
                blanks.into_iter().flat_map(|blank| forward(blank, length)).collect()
            }
            Self::Inverted => {
                blanks.into_iter().rev().flat_map(|blank| backward(blank, length)).collect()
            }
            Self::Endpoint => {
                let Some(last) = blanks.last() else { return Vec::new() };
                let begin = last.start..last.end.min(last.start.saturating_add(length));
                let end = last.end.saturating_sub(length).max(begin.end)..last.end;
                let ends = [begin, end].into_iter().filter(|section| !section.is_empty());
                let mut sections: Vec<_> = ends.collect();
                let mut known = known.clone();
                sections.iter().for_each(|section| known.add(section.clone()));
                let span = blanks[0].start..last.end;
                sections.extend(Self::Forward.sections(&known, span, length));
                sections
            }
        }
    }
}

impl Schedule {
    /// A schedule that plays forward, turned into one of another order: with an endpoint of one frame, or
    /// backwards towards a first one.
    ///
    /// # Errors
    /// The schedule does not play forward.
    pub fn in_order(&self, order: Order) -> Result<Self, PlanError> {
        let [Part::Run(tiers), section @ Part::Generate(_)] = self.parts.as_slice() else {
            return Err(PlanError::NotForward(self.to_string()));
        };
        let one = Part::Run(vec![Tier { frames: 1, kernel: Kernel::FINEST, long: false }]);
        Ok(match order {
            Order::Forward | Order::Mixed => self.clone(),
            Order::Endpoint => {
                let parts = [&self.parts[..], &[Part::Skip, one]].concat();
                Self { parts, ..self.clone() }
            }
            Order::Inverted => {
                let run = Part::Run(tiers.iter().rev().copied().collect());
                let parts = vec![one, Part::Skip, section.clone(), run];
                Self { head: None, parts, foot: self.head, discrete: self.discrete }
            }
        })
    }
}

/// Sections of a blank from its beginning on; the last may be short.
fn forward(blank: Range<u32>, length: u32) -> impl Iterator<Item = Range<u32>> {
    let end = blank.end;
    let step = usize::try_from(length).unwrap_or(usize::MAX);
    blank.step_by(step).map(move |start| start..end.min(start.saturating_add(length)))
}

/// Sections of a blank from its end on; the one at its beginning may be short.
fn backward(blank: Range<u32>, length: u32) -> impl Iterator<Item = Range<u32>> {
    let Range { start, end } = blank;
    let count = (end - start).div_ceil(length);
    (0..count).map(move |at| {
        let end = end - at * length;
        end.saturating_sub(length).max(start)..end
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sections(
        order: Order,
        known: &[Range<u32>],
        span: Range<u32>,
        length: u32,
    ) -> Vec<(u32, u32)> {
        let mut frames = Known::new();
        known.iter().for_each(|run| frames.add(run.clone()));
        let sections = order.sections(&frames, span, length);
        sections.into_iter().map(|section| (section.start, section.end)).collect()
    }

    #[expect(clippy::single_range_in_vec_init, reason = "what is known is a list of ranges")]
    #[test]
    fn orders_are_those_of_the_paper() {
        let start = [0..3];
        let made = |order| sections(order, &start, 0..14, 3);
        assert_eq!(made(Order::Forward), [(3, 6), (6, 9), (9, 12), (12, 14)]);
        assert_eq!(made(Order::Endpoint), [(3, 6), (11, 14), (6, 9), (9, 11)]);
        assert_eq!(made(Order::Inverted), [(11, 14), (8, 11), (5, 8), (3, 5)]);
        // Pictures at 6 and 12 cut the video into three.
        let waypoints = [0..3, 6..7, 12..13];
        assert_eq!(
            sections(Order::Endpoint, &waypoints, 0..20, 3),
            [(13, 16), (17, 20), (3, 6), (7, 10), (10, 12), (16, 17)]
        );
        assert_eq!(sections(Order::Endpoint, &start, 0..5, 4), [(3, 5)]);
    }

    #[test]
    fn schedules_are_turned_round() {
        let forward: Schedule = "ta_f16k4f4k2f5k1_g4+D".parse().unwrap();
        let turned = |order| forward.in_order(order).unwrap().to_string();
        assert_eq!(turned(Order::Forward), "ta_f16k4f4k2f5k1_g4+D");
        assert_eq!(turned(Order::Endpoint), "ta_f16k4f4k2f5k1_g4_x_f1k1+D");
        assert_eq!(turned(Order::Inverted), "f1k1_x_g4_f5k1f4k2f16k4_ta+D");
        for order in [Order::Forward, Order::Endpoint, Order::Inverted] {
            let schedule = forward.in_order(order).unwrap();
            assert_eq!(schedule.order(), order);
            assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
            assert_eq!(schedule.in_order(order).is_ok(), order == Order::Forward);
        }
    }

    proptest! {
        #[test]
        fn every_unknown_frame_is_made_once(
            runs in prop::collection::vec((0_u32..60, 0_u32..12), 0..6),
            end in 1_u32..80,
            length in 1_u32..10,
            order in prop::sample::select(vec![Order::Forward, Order::Endpoint, Order::Inverted]),
        ) {
            let runs: Vec<_> = runs.into_iter().map(|(start, length)| start..start + length).collect();
            let mut frames: Vec<u32> = sections(order, &runs, 0..end, length)
                .into_iter()
                .inspect(|&(start, end)| assert!(end > start && end - start <= length))
                .flat_map(|(start, end)| start..end)
                .collect();
            frames.sort_unstable();
            let unknown: Vec<u32> =
                (0..end).filter(|frame| !runs.iter().any(|run| run.contains(frame))).collect();
            prop_assert_eq!(frames, unknown);
        }
    }
}
