//! Both bells pass the same tests: the portable one is compiled here so that Linux proves it too.

use super::Wake;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Far more than any test needs; only a failing one waits that long.
const PATIENCE: Duration = Duration::from_secs(10);

#[allow(unsafe_code, reason = "polls one descriptor of a living object")]
fn readable(fd: RawFd, patience: Duration) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    unsafe { libc::poll(&raw mut poll, 1, patience.as_millis() as i32) == 1 }
}

fn quiet(fd: RawFd) -> bool {
    !readable(fd, Duration::ZERO)
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

macro_rules! bell_tests {
    ($name:ident, $bell:ty) => {
        mod $name {
            use super::*;

            #[test]
            fn a_ring_stays_readable_until_it_is_silenced() {
                let bell = <$bell>::new().unwrap();
                assert!(quiet(bell.fileno()));
                bell.ring();
                bell.ring();
                assert!(readable(bell.fileno(), PATIENCE));
                assert!(!bell.silence().unwrap());
                assert!(quiet(bell.fileno()));
            }

            #[test]
            fn an_alarm_of_the_past_goes_off_at_once_and_only_once() {
                for due_at in [now() - 5_000, 0, -7] {
                    let bell = <$bell>::new().unwrap();
                    bell.arm(Some(due_at)).unwrap();
                    assert!(readable(bell.fileno(), PATIENCE));
                    assert!(bell.silence().unwrap());
                    assert!(!bell.silence().unwrap());
                    assert!(quiet(bell.fileno()));
                }
            }

            #[test]
            fn an_alarm_goes_off_no_earlier_than_asked() {
                let bell = <$bell>::new().unwrap();
                let due_at = now() + 40;
                bell.arm(Some(due_at)).unwrap();
                assert!(readable(bell.fileno(), PATIENCE));
                assert!(now() >= due_at);
                assert!(bell.silence().unwrap());
            }

            #[test]
            fn the_last_setting_of_the_alarm_counts() {
                let bell = <$bell>::new().unwrap();
                bell.arm(Some(now() + 3_600_000)).unwrap();
                bell.arm(Some(now() + 20)).unwrap();
                assert!(readable(bell.fileno(), PATIENCE));
                assert!(bell.silence().unwrap());
                bell.arm(Some(now() + 3_600_000)).unwrap();
                bell.arm(None).unwrap();
                assert!(quiet(bell.fileno()));
            }

            #[test]
            fn an_alarm_at_the_end_of_time_is_accepted() {
                let bell = <$bell>::new().unwrap();
                bell.arm(Some(i64::MAX / 1_000_000)).unwrap();
                assert!(quiet(bell.fileno()));
            }
        }
    };
}

#[cfg(target_os = "linux")]
bell_tests!(linux, crate::wake::linux::Bell);
bell_tests!(portable, crate::wake::portable::Bell);

#[test]
fn no_signal_is_lost_however_signals_and_drains_interleave() {
    let wake = Arc::new(Wake::new().unwrap());
    for _ in 0..2_000 {
        let sender = Arc::clone(&wake);
        let signal = std::thread::spawn(move || sender.signal());
        // Races with the signal on purpose; whichever comes first, one more signal must be heard.
        wake.drain().unwrap();
        signal.join().unwrap();
        wake.drain().unwrap();
        wake.signal();
        assert!(readable(wake.fileno(), PATIENCE));
        wake.drain().unwrap();
    }
}

#[test]
fn a_burst_of_signals_is_drained_once() {
    let wake = Wake::new().unwrap();
    for _ in 0..1_000 {
        wake.signal();
    }
    assert!(readable(wake.fileno(), PATIENCE));
    assert!(!wake.drain().unwrap());
    assert!(quiet(wake.fileno()));
}
