//! Rows of bytes side by side.
//!
//! A ranking reads through what all frames look like. Rows that lie apart, each in a place of its own
//! between latents, took three times as long: a CPU fetches ahead along one line, not from place to
//! place.

use rayon::prelude::*;

/// Rows in a page: a page is some megabytes, and a good tenth of a millisecond's work to a ranking.
const PAGE: usize = 1024;

/// Rows of one width in pages, so that growing moves none.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    width: usize,
    len: usize,
    pages: Vec<Vec<i8>>,
}

impl Rows {
    /// No rows yet, each to be of `width` bytes, at least one.
    pub(crate) fn new(width: usize) -> Self {
        Self { width, len: 0, pages: Vec::new() }
    }

    /// The row at `place`.
    pub(crate) fn get(&self, place: usize) -> &[i8] {
        &self.pages[place / PAGE][place % PAGE * self.width..][..self.width]
    }

    /// Writes the row at `place`, which is there already or the next.
    pub(crate) fn set(&mut self, place: usize, row: &[i8]) {
        if place == self.pages.len() * PAGE {
            self.pages.push(vec![0; PAGE * self.width]);
        }
        self.pages[place / PAGE][place % PAGE * self.width..][..self.width].copy_from_slice(row);
        self.len = self.len.max(place + 1);
    }

    /// Takes the row at `place` away; the last one moves there.
    pub(crate) fn swap_remove(&mut self, place: usize) {
        let last = self.get(self.len - 1).to_vec();
        self.set(place, &last);
        self.len -= 1;
        self.pages.truncate(self.len.div_ceil(PAGE));
    }

    /// `read(rows, answers)` for each page on all cores: its rows, one after another, and a place for
    /// the answer to each.
    pub(crate) fn read<T: Copy + Default + Send>(
        &self,
        read: impl Fn(&[i8], &mut [T]) + Sync,
    ) -> Vec<T> {
        let mut answers = vec![T::default(); self.len];
        let pages = self.pages.par_iter().zip(answers.par_chunks_mut(PAGE));
        pages.for_each(|(page, answers)| read(&page[..answers.len() * self.width], answers));
        answers
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn acts_as_a_vector_of_rows(
            calls in prop::collection::vec((0_u8..9, any::<u16>(), any::<i8>()), 0..40),
            filled in prop::sample::select(vec![0, 1, PAGE - 3, PAGE, 2 * PAGE - 2]),
        ) {
            let row = |value: i8| [value, value.wrapping_add(1)];
            let (mut rows, mut model) = (Rows::new(2), Vec::new());
            for at in 0..filled {
                let value = i8::try_from(at % 100).unwrap();
                rows.set(at, &row(value));
                model.push(value);
            }
            for (call, place, value) in calls {
                let place = usize::from(place) % model.len().max(1);
                match call {
                    0..3 if !model.is_empty() => {
                        rows.swap_remove(place);
                        model.swap_remove(place);
                    }
                    3 if !model.is_empty() => {
                        rows.set(place, &row(value));
                        model[place] = value;
                    }
                    _ => {
                        rows.set(model.len(), &row(value));
                        model.push(value);
                    }
                }
            }
            let first = rows.read(|page, answers| {
                answers.iter_mut().zip(page.chunks(2)).for_each(|(answer, row)| *answer = row[0]);
            });
            prop_assert_eq!(&first, &model);
            for (place, value) in model.iter().enumerate() {
                prop_assert_eq!(rows.get(place), row(*value));
            }
        }
    }
}
