//! Properties of the queue between dream and window.

use std::sync::Arc;
use std::time::Duration;

use input::Frame;
use oneiro::queue::{DueFrame, DueQueue};
use proptest::prelude::*;

fn frame(number: u64, due_ms: u64) -> DueFrame {
    DueFrame {
        number,
        frame: Arc::new(Frame::filled(1, 1, [0; 3])),
        input_at: Duration::from_millis(7),
        touched: true,
        due: Duration::from_millis(due_ms),
    }
}

/// What a test does to a queue.
#[derive(Clone, Debug)]
enum Deed {
    Push { later_ms: u64 },
    NewestDue { after_ms: u64 },
    Next,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (0_u64..100).prop_map(|later_ms| Deed::Push { later_ms }),
        2 => (0_u64..150).prop_map(|after_ms| Deed::NewestDue { after_ms }),
        1 => Just(Deed::Next),
    ]
}

proptest! {
    #[test]
    fn frames_come_out_once_in_order_never_early_and_none_unaccounted(
        capacity in 1_usize..5,
        deeds in prop::collection::vec(deed(), 0..60),
    ) {
        let queue = DueQueue::new(capacity);
        let (mut pushed, mut due_ms, mut now_ms) = (0, 0, 0);
        let mut shown = Vec::new();
        for deed in deeds {
            match deed {
                Deed::Push { later_ms } => {
                    due_ms += later_ms;
                    queue.push(frame(pushed, due_ms));
                    pushed += 1;
                }
                Deed::NewestDue { after_ms } => {
                    now_ms += after_ms;
                    let now = Duration::from_millis(now_ms);
                    let newest = queue.newest_due(now);
                    prop_assert!(newest.iter().all(|frame| frame.due <= now));
                    prop_assert!(queue.next_due().is_none_or(|due| due > now), "a newer one was due");
                    shown.extend(newest.map(|frame| frame.number));
                }
                Deed::Next => shown.extend(queue.next().map(|frame| frame.number)),
            }
            prop_assert!(queue.len() <= capacity);
        }
        prop_assert!(shown.is_sorted() && shown.windows(2).all(|pair| pair[0] != pair[1]));
        let accounted = shown.len() + queue.len() + usize::try_from(queue.skipped()).unwrap();
        prop_assert_eq!(accounted, usize::try_from(pushed).unwrap());
    }
}

#[test]
fn a_full_queue_drops_its_oldest() {
    let queue = DueQueue::new(2);
    for number in 0..3 {
        queue.push(frame(number, number));
    }
    assert_eq!((queue.skipped(), queue.next().map(|frame| frame.number)), (1, Some(1)));
}

#[test]
fn a_pause_puts_every_frame_off() {
    let queue = DueQueue::new(2);
    queue.push(frame(0, 10));
    queue.push(frame(1, 60));
    queue.put_off(Duration::from_secs(1));
    assert!(queue.newest_due(Duration::from_millis(1009)).is_none());
    let first = queue.newest_due(Duration::from_millis(1010)).expect("it is due");
    assert_eq!(first.number, 0);
    assert_eq!(first.input_at, Duration::from_millis(1007), "a pause is no latency");
    assert_eq!(queue.next_due(), Some(Duration::from_millis(1060)));
}
