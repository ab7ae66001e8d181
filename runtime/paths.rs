//! Where things lie on the player's machine.

use std::ffi::OsString;
use std::path::PathBuf;

/// Folder of recorded sessions: `oneiro/sessions` in the user's data folder, or here without one.
pub fn sessions() -> PathBuf {
    own("sessions")
}

/// Folder of what worlds remember: `oneiro/memory` beside the sessions.
pub fn memory() -> PathBuf {
    own("memory")
}

fn own(folder: &str) -> PathBuf {
    data_from(std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME")).join(folder)
}

fn data_from(data: Option<OsString>, home: Option<OsString>) -> PathBuf {
    // The base directory specification asks to ignore relative paths.
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    data.and_then(absolute)
        .or_else(|| home.and_then(absolute).map(|home| home.join(".local/share")))
        .unwrap_or_default()
        .join("oneiro")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_is_the_one_the_system_names() {
        let check = |data: Option<&str>, home: Option<&str>, expected: &str| {
            let got = data_from(data.map(Into::into), home.map(Into::into));
            assert_eq!(got, PathBuf::from(expected));
        };
        check(Some("/data"), Some("/home/a"), "/data/oneiro");
        check(None, Some("/home/a"), "/home/a/.local/share/oneiro");
        check(Some("data"), Some("/home/a"), "/home/a/.local/share/oneiro");
        check(None, None, "oneiro");
    }
}
