//! Figures of what is in recorded play: of one episode exactly, of several joined from those of each.

/// The quantiles that are given, and their names.
pub(super) const QUANTILES: [(f64, &str); 5] =
    [(0.01, "q01"), (0.1, "q10"), (0.5, "q50"), (0.9, "q90"), (0.99, "q99")];

/// Figures of a feature, component by component.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    /// Rows that they are of.
    pub(super) count: usize,
    pub(super) components: Vec<Component>,
}

/// Figures of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Component {
    pub(super) least: f64,
    pub(super) greatest: f64,
    pub(super) mean: f64,
    pub(super) deviation: f64,
    /// In the order of [`QUANTILES`].
    pub(super) quantiles: [f64; QUANTILES.len()],
}

impl Component {
    /// The figures of numbers, sorted here; all zero where there are none.
    fn of(values: &mut [f64]) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let (Some(least), Some(greatest)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let quantiles = QUANTILES.map(|(share, _)| quantile(values, share));
        Self { least: *least, greatest: *greatest, mean, deviation: variance.sqrt(), quantiles }
    }

    /// The figures of parts of these sizes. Quantiles of the whole cannot be had from those of its parts: their mean
    /// stands for them, as in LeRobot's own sets.
    fn joined(parts: &[(f64, Self)]) -> Self {
        let all = parts.iter().map(|(count, _)| count).sum::<f64>().max(1.0);
        let mean_of = |figure: &dyn Fn(&Self) -> f64| {
            parts.iter().map(|(count, part)| count * figure(part)).sum::<f64>() / all
        };
        let mean = mean_of(&|part| part.mean);
        let variance = mean_of(&|part| part.deviation.powi(2) + (part.mean - mean).powi(2));
        Self {
            least: parts.iter().map(|(_, part)| part.least).fold(f64::INFINITY, f64::min),
            greatest: parts.iter().map(|(_, part)| part.greatest).fold(f64::NEG_INFINITY, f64::max),
            mean,
            deviation: variance.sqrt(),
            quantiles: std::array::from_fn(|at| mean_of(&|part| part.quantiles[at])),
        }
    }
}

impl Figures {
    /// Of rows of `width` numbers each, one after another.
    pub(super) fn of(width: usize, values: &[f64]) -> Self {
        let component = |at| {
            let mut values: Vec<_> = values.iter().skip(at).step_by(width).copied().collect();
            Component::of(&mut values)
        };
        Self { count: values.len() / width, components: (0..width).map(component).collect() }
    }

    /// Of the three channels of `count` pictures' bytes, 0 to 1, from how often each value occurs.
    pub(super) fn of_pixels(channels: &[[u64; 256]; 3], count: usize) -> Self {
        let component = |counts: &[u64; 256]| {
            let values = (0_u8..=255).map(|value| f64::from(value) / 255.0).zip(*counts);
            let seen: Vec<_> = values.filter(|(_, count)| *count > 0).collect();
            let alone = |&(value, count): &(f64, u64)| {
                (
                    count as f64,
                    Component { least: value, greatest: value, mean: value, ..<_>::default() },
                )
            };
            let joined = Component::joined(&seen.iter().map(alone).collect::<Vec<_>>());
            Component { quantiles: QUANTILES.map(|(share, _)| of_counted(&seen, share)), ..joined }
        };
        Self { count, components: channels.iter().map(component).collect() }
    }

    /// Of several parts together, at least one, all of one width.
    pub(super) fn joined(parts: &[Self]) -> Self {
        let width = parts.first().map_or(0, |part| part.components.len());
        let component = |at: usize| {
            let parts = parts.iter().map(|part| (part.count as f64, part.components[at]));
            Component::joined(&parts.collect::<Vec<_>>())
        };
        let count = parts.iter().map(|part| part.count).sum();
        Self { count, components: (0..width).map(component).collect() }
    }

    /// Each figure with its name, a value for each component.
    pub(super) fn named(&self) -> Vec<(&'static str, Vec<f64>)> {
        let each =
            |figure: &dyn Fn(&Component) -> f64| self.components.iter().map(figure).collect();
        let mut named: Vec<(&'static str, Vec<f64>)> = vec![
            ("min", each(&|component| component.least)),
            ("max", each(&|component| component.greatest)),
            ("mean", each(&|component| component.mean)),
            ("std", each(&|component| component.deviation)),
        ];
        for (at, (_, name)) in QUANTILES.into_iter().enumerate() {
            named.push((name, each(&|component| component.quantiles[at])));
        }
        named
    }
}

/// What this share of sorted values stays at or below, between its two neighbours.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list that is there"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

/// The same of sorted values that occur so often each, without looking between neighbours.
fn of_counted(sorted: &[(f64, u64)], share: f64) -> f64 {
    let all = sorted.iter().map(|(_, count)| count).sum::<u64>();
    let place = share * all.saturating_sub(1) as f64;
    let mut before = 0;
    for (value, count) in sorted {
        before += count;
        if before as f64 > place {
            return *value;
        }
    }
    sorted.last().map_or(0.0, |(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_textbook() {
        let rows = [1.0, -1.0, 2.0, -1.0, 3.0, -1.0, 4.0, -1.0, 5.0, 4.0];
        let figures = Figures::of(2, &rows);
        assert_eq!(figures.count, 5);
        let [first, second] = figures.components[..] else { panic!("{figures:?}") };
        assert_eq!((first.least, first.greatest, first.mean), (1.0, 5.0, 3.0));
        assert!((first.deviation - 2.0_f64.sqrt()).abs() < 1e-12);
        // A quarter past the second value, and so on.
        for (got, expected) in first.quantiles.iter().zip([1.04, 1.4, 3.0, 4.6, 4.96]) {
            assert!((got - expected).abs() < 1e-12, "{first:?}");
        }
        assert_eq!((second.mean, second.quantiles[2]), (0.0, -1.0));
    }

    #[test]
    fn parts_together_are_the_whole_but_for_quantiles() {
        let rows: Vec<f64> = (0..100).map(|at| f64::from(at * at % 37)).collect();
        let whole = Figures::of(1, &rows);
        let joined = Figures::joined(&[Figures::of(1, &rows[..30]), Figures::of(1, &rows[30..])]);
        let (one, other) = (whole.components[0], joined.components[0]);
        assert_eq!((joined.count, other.least, other.greatest), (100, one.least, one.greatest));
        assert!((one.mean - other.mean).abs() < 1e-12);
        assert!((one.deviation - other.deviation).abs() < 1e-12);
    }

    #[test]
    fn counted_bytes_are_as_if_each_were_listed() {
        let bytes: Vec<u8> = (0..1000_u32).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        let mut channels = [[0; 256]; 3];
        bytes.iter().for_each(|byte| channels[1][usize::from(*byte)] += 1);
        let listed: Vec<f64> = bytes.iter().map(|byte| f64::from(*byte) / 255.0).collect();
        let (counted, listed) = (Figures::of_pixels(&channels, 7), Figures::of(1, &listed));
        let (got, expected) = (counted.components[1], listed.components[0]);
        assert_eq!(
            (counted.count, got.least, got.greatest),
            (7, expected.least, expected.greatest)
        );
        assert!((got.mean - expected.mean).abs() < 1e-9);
        assert!((got.deviation - expected.deviation).abs() < 1e-9);
        for (got, expected) in got.quantiles.iter().zip(expected.quantiles) {
            // Neighbours are one byte apart.
            assert!((got - expected).abs() <= 1.0 / 255.0, "{got} {expected}");
        }
    }
}
