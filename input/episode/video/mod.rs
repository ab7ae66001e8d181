//! H.264 in MP4: what the pictures of a session are kept in.
//!
//! The file is a *fragmented* MP4: after a short head comes one self-contained piece per second of
//! play. So writing needs the memory of one second, and a recording that is cut short (a crash, a
//! full disk) plays up to its last whole second.

mod nal;
mod reader;
mod sps;
mod writer;
mod yuv;

pub use self::reader::VideoReader;
pub use self::writer::VideoWriter;
pub(super) use self::writer::is_encodable;
