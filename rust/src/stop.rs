//! The end of a process that is asked to stop and cannot: anyone who holds the event loop, in Python or below it, holds its signal handlers, too.
//!
//! A thread of its own blocks until the first signal, so that nothing ticks (I9). It needs neither the loop nor the interpreter.

use crate::error::{Error, Result};
use signal_hook::iterator::{Handle, Signals};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Ends the process with `128 + signal` if a signal is not heard, or the stop that it began is not finished, in time.
/// A signal that is repeated changes nothing here.
pub struct StopGuard {
    signals: Handle,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    step: Mutex<Step>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, PartialOrd)]
enum Step {
    #[default]
    Waiting,
    Heard,
    Finished,
}

impl StopGuard {
    /// `unheard`: how long a signal may wait for [`StopGuard::heard`]; `unfinished`: how long the stop may take from then on. Handlers that are
    /// installed already are called as before.
    ///
    /// # Errors
    /// `storage` if the descriptors or the thread cannot be had.
    pub fn new(signals: &[i32], unheard: Duration, unfinished: Duration) -> Result<Self> {
        let mut coming = Signals::new(signals).map_err(|cause| unavailable(&cause))?;
        let (handle, state) = (coming.handle(), Arc::new(State::default()));
        let shared = Arc::clone(&state);
        let watch = move || {
            if let Some(signal) = coming.forever().next() {
                shared.end_unless(Step::Heard, unheard, signal);
                shared.end_unless(Step::Finished, unfinished, signal);
            }
        };
        thread::Builder::new().name("infinity stop".into()).spawn(watch).map_err(|cause| unavailable(&cause))?;
        Ok(Self { signals: handle, state })
    }

    /// The event loop has heard the signal and stops.
    pub fn heard(&self) {
        self.state.reach(Step::Heard);
    }

    /// The process has stopped in order, or its signals are somebody else's from now on.
    pub fn finished(&self) {
        self.state.reach(Step::Finished);
        self.signals.close();
    }
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.finished();
    }
}

impl State {
    fn reach(&self, step: Step) {
        let mut reached = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        if *reached < step {
            *reached = step;
            self.changed.notify_all();
        }
    }

    /// Returns once the step is reached; ends the process if it is not in time.
    fn end_unless(&self, step: Step, within: Duration, signal: i32) {
        let reached = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.changed.wait_timeout_while(reached, within, |reached| *reached < step);
        if *wait.unwrap_or_else(PoisonError::into_inner).0 < step {
            let what = if step == Step::Heard { "did not hear the signal" } else { "did not finish its stop" };
            let seconds = within.as_secs_f64();
            let _ = writeln!(
                std::io::stderr(),
                "infinity: the process {what} within {seconds:.0} s and was ended; everything that was accepted is on disk"
            );
            signal_hook::low_level::exit(128 + signal);
        }
    }
}

fn unavailable(cause: &std::io::Error) -> Error {
    Error::Storage(format!("signals cannot be watched ({cause}); check the limits on open files and threads"))
}
