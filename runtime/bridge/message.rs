//! The messages of the world bridge: one JSON object a line, hostile until read.

use std::io::{BufRead, Read as _, Write};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use input::{Action, ActionLayout, Frame, Key, KeyBindings};
use serde::{Deserialize, Serialize};

/// Name and version of what is spoken.
pub(super) const PROTOCOL: &str = "liveframe.world.bridge.v1";
/// Longest line that is read, in bytes: a picture of 2048 x 2048 in base64 and room for the rest.
const LINE_BYTES_MAX: usize = 18 << 20;
/// Most pixels on a side of a picture.
const SIDE_MAX: u32 = 8192;
/// What can be asked for: tokens and the keys that they hold down. `0` holds none.
const TOKENS: &[(&str, Option<Key>)] = &[
    ("W", Some(Key::W)),
    ("S", Some(Key::S)),
    ("A", Some(Key::A)),
    ("D", Some(Key::D)),
    ("L", Some(Key::Left)),
    ("R", Some(Key::Right)),
    ("0", None),
];

/// What the host asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Request {
    /// Who are you?
    Hello {
        /// What the host speaks.
        proto: String,
    },
    /// Read the weights.
    Load,
    /// Begin a walk from a picture.
    Reset(Reset),
    /// Make one section.
    Step {
        /// What is held down for it.
        actions: Vec<String>,
    },
    /// Make many sections as written; only batch worlds do.
    RunScript,
    /// A slot of the ring was read.
    Ack {
        /// Which.
        slot: usize,
    },
    /// The end.
    Close,
}

/// What a walk begins with.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Reset {
    /// Name of the shared memory that frames go into.
    pub(super) ring_name: String,
    /// Its slots.
    pub(super) ring_slots: usize,
    /// Bytes of each.
    pub(super) slot_bytes: u64,
    /// Height, width and 3.
    image_shape: [u32; 3],
    /// RGB bytes, row by row, in base64.
    image_b64: String,
    /// Seed of the noise.
    pub(super) seed: u64,
}

/// What the host is told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Reply<'a> {
    /// Who speaks, and what can be asked of it.
    HelloAck { proto: &'a str, python: &'a str, capabilities: &'a Capabilities },
    /// The weights are read.
    Loaded,
    /// The walk has begun.
    ResetDone,
    /// A section lies in the ring.
    Frames {
        slot: usize,
        chunk_index: u64,
        count: usize,
        shape: [usize; 4],
        nbytes: usize,
        worker_ts: f64,
    },
    /// The section was all there is to this step.
    ChunkDone { next_index: u64 },
    /// The end.
    Closed,
    /// Nothing more will come.
    Error { message: String, traceback: &'a str },
}

/// What a world can do, in the words of the bridge.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capabilities {
    /// The world's name.
    pub name: String,
    /// Always `interactive`: every section obeys an action of its own.
    pub interaction_mode: &'static str,
    /// Frames a second in the world itself.
    pub native_fps: f32,
    /// Frames made at a time.
    pub chunk_frames: u32,
    /// Height and width in pixels.
    pub resolution: [u32; 2],
    /// Tokens that can be asked for.
    pub actions: Vec<&'static str>,
    /// The same seed and actions give the same frames.
    pub supports_seed: bool,
}

impl Capabilities {
    /// Of a world of this name and rate, in frames a second; `size` is height and width.
    pub fn new(name: String, native_fps: f32, chunk_frames: u32, size: [u32; 2]) -> Self {
        Self {
            name,
            interaction_mode: "interactive",
            native_fps,
            chunk_frames,
            resolution: size,
            actions: TOKENS.iter().map(|(token, _)| *token).collect(),
            supports_seed: true,
        }
    }
}

impl Reset {
    /// The picture that the walk begins from.
    pub(super) fn picture(&self) -> Result<Frame> {
        let [height, width, channels] = self.image_shape;
        let is_picture = |side| (1..=SIDE_MAX).contains(&side);
        ensure!(
            is_picture(height) && is_picture(width) && channels == 3,
            "expected an image_shape of height, width and 3, got {:?}",
            self.image_shape
        );
        let pixels = STANDARD.decode(&self.image_b64).context("image_b64 is not base64")?;
        let wanted = Frame::byte_count(width, height);
        ensure!(pixels.len() == wanted, "expected {wanted} bytes of image, got {}", pixels.len());
        Ok(Frame { width, height, pixels })
    }
}

/// The action of tokens held down together: what the same keys do in a window.
pub(super) fn action(tokens: &[String], layout: &ActionLayout) -> Result<Action> {
    let mut held = Vec::new();
    for token in tokens {
        let known = TOKENS.iter().find(|(known, _)| known == token);
        let (_, key) = known.with_context(|| {
            let names: Vec<_> = TOKENS.iter().map(|(known, _)| *known).collect();
            format!("expected actions among {}, got {token:?}", names.join(" "))
        })?;
        held.extend(*key);
    }
    Ok(KeyBindings::default().action(|key| held.contains(&key), layout))
}

/// Both directions of the bridge.
pub(super) struct Channel<R, W> {
    pub(super) input: R,
    pub(super) output: W,
    line: Vec<u8>,
}

impl<R: BufRead, W: Write> Channel<R, W> {
    pub(super) fn new(input: R, output: W) -> Self {
        Self { input, output, line: Vec::new() }
    }

    /// The next request; `None` when the host is gone.
    pub(super) fn receive(&mut self) -> Result<Option<Request>> {
        self.line.clear();
        let limit = u64::try_from(LINE_BYTES_MAX + 1)?;
        self.input.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        ensure!(
            self.line.len() <= LINE_BYTES_MAX,
            "expected a message of at most {LINE_BYTES_MAX} bytes"
        );
        Ok(Some(serde_json::from_slice(&self.line).context("a message cannot be read")?))
    }

    pub(super) fn send(&mut self, reply: &Reply<'_>) -> Result<()> {
        serde_json::to_writer(&mut self.output, reply)?;
        self.output.write_all(b"\n")?;
        Ok(self.output.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receive(text: &[u8]) -> Result<Option<Request>> {
        Channel::new(text, Vec::new()).receive()
    }

    fn reset(shape: &str, base64: &str) -> Result<Frame> {
        let text = format!(
            r#"{{"type":"reset","ring_name":"psm_1","ring_slots":2,"slot_bytes":99,"prompt":null,
                "image_shape":{shape},"image_b64":"{base64}","seed":18446744073709551615}}"#
        );
        let Some(Request::Reset(reset)) = receive(text.replace('\n', " ").as_bytes())? else {
            panic!("a reset was written");
        };
        assert_eq!((reset.seed, reset.slot_bytes), (u64::MAX, 99));
        reset.picture()
    }

    #[test]
    fn a_picture_is_as_large_as_it_says() {
        let frame = reset("[1,2,3]", "AQIDBAUG").unwrap();
        assert_eq!(frame, Frame { width: 2, height: 1, pixels: vec![1, 2, 3, 4, 5, 6] });
        for (shape, base64, expected) in [
            ("[2,2,3]", "AQIDBAUG", "expected 12 bytes of image, got 6"),
            ("[1,2,4]", "AQIDBAUG", "expected an image_shape of height, width and 3"),
            ("[0,2,3]", "", "expected an image_shape of height, width and 3"),
            ("[4294967295,4294967295,3]", "", "expected an image_shape of height, width and 3"),
            ("[1,2,3]", "?", "image_b64 is not base64"),
            ("[1,2]", "", "a message cannot be read"),
        ] {
            let error = format!("{:#}", reset(shape, base64).unwrap_err());
            assert!(error.contains(expected), "{shape}: {error}");
        }
    }

    #[test]
    fn tokens_are_keys() {
        let layout = ActionLayout { turn_degrees: 15.0, ..ActionLayout::default() };
        let check = |text: &str, expected: [f32; 4]| {
            let tokens: Vec<_> = text.split('+').map(str::to_owned).collect();
            assert_eq!(action(&tokens, &layout).unwrap().axes(), expected, "{text}");
        };
        check("W", [0.0, 1.0, 0.0, 0.0]);
        check("S+D", [0.0, -1.0, 1.0, 0.0]);
        check("A+L", [-0.5, 0.0, -1.0, 0.0]);
        check("R", [0.5, 0.0, 0.0, 0.0]);
        check("0", [0.0; 4]);
        let error = action(&["U".to_owned()], &layout).unwrap_err().to_string();
        assert_eq!(error, "expected actions among W S A D L R 0, got \"U\"");
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let endless = std::io::BufReader::new(std::io::repeat(b'['));
        let mut channel = Channel::new(endless, Vec::new());
        let error = channel.receive().unwrap_err().to_string();
        assert!(error.starts_with("expected a message of at most"), "{error}");
        assert!(channel.line.capacity() <= 4 * LINE_BYTES_MAX, "{}", channel.line.capacity());
    }

    proptest! {
        #[test]
        fn any_line_is_a_request_or_an_error(text in "\\PC*") {
            let _ = receive(text.as_bytes());
        }

        #[test]
        fn a_damaged_message_never_panics(at in 0_usize..150, value: u8) {
            let mut text = br#"{"type":"reset","ring_name":"psm_1","ring_slots":2,"slot_bytes":99,"image_shape":[1,2,3],"image_b64":"AQIDBAUG","prompt":null,"seed":7}"#.to_vec();
            let at = at % text.len();
            text[at] = value;
            if let Ok(Some(Request::Reset(reset))) = receive(&text) {
                let _ = reset.picture();
            }
        }
    }
}
