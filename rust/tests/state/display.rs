//! Display scripts: untrusted, bounded, never an error (DISC-8, B4).

use _core::display::display;
use std::time::{Duration, Instant};

#[test]
fn a_script_makes_a_line_of_the_arguments() {
    assert_eq!(display(r##""PR #" + args.number"##, br#"{"number":42}"#).as_deref(), Some("PR #42"));
    assert_eq!(
        display("`${args.a.b[1]} in ${args.c}`", br#"{"a":{"b":[1,2.5]},"c":"x"}"#).as_deref(),
        Some("2.5 in x")
    );
    let branches = r#"if args.force { "force " + args.ref.to_upper() } else { args.ref }"#;
    assert_eq!(display(branches, br#"{"force":true,"ref":"main"}"#).as_deref(), Some("force MAIN"));
    assert_eq!(
        display(r#"let n = 0; for x in args.l { n += x; } "sum " + n"#, br#"{"l":[1,2]}"#).as_deref(),
        Some("sum 3")
    );
}

#[test]
fn any_failure_is_none() {
    let failing = [
        "",
        "1",
        "()",
        "args",
        "args.missing.deep",
        "(",
        "throw 1",
        "args = 1; \"x\"",
        "unknown()",
        "1/0; \"x\"",
        "9223372036854775807 + 1; \"x\"",
        "eval(\"1\"); \"x\"",
        "sleep(1); \"x\"",
        "import \"x\" as x; \"x\"",
        "timestamp(); \"x\"",
    ];
    for script in failing {
        assert_eq!(display(script, b"{}"), None, "{script}");
    }
    for arguments in ["", "[]", "1", "{", "null"] {
        assert_eq!(display("\"x\"", arguments.as_bytes()), None, "{arguments}");
    }
}

#[test]
fn a_script_cannot_run_long_or_grow_large() {
    let greedy = [
        "loop {}",
        "while true { }",
        "fn f() { f() } f()",
        "let s = \"x\"; loop { s += s; }",
        "let a = [1]; loop { a += a; }",
        "let m = #{}; let i = 0; loop { m[`${i}`] = i; i += 1; }",
        "let s = \"x\"; s.pad(100000000, \"y\"); s",
        "let a = []; a.pad(100000000, 1); \"x\"",
        "let s = \"x\"; for i in 0..100000 { s += \"0123456789\"; } s",
        "let n = 0; for i in 0..9223372036854775807 { n += i; } `${n}`",
    ];
    for script in greedy {
        let started = Instant::now();
        assert_eq!(display(script, b"{}"), None, "{script}");
        assert!(started.elapsed() < Duration::from_secs(5), "{script}");
    }
    let nested = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(display(&nested, b"{}"), None);
    assert_eq!(display(&"x".repeat(1 << 20), b"{}"), None);
    assert_eq!(display("args.a", format!(r#"{{"a":"{}"}}"#, "x".repeat(5_000)).as_bytes()), None);
}

#[test]
fn a_greedy_script_does_not_spoil_the_next_one() {
    assert_eq!(display("loop {}", b"{}"), None);
    assert_eq!(display("\"fine\"", b"{}").as_deref(), Some("fine"));
}

#[test]
fn large_arguments_do_not_matter_to_a_script_that_ignores_them() {
    let arguments = format!(r#"{{"path":"a.py","content":"{}"}}"#, "x".repeat(500_000));
    assert_eq!(display("args.path", arguments.as_bytes()).as_deref(), Some("a.py"));
}
