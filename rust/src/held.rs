//! Who holds the event loop. A step of a slice that computes for seconds is written down beside the journal, so that the next start knows it if the process
//! has to be ended, and holds that thread back.
//!
//! A thread of its own sleeps on a kernel timer that is set only while slices run (I9): a step costs a lock, and at rest nothing wakes.

use crate::error::{Error, Result};
use crate::wake::Wake;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Watches the steps of slices, one at a time, on the thread of the event loop.
pub struct HeldLoop {
    shared: Arc<Shared>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Wake,
    after: Duration,
    note: PathBuf,
}

#[derive(Default)]
struct State {
    step: Option<Step>,
    /// The timer is set.
    armed: bool,
    ended: bool,
}

struct Step {
    thread: String,
    since: Instant,
    noted: bool,
}

impl HeldLoop {
    /// `note`: where it is written down that a step has held the loop for `after`; it is removed when the step ends after all.
    ///
    /// # Errors
    /// `storage` if the descriptors or the thread cannot be had.
    pub fn new(note: PathBuf, after: Duration) -> Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Wake::new()?, after, note });
        let watching = Arc::clone(&shared);
        let watcher = thread::Builder::new().name("infinity watch".into()).spawn(move || watching.watch());
        let watcher = watcher.map_err(|cause| Error::Storage(format!("a thread cannot be started ({cause})")))?;
        Ok(Self { shared, watcher: Mutex::new(Some(watcher)) })
    }

    /// A step of this thread's slice begins.
    pub fn enter(&self, thread: &str) {
        let mut state = self.shared.lock();
        state.step = Some(Step { thread: thread.into(), since: Instant::now(), noted: false });
        if !state.armed {
            self.shared.arm(&mut state, self.shared.after);
        }
    }

    /// The step has ended.
    pub fn leave(&self) {
        let mut state = self.shared.lock();
        if let Some(step) = state.step.take().filter(|step| step.noted) {
            let _ = fs::remove_file(&self.shared.note);
            say(&step, "held the event loop for", step.since.elapsed());
        }
    }

    /// No slice runs any more: the timer is put away.
    pub fn rest(&self) {
        let mut state = self.shared.lock();
        if state.armed {
            state.armed = false;
            let _ = self.shared.wake.arm(None);
        }
    }

    /// Watch no longer; returns when the watching thread has ended.
    pub fn close(&self) {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher {
            self.shared.lock().ended = true;
            self.shared.wake.signal();
            let _ = watcher.join();
        }
    }
}

impl Drop for HeldLoop {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A loop that cannot be watched is used all the same.
    fn arm(&self, state: &mut State, within: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let due_at = i64::try_from((now + within).as_millis()).unwrap_or(i64::MAX) + 1;
        state.armed = self.wake.arm(Some(due_at)).is_ok();
    }

    fn watch(&self) {
        loop {
            self.wake.wait();
            if self.wake.drain().is_err() {
                return;
            }
            let mut state = self.lock();
            if state.ended {
                return;
            }
            state.armed = false;
            // By the steady clock: the wall clock may have been stepped, and the machine may have slept.
            let Some(step) = state.step.as_mut().filter(|step| !step.noted) else { continue };
            let held = step.since.elapsed();
            if held >= self.after {
                // Before it is written: a step that ends now waits for this lock, and removes the note.
                step.noted = true;
                if let Err(error) = write(&self.note, &step.thread, held) {
                    let name = self.note.display();
                    let _ = writeln!(std::io::stderr(), "infinity: {name} cannot be written ({error})");
                }
                say(step, "has held the event loop for", held);
            } else {
                let left = self.after - held;
                self.arm(&mut state, left);
            }
        }
    }
}

fn say(step: &Step, what: &str, held: Duration) {
    let seconds = held.as_secs_f64();
    let _ = writeln!(std::io::stderr(), "infinity: a slice of {} {what} {seconds:.1} s", step.thread);
}

/// Whole or not at all; on the disk when this returns.
fn write(note: &Path, thread: &str, held: Duration) -> std::io::Result<()> {
    let draft = note.with_extension("new");
    let text = serde_json::json!({ "thread": thread, "seconds": held.as_secs_f64(), "pid": std::process::id() });
    let mut file = File::create(&draft)?;
    file.write_all(text.to_string().as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, note)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn watch(after: u64) -> (tempfile::TempDir, PathBuf, HeldLoop) {
        let home = tempfile::tempdir().unwrap();
        let note = home.path().join("held.json");
        let held = HeldLoop::new(note.clone(), Duration::from_millis(after)).unwrap();
        (home, note, held)
    }

    /// What is written, once it is.
    fn noted(note: &Path) -> serde_json::Value {
        let began = Instant::now();
        while !note.exists() {
            assert!(began.elapsed() < SOON, "nothing was written");
            thread::yield_now();
        }
        serde_json::from_slice(&fs::read(note).unwrap()).unwrap()
    }

    fn armed(held: &HeldLoop) -> bool {
        held.shared.lock().armed
    }

    #[test]
    fn a_step_that_holds_the_loop_is_written_down_until_it_ends() {
        let (_home, note, held) = watch(5);
        for thread in ["a", "b"] {
            held.enter(thread);
            let found = noted(&note);
            assert_eq!(found["thread"], thread);
            assert!(found["seconds"].as_f64().unwrap() >= 0.005);
            held.leave();
            assert!(!note.exists());
        }
    }

    #[test]
    fn steps_that_end_are_not_written_down_however_many_there_are() {
        let (_home, note, held) = watch(60_000);
        for _ in 0..1_000 {
            held.enter("a");
            held.leave();
        }
        assert!(!note.exists() && armed(&held));
    }

    #[test]
    fn a_step_is_not_blamed_for_those_before_it() {
        let (_home, note, held) = watch(100);
        let began = Instant::now();
        // The timer of the first step goes off within one of the others.
        while began.elapsed() < Duration::from_millis(300) {
            held.enter("short");
            held.leave();
        }
        assert!(!note.exists());
        held.enter("long");
        assert_eq!(noted(&note)["thread"], "long");
    }

    #[test]
    fn at_rest_nothing_is_armed() {
        let (_home, _note, held) = watch(60_000);
        held.enter("a");
        held.leave();
        assert!(armed(&held));
        held.rest();
        assert!(!armed(&held));
        held.enter("a");
        assert!(armed(&held));
    }

    #[test]
    fn what_was_written_down_stays_when_the_process_ends() {
        let (_home, note, held) = watch(5);
        held.enter("a");
        noted(&note);
        drop(held);
        assert!(note.exists());
    }
}
