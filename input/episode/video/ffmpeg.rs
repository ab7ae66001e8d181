//! Videos in codecs that are not decoded here, through the user's own `ffmpeg` program.
//!
//! It is asked for one PPM picture after the other, which each say their size, so that nothing need be known of the
//! file before. The form of the file is given by its name: a playlist that calls itself `.mp4` is not followed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::Frame;
use crate::episode::{EpisodeError, MAX_SIDE};

/// How `ffmpeg` is told to give every picture once, since 5.1 and before.
const EVERY_PICTURE: [&str; 2] = ["-fps_mode", "-vsync"];

/// Pictures of a video as a running `ffmpeg` decodes them.
pub(super) struct FfmpegFrames {
    path: PathBuf,
    child: Child,
    pictures: BufReader<ChildStdout>,
    done: bool,
}

impl FfmpegFrames {
    /// Starts `program` on the video at `path`, in a codec of this name, from `seconds` on.
    pub(super) fn open(
        program: &str,
        path: &Path,
        codec: [u8; 4],
        seconds: f64,
    ) -> Result<Self, EpisodeError> {
        let [now, before] = EVERY_PICTURE;
        let mut frames = Self::start(program, path, codec, seconds, now)?;
        let begun = frames.pictures.fill_buf().map(|begun| !begun.is_empty());
        let failed = !begun.map_err(|error| frames.io(error))?
            && !frames.child.wait().map_err(|error| frames.io(error))?.success();
        // An older one knows no such option, and says nothing that could be told from a damaged video.
        if failed { Self::start(program, path, codec, seconds, before) } else { Ok(frames) }
    }

    fn start(
        program: &str,
        path: &Path,
        codec: [u8; 4],
        seconds: f64,
        every_picture: &str,
    ) -> Result<Self, EpisodeError> {
        let form = if path.extension().is_some_and(|extension| extension == "avi") {
            "avi"
        } else {
            "mov"
        };
        let mut file = std::ffi::OsString::from("file:");
        file.push(path);
        let mut command = Command::new(program);
        command.args([
            "-nostdin",
            "-v",
            "quiet",
            "-ss",
            &format!("{seconds:.6}"),
            "-f",
            form,
            "-i",
        ]);
        command.arg(file);
        command.args([
            "-map",
            "0:v:0",
            every_picture,
            "passthrough",
            "-c:v",
            "ppm",
            "-pix_fmt",
            "rgb24",
        ]);
        command.args(["-f", "image2pipe", "-"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let no_program = |got: String| {
            let codec = codec.escape_ascii();
            let expected = format!(
                "H.264, or the program `ffmpeg` to decode `{codec}`; install it, or convert the video: \
                 ffmpeg -i IN -c:v libx264 -crf 12 OUT.mp4"
            );
            EpisodeError::invalid(&expected, got, path.display())
        };
        let mut child =
            command.spawn().map_err(|error| no_program(format!("{program}: {error}")))?;
        let Some(output) = child.stdout.take() else {
            return Err(no_program("no output from it".to_owned()));
        };
        Ok(Self { path: path.to_owned(), child, pictures: BufReader::new(output), done: false })
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, EpisodeError> {
        let begun = self.pictures.fill_buf();
        if begun.map_err(|e| EpisodeError::io("decode", &self.path, e))?.is_empty() {
            let status = self.child.wait().map_err(|e| self.io(e))?;
            return if status.success() { Ok(None) } else { Err(self.fault(status)) };
        }
        let mut line = || -> Result<String, EpisodeError> {
            let mut text = Vec::new();
            let read = (&mut self.pictures).take(32).read_until(b'\n', &mut text);
            read.map_err(|e| EpisodeError::io("read", &self.path, e))?;
            Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
        };
        let (magic, size, depth) = (line()?, line()?, line()?);
        let sides =
            size.split_once(' ').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let in_bounds = |(width, height): &(u32, u32)| {
            (1..=MAX_SIDE).contains(width) && (1..=MAX_SIDE).contains(height)
        };
        let Some((width, height)) = sides.filter(in_bounds) else { return Err(self.fault(size)) };
        if (magic.as_str(), depth.as_str()) != ("P6", "255") {
            return Err(self.fault(magic));
        }
        let mut pixels = vec![0; Frame::byte_count(width, height)];
        self.pictures.read_exact(&mut pixels).map_err(|e| self.io(e))?;
        Ok(Some(Frame { width, height, pixels }))
    }

    fn io(&self, error: std::io::Error) -> EpisodeError {
        EpisodeError::io("decode", &self.path, error)
    }

    fn fault(&self, got: impl std::fmt::Display) -> EpisodeError {
        let expected = "a video that ffmpeg decodes (ffmpeg -v error -i IN -f null - says more)";
        EpisodeError::invalid(expected, got, self.path.display())
    }
}

impl Iterator for FfmpegFrames {
    type Item = Result<Frame, EpisodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.next_frame().transpose();
        self.done = !matches!(frame, Some(Ok(_)));
        frame
    }
}

impl Drop for FfmpegFrames {
    /// Ends the program where not all pictures were wanted.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
