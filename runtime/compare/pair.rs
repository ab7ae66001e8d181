//! Two videos side by side, again and again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use input::{Frame, Video};

/// Rate of a video that does not say its own.
const FPS: f32 = 17.5;
/// How long the last pictures stay before both begin anew.
const PAUSE: Duration = Duration::from_millis(800);
/// Part of a picture's width that lies between the two.
const GAP: u32 = 24;

/// Two videos that begin at the same time.
#[derive(Debug)]
pub struct Pair {
    sides: [Side; 2],
    /// When they began.
    began: Duration,
    /// When both were at their end.
    over: Option<Duration>,
}

#[derive(Debug)]
struct Side {
    path: PathBuf,
    video: Video,
    /// Length of a picture.
    lasts: Duration,
    /// Number of the picture that is shown, from 0.
    shown: u32,
    picture: Frame,
    over: bool,
}

impl Side {
    fn open(path: &Path) -> Result<Self> {
        let mut video = Video::open(path)?;
        let fps = video.fps.filter(|fps| (0.1..=1000.0).contains(fps)).unwrap_or(FPS);
        let first = video.next().transpose()?;
        let picture = first.with_context(|| format!("no picture in {}", path.display()))?;
        let lasts = Duration::from_secs_f64(1.0 / f64::from(fps));
        Ok(Self { path: path.to_owned(), video, lasts, shown: 0, picture, over: false })
    }

    /// Goes on to the picture of time `at` since the beginning; whether that is another.
    fn go_on(&mut self, at: Duration) -> Result<bool> {
        let before = self.shown;
        while !self.over && self.lasts * (self.shown + 1) <= at {
            match self.video.next().transpose()? {
                Some(picture) => {
                    let (old, new) = (&self.picture, &picture);
                    ensure!(
                        (old.width, old.height) == (new.width, new.height),
                        "pictures of several sizes in {}",
                        self.path.display()
                    );
                    (self.picture, self.shown) = (picture, self.shown + 1);
                }
                None => self.over = true,
            }
        }
        Ok(self.shown != before)
    }
}

impl Pair {
    /// Opens two videos, the left one first, to begin at time `now`.
    ///
    /// # Errors
    /// When one cannot be read or holds no picture.
    pub fn open(videos: &[PathBuf; 2], now: Duration) -> Result<Self> {
        let [left, right] = videos;
        Ok(Self { sides: [Side::open(left)?, Side::open(right)?], began: now, over: None })
    }

    /// The first pictures.
    #[must_use]
    pub fn picture(&self) -> Frame {
        beside([&self.sides[0].picture, &self.sides[1].picture])
    }

    /// The pictures of time `now`, where they are others than those that were shown.
    ///
    /// # Errors
    /// When a picture is damaged.
    pub fn go_on(&mut self, now: Duration) -> Result<Option<Frame>> {
        if self.over.is_some_and(|over| now >= over + PAUSE) {
            let paths = [&self.sides[0], &self.sides[1]].map(|side| side.path.clone());
            *self = Self::open(&paths, now)?;
            return Ok(Some(self.picture()));
        }
        let at = now.saturating_sub(self.began);
        let mut changed = false;
        for side in &mut self.sides {
            changed |= side.go_on(at)?;
        }
        if self.sides.iter().all(|side| side.over) {
            self.over.get_or_insert(now);
        }
        Ok(changed.then(|| self.picture()))
    }

    /// When there is another picture to show, as far as is known.
    #[must_use]
    pub fn next_at(&self) -> Duration {
        if let Some(over) = self.over {
            return over + PAUSE;
        }
        let running = self.sides.iter().filter(|side| !side.over);
        let next = running.map(|side| self.began + side.lasts * (side.shown + 1)).min();
        next.unwrap_or(self.began)
    }
}

/// Two pictures on black, each in the middle of its half.
fn beside(pictures: [&Frame; 2]) -> Frame {
    let [width, height] = [
        pictures.map(|picture| picture.width).into_iter().max().unwrap_or(1),
        pictures.map(|picture| picture.height).into_iter().max().unwrap_or(1),
    ];
    let gap = (width / GAP).max(1);
    let mut whole = Frame::filled(2 * width + gap, height, [0; 3]);
    for (picture, left) in pictures.into_iter().zip([0, width + gap]) {
        let (left, top) = (left + (width - picture.width) / 2, (height - picture.height) / 2);
        let row_bytes = 3 * picture.width as usize;
        for (row, pixels) in (top..).zip(picture.pixels.chunks_exact(row_bytes)) {
            let at = 3 * (row as usize * whole.width as usize + left as usize);
            whole.pixels[at..at + row_bytes].copy_from_slice(pixels);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use input::VideoWriter;

    use super::*;

    fn video(path: &Path, (width, height): (u32, u32), fps: f32, greys: &[u8]) -> PathBuf {
        let mut writer = VideoWriter::create(path, width, height, fps).unwrap();
        for &grey in greys {
            writer.push(&Frame::filled(width, height, [grey; 3]).pixels).unwrap();
        }
        writer.finish().unwrap();
        path.to_owned()
    }

    /// What is shown left and right, in tens.
    fn shown(frame: &Frame) -> [u8; 2] {
        let row = frame.height as usize / 2 * frame.width as usize;
        let at = |column: u32| (frame.pixels[3 * (row + column as usize)] + 5) / 10;
        [at(frame.width / 4), at(frame.width - frame.width / 4)]
    }

    #[test]
    fn both_run_at_their_own_rates_and_begin_anew_together() {
        let dir = tempfile::tempdir().unwrap();
        let left = video(&dir.path().join("l.mp4"), (32, 16), 10.0, &[10, 20, 30]);
        let right = video(&dir.path().join("r.mp4"), (16, 16), 5.0, &[50, 60]);
        let ms = Duration::from_millis;
        let mut pair = Pair::open(&[left, right], ms(1000)).unwrap();
        assert_eq!(shown(&pair.picture()), [1, 5]);
        let mut seen = Vec::new();
        for _ in 0..4 {
            let at = pair.next_at();
            seen.push((at.as_millis(), pair.go_on(at).unwrap().map(|frame| shown(&frame))));
        }
        assert_eq!(
            seen,
            [(1100, Some([2, 5])), (1200, Some([3, 6])), (1300, None), (1400, None)],
            "the ends are seen when the last pictures are over"
        );
        assert_eq!(pair.next_at(), ms(1400) + PAUSE);
        assert!(pair.go_on(ms(2100)).unwrap().is_none());
        assert_eq!(pair.go_on(ms(2200)).unwrap().map(|frame| shown(&frame)), Some([1, 5]));
        assert_eq!(pair.next_at(), ms(2300));
    }

    #[test]
    fn pictures_of_other_sizes_are_in_the_middle_of_their_halves() {
        let (wide, small) = (Frame::filled(4, 2, [9; 3]), Frame::filled(2, 2, [7; 3]));
        let whole = beside([&wide, &small]);
        assert_eq!((whole.width, whole.height), (9, 2));
        let row: Vec<u8> = whole.pixels.iter().step_by(3).take(9).copied().collect();
        assert_eq!(row, [9, 9, 9, 9, 0, 0, 7, 7, 0]);
    }

    #[test]
    fn a_file_without_pictures_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let good = video(&dir.path().join("good.mp4"), (16, 16), 10.0, &[1]);
        let bad = dir.path().join("bad.mp4");
        std::fs::write(&bad, b"no video").unwrap();
        let error = Pair::open(&[good, bad], Duration::ZERO).unwrap_err();
        assert!(format!("{error:#}").contains("bad.mp4"), "{error:#}");
    }
}
