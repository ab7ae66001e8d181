//! A gamepad that is a file: what is written to `/dev/uinput` is what its owner does with it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;

// Requests and codes of Linux's `uinput.h` and `input-event-codes.h`.
const SET_KIND: libc::c_ulong = 0x4004_5564;
const SET_KEY: libc::c_ulong = 0x4004_5565;
const SET_AXIS: libc::c_ulong = 0x4004_5567;
const CREATE: libc::c_ulong = 0x5501;
const DESTROY: libc::c_ulong = 0x5502;
const SYNCHRONIZE: u16 = 0;
const KEY: u16 = 1;
const AXIS: u16 = 3;
const USB: u16 = 3;

/// Something on the pad that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    LeftX,
    LeftY,
    RightX,
    RightTrigger,
    /// The directional pad.
    HatY,
    South,
    Start,
}

impl Part {
    /// Kind and code.
    fn code(self) -> (u16, u16) {
        match self {
            Self::LeftX => (AXIS, 0),
            Self::LeftY => (AXIS, 1),
            Self::RightX => (AXIS, 3),
            Self::RightTrigger => (AXIS, 5),
            Self::HatY => (AXIS, 17),
            Self::South => (KEY, 0x130),
            Self::Start => (KEY, 0x13b),
        }
    }
}

/// A pad like those of an Xbox 360, plugged in until it is dropped.
#[derive(Debug)]
pub(super) struct VirtualPad(File);

impl VirtualPad {
    /// Under a name, from a maker, of a model.
    pub(super) fn plug_in(name: &str, [vendor, product]: [u16; 2]) -> Self {
        let file = OpenOptions::new().write(true).open("/dev/uinput").expect("it may be written");
        let mut pad = Self(file);
        for kind in [KEY, AXIS] {
            pad.ask(SET_KIND, kind.into());
        }
        // South, East, North, West, shoulders, Select, Start, Mode, pressed sticks.
        for key in [0x130, 0x131, 0x133, 0x134, 0x136, 0x137, 0x13a, 0x13b, 0x13c, 0x13d, 0x13e] {
            pad.ask(SET_KEY, key);
        }
        let mut device = libc::uinput_user_dev {
            name: [0; libc::UINPUT_MAX_NAME_SIZE],
            id: libc::input_id { bustype: USB, vendor, product, version: 0x0114 },
            ff_effects_max: 0,
            absmax: [0; libc::ABS_CNT],
            absmin: [0; libc::ABS_CNT],
            absfuzz: [0; libc::ABS_CNT],
            absflat: [0; libc::ABS_CNT],
        };
        for (place, byte) in device.name.iter_mut().zip(name.bytes()) {
            *place = libc::c_char::from_ne_bytes([byte]);
        }
        // Sticks, triggers, the directional pad.
        let axes = [(0, -32_768, 32_767), (1, -32_768, 32_767), (3, -32_768, 32_767)];
        let axes = axes.into_iter().chain([(4, -32_768, 32_767), (2, 0, 255), (5, 0, 255)]);
        for (axis, least, most) in axes.chain([(16, -1, 1), (17, -1, 1)]) {
            pad.ask(SET_AXIS, axis);
            let axis = usize::try_from(axis).expect("axes are small numbers");
            (device.absmin[axis], device.absmax[axis]) = (least, most);
        }
        pad.write(&device);
        pad.ask(CREATE, 0);
        pad
    }

    /// Moves or presses a part.
    pub(super) fn set(&mut self, part: Part, value: i32) {
        let (kind, code) = part.code();
        for (type_, code, value) in [(kind, code, value), (SYNCHRONIZE, 0, 0)] {
            // The kernel notes the time by itself.
            let time = libc::timeval { tv_sec: 0, tv_usec: 0 };
            self.write(&libc::input_event { time, type_, code, value });
        }
    }

    #[expect(unsafe_code, reason = "uinput is asked by ioctl alone")]
    fn ask(&self, request: libc::c_ulong, number: libc::c_int) {
        // SAFETY: the descriptor is open, and every request above takes a plain number.
        let answer = unsafe { libc::ioctl(self.0.as_raw_fd(), request, number) };
        assert_eq!(answer, 0, "request {request:#x}: {}", std::io::Error::last_os_error());
    }

    /// Writes one of the C structures above.
    #[expect(unsafe_code, reason = "the kernel takes structures as their bytes")]
    fn write<T>(&mut self, value: &T) {
        // SAFETY: both structures are made of integers without gaps between them, so that each of the bytes is set.
        let bytes = unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>())
        };
        self.0.write_all(bytes).expect("the kernel takes it");
    }
}

impl Drop for VirtualPad {
    fn drop(&mut self) {
        self.ask(DESTROY, 0);
    }
}
