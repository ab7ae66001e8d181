//! Which data set an episode belongs to.

use std::fmt;

/// A way of keeping recorded play that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// This program's own `.npz` clips.
    Clip,
    /// This program's own sessions.
    Session,
    /// DMLab clips of TECO: `.npz`.
    TecoDmlab,
    /// Minecraft clips of TECO: `.mp4` and `.npz`.
    TecoMinecraft,
    /// Memory Maze, offline: `.npz`.
    MemoryMaze,
    /// OpenAI's Video PreTraining recordings of Minecraft: `.mp4` and `.jsonl`.
    Vpt,
    /// Counter-Strike deathmatch of Pearce and Zhu: HDF5.
    CounterStrike,
    /// Minecraft of WorldMem: `.mp4` and `.npz` with poses.
    WorldMem,
    /// LoopNav's walks in Minecraft: `.avi` and `.json`.
    LoopNav,
    /// GF-Minecraft of GameFactory: `.mp4` and `.json`.
    GameFactory,
    /// A LeRobot data set, version 3.
    LeRobot,
    /// A Minari data set with pictures: HDF5.
    Minari,
}

/// How a data set keeps its actions beside its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alignment {
    /// The action that led to a frame stands beside it.
    LedTo,
    /// The action taken upon seeing a frame stands beside it.
    TakenUpon,
    /// There are none but the ways from pose to pose.
    FromPoses,
}

impl Kind {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clip => "Oneiro clip (npz)",
            Self::Session => "Oneiro session",
            Self::TecoDmlab => "TECO DMLab (npz)",
            Self::TecoMinecraft => "TECO Minecraft (npz, mp4)",
            Self::MemoryMaze => "Memory Maze (npz)",
            Self::Vpt => "VPT Minecraft (mp4, jsonl)",
            Self::CounterStrike => "Counter-Strike deathmatch (HDF5)",
            Self::WorldMem => "WorldMem Minecraft (mp4, npz)",
            Self::LoopNav => "LoopNav Minecraft (avi, json)",
            Self::GameFactory => "GF-Minecraft (mp4, json)",
            Self::LeRobot => "LeRobot v3 (parquet, mp4)",
            Self::Minari => "Minari (HDF5)",
        }
    }

    /// Which action is stored beside a frame, and what reading makes of it.
    pub fn alignment(self) -> &'static str {
        match self.stored() {
            Alignment::LedTo => "stored beside the frame that it led to, as here",
            Alignment::TakenUpon => {
                "stored beside the frame that it was taken upon; moved to the next frame, which it led to"
            }
            Alignment::FromPoses => "made from the pose of each frame and of the one before",
        }
    }

    fn stored(self) -> Alignment {
        match self {
            Self::Clip
            | Self::Session
            | Self::TecoDmlab
            | Self::TecoMinecraft
            | Self::MemoryMaze
            | Self::WorldMem
            | Self::GameFactory => Alignment::LedTo,
            Self::Vpt | Self::CounterStrike | Self::LeRobot | Self::Minari => Alignment::TakenUpon,
            Self::LoopNav => Alignment::FromPoses,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
