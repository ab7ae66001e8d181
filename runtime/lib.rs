//! Oneiro: walk through worlds dreamed by a neural network.
//!
//! # Bird's eye view
//!
//! A walk is a loop ([`stream`]). Each turn of it makes a *section*, a few frames long:
//!
//! ```text
//!          ┌───────────────────────── dream thread ──────────────────────────┐
//! input ─▶ poll ▶ preview ▶ retrieve ▶ plan ▶ pack ▶ encode ▶ denoise ▶ remember ▶ decode ▶ publish ▶ anticipate
//!            ▲                                                                        │
//!  keyboard, │                    bounded queue of frames with due times ◀────────────┤
//!  mouse     │                                    │                                   │
//!          ┌─┴───────── main thread ──────────────▼──┐            bounded channel ◀───┘
//!          │ window events        present when due   │                 │
//!          └─────────────────────────────────────────┘          session thread ▶ files
//! ```
//!
//! The names of the stages are those of the functions, of the tracing spans and of the benchmark's
//! columns; [`stage`] lists them. What happens inside a stage is the engine's business, behind
//! [`dream::Dream`].
//!
//! A section is begun as late as possible: at its due time less the 95th percentile of recent
//! section times ([`pace`]), so that the controls it obeys are fresh. There is no run-ahead: one
//! section is on the screen, one in the making. What the next one sees of the newest frames, whatever is done in it, is
//! encoded before it is begun.
//!
//! # Entry points
//!
//! `main.rs` reads the command line ([`cli`]) and calls [`commands::run`]. [`play`] opens a window
//! ([`present`]) with a walk in it ([`walk`]), or walks without one ([`headless`]).
//!
//! # Code map
//!
//! | module | what it is |
//! |---|---|
//! | [`stream`], [`stage`], [`pace`], [`gate`], [`effort`] | the loop, its stages, when it runs, when it waits, how hard it works |
//! | [`dream`], [`world`], [`worlds`] | what is dreamed, how it is opened, where it is found |
//! | [`walk`], [`queue`] | the dream's thread and what joins it to the window |
//! | [`show`] | which frame is shown when, pauses included |
//! | [`present`] | the window: picture, overlay, keys |
//! | [`serve`], [`terminal`] | the walk in a browser, and in a terminal |
//! | [`steer`], [`controls`], [`settings`] | keyboard, mouse, gamepads and scripts as actions of a section; what the player has set |
//! | [`record`], [`tape`], [`hash`], [`paths`], [`date`] | sessions: written, begun and ended, named |
//! | [`sessions`], [`replay`], [`origin`] | sessions: listed, shown again, made again and compared |
//! | [`convert`] | recorded play in the forms that others train on |
//! | [`picture`], [`screenshot`] | pictures as files |
//! | [`headless`] | a walk as fast as it goes, every frame recorded |
//! | [`stats`], [`histogram`], [`resident`], [`clock`] | figures; the one reader of the machine's clock |
//! | [`cores`], [`host`] | work on all cores; what the machine took of the processor's time |
//! | [`mod@train`] | codecs, worlds and adapters, from recorded play |
//! | [`fault`] | what is told of a fault of the program itself |
//! | [`video`], [`plan`] | videos in any order, and schedules as tables and pictures |
//! | [`cli`], [`commands`], [`play`], [`episodes`], [`inspect`], [`devices`] | the command line and its commands |
//! | [`mod@bench`] | a world held against recorded play |
//! | [`bridge`] | a world measured by somebody else's client |
//! | [`recall`], [`memories`] | what worlds remember between walks, and the commands that look after it |
//! | [`view`] | memory at work, for the window |
//! | [`compare`], [`ledger`] | which of two videos people like better; files of lines that only grow |
//! | [`models`], [`published`] | published video models: looked over, merged with adapters; their videos |
//! | [`start`] | a picture of one's own to begin from |
//!
//! # Invariants
//!
//! **The window never waits for the dream.** It shows the newest frame that is due, or the last one
//! again; a world that is still loading is a window that says so.
//!
//! **The dream never waits for the window or the disk.** A full queue drops its oldest frame, a
//! full recorder the newest; both are counted and said. Only a walk without a window waits for its
//! recorder, because it keeps every frame.
//!
//! **Every channel is bounded**, and its policy when full is in its doc line.
//!
//! **Only [`clock`] reads the machine's clock.** With a stepped one the whole loop is tested
//! without sleeping.
//!
//! **Nothing that can fail outside the program panics.** No display, no graphics driver, no gamepad,
//! a full disk, a damaged file: each is one clear line, and the walk goes on where it can.

pub mod bench;
pub mod bridge;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod compare;
pub mod controls;
pub mod convert;
pub mod cores;
pub mod date;
pub mod devices;
pub mod dream;
pub mod effort;
pub mod episodes;
pub mod fault;
pub mod gate;
pub mod hash;
pub mod headless;
pub mod histogram;
pub mod host;
pub mod inspect;
pub mod ledger;
pub mod memories;
pub mod models;
pub mod origin;
pub mod pace;
pub mod paths;
pub mod picture;
pub mod plan;
pub mod play;
#[cfg(feature = "window")]
pub mod present;
pub mod published;
pub mod queue;
pub mod recall;
pub mod record;
pub mod replay;
pub mod resident;
pub mod screenshot;
pub mod serve;
pub mod sessions;
pub mod settings;
pub mod show;
pub mod stage;
pub mod start;
pub mod stats;
pub mod steer;
pub mod stream;
pub mod tape;
pub mod terminal;
pub mod train;
pub mod video;
pub mod view;
pub mod walk;
pub mod world;
pub mod worlds;
