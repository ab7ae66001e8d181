//! Faults of the program itself: one line for the player, and a file for whoever looks for the fault.

use std::backtrace::Backtrace;
use std::fs;
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::thread;

use crate::{date, paths, tape};

/// From now on a panic is told in one line, which names a file that says more.
pub fn tell_in_one_line() {
    panic::set_hook(Box::new(|fault| {
        let (what, more) = (summary(fault), details(fault));
        let kept = match keep(&paths::faults(), &more) {
            Ok(path) => format!("please report what {} says", path.display()),
            Err(error) => format!("what is to be known of it cannot be written: {error}"),
        };
        // Nothing is left to tell it to when this fails.
        let _ = writeln!(io::stderr(), "oneiro: a fault of the program: {what}; {kept}");
    }));
}

/// What happened, and where.
fn summary(fault: &PanicHookInfo<'_>) -> String {
    let message = fault.payload_as_str().unwrap_or("no reason was given");
    // One line, whatever the message is.
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match fault.location() {
        Some(place) => format!("{message} ({}:{})", place.file(), place.line()),
        None => message,
    }
}

/// All that is known: of the program, the thread, and the way there.
fn details(fault: &PanicHookInfo<'_>) -> String {
    let arguments: Vec<_> = std::env::args_os().collect();
    let thread = thread::current();
    format!(
        "{fault}\n\nversion: {}\nsystem: {} {}\ntyped: {arguments:?}\nthread: {}\n\n{}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        thread.name().unwrap_or("without a name"),
        Backtrace::force_capture(),
    )
}

/// Writes a file of its own into the folder.
fn keep(folder: &Path, text: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(tape::free_name(&date::now(), ".txt", folder));
    fs::write(&path, text)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("faults");
        let (first, second) = (keep(&folder, "one").unwrap(), keep(&folder, "two").unwrap());
        assert_ne!(first, second);
        assert_eq!(fs::read_to_string(first).unwrap(), "one");
        assert_eq!(fs::read_to_string(second).unwrap(), "two");
    }
}
