//! The part of libudev that gilrs calls.
