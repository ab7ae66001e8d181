//! The reader of schedule names; see [`schedule`](super::schedule) for their syntax.

use super::kernel::Kernel;
use super::schedule::{DiscreteMark, Part, Schedule, ScheduleError, Tail, Tier};

const END: &str = "the end of the name";
const GROUP: &str = "a group such as f16k4";

/// Reads a name.
pub(super) fn schedule(text: &str) -> Result<Schedule, ScheduleError> {
    if text.len() > Schedule::TEXT_MAX {
        return Err(ScheduleError { wanted: "at most 256 bytes", at: Schedule::TEXT_MAX });
    }
    let mut cursor = Cursor { text: text.as_bytes(), at: 0 };
    let head = cursor.tail();
    if head.is_some() && !cursor.eat(b'_') {
        return Err(cursor.wanted("`_` after the tail"));
    }
    let mut parts = Vec::new();
    let foot = loop {
        if cursor.peek() == Some(b't')
            && head.is_none()
            && matches!(parts.last(), Some(Part::Run(_)))
        {
            break Some(cursor.tail().ok_or(cursor.wanted("a tail: td, ta or tc"))?);
        }
        let part = cursor.part(head, &parts)?;
        parts.push(part);
        if !cursor.eat(b'_') {
            break None;
        }
    };
    let discrete = cursor.discrete()?;
    cursor.end(&parts, foot, discrete)?;
    Ok(Schedule { head, parts, foot, discrete })
}

/// A place in the text.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn wanted(&self, wanted: &'static str) -> ScheduleError {
        ScheduleError { wanted, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn tail(&mut self) -> Option<Tail> {
        let tail = match self.text.get(self.at..self.at + 2)? {
            b"td" => Tail::Delete,
            b"ta" => Tail::Append,
            b"tc" => Tail::Compress,
            _ => return None,
        };
        self.at += 2;
        Some(tail)
    }

    /// The next part; which ones may come depends on what came before.
    fn part(&mut self, head: Option<Tail>, before: &[Part]) -> Result<Part, ScheduleError> {
        let sections = before.iter().filter(|part| matches!(part, Part::Generate(_))).count();
        let (run, skip, generate, wanted) = match (before.last(), head) {
            (None, Some(_)) => (true, false, false, GROUP),
            (None, None) => (
                true,
                false,
                true,
                "a tail (td, ta, tc), a group such as f16k4 or a section such as g9",
            ),
            (Some(Part::Run(_)), _) if sections < 2 => {
                (false, true, true, "a section such as g9, a gap `x` or a tail (td, ta, tc)")
            }
            (Some(Part::Run(_)), _) => (false, true, false, "a gap `x` or a tail (td, ta, tc)"),
            (Some(Part::Generate(_)), _) => {
                (true, true, false, "a group such as f16k4 or a gap `x`")
            }
            (Some(Part::Skip), _) if sections < 2 => {
                (true, false, true, "a group such as f16k4 or a section such as g9")
            }
            (Some(Part::Skip), _) => (true, false, false, GROUP),
        };
        match self.peek() {
            Some(b'f') if run => self.run(),
            Some(b'x') if skip => {
                self.at += 1;
                Ok(Part::Skip)
            }
            Some(b'g') if generate => {
                self.at += 1;
                self.number(Schedule::GENERATE_MAX, "a number of frames from 1 to 256")
                    .map(Part::Generate)
            }
            _ => Err(self.wanted(wanted)),
        }
    }

    fn run(&mut self) -> Result<Part, ScheduleError> {
        let mut tiers = Vec::new();
        while self.eat(b'f') {
            tiers.push(self.tier()?);
        }
        Ok(Part::Run(tiers))
    }

    /// A tier after its `f`.
    fn tier(&mut self) -> Result<Tier, ScheduleError> {
        const SIZE: &str = "a power of two from 1 to 128";
        let frames = self.number(Tier::FRAMES_MAX, "a number of frames from 1 to 4096")?;
        self.expect(b'k', "a kernel such as k4")?;
        let k = self.power_of_two(Kernel::FRAMES_MAX, "a power of two from 1 to 64")?;
        let long = self.eat(b'h');
        let kernel = if long {
            let height = self.power_of_two(Kernel::CELLS_MAX, SIZE)?;
            self.expect(b'w', "the kernel's width, such as w4")?;
            let width = self.power_of_two(Kernel::CELLS_MAX, SIZE)?;
            Kernel::new(k, height, width)
        } else {
            Kernel::simplified(k)
        };
        let kernel = kernel.ok_or(self.wanted("a kernel within its bounds"))?;
        Ok(Tier { frames, kernel, long })
    }

    fn expect(&mut self, byte: u8, wanted: &'static str) -> Result<(), ScheduleError> {
        if self.eat(byte) { Ok(()) } else { Err(self.wanted(wanted)) }
    }

    /// A number from 1 to `largest`, without leading zeros so that it prints back as it was.
    fn number(&mut self, largest: u16, wanted: &'static str) -> Result<u16, ScheduleError> {
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&self.text[self.at..self.at + digits])
            .ok()
            .filter(|digits| !digits.starts_with('0'))
            .and_then(|digits| digits.parse().ok())
            .filter(|number| *number <= largest)
            .ok_or(self.wanted(wanted))?;
        self.at += digits;
        Ok(number)
    }

    fn power_of_two(&mut self, largest: u16, wanted: &'static str) -> Result<u16, ScheduleError> {
        let start = self.at;
        let number = self.number(largest, wanted)?;
        if number.is_power_of_two() { Ok(number) } else { Err(ScheduleError { wanted, at: start }) }
    }

    fn discrete(&mut self) -> Result<Option<DiscreteMark>, ScheduleError> {
        if !self.eat(b'+') {
            return Ok(None);
        }
        let mark = match self.peek() {
            Some(b'D') => DiscreteMark::Upper,
            Some(b'd') => DiscreteMark::Lower,
            _ => return Err(self.wanted("`D` or `d` after `+`")),
        };
        self.at += 1;
        Ok(Some(mark))
    }

    /// Checks that the text is over, and that nothing is missing before its end.
    fn end(
        &self,
        parts: &[Part],
        foot: Option<Tail>,
        discrete: Option<DiscreteMark>,
    ) -> Result<(), ScheduleError> {
        if self.at < self.text.len() {
            return Err(self.wanted(match parts.last() {
                _ if discrete.is_some() => END,
                _ if foot.is_some() => "`+D` or the end of the name",
                Some(Part::Run(_)) => "another group, `_`, `+D` or the end of the name",
                Some(Part::Skip) => "`_` after the gap",
                Some(Part::Generate(_)) | None => "`_`, `+D` or the end of the name",
            }));
        }
        let at = self.at - 2 * usize::from(discrete.is_some());
        if matches!(parts.last(), Some(Part::Skip)) {
            return Err(ScheduleError { wanted: "`_` and what follows the gap", at });
        }
        if !parts.iter().any(|part| matches!(part, Part::Run(_))) {
            return Err(ScheduleError { wanted: "`_` and a group such as f16k4", at });
        }
        if !parts.iter().any(|part| matches!(part, Part::Generate(_))) {
            return Err(ScheduleError { wanted: "`_` and a section such as g9", at });
        }
        Ok(())
    }
}
