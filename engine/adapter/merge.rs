//! An adapter worked into the files of a network.

use super::Adapter;
use crate::error::Error;
use crate::train::save_atomically;
use crate::weights::{Index, parts};
use candle_core::{Device, Result};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Writes the network in `folder`, with `adapter` worked into it, to the folder `out`, file by file. Tensors keep
/// their types; one file at a time is in memory.
///
/// # Errors
/// A file cannot be read or written, or the adapter does not fit the network; the message names it.
pub fn merge(folder: &Path, adapter: &Adapter, out: &Path) -> std::result::Result<(), Error> {
    let write = |error: std::io::Error| Error::World {
        reason: format!("cannot write the merged network: {error}"),
        path: out.to_owned(),
    };
    std::fs::create_dir_all(out).map_err(write)?;
    let mut index = Index { weight_map: BTreeMap::new() };
    let mut left: BTreeMap<_, _> =
        adapter.own().map(|(name, tensor)| (name.clone(), tensor)).collect();
    let parts = parts(folder)?;
    for (at, part) in parts.files.keys().enumerate() {
        let path = folder.join(part);
        let wrong = |error: candle_core::Error| Error::World {
            reason: error.to_string(),
            path: path.clone(),
        };
        let mut tensors = merged(&path, adapter).map_err(wrong)?;
        left.retain(|name, _| !tensors.contains_key(name));
        if at + 1 == parts.files.len() {
            for (name, tensor) in &left {
                tensors.insert(name.clone(), tensor.to_device(&Device::Cpu).map_err(wrong)?);
            }
        }
        index.weight_map.extend(tensors.keys().map(|name| (name.clone(), part.clone())));
        save_atomically(&tensors, &out.join(part)).map_err(wrong)?;
    }
    if parts.files.len() > 1 {
        let text = serde_json::to_string_pretty(&index).expect("names are text");
        std::fs::write(out.join(parts.index()), text).map_err(write)?;
    }
    match std::fs::copy(folder.join("config.json"), out.join("config.json")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(write(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn merged(path: &Path, adapter: &Adapter) -> Result<HashMap<String, candle_core::Tensor>> {
    let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
    tensors
        .into_iter()
        .map(|(name, tensor)| Ok((name.clone(), adapter.merged(&name, &tensor)?)))
        .collect()
}
