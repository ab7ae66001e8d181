//! Opening the file, and setting aside what cannot be opened.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, StorageError};

use super::batch::{HEADER, TOTALS, Totals};
use super::error::{ColdError, store};
use super::header::Header;
use super::overlay::Overlay;
use super::{Cold, guarded};

/// Bytes of pages that the store keeps at hand.
const CACHE_BYTES: usize = 8 << 20;

/// The memory of a world, and what became of a file in its place.
#[derive(Debug)]
pub struct Opened {
    /// The memory.
    pub cold: Cold,
    /// The file that lay there and could not be used, to be told to the player.
    pub aside: Option<Aside>,
}

/// A file that was set aside under another name, unchanged.
#[derive(Debug)]
pub struct Aside {
    /// Where it lay, and the new file lies.
    pub from: PathBuf,
    /// Where it lies now.
    pub to: PathBuf,
    /// [`ColdError::Damaged`] or [`ColdError::Newer`].
    pub why: ColdError,
}

impl Cold {
    /// Opens the memory at `path`, or begins one; see [`Header::file_name`] for its usual name.
    ///
    /// A file that is damaged in any place, is of something else or of a newer version is renamed
    /// to `NAME.damaged-1` or `NAME.newer-1`, with the first number that is free, and a new one
    /// begun. All of the file is read and checked: a second for 256 MiB on two busy cores.
    ///
    /// # Errors
    /// [`ColdError::Locked`] where another program has it open, [`ColdError::Io`] where it can be
    /// neither read nor set aside. The game then plays with memory in RAM.
    pub fn open(path: &Path, header: &Header, budget_bytes: u64) -> Result<Opened, ColdError> {
        header.validate()?;
        if is_absent(path).map_err(io_error(path))? {
            create(path, header)?;
        }
        let why = match Self::open_sound(path, header, budget_bytes) {
            Ok(cold) => return Ok(Opened { cold, aside: None }),
            Err(why @ (ColdError::Damaged { .. } | ColdError::Newer { .. })) => why,
            Err(error) => return Err(error),
        };
        let word = if matches!(why, ColdError::Newer { .. }) { "newer" } else { "damaged" };
        let to = set_aside(path, word).map_err(io_error(path))?;
        create(path, header)?;
        let cold = Self::open_sound(path, header, budget_bytes)?;
        Ok(Opened { cold, aside: Some(Aside { from: path.to_owned(), to, why }) })
    }

    /// Opens a file that is found sound; nothing is changed of any other.
    ///
    /// # Errors
    /// [`ColdError::Damaged`] and [`ColdError::Newer`] where it cannot be used; those of [`Self::open`].
    pub fn open_sound(path: &Path, header: &Header, budget_bytes: u64) -> Result<Self, ColdError> {
        header.validate()?;
        let cold = |database| Self {
            database: Some(database),
            path: path.to_owned(),
            shape: header.shape,
            layout: header.layout(),
            budget_bytes,
            session: 0,
        };
        let mut checked = cold(guarded(|| open_store(path, Access::Check))?);
        checked.read(|transaction| {
            let table = transaction.open_table(HEADER).map_err(store)?;
            let bytes = table.get(0).map_err(store)?;
            let bytes = bytes.ok_or_else(|| ColdError::damaged("it has no header"))?;
            header.check(bytes.value())
        })?;
        checked.verify()?;
        drop(checked);

        let mut cold = cold(guarded(|| open_store(path, Access::Write))?);
        let totals = cold.totals()?;
        cold.session = totals.sessions.checked_add(1).ok_or(ColdError::NamesUsedUp)?;
        if totals.bytes > budget_bytes {
            cold.write(|batch| batch.evict(budget_bytes))?;
        }
        Ok(cold)
    }

    /// Memory of the same world under other weights, beside `path`, by name.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn of_other_weights(path: &Path, header: &Header) -> io::Result<Vec<PathBuf>> {
        let (prefix, own) = (header.file_prefix(), header.file_name());
        let is_other = |name: &str| {
            let digits = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".memory"));
            let hash =
                |digits: &str| digits.len() == 16 && digits.bytes().all(|c| c.is_ascii_hexdigit());
            name != own && digits.is_some_and(hash)
        };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder(path))? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_other) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To see whether it is sound, without a change to it.
    Check,
    /// To use it.
    Write,
}

pub(super) fn open_store(path: &Path, access: Access) -> Result<Database, ColdError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io_error(path))?;
    // The store would begin a database in an empty file.
    if file.metadata().map_err(io_error(path))?.len() == 0 {
        return Err(ColdError::damaged("it is empty"));
    }
    let open = || {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        match access {
            Access::Check => builder.create_with_backend(Overlay::new(FileBackend::new(file)?)?),
            Access::Write => builder.create_file(file),
        }
    };
    open().map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => ColdError::Locked { path: path.to_owned() },
        DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
            // What the store makes of a file that is not its own, or ends too soon.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                ColdError::Damaged { reason: source.to_string() }
            }
            _ => ColdError::Io { path: path.to_owned(), source },
        },
        error => store(error),
    })
}

/// Begins a file beside its place and moves it there when it is whole, so that a program that ends
/// half-way leaves nothing that looks damaged.
fn create(path: &Path, header: &Header) -> Result<(), ColdError> {
    let begun = with_suffix(path, ".begun");
    fs::create_dir_all(folder(path)).map_err(io_error(path))?;
    match fs::remove_file(&begun) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(path)(error)),
        _ => {}
    }
    let io = |source| ColdError::Io { path: path.to_owned(), source };
    let database = Builder::new().create(&begun).map_err(|error| match error {
        DatabaseError::Storage(StorageError::Io(source)) => io(source),
        error => store(error),
    })?;
    initialize(&database, header)?;
    drop(database);
    if path.try_exists().map_err(io)? {
        // Empty: a program ended just before the last line here.
        if !is_absent(path).map_err(io)? {
            return Err(io(io::ErrorKind::AlreadyExists.into()));
        }
    } else {
        reserve(path).map_err(io)?;
    }
    fs::rename(&begun, path).map_err(io)
}

/// Writes what a file without runs holds.
pub(crate) fn initialize(database: &Database, header: &Header) -> Result<(), ColdError> {
    let mut transaction = database.begin_write().map_err(store)?;
    transaction.set_quick_repair(true);
    for (definition, bytes) in [(HEADER, header.encode()), (TOTALS, Totals::default().encode())] {
        let mut table = transaction.open_table(definition).map_err(store)?;
        table.insert(0, bytes.as_slice()).map_err(store)?;
    }
    // The other tables come into being by being opened.
    super::Batch::new(&transaction, header.layout(), 0, 0)?;
    transaction.commit().map_err(store)
}

/// Renames a file to the first free `NAME.WHY-n` and gives that.
fn set_aside(path: &Path, why: &str) -> io::Result<PathBuf> {
    for number in 1_u32.. {
        let to = with_suffix(path, &format!(".{why}-{number}"));
        match reserve(&to) {
            Ok(()) => return fs::rename(path, &to).map(|()| to),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Makes an empty file of a name that must be free: renaming onto it then overwrites nothing else.
fn reserve(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path).map(|_| ())
}

/// Whether no file lies there, or one that nothing was ever written to.
fn is_absent(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(file) => Ok(file.is_file() && file.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> ColdError + '_ {
    |source| ColdError::Io { path: path.to_owned(), source }
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, why } = self;
        write!(f, "{why}: {} is kept as {}, and a new one begun", from.display(), to.display())
    }
}
