//! Gamepads as a kernel makes them: plugged in, moved, pulled out, through all that lies between it and an action.
//!
//! Linux makes gamepads for programs that ask for it, at `/dev/uinput`. Where this process may not ask, a small
//! virtual machine is started that may: see [`machine`].

mod machine;
mod virtual_pad;

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use self::virtual_pad::{Part, VirtualPad};
use crate::{Action, ActionLayout, Buttons, Controller as _, Gamepads, Notice, PadInput, PadState};

/// Longest that the system may take to pass something on: an emulated machine is slow.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// What the pads are called, with maker and model: the first after a pad that gilrs knows by these and calls so whatever the
/// kernel does, the second one by itself.
const PADS: [(&str, [u16; 2]); 2] =
    [("Xbox 360 Controller", [0x045e, 0x028e]), ("Oneiro's second pad", [0x1209, 0x0001])];
/// What the test that steers says last.
const LAST: &str = "plugged in again";
/// Name of the test that steers, in this file.
const STEERING: &str = "real_pads::pads_of_this_kernel_steer";

/// Runs the test below where pads can be made: here, or in a machine of its own; says why it does neither.
#[test]
#[ignore = "takes half a minute: QEMU and a kernel with uinput, or leave to use /dev/uinput"]
fn pads_of_a_kernel_steer() {
    let program = std::env::current_exe().expect("this test is a program");
    let said = match Path::new("/dev/uinput").exists() {
        true => {
            let mut program = Command::new(program);
            let output = program.args(["--exact", STEERING, "--ignored", "--nocapture"]).output();
            let output = output.expect("it can be run again");
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        }
        false => match machine::run(&program, &[STEERING]) {
            Ok(said) => said,
            Err(reason) => return println!("skipped: {reason}"),
        },
    };
    println!("{said}");
    assert!(said.contains(LAST) && said.contains("1 passed"), "what was said is above");
}

/// As near as sticks come: they rest half a step off, and steer in steps of a kernel's integers.
fn near(value: f32, wanted: f32) -> bool {
    (value - wanted).abs() < 0.02
}

/// Gamepads being watched, and what was told of them.
struct Watched {
    pads: Gamepads,
    notices: Vec<Notice>,
}

impl Watched {
    /// Polls until an action satisfies `enough`, and gives it.
    fn wait(&mut self, what: &str, enough: impl Fn(&Action, &[Notice]) -> bool) -> Action {
        let mut looks = PATIENCE.as_millis() / LOOK.as_millis();
        loop {
            let action = self.pads.poll();
            self.notices.extend(self.pads.take_notices());
            if enough(&action, &self.notices) {
                println!(
                    "{what}: {:?} {:?}, told {:?}",
                    action.axes(),
                    action.buttons,
                    self.notices
                );
                return action;
            }
            looks -= 1;
            assert!(looks > 0, "{what}: got {action:?}, told {:?}", self.notices);
            sleep(LOOK);
        }
    }

    /// Waits for exactly these notices, and forgets them.
    fn told(&mut self, what: &str, expected: &[Notice]) -> Action {
        let action = self.wait(what, |_, notices| notices.len() >= expected.len());
        assert_eq!(self.notices, expected, "{what}");
        self.notices.clear();
        action
    }
}

#[test]
#[ignore = "makes gamepads: run by the test above"]
fn pads_of_this_kernel_steer() {
    if !Path::new("/dev/uinput").exists() {
        return println!("skipped: this kernel makes no gamepads");
    }
    let buttons = vec!["use".to_owned()];
    let layout = ActionLayout { turn_degrees: 15.0, buttons, ..ActionLayout::default() };
    let pads = Gamepads::open(layout).expect("the system has gamepads");
    let mut watched = Watched { pads, notices: Vec::new() };

    let [(first, model), _] = PADS;
    let mut pad = VirtualPad::plug_in("Oneiro's first pad", model);
    let action = watched.told("plugged in", &[Notice::PadConnected(first.into())]);
    assert_eq!(action, Action::NEUTRAL);
    assert_eq!(watched.pads.take_touched(), None, "nobody has touched it");

    // A twelfth of the way: within the dead zone. What comes after it has come after it.
    pad.set(Part::LeftX, 2700);
    pad.set(Part::South, 1);
    let action = watched.wait("a button down", |action, _| action.buttons != Buttons::NONE);
    assert_eq!((action.axes(), action.buttons), ([0.0; 4], Buttons(1)));
    pad.set(Part::South, 0);
    pad.set(Part::LeftX, 0);
    watched.wait("at rest", |action, _| *action == Action::NEUTRAL);
    watched.pads.take_touched();

    let before = SystemTime::now();
    pad.set(Part::LeftY, -30_000);
    let action = watched.wait("left stick up", |action, _| action.forward > 0.0);
    // 0.9155 of the way, of which the first 0.15 are the dead zone.
    // An axis from -32 768 to 32 767 has no middle: at rest it lies half a step off.
    let half_a_step = 1e-4;
    assert!(near(action.forward, 0.9006) && action.strafe.abs() < half_a_step, "{action:?}");
    let touched = watched.pads.take_touched().expect("it was moved");
    assert!(touched >= before && touched <= SystemTime::now(), "the kernel's own time");
    pad.set(Part::LeftY, 0);
    watched.wait("at rest", |action, _| *action == Action::NEUTRAL);

    pad.set(Part::RightX, 32_767);
    watched.wait("right stick right", |action, _| near(action.turn, 1.0));
    pad.set(Part::RightX, 0);
    pad.set(Part::HatY, -1);
    watched.wait("directional pad up", |action, _| action.forward == 1.0 && action.turn == 0.0);
    pad.set(Part::HatY, 0);
    pad.set(Part::RightTrigger, 200);
    watched.wait("at rest but for a trigger", |action, _| action.axes() == [0.0; 4]);
    let pulled = |watched: &mut Watched| watched.pads.look().expect("it is there").1.triggers.1;
    let mut looks = 0;
    while !near(pulled(&mut watched), 0.784) {
        looks += 1;
        assert!(looks < 1000, "the trigger is pulled by {}", pulled(&mut watched));
        sleep(LOOK);
    }
    println!("right trigger: {:.3}", pulled(&mut watched));
    pad.set(Part::RightTrigger, 0);
    watched.wait("at rest", |action, _| *action == Action::NEUTRAL);

    // Down and up between two polls.
    watched.pads.take_pressed();
    pad.set(Part::Start, 1);
    pad.set(Part::Start, 0);
    let mut pressed = PadState::default();
    while pressed == PadState::default() {
        pressed = watched.pads.take_pressed();
        sleep(LOOK);
    }
    assert_eq!(pressed.clearest(0.1), Some(PadInput::Start));
    println!("Start tapped: seen");

    two_pads(&mut watched, pad);
}

/// The one that was touched last steers; what is pulled out holds nothing.
fn two_pads(watched: &mut Watched, mut pad: VirtualPad) {
    let [(first, model), (second, other_model)] = PADS;
    let [connected, gone, taken] =
        [Notice::PadConnected, Notice::PadDisconnected, Notice::PadTaken];
    let mut other = VirtualPad::plug_in(second, other_model);
    watched.told("another one plugged in", &[connected(second.into())]);
    pad.set(Part::LeftX, -32_768);
    watched.wait("the first one steers", |action, _| near(action.strafe, -1.0));
    other.set(Part::RightX, -32_768);
    watched
        .wait("the second one steers", |action, _| near(action.turn, -1.0) && action.strafe == 0.0);
    watched.told("and is named", &[taken(second.into())]);
    drop(other);
    let expected = [gone(second.into()), taken(first.into())];
    watched.told("the second one pulled out", &expected);
    watched.wait("the first one steers again", |action, _| near(action.strafe, -1.0));
    drop(pad);
    let action = watched.told("pulled out while held", &[gone(first.into())]);
    assert_eq!((action, watched.pads.look()), (Action::NEUTRAL, None), "nothing stays held");

    let _pad = VirtualPad::plug_in(first, model);
    let action = watched.told(LAST, &[connected(first.into())]);
    assert_eq!(action, Action::NEUTRAL);
}
