//! `oneiro bridge`: a world measured from outside.
//!
//! Speaks the world bridge (v1) of liveframe, a public measuring client: one JSON object a line on standard input
//! and output, pictures through shared memory. The host asks for one section at a time, so that nothing is
//! generated ahead of the action it obeys. The picture that it begins a walk from is encoded as a start; it is not
//! of the world, and so lies outside of what the network was trained on.

mod message;
mod ring;

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use engine::pack::Schedule;
use input::Frame;

pub use message::Capabilities;

use self::message::{Channel, PROTOCOL, Reply, Request, Reset};
use self::ring::{Ring, SHARED_MEMORY};
use crate::clock::Clock;
use crate::dream::Dream;
use crate::gate::Gate;
use crate::recall::Place;
use crate::world::{self, Beginning};
use crate::worlds;

/// Fastest that frames are handed on, in multiples of the world's own rate: a suite of five minutes then takes a
/// minute at least, the shortest from which its real-time verdict is drawn.
const FASTEST: f64 = 5.0;

/// Options of `bridge`.
#[derive(Args, Clone, Debug)]
pub struct BridgeArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
}

/// Begins a walk from a seed and a picture.
pub type Begin = Box<dyn FnMut(u64, Frame) -> Result<Box<dyn Dream>>>;
/// Reads the weights.
pub type Load = Box<dyn FnOnce() -> Result<Begin>>;

/// Speaks on standard input and output until the host has enough.
///
/// # Errors
/// When the world cannot be read, or the host says what makes no sense; it is told too.
pub fn run(args: &BridgeArgs) -> Result<()> {
    let dir = worlds::find(&args.world)?;
    let config = world::config(&dir)?;
    let schedule: Schedule = config.schedule.parse()?;
    let size = [u32::try_from(config.height)?, u32::try_from(config.width)?];
    let frames = u32::try_from(schedule.generate())?;
    let capabilities = Capabilities::new(config.title, config.fps, frames, size);
    let load: Load = Box::new(move || {
        let found = world::read(&dir, &mut |stage| tracing::info!("{stage}"))?;
        Ok(Box::new(move |seed, picture| {
            let start = Some(picture);
            let beginning = Beginning { seed, evaluations: None, start, memory: Place::Nowhere };
            world::begin(&found, &beginning, &mut |stage| tracing::debug!("{stage}"))
        }))
    });
    let bridge = Bridge::new(capabilities, load, Clock::real(), Path::new(SHARED_MEMORY));
    bridge.serve(io::stdin().lock(), io::stdout().lock())
}

/// Our end of the bridge.
#[expect(missing_debug_implementations, reason = "made of closures")]
pub struct Bridge {
    capabilities: Capabilities,
    load: Option<Load>,
    begin: Option<Begin>,
    walk: Option<(Box<dyn Dream>, Ring)>,
    /// Sections made since the walk began.
    sections: u64,
    /// Before this no section is handed on.
    free_at: Duration,
    clock: Clock,
    shared_memory: PathBuf,
}

impl Bridge {
    /// A bridge to a world that is not yet read; the host's shared memory lies in folder `shared_memory`.
    pub fn new(capabilities: Capabilities, load: Load, clock: Clock, shared_memory: &Path) -> Self {
        Self {
            capabilities,
            load: Some(load),
            begin: None,
            walk: None,
            sections: 0,
            free_at: Duration::ZERO,
            clock,
            shared_memory: shared_memory.to_owned(),
        }
    }

    /// Answers until the host closes or is gone.
    ///
    /// # Errors
    /// Whatever went wrong; the host was told.
    pub fn serve(mut self, input: impl BufRead, output: impl Write) -> Result<()> {
        let mut channel = Channel::new(input, output);
        let ended = self.converse(&mut channel);
        if let Err(error) = &ended {
            let message = format!("{error:#}");
            // A host that is gone needs no telling.
            let _ = channel.send(&Reply::Error { message, traceback: "" });
        }
        ended
    }

    fn converse<R: BufRead, W: Write>(&mut self, channel: &mut Channel<R, W>) -> Result<()> {
        while let Some(request) = channel.receive()? {
            match request {
                Request::Hello { proto } => {
                    ensure!(proto == PROTOCOL, "expected a host of {PROTOCOL}, got {proto:?}");
                    let python = concat!("oneiro ", env!("CARGO_PKG_VERSION"));
                    let capabilities = &self.capabilities;
                    channel.send(&Reply::HelloAck { proto: PROTOCOL, python, capabilities })?;
                }
                Request::Load => {
                    if let Some(load) = self.load.take() {
                        self.begin = Some(load()?);
                    }
                    channel.send(&Reply::Loaded)?;
                }
                Request::Reset(reset) => {
                    self.reset(&reset)?;
                    channel.send(&Reply::ResetDone)?;
                }
                Request::Step { actions } => self.step(&actions, channel)?,
                Request::RunScript => bail!("this world is interactive: it runs no scripts"),
                Request::Ack { slot } => {
                    let (_, ring) = self.walk.as_mut().context("expected reset before ack")?;
                    ring.release(slot)?;
                }
                Request::Close => return channel.send(&Reply::Closed),
            }
        }
        Ok(())
    }

    fn reset(&mut self, reset: &Reset) -> Result<()> {
        let begin = self.begin.as_mut().context("expected load before reset")?;
        // The host names the same memory for every walk.
        let kept = self.walk.take().map(|(_, ring)| ring);
        let open = || {
            let Reset { ring_name, ring_slots, slot_bytes, .. } = reset;
            Ring::open(&self.shared_memory, ring_name, *ring_slots, *slot_bytes)
        };
        let mut ring = kept.map_or_else(open, Ok)?;
        ring.clear();
        let dream = begin(reset.seed, reset.picture()?)?;
        self.walk = Some((dream, ring));
        self.sections = 0;
        Ok(())
    }

    fn step<R: BufRead, W: Write>(
        &mut self,
        tokens: &[String],
        channel: &mut Channel<R, W>,
    ) -> Result<()> {
        let (dream, ring) = self.walk.as_mut().context("expected reset before step")?;
        let facts = dream.facts();
        let (height, width) = (usize::try_from(facts.height)?, usize::try_from(facts.width)?);
        let action = message::action(tokens, &facts.layout)?;
        let frames = dream.section(&vec![action; usize::try_from(facts.section_frames)?])?;
        while ring.is_full() {
            match channel.receive()? {
                Some(Request::Ack { slot }) => ring.release(slot)?,
                Some(other) => bail!("expected an ack while the ring is full, got {other:?}"),
                None => return Ok(()),
            }
        }
        let pictures: Vec<&[u8]> = frames.iter().map(|frame| frame.pixels.as_slice()).collect();
        let slot = ring.fill(&pictures)?;
        Gate::default().pass(&self.clock, self.free_at);
        let now = self.clock.now();
        let rate = FASTEST * f64::from(self.capabilities.native_fps);
        self.free_at =
            now + Duration::from_secs_f64(f64::from(self.capabilities.chunk_frames) / rate);
        channel.send(&Reply::Frames {
            slot,
            chunk_index: self.sections,
            count: frames.len(),
            shape: [frames.len(), height, width, 3],
            nbytes: pictures.iter().map(|picture| picture.len()).sum(),
            worker_ts: now.as_secs_f64(),
        })?;
        self.sections += 1;
        channel.send(&Reply::ChunkDone { next_index: self.sections })
    }
}
