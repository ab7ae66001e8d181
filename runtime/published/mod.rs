//! `oneiro dream --model`: a video of a published model, section by section.

mod making;
mod outline;
mod request;
pub(crate) mod settings;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use engine::device::Device;
use engine::framepack::check::Model;
use engine::framepack::memory::{GIGABYTE, MemoryPlan};

use crate::cli::parse_size;
use crate::commands::{Usage, print};
use crate::models::{known, sound};
use crate::resident::available_bytes;
use crate::video::VideoArgs;
use making::Making;
use request::Request;

/// Options that belong to worlds alone.
const OF_WORLDS: [&str; 3] = ["world", "schedule", "actions"];

/// Options of `dream --model`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Published models")]
pub struct PublishedArgs {
    /// Folder of HunyuanVideo with FramePack or of Wan 2.1, in place of a world (see `model check`)
    #[arg(long, value_name = "DIR", conflicts_with_all = OF_WORLDS)]
    pub model: Option<PathBuf>,
    /// What the video shows
    #[arg(long, value_name = "TEXT", requires = "model", conflicts_with_all = OF_WORLDS)]
    pub prompt: Option<String>,
    /// Pixels, width by height in multiples of 16 [default: of some 400 000, in the picture's proportions]
    #[arg(long, value_name = "WxH", requires = "model", conflicts_with_all = OF_WORLDS, value_parser = parse_size)]
    pub size: Option<(u32, u32)>,
    /// How closely the prompt is kept to [default: 10, Wan 5]
    #[arg(long, value_name = "SCALE", requires = "model", conflicts_with_all = OF_WORLDS, value_parser = parse_guidance)]
    pub guidance: Option<f64>,
    /// A low-rank adapter that the network wears
    #[arg(long, value_name = "FILE", requires = "model", conflicts_with_all = OF_WORLDS)]
    pub adapter: Option<PathBuf>,
    /// Most memory to take of the GPU; the network's blocks that have no room are read one by one [default: as much
    /// as it needs]
    #[arg(long, value_name = "GB", requires = "model", conflicts_with_all = OF_WORLDS, value_parser = parse_gigabytes)]
    pub vram: Option<u64>,
    /// The same of the machine's own memory, where there is no GPU [default: what is free]
    #[arg(long, value_name = "GB", requires = "model", conflicts_with_all = OF_WORLDS, value_parser = parse_gigabytes)]
    pub ram: Option<u64>,
    /// Only look the model over, and plan its memory
    #[arg(long, requires = "model", conflicts_with_all = OF_WORLDS)]
    pub check: bool,
}

fn parse_guidance(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale| (0.0..=100.0).contains(scale));
    scale.ok_or_else(|| "expected a scale of 0 to 100".to_owned())
}

/// Bytes of a number of gigabytes.
fn parse_gigabytes(text: &str) -> Result<u64, String> {
    let gigabytes: Option<f64> = text.parse().ok().filter(|number| (0.0..=1e5).contains(number));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let bytes = gigabytes.map(|gigabytes| (gigabytes * GIGABYTE) as u64);
    bytes.ok_or_else(|| "expected a number of gigabytes, such as 8 or 11.5".to_owned())
}

/// Makes the video, going on where it was broken off.
///
/// # Errors
/// When something is missing from the model or wrong in it, a picture cannot be read, the bounds of memory are too
/// narrow, a video with other settings is in the folder, or a file cannot be written.
pub fn run(folder: &Path, args: &VideoArgs) -> Result<()> {
    let model = known(folder)?;
    sound(model, folder, args.published.adapter.is_none())?;
    if args.published.prompt.is_none() && !args.published.check {
        return Err(Usage("expected --prompt TEXT".to_owned()).into());
    }
    let (device, notice) = engine::device::best();
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    let request = Request::new(model, args)?;
    let plan = planned(model, folder, &device, &request, args)?;
    print(&plan.to_string())?;
    if args.published.check {
        return print(&format!("{}: nothing is missing from {model}\n", folder.display()));
    }
    let kept = request.kept(folder, args, &device)?;
    let mut making = Making::begin(model, folder, args, &request, &plan, &device, kept)?;
    making.go_on()?;
    let (sections, out) = (request.sections(), args.out()?);
    print(&format!("{sections} sections, {:.1} s: {}\n", making.seconds(), out.display()))
}

/// The plan of memory, within the bounds.
fn planned(
    model: Model,
    folder: &Path,
    device: &Device,
    request: &Request,
    args: &VideoArgs,
) -> Result<MemoryPlan> {
    let demand = request.demand();
    let ram = args.published.ram.or_else(available_bytes);
    if device.is_cpu() {
        return Ok(MemoryPlan::new(model, folder, device, demand, ram)?);
    }
    let pictures = (3 * demand.size.0 * demand.size.1 * demand.pictures) as u64;
    ensure!(
        ram.is_none_or(|ram| ram > pictures),
        "expected a bound of more than {pictures} bytes of memory, for the pictures of the video"
    );
    Ok(MemoryPlan::new(model, folder, device, demand, args.published.vram)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_scales_are_numbers_within_reason() {
        assert_eq!(parse_gigabytes("1.5"), Ok(1_500_000_000));
        assert_eq!(parse_guidance("0"), Ok(0.0));
        for wrong in ["", "-1", "nan", "inf", "many", "1e9"] {
            assert!(parse_gigabytes(wrong).is_err() && parse_guidance(wrong).is_err(), "{wrong}");
        }
    }
}
