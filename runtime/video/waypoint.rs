//! What a video comes by.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::SECONDS_MAX;

/// Something to come by, at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Waypoint {
    /// Seconds from the beginning.
    pub seconds: f64,
    /// What.
    pub aim: Aim,
}

/// What is come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// A picture by its file: whatever ends with `.png`.
    Picture(PathBuf),
    /// What the video shows from then on.
    Text(String),
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Picture(path) => write!(f, "{}", path.display()),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl fmt::Display for Waypoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.seconds, self.aim)
    }
}

impl FromStr for Waypoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || "expected seconds and a picture, such as 4.5=door.png, or a text".to_owned();
        let (seconds, aim) = text.split_once('=').ok_or_else(expected)?;
        let seconds = seconds.parse().ok().filter(|t| (0.0..=SECONDS_MAX).contains(t));
        let aim = match aim {
            "" => None,
            path if path.to_ascii_lowercase().ends_with(".png") => {
                Some(Aim::Picture(PathBuf::from(path)))
            }
            text => Some(Aim::Text(text.to_owned())),
        };
        let (seconds, aim) = seconds.zip(aim).ok_or_else(expected)?;
        Ok(Self { seconds, aim })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waypoints_are_a_time_and_a_picture_or_a_text() {
        let read = |text: &str| text.parse::<Waypoint>();
        let door = Aim::Picture(PathBuf::from("a=b.PNG"));
        assert_eq!(read("4.5=a=b.PNG"), Ok(Waypoint { seconds: 4.5, aim: door }));
        let rain = Aim::Text("it = rains.".to_owned());
        assert_eq!(read("0=it = rains."), Ok(Waypoint { seconds: 0.0, aim: rain }));
        for wrong in ["", "4.5", "=a.png", "4.5=", "-1=a.png", "nan=a.png", "3601=a.png", "x=a.png"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn reading_a_waypoint_never_panics(text in "\\PC*") {
            let _ = text.parse::<Waypoint>();
        }
    }
}
