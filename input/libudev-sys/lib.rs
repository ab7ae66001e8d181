//! The part of libudev that gilrs calls, found when the program runs.
//!
//! Building needs neither pkg-config nor libudev's headers, and the program starts on machines
//! without the library: then every function answers null or -1, which gilrs reports as an error
//! and can avoid by watching the device folder itself.
#![expect(unsafe_code, reason = "this crate is a door to a C library")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

/// Names under which the library is looked for, newest first.
const NAMES: [&std::ffi::CStr; 3] = [c"libudev.so.1", c"libudev.so.0", c"libudev.so"];

/// Declares types that only the library knows the inside of.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])* #[repr(C)] #[derive(Debug)] pub struct $name { _inside: [u8; 0] })*
    };
}

opaque! {
    /// A connection to the library.
    udev;
    /// A name and a value in a list.
    udev_list_entry;
    /// A device.
    udev_device;
    /// A source of news about devices.
    udev_monitor;
    /// A search for devices.
    udev_enumerate;
}

/// Declares functions that are called in the library, or answer `absent` without it.
macro_rules! functions {
    ($($absent:expr => $name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        /// Where the functions lie in the loaded library.
        struct Table { $($name: unsafe extern "C" fn($($kind),*) -> $result,)* }

        impl Table {
            /// # Safety
            /// `library` is a handle that `dlopen` gave for libudev and that is never closed.
            unsafe fn find(library: *mut c_void) -> Option<Self> {
                Some(Self { $($name: {
                    let name = concat!(stringify!($name), "\0");
                    // SAFETY: the handle is open and the name ends with a zero byte.
                    let place = unsafe { libc::dlsym(library, name.as_ptr().cast()) };
                    if place.is_null() {
                        return None;
                    }
                    // SAFETY: the symbol of this name in libudev is a function of this type
                    // (libudev.h); a function's address fits in a function pointer.
                    unsafe {
                        std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($kind),*) -> $result>(
                            place,
                        )
                    }
                },)* })
            }
        }

        $(
            #[doc = concat!("`", stringify!($name), "` of libudev.")]
            ///
            /// # Safety
            /// Pointers come from this library and are used as its manual says.
            pub unsafe fn $name($($argument: $kind),*) -> $result {
                match table() {
                    // SAFETY: the caller keeps to the library's manual.
                    Some(table) => unsafe { (table.$name)($($argument),*) },
                    None => $absent,
                }
            }
        )*
    };
}

functions! {
    null_mut() => udev_new() -> *mut udev;
    null_mut() => udev_ref(udev: *mut udev) -> *mut udev;
    null_mut() => udev_unref(udev: *mut udev) -> *mut udev;
    null_mut() => udev_list_entry_get_next(entry: *mut udev_list_entry) -> *mut udev_list_entry;
    null() => udev_list_entry_get_name(entry: *mut udev_list_entry) -> *const c_char;
    null() => udev_list_entry_get_value(entry: *mut udev_list_entry) -> *const c_char;
    null_mut() => udev_device_ref(device: *mut udev_device) -> *mut udev_device;
    null_mut() => udev_device_unref(device: *mut udev_device) -> *mut udev_device;
    null_mut() => udev_device_new_from_syspath(udev: *mut udev, path: *const c_char) -> *mut udev_device;
    null() => udev_device_get_syspath(device: *mut udev_device) -> *const c_char;
    null() => udev_device_get_devnode(device: *mut udev_device) -> *const c_char;
    null() => udev_device_get_action(device: *mut udev_device) -> *const c_char;
    null_mut() => udev_device_get_properties_list_entry(device: *mut udev_device) -> *mut udev_list_entry;
    null() => udev_device_get_property_value(device: *mut udev_device, key: *const c_char) -> *const c_char;
    null_mut() => udev_monitor_new_from_netlink(udev: *mut udev, name: *const c_char) -> *mut udev_monitor;
    null_mut() => udev_monitor_unref(monitor: *mut udev_monitor) -> *mut udev_monitor;
    -1 => udev_monitor_enable_receiving(monitor: *mut udev_monitor) -> c_int;
    -1 => udev_monitor_get_fd(monitor: *mut udev_monitor) -> c_int;
    null_mut() => udev_monitor_receive_device(monitor: *mut udev_monitor) -> *mut udev_device;
    -1 => udev_monitor_filter_add_match_subsystem_devtype(
        monitor: *mut udev_monitor, subsystem: *const c_char, devtype: *const c_char) -> c_int;
    null_mut() => udev_enumerate_new(udev: *mut udev) -> *mut udev_enumerate;
    null_mut() => udev_enumerate_unref(enumerate: *mut udev_enumerate) -> *mut udev_enumerate;
    -1 => udev_enumerate_add_match_subsystem(enumerate: *mut udev_enumerate, subsystem: *const c_char) -> c_int;
    -1 => udev_enumerate_add_match_property(
        enumerate: *mut udev_enumerate, property: *const c_char, value: *const c_char) -> c_int;
    -1 => udev_enumerate_scan_devices(enumerate: *mut udev_enumerate) -> c_int;
    null_mut() => udev_enumerate_get_list_entry(enumerate: *mut udev_enumerate) -> *mut udev_list_entry;
}

/// Whether this machine has a libudev with all functions.
pub fn is_present() -> bool {
    table().is_some()
}

fn table() -> Option<&'static Table> {
    static TABLE: OnceLock<Option<Table>> = OnceLock::new();
    TABLE.get_or_init(|| load(&NAMES)).as_ref()
}

fn load(names: &[&std::ffi::CStr]) -> Option<Table> {
    names.iter().find_map(|name| {
        // SAFETY: the name is a C string; libudev does nothing of note when it is loaded.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return None;
        }
        // SAFETY: the handle was just given and is never closed.
        unsafe { Table::find(library) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_works_or_every_answer_is_null() {
        // SAFETY: the connection is used as the manual says and given back.
        unsafe {
            let connection = udev_new();
            assert_eq!(connection.is_null(), !is_present());
            if is_present() {
                let search = udev_enumerate_new(connection);
                assert!(!search.is_null());
                assert!(udev_enumerate_add_match_subsystem(search, c"input".as_ptr()) >= 0);
                udev_enumerate_unref(search);
                udev_unref(connection);
            } else {
                assert!(udev_enumerate_new(connection).is_null());
                assert_eq!(udev_monitor_get_fd(null_mut()), -1);
            }
        }
    }

    #[test]
    fn a_library_that_is_missing_or_another_is_not_taken() {
        assert!(load(&[c"libudev-that-is-not-there.so"]).is_none());
        // The C library can be loaded, but has none of the functions.
        assert!(load(&[c"libc.so.6"]).is_none());
    }
}
