//! One file descriptor for everything the core finishes: ready threads, finished commits, a due timer. The host watches it and sleeps.
//!
//! Nothing here ticks (I9): a burst of signals costs one write, an alarm costs one kernel timer.

use crate::error::{Error, Result};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;

#[cfg(target_os = "linux")]
use linux::Bell;
#[cfg(not(target_os = "linux"))]
use portable::Bell;

/// Signals from any thread and one alarm, on one descriptor that stays readable until [`Wake::drain`].
pub struct Wake {
    bell: Bell,
    /// A signal was written that no drain has seen: the next ones need no write.
    signalled: AtomicBool,
}

impl Wake {
    pub fn new() -> Result<Self> {
        Ok(Self { bell: Bell::new().map_err(unavailable)?, signalled: AtomicBool::new(false) })
    }

    /// For `select`, `poll`, `epoll`; never read from it directly.
    pub fn fileno(&self) -> RawFd {
        self.bell.fileno()
    }

    /// Wait in this thread until it is readable, or a signal comes.
    #[allow(unsafe_code, reason = "the kernel reads and writes `polled` before the call returns")]
    pub fn wait(&self) {
        let mut polled = libc::pollfd { fd: self.fileno(), events: libc::POLLIN, revents: 0 };
        unsafe { libc::poll(&raw mut polled, 1, -1) };
    }

    /// Readable at this wall-clock time (milliseconds since the epoch; past: at once). `None` disarms. The last call counts.
    pub fn arm(&self, due_at: Option<i64>) -> Result<()> {
        self.bell.arm(due_at).map_err(unavailable)
    }

    /// Readable now. What the caller published before is seen by anyone who drains after.
    pub fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            self.bell.ring();
        }
    }

    /// Make the descriptor quiet; true if the alarm went off or the wall clock was stepped.
    pub fn drain(&self) -> Result<bool> {
        let alarm = self.bell.silence().map_err(unavailable)?;
        // Only after the read: the other way round, a signal in between would be read away with its mark left standing,
        // and every later signal would be swallowed.
        self.signalled.swap(false, Ordering::AcqRel);
        Ok(alarm)
    }
}

fn unavailable(cause: std::io::Error) -> Error {
    Error::Storage(format!("the wake descriptor failed ({cause}); check the limit on open files (ulimit -n)"))
}

#[cfg(test)]
mod tests;
