//! Where things lie on the player's machine.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// Folder of recorded sessions: `oneiro/sessions` in the user's data folder, or here without one.
pub fn sessions() -> PathBuf {
    own("sessions")
}

/// Folder of what worlds remember: `oneiro/memory` beside the sessions.
pub fn memory() -> PathBuf {
    own("memory")
}

/// Folder of pictures of the screen: `oneiro/screenshots` beside the sessions.
pub fn screenshots() -> PathBuf {
    own("screenshots")
}

/// Folder of what is to be known of faults of the program: `oneiro/faults` beside the sessions.
pub fn faults() -> PathBuf {
    own("faults")
}

/// The file of settings: `oneiro/settings.toml` in the user's configuration folder, or here without one.
pub fn settings() -> PathBuf {
    let (config, home) = (std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"));
    folder_from(config, home, ".config").join("settings.toml")
}

/// Bytes of a file, or of the files in a folder, those of folders inside it left out; none where nothing can be read.
pub fn bytes(path: &Path) -> u64 {
    let length = |file: Metadata| if file.is_file() { file.len() } else { 0 };
    let Ok(entries) = fs::read_dir(path) else { return fs::metadata(path).map_or(0, length) };
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(length).sum()
}

fn own(folder: &str) -> PathBuf {
    let (data, home) = (std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"));
    folder_from(data, home, ".local/share").join(folder)
}

/// Our folder in the one that the system names, else in the usual one of the user's home.
fn folder_from(named: Option<OsString>, home: Option<OsString>, usual: &str) -> PathBuf {
    // The base directory specification asks to ignore relative paths.
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    named
        .and_then(absolute)
        .or_else(|| home.and_then(absolute).map(|home| home.join(usual)))
        .unwrap_or_default()
        .join("oneiro")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_is_the_one_the_system_names() {
        let check = |data: Option<&str>, home: Option<&str>, expected: &str| {
            let got = folder_from(data.map(Into::into), home.map(Into::into), ".local/share");
            assert_eq!(got, PathBuf::from(expected));
        };
        check(Some("/data"), Some("/home/a"), "/data/oneiro");
        check(None, Some("/home/a"), "/home/a/.local/share/oneiro");
        check(Some("data"), Some("/home/a"), "/home/a/.local/share/oneiro");
        check(None, None, "oneiro");
    }
}
