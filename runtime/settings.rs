//! What the player has set: read from a TOML file, changed in the window, written at once.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use input::{ActionLayout, Key, KeyBindings, MouseBindings, PadBindings};
use serde::{Deserialize, Serialize};

/// Longest file that is read, in bytes; a usual one has 2 KB.
const MAX_BYTES: u64 = 1 << 20;
/// Most keys, or parts of a pad, that do one thing.
pub const MAX_BOUND: usize = 8;
/// First lines of the file.
const HEAD: &str = "# Settings of Oneiro, written by its settings page (F10). What is left out is as usual;\n\
    # a file that makes no sense is set aside, not overwritten.\n\n";

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Fill the screen.
    pub full_screen: bool,
    /// How the picture is brought to the window's size.
    pub scaling: PictureScaling,
    /// What keys do in the world.
    pub keyboard: KeyBindings,
    /// What the mouse does.
    pub mouse: MouseBindings,
    /// What gamepads do.
    pub pad: PadBindings,
    /// What keys do in the window.
    pub window: WindowKeys,
}

/// How pictures are scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureScaling {
    /// Smooth on a graphics card, sharp where the processor draws
    #[default]
    Auto,
    /// Sharp pixels
    Nearest,
    /// Sharp pixels, all of one size
    Crisp,
    /// Smooth
    Smooth,
}

/// Keys of the window that can be chosen; function keys and Escape are always the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowKeys {
    /// Pause or go on.
    pub pause: Vec<Key>,
    /// Next frame while paused.
    pub next: Vec<Key>,
    /// Begin or end recording.
    pub record: Vec<Key>,
    /// Set a bookmark; with Shift, go back to it.
    pub bookmark: Vec<Key>,
    /// Show or hide memory at work.
    pub memory: Vec<Key>,
}

impl Default for WindowKeys {
    fn default() -> Self {
        Self {
            pause: vec![Key::P],
            next: vec![Key::N],
            record: vec![Key::R],
            bookmark: vec![Key::B],
            memory: vec![Key::M],
        }
    }
}

/// What the window does for a key that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `WindowKeys`")]
pub enum WindowAct {
    Pause,
    Next,
    Record,
    Bookmark,
    Memory,
}

impl WindowAct {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pause, Self::Next, Self::Record, Self::Bookmark, Self::Memory];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Next => "Next frame",
            Self::Record => "Record",
            Self::Bookmark => "Bookmark",
            Self::Memory => "Memory at work",
        }
    }
}

impl WindowKeys {
    /// The keys of `act`.
    pub fn get(&self, act: WindowAct) -> &[Key] {
        match act {
            WindowAct::Pause => &self.pause,
            WindowAct::Next => &self.next,
            WindowAct::Record => &self.record,
            WindowAct::Bookmark => &self.bookmark,
            WindowAct::Memory => &self.memory,
        }
    }

    /// The keys of `act`, to be changed.
    pub fn get_mut(&mut self, act: WindowAct) -> &mut Vec<Key> {
        match act {
            WindowAct::Pause => &mut self.pause,
            WindowAct::Next => &mut self.next,
            WindowAct::Record => &mut self.record,
            WindowAct::Bookmark => &mut self.bookmark,
            WindowAct::Memory => &mut self.memory,
        }
    }
}

impl Settings {
    /// Reads settings from the text of a file.
    ///
    /// # Errors
    /// Names the first thing that is not TOML, not known, or out of its range.
    pub fn parse(text: &str) -> Result<Self> {
        let settings: Self = toml::from_str(text)?;
        settings.check()?;
        Ok(settings)
    }

    /// The text of a file that [`Self::parse`] reads back as the same settings.
    ///
    /// # Errors
    /// Never, for settings that were parsed or made in the window.
    pub fn to_text(&self) -> Result<String> {
        Ok(HEAD.to_owned() + &toml::to_string(self)?)
    }

    fn check(&self) -> Result<()> {
        let within = |what: &str, value: f32, low: f32, high: f32| {
            ensure!(
                (low..=high).contains(&value),
                "expected {what} in {low}..={high}, got {value}"
            );
            Ok(())
        };
        within("keyboard.turn_speed", self.keyboard.turn_speed, 0.0, 1.0)?;
        within("mouse.degrees_per_pixel", self.mouse.degrees_per_pixel, 0.0, 10.0)?;
        within("pad.dead_zone", self.pad.dead_zone, 0.0, 0.9)?;
        within("pad.turn_exponent", self.pad.turn_exponent, 0.25, 8.0)?;
        let window = WindowAct::ALL.map(|act| self.window.get(act).len());
        let keys = self.keyboard.keys.lists().map(Vec::len).chain(window);
        let most = keys.chain(self.pad.inputs.lists().map(Vec::len)).max().unwrap_or(0);
        ensure!(most <= MAX_BOUND, "expected at most {MAX_BOUND} keys for one thing, got {most}");
        let buttons = self.keyboard.keys.buttons.len().max(self.pad.inputs.buttons.len());
        let known = ActionLayout::MAX_BUTTONS;
        ensure!(buttons <= known, "expected at most {known} buttons, got {buttons}");
        Ok(())
    }
}

/// The file that settings are kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFile {
    path: PathBuf,
    /// There is something in its place that could be neither read nor set aside, and is not ours to overwrite.
    untouchable: bool,
}

/// What reading a file of settings gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// The settings; the usual ones where there are none.
    pub settings: Settings,
    /// Where they are kept.
    pub file: SettingsFile,
    /// There is no file yet.
    pub first_run: bool,
    /// What the player should be told.
    pub notice: Option<String>,
}

/// Reads the settings at `path`. A damaged file is set aside under another name, and the usual settings are taken.
pub fn open(path: &Path) -> Opened {
    let file = SettingsFile { path: path.to_owned(), untouchable: false };
    let usual = Opened { settings: Settings::default(), file, first_run: false, notice: None };
    let text = match read(path) {
        Ok(Some(text)) => text,
        Ok(None) => return Opened { first_run: true, ..usual },
        Err(error) => {
            let notice =
                format!("settings: {error:#}; the usual ones are taken, and changes are not kept");
            let file = SettingsFile { untouchable: true, ..usual.file };
            return Opened { file, notice: Some(notice), ..usual };
        }
    };
    let parsed =
        String::from_utf8(text).context("expected UTF-8").and_then(|text| Settings::parse(&text));
    let error = match parsed {
        Ok(settings) => return Opened { settings, ..usual },
        Err(error) => error,
    };
    let damaged = format!("settings: {} makes no sense: {}", path.display(), first_lines(&error));
    match set_aside(path) {
        Ok(aside) => {
            let notice = format!("{damaged}; it is kept as {}", aside.display());
            Opened { notice: Some(notice), ..usual }
        }
        Err(error) => {
            let notice = format!(
                "{damaged}; it cannot be set aside ({error}), so that changes are not kept"
            );
            let file = SettingsFile { untouchable: true, ..usual.file };
            Opened { file, notice: Some(notice), ..usual }
        }
    }
}

impl SettingsFile {
    /// Writes settings in one step: after a crash the file holds these or the ones before.
    ///
    /// # Errors
    /// When the file cannot be written; it is named.
    pub fn save(&self, settings: &Settings) -> Result<()> {
        if self.untouchable {
            bail!("{} is damaged or cannot be read; move it away", self.path.display());
        }
        self.write(settings).with_context(|| format!("keep settings in {}", self.path.display()))
    }

    fn write(&self, settings: &Settings) -> Result<()> {
        // A link stays a link: what it leads to is replaced.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(settings.to_text()?.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    }
}

/// The bytes of a file, if there is one.
///
/// # Errors
/// When it cannot be read or is too long to be settings.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let named = || format!("read {}", path.display());
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(named),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(named)?;
    ensure!(
        bytes.len() as u64 <= MAX_BYTES,
        "expected at most 1 MiB of settings in {}",
        path.display()
    );
    Ok(Some(bytes))
}

/// Renames a file to a name that nothing has.
fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let named = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let numbered = (2_u32..).map(|number| named(&format!(".damaged-{number}")));
    let mut free = std::iter::once(named(".damaged")).chain(numbered).filter(|path| !path.exists());
    let aside = free.next().unwrap_or_else(|| named(".damaged"));
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// An error in one line, without the drawing that TOML's errors come with.
fn first_lines(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let told = text.lines().filter(|line| !line.trim_start().starts_with(['|', '^']));
    let told = told.filter(|line| !line.contains(" | ")).map(str::trim);
    told.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changed() -> Settings {
        let mut settings =
            Settings { full_screen: true, scaling: PictureScaling::Crisp, ..<_>::default() };
        settings.keyboard.keys.forward = vec![Key::Numpad8, Key::MouseBack];
        settings.keyboard.keys.buttons = vec![vec![], vec![Key::Comma]];
        settings.mouse = MouseBindings { degrees_per_pixel: 0.3, inverted: true };
        settings.pad.dead_zone = 0.25;
        settings.window.pause.clear();
        settings
    }

    #[test]
    fn what_is_saved_is_read_back_and_the_rest_is_as_usual() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/folder/settings.toml");
        let first = open(&path);
        assert!(first.first_run && first.notice.is_none() && first.settings == Settings::default());
        first.file.save(&changed()).unwrap();
        let second = open(&path);
        assert_eq!((second.settings, second.first_run, second.notice), (changed(), false, None));
        // Nothing is left beside the file.
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);

        fs::write(&path, "[mouse]\ninverted = true\n").unwrap();
        let mouse = MouseBindings { inverted: true, ..<_>::default() };
        assert_eq!(open(&path).settings, Settings { mouse, ..<_>::default() });
    }

    #[test]
    fn a_damaged_file_is_named_and_kept_beside_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.toml");
        let cases = [
            ("full_scren = true", "unknown field `full_scren`", "settings.toml.damaged"),
            ("[pad]\ndead_zone = 2.0", "expected pad.dead_zone in 0..=0.9, got 2", ".damaged-2"),
            ("[mouse]\ndegrees_per_pixel = nan", "got NaN", ".damaged-3"),
            ("[window]\npause = [\"escape\"]", "unknown variant `escape`", ".damaged-4"),
        ];
        for (text, expected, name) in cases {
            fs::write(&path, text).unwrap();
            let opened = open(&path);
            let notice = opened.notice.unwrap();
            assert!(notice.contains(expected) && notice.ends_with(name), "{notice}");
            assert!(!notice.contains('\n'), "{notice}");
            assert_eq!(opened.settings, Settings::default());
            assert!(!opened.first_run, "the player has been here before");
            opened.file.save(&changed()).unwrap();
        }
        let kept = fs::read_to_string(dir.path().join("settings.toml.damaged")).unwrap();
        assert_eq!(kept, cases[0].0);
    }

    #[test]
    fn what_cannot_be_read_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.toml");
        fs::create_dir(&path).unwrap();
        let opened = open(&path);
        assert!(opened.notice.unwrap().contains("settings.toml"));
        let error = opened.file.save(&Settings::default()).unwrap_err().to_string();
        assert!(error.contains("move it away") && path.is_dir(), "{error}");

        let long = dir.path().join("long.toml");
        fs::write(&long, vec![b'#'; 1 + (1 << 20)]).unwrap();
        let opened = open(&long);
        assert!(opened.notice.unwrap().contains("at most 1 MiB"));
        assert!(opened.file.save(&Settings::default()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (link, real) = (dir.path().join("settings.toml"), dir.path().join("kept.toml"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        open(&link).file.save(&changed()).unwrap();
        assert!(link.is_symlink());
        assert_eq!(open(&real).settings, changed());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = String::from_utf8_lossy(&bytes);
            let _ = Settings::parse(&text);
        }

        /// Damage to a file that makes sense gets further than noise does.
        #[test]
        fn a_damaged_file_is_refused_or_makes_sense(at in 0_usize..4000, byte in 32_u8..127) {
            let mut text = changed().to_text().unwrap().into_bytes();
            let at = at % text.len();
            text[at] = byte;
            let text = String::from_utf8(text).unwrap();
            if let Ok(settings) = Settings::parse(&text) {
                prop_assert!((0.0..=0.9).contains(&settings.pad.dead_zone));
                prop_assert_eq!(Settings::parse(&settings.to_text().unwrap()).unwrap(), settings);
            }
        }

        #[test]
        fn written_numbers_come_back_to_the_bit(
            turn_speed in 0.0..=1.0_f32, speed in 0.0..=10.0_f32, dead_zone in 0.0..=0.9_f32,
        ) {
            let mut settings = changed();
            settings.keyboard.turn_speed = turn_speed;
            settings.mouse.degrees_per_pixel = speed;
            settings.pad.dead_zone = dead_zone;
            prop_assert_eq!(Settings::parse(&settings.to_text().unwrap()).unwrap(), settings);
        }
    }
}
