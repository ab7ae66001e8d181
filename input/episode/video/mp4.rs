//! Where the pictures of an MP4 file lie: the sample tables of its video track (ISO/IEC 14496-12 §8).
//!
//! Files of all kinds come here, so that only what the tables of a plain, whole file say is taken, and every count is
//! held against the bytes that state it. What codec the pictures are in is told, not judged.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::episode::{EpisodeError, MAX_SIDE};

/// Largest head (`moov` box) accepted; an hour of 20 pictures a second has about 2 MiB.
const MAX_HEAD: u64 = 64 << 20;

/// Most pictures accepted: two days and more at 20 a second.
const MAX_SAMPLES: usize = 1 << 22;

/// One coded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// First byte in the file.
    pub(super) offset: u64,
    /// Length in bytes.
    pub(super) bytes: u32,
    /// Whether decoding can begin here.
    pub(super) sync: bool,
    /// Place among all pictures in the order in which they are shown.
    pub(super) rank: usize,
}

/// The first video track of a file.
#[derive(Clone, Debug)]
pub(super) struct Track {
    /// Four letters that name the codec, for instance `avc1` for H.264.
    pub(super) codec: [u8; 4],
    /// Picture width in pixels.
    pub(super) width: u32,
    /// Picture height in pixels.
    pub(super) height: u32,
    /// Pictures per second, where the tables say.
    pub(super) fps: Option<f32>,
    /// Units of time in a second, where the file says.
    pub(super) timescale: Option<f32>,
    /// The decoder's parameters (`avcC`) of H.264.
    pub(super) parameters: Option<Vec<u8>>,
    /// Coded pictures in decoding order; none in a fragmented file, which lists them elsewhere.
    pub(super) samples: Vec<Sample>,
}

/// Reads the tables of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Track, EpisodeError> {
    let io = |error| EpisodeError::io("read", path, error);
    let mut file = File::open(path).map_err(|e| EpisodeError::io("open", path, e))?;
    let file_bytes = file.metadata().map_err(io)?.len();
    let mut at = 0;
    loop {
        let fault = |expected: &str, got: String| {
            EpisodeError::invalid(expected, got, format!("{}, byte {at}", path.display()))
        };
        if at >= file_bytes {
            return Err(fault("an MP4 file with a `moov` box", "the end of the file".to_owned()));
        }
        file.seek(SeekFrom::Start(at)).map_err(io)?;
        let mut head = Vec::new();
        (&mut file).take(16).read_to_end(&mut head).map_err(io)?;
        let Some((kind, head_bytes, length)) = box_head(&head, file_bytes - at) else {
            return Err(fault("an MP4 box", "other bytes".to_owned()));
        };
        let end = at.checked_add(length).filter(|end| *end <= file_bytes);
        let Some(end) = end else {
            return Err(fault("a box within the file", format!("{length} bytes")));
        };
        if kind == *b"moov" {
            if length > MAX_HEAD {
                return Err(fault("a `moov` box of at most 64 MiB", format!("{length} bytes")));
            }
            file.seek(SeekFrom::Start(at + head_bytes)).map_err(io)?;
            let mut moov = Vec::new();
            (&mut file).take(length - head_bytes).read_to_end(&mut moov).map_err(io)?;
            return track(&moov, file_bytes)
                .map_err(|expected| fault(expected, "another `moov` box".to_owned()));
        }
        at = end;
    }
}

/// Kind, bytes of the head, and bytes in all of a box that begins so; at most `left` bytes follow.
fn box_head(head: &[u8], left: u64) -> Option<([u8; 4], u64, u64)> {
    let (length, rest) = head.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let (head_bytes, length) = match u32::from_be_bytes(*length) {
        0 => (8, left),
        1 => (16, u64::from_be_bytes(*rest.first_chunk::<8>()?)),
        length => (8, u64::from(length)),
    };
    (length >= head_bytes).then_some((*kind, head_bytes, length))
}

/// The content of every box in `bytes`, until one does not fit.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, head, length) = box_head(bytes, bytes.len() as u64)?;
        let (this, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
        bytes = rest;
        Some((kind, this.get(usize::try_from(head).ok()?..)?))
    })
}

/// The content of the box that one gets to by these kinds, one inside the other.
fn inside<'a>(bytes: &'a [u8], kinds: &[&[u8; 4]]) -> Option<&'a [u8]> {
    kinds.iter().try_fold(bytes, |bytes, wanted| {
        boxes(bytes).find(|(kind, _)| kind == *wanted).map(|(_, content)| content)
    })
}

/// The first video track in the content of a `moov` box, or what was missing.
fn track(moov: &[u8], file_bytes: u64) -> Result<Track, &'static str> {
    let is_video = |track: &&[u8]| {
        // Version, flags and a reserved number come before the kind.
        let handler = inside(track, &[b"mdia", b"hdlr"]);
        handler.and_then(|handler| handler.get(8..12)) == Some(b"vide")
    };
    let tracks = boxes(moov).filter(|(kind, _)| kind == b"trak").map(|(_, content)| content);
    let track = tracks.into_iter().find(is_video).ok_or("a `moov` box with a video track")?;
    let tables = inside(track, &[b"mdia", b"minf", b"stbl"]).ok_or("sample tables (`stbl`)")?;
    let described = inside(tables, &[b"stsd"]).and_then(|entries| entries.get(8..));
    let (codec, entry) =
        described.and_then(|entries| boxes(entries).next()).ok_or("a codec (`stsd`)")?;
    // Sizes stand 24 bytes into a visual sample entry, boxes of the codec 78.
    let side = |at: usize| Some(u32::from(u16::from_be_bytes(*entry.get(at..)?.first_chunk()?)));
    let (width, height) = side(24).zip(side(26)).ok_or("a picture's size (`stsd`)")?;
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err("pictures of 1 to 4096 pixels a side");
    }
    let parameters = entry.get(78..).and_then(|boxes| inside(boxes, &[b"avcC"]));
    let samples = samples(tables, file_bytes)?;
    let timescale = timescale(track);
    let fps = timescale.zip(common_delta(tables)).map(|(scale, delta)| scale / delta);
    let parameters = parameters.map(<[u8]>::to_vec);
    Ok(Track { codec, width, height, fps, timescale, parameters, samples })
}

/// Units of time in a second.
#[expect(clippy::cast_precision_loss, reason = "a timescale is a small round number")]
fn timescale(track: &[u8]) -> Option<f32> {
    let header = inside(track, &[b"mdia", b"mdhd"])?;
    let at = if header.first()? == &1 { 20 } else { 12 };
    let scale = u32::from_be_bytes(*header.get(at..)?.first_chunk()?);
    (scale > 0).then_some(scale as f32)
}

/// What most pictures last, in units of time.
#[expect(clippy::cast_precision_loss, reason = "a picture lasts few units")]
fn common_delta(tables: &[u8]) -> Option<f32> {
    let runs = pairs(inside(tables, &[b"stts"])?).max_by_key(|(count, _)| *count)?;
    (runs.1 > 0).then_some(runs.1 as f32)
}

/// The numbers of a table: version and flags, a count, then so many.
fn numbers(table: &[u8]) -> impl ExactSizeIterator<Item = u32> {
    let (count, rest) =
        table.get(4..).and_then(<[u8]>::split_first_chunk::<4>).unwrap_or((&[0; 4], &[]));
    let entries = rest.as_chunks::<4>().0;
    let count = usize::try_from(u32::from_be_bytes(*count)).unwrap_or(usize::MAX);
    entries[..count.min(entries.len())].iter().map(|number| u32::from_be_bytes(*number))
}

/// The pairs of numbers of a table: version and flags, a count, then so many.
fn pairs(table: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let (count, rest) =
        table.get(4..).and_then(<[u8]>::split_first_chunk::<4>).unwrap_or((&[0; 4], &[]));
    let entries = rest.as_chunks::<8>().0;
    let count = usize::try_from(u32::from_be_bytes(*count)).unwrap_or(usize::MAX);
    entries[..count.min(entries.len())].iter().map(|[a, b, c, d, e, f, g, h]| {
        (u32::from_be_bytes([*a, *b, *c, *d]), u32::from_be_bytes([*e, *f, *g, *h]))
    })
}

/// All samples in decoding order.
fn samples(tables: &[u8], file_bytes: u64) -> Result<Vec<Sample>, &'static str> {
    let sizes = sizes(inside(tables, &[b"stsz"]).ok_or("sizes of samples (`stsz`)")?, file_bytes)?;
    let chunks = chunk_offsets(tables);
    let mut samples = Vec::with_capacity(sizes.len());
    let mut sizes = sizes.into_iter();
    for (offset, count) in chunks.iter().zip(samples_per_chunk(tables)) {
        let mut offset = *offset;
        for bytes in sizes.by_ref().take(count as usize) {
            samples.push(Sample { offset, bytes, sync: true, rank: samples.len() });
            offset = offset.checked_add(u64::from(bytes)).ok_or("samples within the file")?;
        }
    }
    if sizes.next().is_some() {
        return Err("a place for every sample (`stsc`, `stco`)");
    }
    if let Some(table) = inside(tables, &[b"stss"]) {
        samples.iter_mut().for_each(|sample| sample.sync = false);
        for number in numbers(table) {
            let index = (number as usize).wrapping_sub(1);
            samples.get_mut(index).ok_or("samples that exist (`stss`)")?.sync = true;
        }
    }
    rank(&mut samples, tables);
    Ok(samples)
}

fn sizes(table: &[u8], file_bytes: u64) -> Result<Vec<u32>, &'static str> {
    let number = |at: usize| Some(u32::from_be_bytes(*table.get(at..)?.first_chunk()?));
    let (each, count) = number(4).zip(number(8)).ok_or("sizes of samples (`stsz`)")?;
    let count = count as usize;
    let sizes: Vec<u32> = if each > 0 {
        let fits = u64::from(each).saturating_mul(count as u64) <= file_bytes;
        vec![each; if fits { count.min(MAX_SAMPLES + 1) } else { MAX_SAMPLES + 1 }]
    } else {
        let entries = table.get(12..).unwrap_or_default().as_chunks::<4>().0;
        let entries = entries.get(..count).ok_or("a size for every sample (`stsz`)")?;
        entries.iter().take(MAX_SAMPLES + 1).map(|size| u32::from_be_bytes(*size)).collect()
    };
    if sizes.len() > MAX_SAMPLES {
        Err("at most 4194304 samples within the file")
    } else {
        Ok(sizes)
    }
}

fn chunk_offsets(tables: &[u8]) -> Vec<u64> {
    if let Some(table) = inside(tables, &[b"stco"]) {
        return numbers(table).map(u64::from).collect();
    }
    let wide = inside(tables, &[b"co64"]).map(pairs);
    wide.into_iter().flatten().map(|(high, low)| u64::from(high) << 32 | u64::from(low)).collect()
}

/// How many samples each chunk has, without end.
fn samples_per_chunk(tables: &[u8]) -> impl Iterator<Item = u32> {
    let table = inside(tables, &[b"stsc"]).and_then(|table| table.get(8..)).unwrap_or_default();
    let mut runs = table.as_chunks::<12>().0.iter().map(|run| {
        let [a, b, c, d, e, f, g, h, ..] = *run;
        (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
    });
    let mut count = runs.next().map_or(0, |(_, count)| count);
    let mut next = runs.next();
    (1_u32..).map(move |chunk| {
        if let Some((first, later)) = next
            && chunk >= first
        {
            count = later;
            next = runs.next();
        }
        count
    })
}

/// Sets each sample's place in the order of showing.
fn rank(samples: &mut [Sample], tables: &[u8]) {
    let Some(offsets) = inside(tables, &[b"ctts"]) else { return };
    let runs = |table: Option<&[u8]>| {
        let pairs: Vec<(u32, u32)> = table.map(pairs).into_iter().flatten().collect();
        // What the table leaves out is as its last entry says.
        let last = pairs.last().map_or(0, |(_, value)| *value);
        let stated = pairs.into_iter().flat_map(|(count, value)| (0..count).map(move |_| value));
        stated.chain(std::iter::repeat(last))
    };
    let mut decoded = 0_i64;
    let times = runs(inside(tables, &[b"stts"])).zip(runs(Some(offsets))).map(|(delta, offset)| {
        // Offsets are signed in version 1, and small in version 0.
        let shown = decoded.saturating_add(i64::from(offset.cast_signed()));
        decoded = decoded.saturating_add(i64::from(delta));
        shown
    });
    let mut order: Vec<(i64, usize)> = times.zip(0..samples.len()).collect();
    order.sort_unstable();
    for (rank, (_, index)) in order.into_iter().enumerate() {
        samples[index].rank = rank;
    }
}
