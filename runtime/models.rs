//! `oneiro model`: published video models, looked over and merged with what was trained for them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand};
use engine::adapter::{Adapter, merge};
use engine::device::Device;
use engine::framepack::check::Model;

use crate::commands::print;

/// What can be done with a published model.
#[derive(Clone, Debug, Subcommand)]
pub enum ModelCommand {
    /// Say what is missing from a folder of HunyuanVideo with FramePack, or of Wan 2.1, or is wrong in it
    Check(CheckArgs),
    /// Work a low-rank adapter into a network's weights
    Merge(MergeArgs),
}

/// Options of `model check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Folder of the model, with a folder for each part as for the diffusers library: transformer, vae, …
    #[arg(value_name = "DIR")]
    pub model: PathBuf,
}

/// Options of `model merge`.
#[derive(Args, Clone, Debug)]
pub struct MergeArgs {
    /// Folder of the network: config.json, and weights in one file or in many
    #[arg(value_name = "DIR")]
    pub network: PathBuf,
    /// The adapter
    #[arg(long, value_name = "FILE.safetensors")]
    pub adapter: PathBuf,
    /// Folder for the merged network
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Does what the command line says.
///
/// # Errors
/// A file is missing, damaged or does not fit; what is wrong with a model is printed before.
pub fn run(command: &ModelCommand) -> Result<()> {
    match command {
        ModelCommand::Check(args) => check(args),
        ModelCommand::Merge(args) => {
            let adapter = Adapter::open(&args.adapter, &Device::Cpu)?;
            if args.out.exists() {
                bail!("expected a folder that is not there yet: {}", args.out.display());
            }
            Ok(merge(&args.network, &adapter, &args.out)?)
        }
    }
}

fn check(args: &CheckArgs) -> Result<()> {
    let folder = &args.model;
    let model = known(folder)?;
    sound(model, folder, true)?;
    print(&format!("{}: nothing is missing from {model}\n", folder.display()))
}

/// The model in a folder.
///
/// # Errors
/// There is none that is known.
pub(crate) fn known(folder: &Path) -> Result<Model> {
    Model::of(folder).with_context(|| format!("look over {}", folder.display()))
}

/// Prints what is wrong with a model; `alone`: without an adapter.
///
/// # Errors
/// Something is.
pub(crate) fn sound(model: Model, folder: &Path, alone: bool) -> Result<()> {
    let faults = model.faults(folder, alone);
    let mut text = String::new();
    for fault in &faults {
        writeln!(text, "{fault}")?;
    }
    print(&text)?;
    ensure!(faults.is_empty(), "{} faults in {}", faults.len(), folder.display());
    Ok(())
}
