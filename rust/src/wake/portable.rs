//! A socket pair, and a thread that exists only once an alarm was asked for and is parked unless one is set.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest sleep on the monotonic clock, so that a stepped wall clock is followed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub struct Bell {
    listener: UnixStream,
    alarm: Arc<Alarm>,
    sleeper: Mutex<Option<JoinHandle<()>>>,
}

struct Alarm {
    striker: UnixStream,
    rang: AtomicBool,
    setting: Mutex<Setting>,
    changed: Condvar,
}

#[derive(Default)]
struct Setting {
    due_at: Option<i64>,
    over: bool,
}

impl Bell {
    pub fn new() -> io::Result<Self> {
        let (listener, striker) = UnixStream::pair()?;
        listener.set_nonblocking(true)?;
        striker.set_nonblocking(true)?;
        let alarm = Alarm {
            striker,
            rang: AtomicBool::new(false),
            setting: Mutex::new(Setting::default()),
            changed: Condvar::new(),
        };
        Ok(Self { listener, alarm: Arc::new(alarm), sleeper: Mutex::new(None) })
    }

    pub fn fileno(&self) -> RawFd {
        self.listener.as_raw_fd()
    }

    pub fn arm(&self, due_at: Option<i64>) -> io::Result<()> {
        self.alarm.setting().due_at = due_at;
        self.alarm.changed.notify_one();
        let mut sleeper = self.sleeper.lock().unwrap_or_else(PoisonError::into_inner);
        if sleeper.is_none() && due_at.is_some() {
            let alarm = Arc::clone(&self.alarm);
            *sleeper = Some(std::thread::Builder::new().name("infinity-alarm".into()).spawn(move || alarm.watch())?);
        }
        Ok(())
    }

    pub fn ring(&self) {
        self.alarm.strike();
    }

    pub fn silence(&self) -> io::Result<bool> {
        let mut bytes = [0; 64];
        loop {
            match (&self.listener).read(&mut bytes) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.alarm.rang.swap(false, Ordering::AcqRel))
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.alarm.setting().over = true;
        self.alarm.changed.notify_one();
        if let Some(sleeper) = self.sleeper.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the sleeper has nobody left to tell.
            let _ = sleeper.join();
        }
    }
}

impl Alarm {
    fn setting(&self) -> MutexGuard<'_, Setting> {
        // Every change of the setting is one assignment: a poisoned lock guards nothing half done.
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strike(&self) {
        // The only failure is WouldBlock, on a full buffer: then the descriptor is readable already.
        let _ = (&self.striker).write(&[1]);
    }

    fn watch(&self) {
        let mut setting = self.setting();
        while !setting.over {
            setting = match setting.due_at.map(remaining) {
                None => self.changed.wait(setting).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    setting.due_at = None;
                    self.rang.store(true, Ordering::Release);
                    self.strike();
                    setting
                }
                Some(rest) => {
                    let wait = self.changed.wait_timeout(setting, rest.min(LONGEST_WAIT));
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

fn remaining(due_at: i64) -> Duration {
    let due = UNIX_EPOCH + Duration::from_millis(due_at.max(0).unsigned_abs());
    // An error means that the time has passed.
    due.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)
}
