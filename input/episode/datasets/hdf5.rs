//! HDF5 files, read with care: each size is looked at before memory is taken for it.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rust_hdf5::{H5Dataset, H5File, Hdf5Error};

use crate::episode::EpisodeError;

/// Most bytes of one array of numbers, or of one batch of pictures.
const MAX_BYTES: usize = 64 << 20;

/// An open file.
pub(super) struct Hdf5 {
    path: PathBuf,
    file: H5File,
    bytes: u64,
}

impl Hdf5 {
    /// Opens the file at `path` to read.
    pub(super) fn open(path: &Path) -> Result<Self, EpisodeError> {
        let bytes = std::fs::metadata(path).map_err(|e| EpisodeError::io("open", path, e))?.len();
        let file = guarded(|| H5File::options().no_locking().open(path))
            .map_err(|got| EpisodeError::invalid("an HDF5 file", got, path.display()))?;
        Ok(Self { path: path.to_owned(), file, bytes })
    }

    /// Names of all arrays, with the groups that they lie in.
    pub(super) fn names(&self) -> Vec<String> {
        guarded(|| Ok(self.file.dataset_names())).unwrap_or_default()
    }

    /// The array of this name.
    pub(super) fn array(&self, name: &str) -> Result<Array<'_>, EpisodeError> {
        let opened = guarded(|| {
            let array = self.file.dataset(name)?;
            let shape = array.shape();
            Ok((array, shape))
        });
        let (array, shape) = opened.map_err(|got| self.fault(name, "an array", got))?;
        Ok(Array { file: self, name: name.to_owned(), array, shape })
    }

    /// The text of an attribute of the whole file, where there is one.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        guarded(|| self.file.attr_string(name)).ok()
    }

    /// An error about something in this file.
    pub(super) fn fault(&self, name: &str, expected: &str, got: impl Display) -> EpisodeError {
        EpisodeError::invalid(expected, got, format!("{}, array `{name}`", self.path.display()))
    }
}

/// An array of an open file.
pub(super) struct Array<'a> {
    file: &'a Hdf5,
    name: String,
    array: H5Dataset,
    pub(super) shape: Vec<usize>,
}

impl Array<'_> {
    /// All elements as numbers.
    pub(super) fn numbers(&self) -> Result<Vec<f64>, EpisodeError> {
        self.check_bytes(&self.shape)?;
        #[expect(clippy::cast_precision_loss, reason = "numbers of actions are small")]
        let whole =
            || Ok(self.array.read_numeric_as::<i64>()?.into_iter().map(|n| n as f64).collect());
        let numbers = guarded(|| self.array.read_numeric_as::<f64>()).or_else(|_| guarded(whole));
        numbers.map_err(|got| self.fault("numbers", got))
    }

    /// The bytes of the part that begins at `from` and has `counts` elements along each side.
    pub(super) fn bytes(&self, from: &[usize], counts: &[usize]) -> Result<Vec<u8>, EpisodeError> {
        self.check_bytes(counts)?;
        guarded(|| self.array.read_slice::<u8>(from, counts))
            .map_err(|got| self.fault("bytes", got))
    }

    /// Lists of bytes of differing lengths, one for each element.
    pub(super) fn lists(&self) -> Result<Vec<Vec<u8>>, EpisodeError> {
        // Bytes of a reference: a length, an address and an index.
        const REFERENCE: usize = 16;
        let total = self.shape.iter().try_fold(1_usize, |total, side| total.checked_mul(*side));
        let referring = self.element_bytes() == REFERENCE;
        if !referring || total.is_none_or(|total| total > MAX_BYTES / REFERENCE) {
            return Err(self.fault("fewer lists", format!("{:?}", self.shape)));
        }
        let references = guarded(|| self.array.read_raw_bytes());
        let references = references.map_err(|got| self.fault("lists of bytes", got))?;
        let lengths = references.as_chunks::<REFERENCE>().0.iter();
        let stated: u64 =
            lengths.map(|[a, b, c, d, ..]| u64::from(u32::from_le_bytes([*a, *b, *c, *d]))).sum();
        // Lists that share their bytes could take any amount of memory; no writer makes such.
        if stated > self.file.bytes {
            return Err(self.fault("lists within the file", format!("{stated} bytes")));
        }
        guarded(|| self.array.read_vlen_bytes()).map_err(|got| self.fault("lists of bytes", got))
    }

    /// Elements along the first side that are stored together.
    pub(super) fn chunk(&self) -> usize {
        guarded(|| Ok(self.array.chunk_dims()))
            .ok()
            .flatten()
            .map_or(1, |sides| sides.first().copied().unwrap_or(1))
    }

    /// Bytes of an element.
    pub(super) fn element_bytes(&self) -> usize {
        guarded(|| Ok(self.array.element_size())).unwrap_or(0)
    }

    /// An error about this array.
    pub(super) fn fault(&self, expected: &str, got: impl Display) -> EpisodeError {
        self.file.fault(&self.name, expected, got)
    }

    fn check_bytes(&self, sides: &[usize]) -> Result<(), EpisodeError> {
        let element = self.element_bytes().max(1);
        let bytes = sides.iter().try_fold(element, |bytes, side| bytes.checked_mul(*side));
        if bytes.is_some_and(|bytes| bytes <= MAX_BYTES) {
            return Ok(());
        }
        Err(self.fault("at most 64 MiB at once", format!("{sides:?} elements of {element} bytes")))
    }
}

/// What `read` gives, or why not. The library is young and its input comes from outside: a bug in it ends the reading,
/// not the program.
fn guarded<T>(read: impl FnOnce() -> Result<T, Hdf5Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| {
            let error = error.to_string();
            let packed = error.contains("filter") || error.contains("deflate");
            let remedy = if packed { " (h5repack -f NONE IN OUT unpacks a file)" } else { "" };
            format!("{error}{remedy}")
        }),
        Err(_panic) => Err("damaged structures".to_owned()),
    }
}
