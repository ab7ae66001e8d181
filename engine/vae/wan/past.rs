//! What a causal network remembers of a video that it sees piece by piece.

use candle_core::{Result, Tensor};

/// The last frames that each layer saw, by the order in which layers ask.
#[derive(Debug, Default)]
pub(super) struct Past {
    layers: Vec<Tensor>,
    next: usize,
    /// Pieces that went through before this one.
    pieces: usize,
}

impl Past {
    /// Runs `network` on each piece of a video, (T, C, H, W), and joins what comes out.
    pub(super) fn run(
        pieces: impl Iterator<Item = Result<Tensor>>,
        network: impl Fn(&Tensor, &mut Self) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut past = Self::default();
        let mut out = Vec::new();
        for piece in pieces {
            past.next = 0;
            out.push(network(&piece?, &mut past)?);
            past.pieces += 1;
        }
        Tensor::cat(&out, 0)
    }

    /// Whether this piece is a video's first, a frame that is coded alone.
    pub(super) fn is_first(&self) -> bool {
        self.pieces == 0
    }

    /// x (T, C, H, W) behind the `reach` frames that this layer saw before; frames before the video are zeros.
    pub(super) fn extend(&mut self, x: &Tensor, reach: usize) -> Result<Tensor> {
        let before = match self.layers.get(self.next) {
            Some(before) => before.clone(),
            None => nothing(x, reach)?,
        };
        let extended = Tensor::cat(&[&before, x], 0)?;
        self.keep(&extended.narrow(0, extended.dim(0)? - reach, reach)?)?;
        Ok(extended)
    }

    /// Shows this layer nothing of x, in the order of layers.
    pub(super) fn skip(&mut self, x: &Tensor, reach: usize) -> Result<()> {
        self.keep(&nothing(x, reach)?)
    }

    /// What this layer will find before the next piece.
    pub(super) fn keep(&mut self, last: &Tensor) -> Result<()> {
        // A copy: a view would keep the whole piece in memory.
        let last = last.copy()?;
        match self.layers.get_mut(self.next) {
            Some(layer) => *layer = last,
            None => self.layers.push(last),
        }
        self.next += 1;
        Ok(())
    }
}

/// `reach` frames of zeros, of the size of those of x.
fn nothing(x: &Tensor, reach: usize) -> Result<Tensor> {
    let (_, channels, height, width) = x.dims4()?;
    Tensor::zeros((reach, channels, height, width), x.dtype(), x.device())
}
