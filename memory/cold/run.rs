//! Runs: up to four successive frames, as they lie in the file.
//!
//! Little-endian, without padding; each ends in the CRC-32 of what precedes it:
//!
//! ```text
//! frames  run: u32 · count: u8 · count × frame · crc: u32
//! frame   tick: u64 · has pose: u8 · [x, y, yaw: f32] · action: A × f32 · latent: V × u16
//! entry   run: u32 · session: u32 · last use: u64 · uses: u32 · hits: u32 · kept at: u64
//!         · pinned: u8 · count: u8 · bytes: u32 · crc: u32
//! ```
//!
//! `A` and `V` are the header's. The run's name in front ties each to its place.

use std::fmt;
use std::sync::Arc;

use super::batch::PIECE;
use super::bytes::{Reader, or_damaged, sealed, unsealed};
use super::error::ColdError;
use crate::pose::Pose;

/// Name of a run, unique within a file; later runs have larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u32);

/// Most frames of a run: as many as one group of kernel k4 takes.
pub const RUN_FRAMES: usize = 4;

/// One frame of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ColdFrame {
    /// Tick it was made at, on its session's clock.
    pub tick: u64,
    /// Its latent in 16-bit floats, by their bits; all finite.
    pub latent: Arc<[u16]>,
    /// Features of the action that led to it, all finite.
    pub action: Arc<[f32]>,
    /// Where it was seen from, where that is known.
    pub pose: Option<Pose>,
}

/// What is known of a run beside its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: RunId,
    /// The session it was made in, from 1.
    pub session: u32,
    /// When it was last used: uses are counted throughout the file's life.
    pub last_use: u64,
    /// How often it was used, being kept the first time.
    pub uses: u32,
    /// How often a later section was made from it.
    pub hits: u32,
    /// When it was kept, in seconds since 1970.
    pub kept_at: u64,
    /// Whether it is never let go for others.
    pub pinned: bool,
    /// Its frames, 1 to [`RUN_FRAMES`].
    pub frames: u8,
    /// Bytes it counts for.
    pub bytes: u32,
}

/// A run with its frames, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What is known of it.
    pub entry: Entry,
    /// Its frames.
    pub frames: Vec<ColdFrame>,
}

/// Sizes that every frame of a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// `V`, values of a latent.
    pub(crate) values: usize,
    /// `A`, features of an action.
    pub(crate) action: usize,
}

/// Bytes of a run beside its frames, and of a pose.
const FRAMING: usize = 4 + 1 + 4;
const POSE: usize = 3 * 4;

impl Layout {
    fn frame_bytes(self) -> usize {
        8 + 1 + 4 * self.action + 2 * self.values
    }

    /// Most bytes of a run.
    pub(crate) fn bytes_max(self) -> usize {
        FRAMING + RUN_FRAMES * (self.frame_bytes() + POSE)
    }

    /// The run's frames as bytes.
    ///
    /// # Errors
    /// [`ColdError::Run`] where a frame has another size or a value is not finite.
    pub(crate) fn encode(self, id: RunId, frames: &[ColdFrame]) -> Result<Vec<u8>, ColdError> {
        self.check(frames)?;
        let mut bytes = Vec::with_capacity(self.bytes_max());
        bytes.extend(id.0.to_le_bytes());
        bytes.push(u8::try_from(frames.len()).unwrap_or_default());
        for frame in frames {
            bytes.extend(frame.tick.to_le_bytes());
            bytes.push(u8::from(frame.pose.is_some()));
            if let Some(Pose { x, y, yaw }) = frame.pose {
                bytes.extend([x, y, yaw].into_iter().flat_map(f32::to_le_bytes));
            }
            bytes.extend(frame.action.iter().flat_map(|value| value.to_le_bytes()));
            bytes.extend(frame.latent.iter().flat_map(|value| value.to_le_bytes()));
        }
        Ok(sealed(bytes))
    }

    fn check(self, frames: &[ColdFrame]) -> Result<(), ColdError> {
        let refuse = |expected: String, got: String| Err(ColdError::Run { expected, got });
        if !(1..=RUN_FRAMES).contains(&frames.len()) {
            return refuse(format!("a run of 1 to {RUN_FRAMES} frames"), frames.len().to_string());
        }
        for frame in frames {
            let sizes = (frame.latent.len(), frame.action.len());
            if sizes != (self.values, self.action) {
                let expected = format!("{} values and {} features", self.values, self.action);
                return refuse(expected, format!("{} and {}", sizes.0, sizes.1));
            }
            if !frame.is_finite() {
                return refuse("finite values".to_owned(), "one that is not".to_owned());
            }
        }
        Ok(())
    }

    /// A run's frames from their bytes. Sizes are the layout's, whatever the bytes say.
    ///
    /// # Errors
    /// [`ColdError::Damaged`] where they are not what [`Self::encode`] makes of a run of that name.
    pub(crate) fn decode(self, id: RunId, bytes: &[u8]) -> Result<Vec<ColdFrame>, ColdError> {
        or_damaged(self.read(id, bytes), || format!("run {id}"))
    }

    fn read(self, id: RunId, bytes: &[u8]) -> Option<Vec<ColdFrame>> {
        let mut reader = Reader(unsealed(bytes)?);
        if reader.u32()? != id.0 {
            return None;
        }
        let count = usize::from(reader.u8()?);
        if !(1..=RUN_FRAMES).contains(&count) {
            return None;
        }
        let frames =
            (0..count).map(|_| self.read_frame(&mut reader)).collect::<Option<Vec<_>>>()?;
        reader.end().map(|()| frames)
    }

    fn read_frame(self, reader: &mut Reader<'_>) -> Option<ColdFrame> {
        let tick = reader.u64()?;
        let pose = if reader.flag()? {
            Some(Pose { x: reader.finite()?, y: reader.finite()?, yaw: reader.finite()? })
        } else {
            None
        };
        let mut action = Reader(reader.slice(4 * self.action)?);
        let action = (0..self.action).map(|_| action.finite()).collect::<Option<Arc<[f32]>>>()?;
        let (latent, _) = reader.slice(2 * self.values)?.as_chunks();
        let latent: Arc<[u16]> = latent.iter().map(|bits| u16::from_le_bytes(*bits)).collect();
        let frame = ColdFrame { tick, latent, action, pose };
        frame.is_finite().then_some(frame)
    }
}

impl ColdFrame {
    fn is_finite(&self) -> bool {
        // A 16-bit float is infinite or NaN where all bits of its exponent are set.
        let finite = |bits: &u16| bits & 0x7c00 != 0x7c00;
        let pose = |Pose { x, y, yaw }| x.is_finite() && y.is_finite() && yaw.is_finite();
        self.pose.is_none_or(pose)
            && self.action.iter().all(|value| value.is_finite())
            && self.latent.iter().all(finite)
    }
}

impl Entry {
    /// Pieces that its bytes lie in.
    pub(crate) fn pieces(&self) -> u64 {
        u64::from(self.bytes).div_ceil(PIECE as u64)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(46);
        bytes.extend(self.id.0.to_le_bytes());
        bytes.extend(self.session.to_le_bytes());
        bytes.extend(self.last_use.to_le_bytes());
        bytes.extend(self.uses.to_le_bytes());
        bytes.extend(self.hits.to_le_bytes());
        bytes.extend(self.kept_at.to_le_bytes());
        bytes.push(u8::from(self.pinned));
        bytes.push(self.frames);
        bytes.extend(self.bytes.to_le_bytes());
        sealed(bytes)
    }

    /// An entry from its bytes.
    ///
    /// # Errors
    /// [`ColdError::Damaged`] where they are not those of an entry of that name.
    pub(crate) fn decode(id: RunId, bytes: &[u8]) -> Result<Self, ColdError> {
        or_damaged(Self::read(id, bytes), || format!("the entry of run {id}"))
    }

    fn read(id: RunId, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(unsealed(bytes)?);
        let entry = Self {
            id: RunId(reader.u32()?),
            session: reader.u32()?,
            last_use: reader.u64()?,
            uses: reader.u32()?,
            hits: reader.u32()?,
            kept_at: reader.u64()?,
            pinned: reader.flag()?,
            frames: reader.u8()?,
            bytes: reader.u32()?,
        };
        reader.end()?;
        let sound = entry.id == id && (1..=RUN_FRAMES).contains(&usize::from(entry.frames));
        sound.then_some(entry)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUT: Layout = Layout { values: 6, action: 3 };

    fn frame() -> impl Strategy<Value = ColdFrame> {
        let finite = -1e30_f32..1e30;
        let pose = prop::option::of((finite.clone(), finite.clone(), finite.clone()));
        let latent = prop::collection::vec(0_u16..0x7c00, 6);
        (any::<u64>(), latent, prop::collection::vec(finite, 3), pose).prop_map(
            |(tick, latent, action, pose)| ColdFrame {
                tick,
                latent: latent.into(),
                action: action.into(),
                pose: pose.map(|(x, y, yaw)| Pose { x, y, yaw }),
            },
        )
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let names = (any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>());
        (names, (any::<u32>(), any::<u32>(), any::<bool>(), 1_u8..=4, any::<u32>())).prop_map(
            |((id, session, last_use, kept_at), (uses, hits, pinned, frames, bytes))| Entry {
                id: RunId(id),
                session,
                last_use,
                uses,
                hits,
                kept_at,
                pinned,
                frames,
                bytes,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(
            frames in prop::collection::vec(frame(), 1..=4), id in any::<u32>(), entry in entry(),
        ) {
            let bytes = LAYOUT.encode(RunId(id), &frames).unwrap();
            prop_assert!(bytes.len() <= LAYOUT.bytes_max());
            prop_assert_eq!(LAYOUT.decode(RunId(id), &bytes).unwrap(), frames);
            prop_assert!(LAYOUT.decode(RunId(!id), &bytes).is_err());
            prop_assert_eq!(Entry::decode(entry.id, &entry.encode()).unwrap(), entry);
        }

        #[test]
        fn any_change_is_noticed(
            frames in prop::collection::vec(frame(), 1..=4),
            entry in entry(),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
            cut in any::<prop::sample::Index>(),
        ) {
            let id = entry.id;
            for bytes in [LAYOUT.encode(id, &frames).unwrap(), entry.encode()] {
                let mut flipped = bytes.clone();
                flipped[at.index(bytes.len())] ^= 1_u8 << bit;
                let cut = &bytes[..cut.index(bytes.len())];
                let longer = [&bytes[..], &[0]].concat();
                for wrong in [&flipped[..], cut, &longer] {
                    prop_assert!(LAYOUT.decode(id, wrong).is_err());
                    prop_assert!(Entry::decode(id, wrong).is_err());
                }
            }
        }

        #[test]
        fn anything_under_a_checksum_is_refused_or_read(
            bytes in prop::collection::vec(any::<u8>(), 0..200), name in any::<bool>(),
        ) {
            // The name in front lets more of it through.
            let bytes = if name { [&7_u32.to_le_bytes()[..], &bytes].concat() } else { bytes };
            let bytes = sealed(bytes);
            if let Ok(frames) = LAYOUT.decode(RunId(7), &bytes) {
                prop_assert_eq!(LAYOUT.encode(RunId(7), &frames).unwrap(), bytes);
            } else if let Ok(entry) = Entry::decode(RunId(7), &bytes) {
                prop_assert_eq!(entry.encode(), bytes);
            }
        }
    }

    #[test]
    fn runs_of_other_sizes_are_refused() {
        let frame = ColdFrame {
            tick: 1,
            latent: [1; 6].into(),
            action: [0.5; 3].into(),
            pose: Some(Pose { x: 1.0, y: 2.0, yaw: 3.0 }),
        };
        let refused =
            |frames: &[ColdFrame]| LAYOUT.encode(RunId(0), frames).unwrap_err().to_string();
        assert_eq!(refused(&[]), "expected a run of 1 to 4 frames, got 0");
        assert_eq!(refused(&vec![frame.clone(); 5]), "expected a run of 1 to 4 frames, got 5");
        let short = ColdFrame { latent: [1; 5].into(), ..frame.clone() };
        assert_eq!(refused(&[short]), "expected 6 values and 3 features, got 5 and 3");
        for odd in [
            ColdFrame { latent: [0x7c00; 6].into(), ..frame.clone() },
            ColdFrame { action: [f32::NAN; 3].into(), ..frame.clone() },
            ColdFrame { pose: Some(Pose { x: f32::INFINITY, y: 0.0, yaw: 0.0 }), ..frame },
        ] {
            assert_eq!(refused(&[odd]), "expected finite values, got one that is not");
        }
    }
}
