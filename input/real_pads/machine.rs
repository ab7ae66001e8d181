//! A virtual machine that runs a test of this program and ends: QEMU without acceleration, a kernel, nothing else.
//!
//! Debian: `qemu-system-x86`, `busybox-static`, and `linux-image-amd64`, installed or unpacked anywhere:
//! `ONEIRO_TEST_KERNEL` names the folder that holds its `boot` and `lib`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names where the kernel lies, where that is not `/`.
const KERNEL: &str = "ONEIRO_TEST_KERNEL";
/// Longest that the machine may run, for `timeout`; usually it is half a minute.
const AT_MOST: &str = "300";

/// Runs tests of `program` in a machine; gives all that was said on its console, or why there is none.
pub(super) fn run(program: &Path, tests: &[&str]) -> Result<String, String> {
    let root = std::env::var_os(KERNEL).map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let kernel = newest(&root.join("boot"), "vmlinuz-")?;
    let version = kernel.file_name().unwrap_or_default().to_string_lossy().replace("vmlinuz-", "");
    let drivers = root.join(format!("lib/modules/{version}/kernel/drivers/input"));
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|it| Path::new(it).exists());
    let busybox = busybox.ok_or("busybox is not installed (Debian: busybox-static)")?;

    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "tmp", "lib", "lib64"] {
        archive.folder(folder);
    }
    archive.file("bin/busybox", &read(Path::new(busybox))?);
    archive.file("evdev.ko", &read(&drivers.join("evdev.ko"))?);
    archive.file("uinput.ko", &read(&drivers.join("misc/uinput.ko"))?);
    archive.file("test", &read(program)?);
    for library in libraries(program)? {
        let name = library.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = if name.starts_with("ld-linux") { "lib64" } else { "lib" };
        archive.file(&format!("{folder}/{name}"), &read(&library)?);
    }
    archive.file("init", init(tests).as_bytes());
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let packed = dir.path().join("initramfs");
    fs::write(&packed, archive.finish()).map_err(|error| error.to_string())?;

    let mut machine = Command::new("timeout");
    machine.args([AT_MOST, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1024"]);
    machine.args(["-nographic", "-no-reboot", "-net", "none"]);
    machine
        .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check", "-kernel"])
        .arg(&kernel);
    machine.arg("-initrd").arg(&packed).stdin(Stdio::null());
    match machine.output() {
        Ok(output) if output.status.code() == Some(127) => {
            Err("QEMU is not installed (Debian: qemu-system-x86)".into())
        }
        Ok(output) => {
            Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
        }
        Err(error) => Err(format!("timeout: {error}")),
    }
}

/// What the machine does. Without udev's library, gilrs is told to watch the device folder.
fn init(tests: &[&str]) -> String {
    format!(
        "#!/bin/busybox sh\n\
         /bin/busybox --install -s /bin\n\
         mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev\n\
         insmod /evdev.ko; insmod /uinput.ko; mkdir -p /dev/input\n\
         export GILRS_DISABLE_UDEV=1 LD_LIBRARY_PATH=/lib\n\
         /test --exact {} --ignored --nocapture\n\
         poweroff -f\n",
        tests.join(" ")
    )
}

/// The newest file of a folder whose name begins so.
fn newest(folder: &Path, begin: &str) -> Result<PathBuf, String> {
    let place = folder.display();
    let missing = |why: &str| format!("no kernel in {place}{why}; {KERNEL} names another place");
    let files = fs::read_dir(folder).map_err(|error| missing(&format!(" ({error})")))?;
    let files = files.flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin))
    };
    files.filter(is_one).max().ok_or_else(|| missing(""))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("read {}: {error}", path.display()))
}

/// The libraries that a program asks for.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, String> {
    let listed =
        Command::new("ldd").arg(program).output().map_err(|error| format!("ldd: {error}"))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

/// A folder tree as Linux unpacks it at its start: cpio's "new ASCII" layout.
#[derive(Debug, Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: usize,
}

impl Archive {
    fn folder(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, 0o100_755, content);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: usize, content: &[u8]) {
        self.entries += 1;
        // Number, mode, owner, group, links, time, size, four of the device, length of the name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        let written = write!(self.bytes, "070701").and_then(|()| {
            fields.iter().try_for_each(|field| write!(self.bytes, "{field:08x}"))?;
            write!(self.bytes, "{name}\0")
        });
        written.unwrap_or_else(|error: io::Error| unreachable!("writing to memory: {error}"));
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    /// Everything begins at a multiple of four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
