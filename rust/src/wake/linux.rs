//! An eventfd and a timerfd inside an epoll descriptor: no thread, no ticks, and the kernel tells when the clock is stepped.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Bell {
    poll: OwnedFd,
    event: File,
    timer: File,
    /// The clock was stepped while the timer was being set, which is where the kernel reported it.
    stepped: AtomicBool,
}

impl Bell {
    pub fn new() -> io::Result<Self> {
        let event = owned(eventfd())?;
        let timer = owned(timerfd())?;
        let poll = owned(epoll())?;
        watch(&poll, &event)?;
        watch(&poll, &timer)?;
        Ok(Self { poll, event: event.into(), timer: timer.into(), stepped: AtomicBool::new(false) })
    }

    pub fn fileno(&self) -> RawFd {
        self.poll.as_raw_fd()
    }

    pub fn arm(&self, due_at: Option<i64>) -> io::Result<()> {
        match set_time(&self.timer, due_at.map(|due| due.max(1))) {
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => {
                // The timer is set; the error says that the clock was stepped since the last look, and says it only once.
                self.stepped.store(true, Ordering::Release);
                self.ring();
                Ok(())
            }
            other => other,
        }
    }

    pub fn ring(&self) {
        // The only failure is WouldBlock, on a counter that is full: then the descriptor is readable already.
        let _ = (&self.event).write(&1u64.to_ne_bytes());
    }

    pub fn silence(&self) -> io::Result<bool> {
        let mut count = [0; 8];
        let rang = match (&self.timer).read(&mut count) {
            Ok(_) => true,
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => return Err(error),
        };
        match (&self.event).read(&mut count) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(self.stepped.swap(false, Ordering::AcqRel) || rang),
        }
    }
}

/// Take ownership of a descriptor that a system call has just returned.
fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    #[allow(unsafe_code, reason = "the descriptor is new and nobody else's")]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[allow(unsafe_code, reason = "a plain system call without pointers")]
fn eventfd() -> RawFd {
    unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }
}

#[allow(unsafe_code, reason = "a plain system call without pointers")]
fn timerfd() -> RawFd {
    unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) }
}

#[allow(unsafe_code, reason = "a plain system call without pointers")]
fn epoll() -> RawFd {
    unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }
}

fn watch(poll: &OwnedFd, fd: &OwnedFd) -> io::Result<()> {
    let mut interest = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    #[allow(unsafe_code, reason = "the kernel copies `interest` before the call returns")]
    let status = unsafe { libc::epoll_ctl(poll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut interest) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set_time(timer: &File, due_at: Option<i64>) -> io::Result<()> {
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let it_value = match due_at {
        None => zero,
        Some(due) => libc::timespec { tv_sec: due / 1000, tv_nsec: due % 1000 * 1_000_000 },
    };
    let setting = libc::itimerspec { it_interval: zero, it_value };
    let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    #[allow(unsafe_code, reason = "the kernel copies `setting` before the call returns; no old value is asked for")]
    let status = unsafe { libc::timerfd_settime(timer.as_raw_fd(), flags, &raw const setting, std::ptr::null_mut()) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
