//! A disk that refuses to write, for real: a limit on file sizes, in a process of its own.

use crate::desk::{Desk, created, ids, message};
use _core::journal::{Expect, Write};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const HOME: &str = "INFINITY_DISK_TEST_HOME";

#[allow(unsafe_code, reason = "changes a limit of this process, which runs this test only")]
fn limit_file_size(bytes: libc::rlim_t) {
    unsafe {
        // Otherwise the kernel kills the process instead of failing the write.
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit), 0);
        limit.rlim_cur = bytes.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}

fn fill_the_disk_and_free_it(home: &Path) {
    let desk = Desk::at(&home.join("infinity.db"));
    desk.commit(created("t")).unwrap();
    desk.queue("t", "before");
    let log = fs::metadata(home.join("infinity.db-wal")).unwrap().len();

    limit_file_size(log);
    let submit = |id: String| desk.journal.write(Write::Accept { message: message("t", &id), expect: Expect::Any });
    let tickets: Vec<_> = (0..50).map(|number| submit(format!("refused {number}"))).collect();
    for ticket in tickets {
        let error = desk.outcome(ticket).unwrap_err();
        assert_eq!(error.code(), "storage", "{error}");
        assert!(error.text().contains("infinity.db"), "{error}");
    }
    assert_eq!(ids(&desk.inbox()), ["before"], "something was half accepted");

    limit_file_size(libc::RLIM_INFINITY);
    desk.queue("t", "after");
    desk.queue("t", "refused 7");
    assert_eq!(ids(&desk.inbox()), ["before", "after", "refused 7"]);
    let desk = desk.reopened();
    assert_eq!(ids(&desk.inbox()), ["before", "after", "refused 7"]);
}

#[test]
fn a_group_that_cannot_be_written_fails_whole_and_the_next_one_succeeds() {
    if let Some(home) = std::env::var_os(HOME) {
        return fill_the_disk_and_free_it(Path::new(&home));
    }
    let home = TempDir::new().unwrap();
    let name = "failing::a_group_that_cannot_be_written_fails_whole_and_the_next_one_succeeds";
    let status = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--test-threads=1"])
        .env(HOME, home.path())
        .status()
        .unwrap();
    assert!(status.success());
}
