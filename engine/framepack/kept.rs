//! Sections of a video as files, so that its making can go on where it was broken off.

use crate::train::save_atomically;
use candle_core::{DType, Device, Result, Tensor, bail};
use std::collections::HashMap;
use std::path::Path;

/// Names of the tensors in a file: the section, and the mark of the settings that it was made with.
const LATENTS: &str = "latents";
const MARK: &str = "settings";

/// Writes the latents of a section with the `mark` of the settings that they were made with; either all of the file
/// is there or none.
///
/// # Errors
/// It cannot be written.
pub fn save(path: &Path, latents: &Tensor, mark: &[u8]) -> Result<()> {
    let mark = Tensor::new(mark, &Device::Cpu)?;
    let latents = latents.to_device(&Device::Cpu)?.contiguous()?;
    let tensors = [(LATENTS.to_owned(), latents), (MARK.to_owned(), mark)];
    save_atomically(&HashMap::from(tensors), path)
}

/// Reads the latents of a section; nothing where there is no file, or one that other settings made.
///
/// # Errors
/// The file is damaged; it is named.
pub fn load(path: &Path, mark: &[u8], device: &Device) -> Result<Option<Tensor>> {
    if !path.exists() {
        return Ok(None);
    }
    let read = || -> Result<Option<Tensor>> {
        let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
        let tensor = |name: &str| match tensors.get(name) {
            Some(tensor) => Ok(tensor),
            None => bail!("expected a tensor {name}"),
        };
        if tensor(MARK)?.to_dtype(DType::U8)?.flatten_all()?.to_vec1::<u8>()? != mark {
            return Ok(None);
        }
        tensor(LATENTS)?.to_dtype(DType::F32)?.to_device(device).map(Some)
    };
    read().map_err(|error| error.with_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_section_is_read_by_whom_it_was_made_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("section.safetensors");
        assert!(load(&path, b"a", &Device::Cpu).unwrap().is_none());
        let latents = Tensor::new(&[[1.0_f32, -2.5]], &Device::Cpu).unwrap();
        save(&path, &latents, b"a").unwrap();
        let read = load(&path, b"a", &Device::Cpu).unwrap().unwrap();
        assert_eq!(read.to_vec2::<f32>().unwrap(), [[1.0, -2.5]]);
        assert!(load(&path, b"b", &Device::Cpu).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn a_damaged_section_is_an_error_that_names_it(cut in 1_usize..200) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("section.safetensors");
            save(&path, &Tensor::zeros((1, 2, 3), DType::F32, &Device::Cpu).unwrap(), b"a").unwrap();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - cut.min(bytes.len())]).unwrap();
            let error = load(&path, b"a", &Device::Cpu).unwrap_err().to_string();
            prop_assert!(error.contains("section.safetensors"), "{}", error);
        }
    }
}
