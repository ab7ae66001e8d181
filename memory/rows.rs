//! Rows of bytes side by side.
//!
//! A ranking reads through what all frames look like. Rows that lie apart, each in a place of its own
//! between latents, took three times as long: a CPU fetches ahead along one line, not from place to
//! place. Pages are of memory that the system is asked to map in large pieces, where it can: a
//! ranking then looks up a thousand times fewer addresses, and takes a fifth less time.

use std::fmt;

use memmap2::MmapMut;
use rayon::prelude::*;

/// Rows in a page: of some megabytes, so that what the system maps in one piece (2 MB) is most of it.
const PAGE: usize = 4096;
/// Rows that a core reads at a time, a good tenth of a millisecond's work to a ranking; a share of a
/// page.
const TASK: usize = 1024;

/// Rows of one width in pages, so that growing moves none.
#[derive(Debug)]
pub(crate) struct Rows {
    width: usize,
    len: usize,
    pages: Vec<Page>,
}

/// Memory of its own, zero at first; what was never written takes no room.
struct Page(MmapMut);

impl Page {
    /// # Panics
    /// When the system has no memory left, as growing a vector does.
    fn new(bytes: usize) -> Self {
        let map = MmapMut::map_anon(bytes).expect("there is memory for what is remembered");
        // A system that knows no large pieces, or has none left, gives the usual ones.
        #[cfg(target_os = "linux")]
        let _usual = map.advise(memmap2::Advice::HugePage);
        Self(map)
    }

    fn steps(&self) -> &[i8] {
        bytemuck::cast_slice(&self.0)
    }

    fn steps_mut(&mut self) -> &mut [i8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Page").field(&self.0.len()).finish()
    }
}

impl Rows {
    /// No rows yet, each to be of `width` bytes, at least one.
    pub(crate) fn new(width: usize) -> Self {
        Self { width, len: 0, pages: Vec::new() }
    }

    /// The row at `place`.
    pub(crate) fn get(&self, place: usize) -> &[i8] {
        &self.pages[place / PAGE].steps()[place % PAGE * self.width..][..self.width]
    }

    /// Writes the row at `place`, which is there already or the next.
    pub(crate) fn set(&mut self, place: usize, row: &[i8]) {
        if place == self.pages.len() * PAGE {
            self.pages.push(Page::new(PAGE * self.width));
        }
        let page = self.pages[place / PAGE].steps_mut();
        page[place % PAGE * self.width..][..self.width].copy_from_slice(row);
        self.len = self.len.max(place + 1);
    }

    /// Takes the row at `place` away; the last one moves there.
    pub(crate) fn swap_remove(&mut self, place: usize) {
        let last = self.get(self.len - 1).to_vec();
        self.set(place, &last);
        self.len -= 1;
        self.pages.truncate(self.len.div_ceil(PAGE));
    }

    /// `read(rows, answers)` for a share of the rows at a time, on all cores: they lie one after
    /// another, with a place for the answer to each.
    pub(crate) fn read<T: Copy + Default + Send>(
        &self,
        read: impl Fn(&[i8], &mut [T]) + Sync,
    ) -> Vec<T> {
        let mut answers = vec![T::default(); self.len];
        answers.par_chunks_mut(TASK).enumerate().for_each(|(task, answers)| {
            let first = task * TASK;
            let rows = &self.pages[first / PAGE].steps()[first % PAGE * self.width..];
            read(&rows[..answers.len() * self.width], answers);
        });
        answers
    }
}

impl Clone for Rows {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.width);
        // Of a page that is partly written, the rest stays without room.
        (0..self.len).for_each(|place| copy.set(place, self.get(place)));
        copy
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
            filled in prop::sample::select(vec![0, 1, TASK - 3, PAGE - 3, PAGE, PAGE + TASK - 2]),
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
            rows = rows.clone();
            for (place, value) in model.iter().enumerate() {
                prop_assert_eq!(rows.get(place), row(*value));
            }
        }
    }
}
