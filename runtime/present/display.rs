//! Whether a window can be opened at all, found out without crashing.

/// Why there is no window; nothing was started, so a walk without one can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoWindow(pub(super) String);

/// Looks for a display and for the libraries whose absence would end the program.
///
/// winit reports most trouble as an error, but a missing keyboard library is a panic there.
///
/// # Errors
/// One line that says what is missing and what to install.
pub fn preflight() -> Result<(), NoWindow> {
    #[cfg(target_os = "linux")]
    linux::preflight(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
        .map_err(NoWindow)?;
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CStr;

    /// The check itself; `set` says whether an environment variable is set and not empty.
    pub(super) fn preflight(set: impl Fn(&str) -> bool) -> Result<(), String> {
        let wayland = set("WAYLAND_DISPLAY") || set("WAYLAND_SOCKET");
        if !wayland && !set("DISPLAY") {
            return Err("no display: neither WAYLAND_DISPLAY nor DISPLAY is set".into());
        }
        require(c"libxkbcommon.so.0", "libxkbcommon0")?;
        if !wayland {
            require(c"libxkbcommon-x11.so.0", "libxkbcommon-x11-0")?;
        }
        Ok(())
    }

    /// Fails with a line naming the package when a library is not on this machine.
    pub(super) fn require(library: &CStr, package: &str) -> Result<(), String> {
        if can_load(library) {
            return Ok(());
        }
        let library = library.to_string_lossy();
        Err(format!("no window: {library} is missing; install it (Debian: {package})"))
    }

    #[expect(unsafe_code, reason = "dlopen is the way to ask for a library without needing it")]
    fn can_load(library: &CStr) -> bool {
        // SAFETY: the name ends in a zero byte. The library is a plain C one without start-up code
        // that could break invariants here, and it stays loaded because it is about to be used.
        let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY) };
        !handle.is_null()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::linux;

    #[test]
    fn without_a_display_it_says_so() {
        let error = linux::preflight(|_| false).unwrap_err();
        assert_eq!(error, "no display: neither WAYLAND_DISPLAY nor DISPLAY is set");
    }

    #[test]
    fn a_missing_library_is_named_with_its_package() {
        assert_eq!(linux::require(c"libc.so.6", "libc6"), Ok(()));
        let error = linux::require(c"libnowhere-to-be-found.so.7", "libnowhere7").unwrap_err();
        assert!(error.contains("libnowhere-to-be-found.so.7"), "{error}");
        assert!(error.contains("libnowhere7"), "{error}");
    }
}
