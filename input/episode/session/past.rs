//! Frames that a session was made from and does not itself contain.
//!
//! The file begins with [`MAGIC`], the number of action features and the number of latent values. Then comes
//! one record for each frame, all of one length, in the order in which sections first need them:
//!
//! | bytes | content |
//! |---|---|
//! | 4 | CRC-32 of all that follows |
//! | 4 | name of the frame in its walk |
//! | 4 each | features of the action that led to it, 32-bit floats |
//! | 2 each | its latent, 16-bit floats |
//!
//! All numbers are little-endian. Records are written unbuffered and before the sections that need them, so
//! that a recording that is cut short lacks none.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ActionLayout;
use crate::episode::EpisodeError;

/// First bytes of the file.
const MAGIC: &[u8; 16] = b"oneiro-past-v1\0\0";

/// Most features of an action: four axes and all buttons.
const MAX_FEATURES: usize = 4 + ActionLayout::MAX_BUTTONS;

/// Most values of a latent: that of a picture of 4096×4096 pixels in 16 channels, 8 pixels a cell.
const MAX_VALUES: usize = 512 * 512 * 16;

/// A frame as its walk remembers it.
#[derive(Clone, Debug, PartialEq)]
pub struct PastFrame {
    /// Its name in the walk.
    pub name: u32,
    /// Features of the action that led to it.
    pub action: Arc<[f32]>,
    /// Its latent in 16-bit floats, by their bits.
    pub latent: Arc<[u16]>,
}

/// Appends frames to the file, which is made with the first one.
#[derive(Debug)]
pub(super) struct PastWriter {
    path: PathBuf,
    file: Option<File>,
    /// Features of an action and values of a latent, from the first frame on.
    sizes: (usize, usize),
}

impl PastWriter {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, sizes: (0, 0) }
    }

    /// Adds a frame; all have the sizes of the first.
    pub(super) fn push(&mut self, frame: &PastFrame) -> Result<(), EpisodeError> {
        let sizes = (frame.action.len(), frame.latent.len());
        let io = |error| EpisodeError::io("write", &self.path, error);
        if self.file.is_none() {
            let mut file = File::create(&self.path).map_err(io)?;
            file.write_all(&head(sizes)).map_err(io)?;
            (self.file, self.sizes) = (Some(file), sizes);
        }
        if sizes != self.sizes {
            let expected = format!("{:?} features and latent values", self.sizes);
            return Err(EpisodeError::invalid(
                &expected,
                format!("{sizes:?}"),
                self.path.display(),
            ));
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&record(frame)).map_err(io)
    }

    /// Makes sure that all is on the disk.
    pub(super) fn finish(self) -> Result<(), EpisodeError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.sync_all().map_err(|error| EpisodeError::io("write", &self.path, error))
    }
}

fn head((features, values): (usize, usize)) -> Vec<u8> {
    let sizes = [features, values].map(|size| u32::try_from(size).unwrap_or(u32::MAX));
    MAGIC.iter().copied().chain(sizes.into_iter().flat_map(u32::to_le_bytes)).collect()
}

fn record(frame: &PastFrame) -> Vec<u8> {
    let mut content = frame.name.to_le_bytes().to_vec();
    content.extend(frame.action.iter().flat_map(|feature| feature.to_le_bytes()));
    content.extend(frame.latent.iter().flat_map(|value| value.to_le_bytes()));
    let checksum = crc32fast::hash(&content);
    [&checksum.to_le_bytes(), content.as_slice()].concat()
}

/// Gives the frames of a file in order, one at a time. A last one cut short by a crash is left out.
#[derive(Debug)]
pub struct PastReader {
    path: PathBuf,
    /// `None` where the session needs none, or after the end.
    file: Option<BufReader<File>>,
    features: usize,
    /// One record.
    bytes: Vec<u8>,
    at: u64,
}

impl PastReader {
    pub(super) fn open(path: &Path) -> Result<Self, EpisodeError> {
        let io = |error| EpisodeError::io("read", path, error);
        let none = Self { path: path.to_owned(), file: None, features: 0, bytes: vec![], at: 0 };
        if !path.try_exists().map_err(io)? {
            return Ok(none);
        }
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let mut head = [0; 24];
        let fault = |got: &str| {
            EpisodeError::invalid("the frames that a session is made from", got, path.display())
        };
        file.read_exact(&mut head).map_err(|_short| fault("a file cut short"))?;
        let [size_a, size_b] = [16, 20].map(|at| {
            let size = u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            usize::try_from(size).unwrap_or(usize::MAX)
        });
        if head[..16] != *MAGIC {
            return Err(fault("another kind of file"));
        }
        if size_a > MAX_FEATURES || size_b > MAX_VALUES {
            return Err(fault(&format!("{size_a} features and {size_b} latent values a frame")));
        }
        let bytes = vec![0; 8 + 4 * size_a + 2 * size_b];
        Ok(Self { file: Some(file), features: size_a, bytes, at: head.len() as u64, ..none })
    }

    fn next_frame(&mut self) -> Option<Result<PastFrame, EpisodeError>> {
        let file = self.file.as_mut()?;
        if let Err(error) = file.read_exact(&mut self.bytes) {
            let ended = error.kind() == std::io::ErrorKind::UnexpectedEof;
            return (!ended).then(|| Err(EpisodeError::io("read", &self.path, error)));
        }
        let (checksum, content) = self.bytes.split_at(4);
        if crc32fast::hash(content).to_le_bytes() != *checksum {
            let place = format!("{}, byte {}", self.path.display(), self.at);
            return Some(Err(EpisodeError::invalid("a frame as it was written", "damage", place)));
        }
        self.at += self.bytes.len() as u64;
        let (name, rest) = content.split_at(4);
        let (action, latent) = rest.split_at(4 * self.features);
        let (fours, _) = action.as_chunks::<4>();
        let (twos, _) = latent.as_chunks::<2>();
        Some(Ok(PastFrame {
            name: u32::from_le_bytes([name[0], name[1], name[2], name[3]]),
            action: fours.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            latent: twos.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect(),
        }))
    }
}

impl Iterator for PastReader {
    type Item = Result<PastFrame, EpisodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.next_frame();
        if !matches!(frame, Some(Ok(_))) {
            self.file = None;
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn frame(name: u32) -> PastFrame {
        let value = |at: u16| u16::try_from(name).expect("few") * 31 + at;
        PastFrame {
            name,
            action: [0.1, -1.0, f32::MIN_POSITIVE, 0.0].into(),
            latent: (0..40).map(value).collect(),
        }
    }

    fn write(path: &Path, frames: u32) -> Vec<PastFrame> {
        let mut writer = PastWriter::new(path.to_owned());
        let frames: Vec<_> = (0..frames).map(frame).collect();
        frames.iter().for_each(|frame| writer.push(frame).expect("the disk has room"));
        writer.finish().expect("the disk has room");
        frames
    }

    fn read(path: &Path) -> Result<Vec<PastFrame>, EpisodeError> {
        PastReader::open(path)?.collect()
    }

    #[test]
    fn frames_read_back_to_the_bit_and_none_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("past.bin");
        assert_eq!(write(&path, 0), []);
        assert!(!path.exists());
        assert_eq!(read(&path).unwrap(), []);
        let frames = write(&path, 5);
        assert_eq!(read(&path).unwrap(), frames);
    }

    #[test]
    fn a_last_frame_cut_short_is_left_out_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("past.bin");
        let frames = write(&path, 3);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(read(&path).unwrap(), frames[..2]);
        let mut damaged = bytes.clone();
        damaged[24 + 104 + 50] ^= 1;
        fs::write(&path, damaged).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("past.bin, byte 128"), "{message}");
        fs::write(&path, &bytes[..20]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("cut short"));
    }

    #[test]
    fn frames_of_another_size_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = PastWriter::new(dir.path().join("past.bin"));
        writer.push(&frame(0)).unwrap();
        let other = PastFrame { latent: [0; 3].into(), ..frame(1) };
        assert!(writer.push(&other).unwrap_err().to_string().contains("(4, 40)"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_take_much(
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
            whole_head: bool,
        ) {
            if whole_head {
                bytes.splice(0..bytes.len().min(16), MAGIC.iter().copied());
            }
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("past.bin");
            fs::write(&path, bytes).unwrap();
            match PastReader::open(&path) {
                Ok(reader) => {
                    prop_assert!(reader.bytes.len() <= 8 + 4 * MAX_FEATURES + 2 * MAX_VALUES);
                    let _ = reader.collect::<Result<Vec<_>, _>>();
                }
                Err(error) => prop_assert!(error.to_string().contains("past.bin")),
            }
        }
    }
}
