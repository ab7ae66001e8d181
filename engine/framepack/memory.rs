//! What a model needs of memory, and how many of its blocks stay in it.

use super::blocks::Residence;
use super::check::Model;
use super::types::Types;
use crate::error::Error;
use crate::weights::Weights;
use candle_core::{DType, Device};
use std::fmt;
use std::path::Path;

/// Bytes of a gigabyte, as they are printed and typed.
pub const GIGABYTE: f64 = 1e9;

/// How long a part is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// Before the first section only.
    Early,
    /// The same, layer by layer: so many bytes at once.
    EarlyByLayer(u64),
    /// Before the first section too, when the others that are there then have gone.
    EarlyAlone,
    /// With every section.
    Always,
    /// One block after another, at every evaluation: so many bytes at once.
    ByBlock(u64),
}

/// A line of the plan.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is.
    pub what: String,
    /// Bytes of all of it.
    pub bytes: u64,
    /// How long it stays.
    pub stay: Stay,
}

/// Sizes of what is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Pixels: width and height.
    pub size: (usize, usize),
    /// Latent frames of a section.
    pub frames: usize,
    /// Pictures in all.
    pub pictures: usize,
}

/// What is in memory when, and whether it fits.
#[derive(Clone, Debug)]
pub struct MemoryPlan {
    /// Parts on the device.
    pub parts: Vec<Part>,
    /// Blocks that stay.
    pub residence: Residence,
    /// Most bytes at once on the device.
    pub peak: u64,
}

/// The weights of a part by what they are read as: those outside of its layers, and those of each layer.
struct Layers {
    rest: u64,
    layers: Vec<u64>,
}

impl Layers {
    /// `number` answers which layer a tensor belongs to, counted over all kinds of them.
    fn of(
        folder: &Path,
        dtype: DType,
        number: impl Fn(&str) -> Option<usize>,
    ) -> Result<Self, Error> {
        let weights = Weights::open(folder, dtype, &Device::Cpu)?;
        let (mut rest, mut layers) = (0, Vec::new());
        for (name, shape) in weights.shapes() {
            let values: usize = shape.iter().product();
            let bytes = (values as u64).saturating_mul(dtype.size_in_bytes() as u64);
            match number(name) {
                Some(at) => {
                    layers.resize(layers.len().max(at + 1), 0);
                    layers[at] += bytes;
                }
                None => rest += bytes,
            }
        }
        Ok(Self { rest, layers })
    }

    fn largest(&self) -> u64 {
        self.layers.iter().copied().max().unwrap_or(0)
    }

    fn bytes(&self) -> u64 {
        self.rest + self.layers.iter().sum::<u64>()
    }
}

/// Heads of the larger network.
const HEADS: usize = 24;
/// Most layers of a kind that are counted: far beyond what is published.
const LAYERS_MAX: usize = 1000;

/// The number behind `marker` in a name.
fn numbered(name: &str, marker: &str) -> Option<usize> {
    let (_, behind) = name.split_once(marker)?;
    behind.split('.').next()?.parse().ok().filter(|&at| at < LAYERS_MAX)
}

/// The block of a network that a tensor belongs to, blocks of a second kind counted behind `first` of the first.
fn block(name: &str, first: usize) -> Option<usize> {
    let at = |kind: &str| name.starts_with(kind).then(|| numbered(name, kind)).flatten();
    let second = || at("single_transformer_blocks.").map(|number| first + number);
    at("transformer_blocks.").or_else(|| at("blocks.")).or_else(second)
}

impl MemoryPlan {
    /// The plan for a model in a folder on a device, bounded by `most` bytes on it.
    ///
    /// # Errors
    /// A file is missing or damaged, or not even one block at a time fits; the message says what is needed.
    pub fn new(
        model: Model,
        folder: &Path,
        device: &Device,
        demand: Demand,
        most: Option<u64>,
    ) -> Result<Self, Error> {
        let types = Types::of(model, device);
        let mut parts = early(model, folder, types)?;
        let vae = Layers::of(&folder.join("vae"), types.vae, |_| None)?.bytes();
        let transformer = folder.join("transformer");
        let (width, first) = sizes(model, &transformer)?;
        let network = Layers::of(&transformer, types.network, |name| block(name, first))?;
        let work = working(demand, width, types);
        parts.push(whole("codec (vae)", vae, Stay::Always));
        parts.push(whole("network outside of its blocks", network.rest, Stay::Always));
        parts.push(whole("activations, about", work, Stay::Always));
        let (width, height) = demand.size;
        let pictures = (3 * width * height) as u64 * demand.pictures as u64;
        let beside = if device.is_cpu() { pictures } else { 0 };
        if beside > 0 {
            parts.push(whole("pictures", pictures, Stay::Always));
        }
        let fixed = vae + network.rest + work + beside;
        let (residence, held) = residence(&network, fixed, most);
        let count = network.layers.len();
        let stay: u64 = network.layers[..held].iter().sum();
        let streamed = network.layers[held..].iter().copied().max().unwrap_or(0);
        parts.push(whole(&format!("{held} of the network's {count} blocks"), stay, Stay::Always));
        if held < count {
            let left = network.layers[held..].iter().sum();
            let what = format!("the other {} blocks", count - held);
            parts.push(whole(&what, left, Stay::ByBlock(streamed)));
        }
        let mut plan = Self { parts, residence, peak: 0 };
        plan.peak = plan.early_peak().max(plan.late_peak());
        match most {
            Some(most) if plan.peak > most => {
                let reason = format!(
                    "expected a bound of at least {} of memory for this model and size, got {}",
                    Bytes(plan.peak),
                    Bytes(most)
                );
                Err(Error::World { reason, path: folder.to_owned() })
            }
            Some(_) | None => Ok(plan),
        }
    }

    /// Bytes at once before the first section.
    fn early_peak(&self) -> u64 {
        let alone = |part: &Part| if part.stay == Stay::EarlyAlone { part.bytes } else { 0 };
        let together: u64 = self.parts.iter().map(|part| part.at_once().0).sum();
        self.parts.iter().map(alone).fold(together, u64::max)
    }

    /// Bytes at once with the sections.
    fn late_peak(&self) -> u64 {
        self.parts.iter().map(|part| part.at_once().1).sum()
    }
}

impl Part {
    /// Bytes at once with others before the first section, and with the sections.
    fn at_once(&self) -> (u64, u64) {
        match self.stay {
            Stay::Early => (self.bytes, 0),
            Stay::EarlyByLayer(bytes) => (bytes, 0),
            Stay::EarlyAlone => (0, 0),
            Stay::Always => (0, self.bytes),
            Stay::ByBlock(bytes) => (0, bytes),
        }
    }
}

fn whole(what: &str, bytes: u64, stay: Stay) -> Part {
    Part { what: what.to_owned(), bytes, stay }
}

/// What is needed before the first section alone.
fn early(model: Model, folder: &Path, types: Types) -> Result<Vec<Part>, Error> {
    let by_layer = |what: &str, name: &str, marker: &'static str| {
        let layers = Layers::of(&folder.join(name), types.text, |name| numbered(name, marker))?;
        Ok::<_, Error>(whole(
            what,
            layers.bytes(),
            Stay::EarlyByLayer(layers.rest + layers.largest()),
        ))
    };
    Ok(match model {
        Model::Hunyuan => {
            let all = |name: &str, dtype| {
                Ok::<_, Error>(Layers::of(&folder.join(name), dtype, |_| None)?.bytes())
            };
            vec![
                by_layer("LLaMA (text_encoder)", "text_encoder", "layers.")?,
                whole("CLIP-L (text_encoder_2)", all("text_encoder_2", types.text)?, Stay::Early),
                whole(
                    "SigLIP (image_encoder)",
                    all("image_encoder", types.image)?,
                    Stay::EarlyAlone,
                ),
            ]
        }
        Model::Wan => vec![by_layer("UMT5 (text_encoder)", "text_encoder", "encoder.block.")?],
    })
}

/// Width of a network's tokens, and its blocks of the first kind.
fn sizes(model: Model, folder: &Path) -> Result<(usize, usize), Error> {
    Ok(match model {
        Model::Hunyuan => {
            let config = super::hunyuan::Config::open(folder)?;
            (config.width(), config.num_layers)
        }
        Model::Wan => {
            let config = super::wan::Config::open(folder)?;
            (config.width(), config.num_layers)
        }
    })
}

/// The first blocks that fit beside `fixed` bytes while another is read.
fn residence(network: &Layers, fixed: u64, most: Option<u64>) -> (Residence, usize) {
    let count = network.layers.len();
    let Some(most) = most else { return (Residence::Held, count) };
    if fixed + network.layers.iter().sum::<u64>() <= most {
        return (Residence::Held, count);
    }
    let mut left = most.saturating_sub(fixed + network.largest());
    let fits = |bytes: &&u64| {
        let fits = **bytes <= left;
        left = left.saturating_sub(**bytes);
        fits
    };
    let held = network.layers.iter().take_while(fits).count();
    (Residence::First(held), held)
}

/// Bytes of activations, about: some ten copies of all tokens, two of their perceptrons' and the scores of a run of
/// queries, or the decoding of a window of two sections where that is more.
fn working(demand: Demand, width: usize, types: Types) -> u64 {
    let (columns, rows) = (demand.size.0 / 16, demand.size.1 / 16);
    // The history is at most as long as two frames at k1, one at k2 and four at k4 times their kernels' padding; text
    // and pictures have at most some thousand tokens.
    let tokens = (demand.frames + 4) * columns * rows + 1024;
    let scores = (12 * HEADS * tokens * tokens).min(3 << 28);
    let network = tokens * width * 18 * types.network.size_in_bytes() + scores;
    let window = 3 * 4 * 2 * (8 * demand.frames + 1) * demand.size.0 * demand.size.1;
    // Tiles of at most 256 x 256 pixels and 17 frames at the 128 channels of the shallowest depth, and one unfolded.
    let tile = 17 * demand.size.0.min(256) * demand.size.1.min(256) * 128;
    let unfolded = (9 * tile).min(1 << 27);
    let decoding = window + (4 * tile + unfolded) * types.vae.size_in_bytes();
    network.max(decoding) as u64
}

/// A number of bytes as it is printed.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "printed to a thousandth")]
        let bytes = self.0 as f64;
        let text = if bytes < GIGABYTE {
            format!("{:.3} MB", bytes / 1e6)
        } else {
            format!("{:.3} GB", bytes / GIGABYTE)
        };
        f.pad(&text)
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Part { what, bytes, stay } in &self.parts {
            write!(f, "{what:<34} {:>11}  ", Bytes(*bytes))?;
            let early = "let go of before the first section";
            match stay {
                Stay::Early | Stay::EarlyAlone => writeln!(f, "{early}")?,
                Stay::EarlyByLayer(most) => {
                    writeln!(f, "layer by layer, {} at once; {early}", Bytes(*most))?;
                }
                Stay::Always => writeln!(f, "stays")?,
                Stay::ByBlock(most) => writeln!(f, "block by block, {} at once", Bytes(*most))?,
            }
        }
        writeln!(f, "{:<34} {:>11}", "at most at once", Bytes(self.peak))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_blocks_stay_as_fit_beside_one_that_is_read() {
        let network = Layers { rest: 7, layers: vec![4, 4, 3, 3, 3] };
        assert_eq!((network.bytes(), network.largest()), (24, 4));
        let held = |most| residence(&network, 10, most);
        assert_eq!(held(None), (Residence::Held, 5));
        assert_eq!(held(Some(27)), (Residence::Held, 5));
        // Four are left for the one that is read.
        assert_eq!(held(Some(26)), (Residence::First(3), 3));
        assert_eq!(held(Some(22)), (Residence::First(2), 2));
        assert_eq!(held(Some(17)), (Residence::First(0), 0));
        assert_eq!(held(Some(3)), (Residence::First(0), 0));
    }

    #[test]
    fn tensors_are_counted_to_their_blocks() {
        assert_eq!(block("transformer_blocks.3.attn.to_q.weight", 20), Some(3));
        assert_eq!(block("single_transformer_blocks.3.proj_mlp.bias", 20), Some(23));
        assert_eq!(block("blocks.12.ffn.net.2.weight", 30), Some(12));
        for other in [
            "context_embedder.token_refiner.refiner_blocks.0.norm1.bias",
            "proj_out.weight",
            "blocks.x.weight",
            "blocks.99999999999999999999.weight",
            "blocks.1000.weight",
        ] {
            assert_eq!(block(other, 20), None, "{other}");
        }
        assert_eq!(numbered("model.layers.7.mlp.up_proj.weight", "layers."), Some(7));
    }

    #[test]
    fn the_peak_is_that_of_what_is_there_together() {
        let part = |bytes, stay| Part { what: String::new(), bytes, stay };
        let parts = vec![
            part(50, Stay::EarlyByLayer(9)),
            part(4, Stay::Early),
            part(8, Stay::EarlyAlone),
            part(6, Stay::Always),
            part(40, Stay::ByBlock(5)),
        ];
        let plan = MemoryPlan { parts, residence: Residence::Held, peak: 13 };
        assert_eq!((plan.early_peak(), plan.late_peak()), (13, 11));
        let alone = MemoryPlan { parts: vec![part(8, Stay::EarlyAlone)], ..plan };
        assert_eq!((alone.early_peak(), alone.late_peak()), (8, 0));
    }
}
