//! Arrays of numbers in files of their own, as `NumPy` saves them.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;

use super::error::EpisodeError;
use super::npy;

/// Most bytes of an array that are read.
const MAX_BYTES: usize = 1 << 30;

/// Reads a `.npy` file of numbers: its shape, and its elements in C order.
///
/// # Errors
/// When it cannot be read, is no such array, is larger than 1 GiB, or shorter or longer than it says.
pub fn read_npy(path: &Path) -> Result<(Vec<usize>, Vec<f32>), EpisodeError> {
    let fail = |error| EpisodeError::io("read", path, error);
    let file = File::open(path).map_err(|error| EpisodeError::io("open", path, error))?;
    let stated = file.metadata().map_err(fail)?.len();
    let mut reader = BufReader::new(file);
    let header = npy::read_header(&mut reader).map_err(fail)?;
    let whole = (header.header_bytes as u64).checked_add(header.data_bytes as u64);
    if header.data_bytes > MAX_BYTES || whole != Some(stated) {
        let expected = format!("a file of {:?} numbers, at most {MAX_BYTES} bytes", header.shape);
        return Err(EpisodeError::invalid(&expected, format!("{stated} bytes"), path.display()));
    }
    let mut bytes = vec![0; header.data_bytes];
    reader.read_exact(&mut bytes).map_err(fail)?;
    let shape = header.shape.clone();
    #[expect(clippy::cast_possible_truncation, reason = "the caller wants 32 bits")]
    let values = npy::Array { header, bytes }.numbers().map(|number| number as f32).collect();
    Ok((shape, values))
}

/// Writes a `.npy` file of 32-bit floats in C order.
///
/// # Errors
/// When the file cannot be written.
///
/// # Panics
/// When the values are not as many as the shape says.
pub fn write_npy(path: &Path, shape: &[usize], values: &[f32]) -> Result<(), EpisodeError> {
    assert_eq!(shape.iter().product::<usize>(), values.len(), "the shape is that of the values");
    let mut bytes = npy::write_header("<f4", shape);
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let mut file = File::create(path).map_err(|error| EpisodeError::io("create", path, error))?;
    file.write_all(&bytes).map_err(|error| EpisodeError::io("write", path, error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arrays_are_read_back_and_odd_files_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("features.npy");
        write_npy(&path, &[2, 3], &[0.0, 1.5, -2.0, 3.0, 4.0, 5.0]).unwrap();
        let (shape, values) = read_npy(&path).unwrap();
        assert_eq!((shape, values), (vec![2, 3], vec![0.0, 1.5, -2.0, 3.0, 4.0, 5.0]));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.pop();
        std::fs::write(&path, &bytes).unwrap();
        let error = read_npy(&path).unwrap_err().to_string();
        assert!(error.contains("features.npy") && error.contains("[2, 3]"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("any.npy");
            let mut whole = npy::write_header("<f4", &[bytes.len(), 1 << 20]);
            for start in [0, 8, whole.len()] {
                whole.truncate(start);
                whole.extend(&bytes);
                std::fs::write(&path, &whole).unwrap();
                let _ = read_npy(&path);
            }
        }
    }
}
