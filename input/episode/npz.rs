//! Reader of `.npz` clips, plain and compressed.
//!
//! The files come from outside. Of every array the header is read first, and its shape is held
//! against the size that the archive states and against a maximum before memory is taken; a stated
//! size that the compressed bytes cannot possibly yield is refused as well.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::npy::{self, Array};
use super::{EpisodeError, MAX_EPISODE_BYTES, Recording, npz_layout};

/// Most bytes of an array that is not the pictures: a million frames of sixteen floats.
const MAX_SIDE_ARRAY_BYTES: u64 = 64 << 20;

/// Deflate yields at most 1032 bytes per byte; a little more for blocks of tiny files.
const MAX_DEFLATE_RATIO: u64 = 1040;

/// Opens one clip in the recorder's, TECO's, Memory Maze's or WorldMem's layout.
pub(super) fn read(path: &Path) -> Result<Recording, EpisodeError> {
    npz_layout::read(&mut Clip::open(path)?)
}

/// An open archive of arrays.
pub(super) struct Clip {
    path: PathBuf,
    file_bytes: u64,
    zip: ZipArchive<BufReader<File>>,
}

impl Clip {
    fn open(path: &Path) -> Result<Self, EpisodeError> {
        let file = File::open(path).map_err(|e| EpisodeError::io("open", path, e))?;
        let file_bytes = file.metadata().map_err(|e| EpisodeError::io("read", path, e))?.len();
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|e| EpisodeError::invalid("a whole zip archive", e, path.display()))?;
        Ok(Self { path: path.to_owned(), file_bytes, zip })
    }

    /// The file that the clip is read from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the clip holds an array of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{name}.npy")).is_some()
    }

    /// The pictures, `(T, H, W, 3)` bytes, as (frames, height, width, bytes).
    pub(super) fn video(&mut self, name: &str) -> Result<(usize, u32, u32, Vec<u8>), EpisodeError> {
        let array = self.array(name, MAX_EPISODE_BYTES)?;
        let wrong = || {
            let got = format!("{:?} {:?}", array.header.number, array.header.shape);
            self.fault(name, "U8 [frames, height, width, 3]", got)
        };
        let (npy::Number::U8, &[frames, height, width, 3]) =
            (array.header.number, array.header.shape.as_slice())
        else {
            return Err(wrong());
        };
        let (Ok(height), Ok(width)) = (u32::try_from(height), u32::try_from(width)) else {
            return Err(wrong());
        };
        Ok((frames, height, width, array.bytes))
    }

    /// An array that goes with the pictures, of this shape.
    pub(super) fn side(&mut self, name: &str, shape: &[usize]) -> Result<Array, EpisodeError> {
        let array = self.side_of_any_shape(name)?;
        if array.header.shape != shape {
            let got = format!("{:?}", array.header.shape);
            return Err(self.fault(name, &format!("{shape:?}"), got));
        }
        Ok(array)
    }

    /// An array that goes with the pictures.
    pub(super) fn side_of_any_shape(&mut self, name: &str) -> Result<Array, EpisodeError> {
        self.array(name, MAX_SIDE_ARRAY_BYTES)
    }

    /// An error about array `name` of this clip.
    pub(super) fn fault(&self, name: &str, expected: &str, got: impl Display) -> EpisodeError {
        let place = format!("{}, array `{name}`", self.path.display());
        EpisodeError::invalid(expected, got, place)
    }

    /// An error about the clip as a whole.
    pub(super) fn fault_of_all(&self, expected: &str, got: &str) -> EpisodeError {
        EpisodeError::invalid(expected, got, self.path.display())
    }

    /// Names of all arrays, for a message.
    pub(super) fn names(&self) -> String {
        let names = self.zip.file_names().take(16).flatten();
        names.map(|name| name.trim_end_matches(".npy").to_owned()).collect::<Vec<_>>().join(", ")
    }

    fn array(&mut self, name: &str, max_bytes: u64) -> Result<Array, EpisodeError> {
        match read_entry(&mut self.zip, name, max_bytes, self.file_bytes) {
            Ok(array) => Ok(array),
            Err(EntryError::Limit(bytes)) => Err(self.fault(
                name,
                &format!("at most {max_bytes} bytes"),
                format!("{bytes} bytes; split the recording into shorter episodes"),
            )),
            Err(EntryError::Damaged(what)) => Err(self.fault(name, "a whole array", what)),
        }
    }
}

/// Why an array could not be read; the path is added by the caller.
enum EntryError {
    Limit(u64),
    Damaged(String),
}

impl<E: std::error::Error> From<E> for EntryError {
    fn from(error: E) -> Self {
        Self::Damaged(error.to_string())
    }
}

fn read_entry(
    zip: &mut ZipArchive<BufReader<File>>,
    name: &str,
    max_bytes: u64,
    file_bytes: u64,
) -> Result<Array, EntryError> {
    let mut entry = zip.by_name(&format!("{name}.npy"))?;
    let (stated, packed) = (entry.size(), entry.compressed_size());
    let header = npy::read_header(&mut entry)?;
    let bytes = header.data_bytes as u64;
    if bytes > max_bytes {
        return Err(EntryError::Limit(bytes));
    }
    if Some(stated) != bytes.checked_add(header.header_bytes as u64) {
        let what = format!("shape {:?} in an entry of {stated} bytes", header.shape);
        return Err(EntryError::Damaged(what));
    }
    if packed > file_bytes || stated / MAX_DEFLATE_RATIO > packed {
        let what = format!("{stated} bytes stated for {packed} compressed ones");
        return Err(EntryError::Damaged(what));
    }
    let mut data = vec![0; header.data_bytes];
    entry.read_exact(&mut data)?;
    // The checksum is verified when the end is reached, which this read does.
    if entry.read(&mut [0])? != 0 {
        return Err(EntryError::Damaged("bytes after the last element".to_owned()));
    }
    Ok(Array { header, bytes: data })
}
