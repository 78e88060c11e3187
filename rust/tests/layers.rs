//! Which file may name which: the crate's map as a test. A name is `crate::x` or, inside `py/`, a module of pyo3.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module → what it may use besides itself. What is not listed here does not exist.
const LAYERS: [(&str, &[&str]); 17] = [
    ("error", &[]),
    ("id", &[]),
    ("message", &["id"]),
    ("wake", &["error"]),
    ("stop", &["error"]),
    ("held", &["error", "wake"]),
    ("mailbox", &["error", "id", "message"]),
    // Records are made and read by the nouns that they hold.
    ("codec", &["error"]),
    ("content", &["error"]),
    ("dedup", &["codec", "error"]),
    ("delta", &["id", "message"]),
    ("display", &["error"]),
    ("render", &["content", "error", "history"]),
    ("history", &["codec", "dedup", "delta", "error", "id", "message"]),
    ("journal", &["codec", "delta", "error", "id", "message", "wake"]),
    ("lib", &[]),
    (
        "py",
        &[
            "codec", "content", "dedup", "delta", "display", "error", "held", "history", "id", "journal", "mailbox",
            "message", "render", "stop", "wake",
        ],
    ),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All source files with the module each belongs to.
fn files() -> Vec<(String, PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![source()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(source()).unwrap();
                let module = Path::new(inside.iter().next().unwrap()).file_stem().unwrap();
                let text = fs::read_to_string(&path).unwrap();
                found.push((module.to_str().unwrap().to_owned(), path, text));
            }
        }
    }
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// The code without comments.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Modules that the code names after `crate::`, braces included.
fn used(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => drop(names.insert(word(rest))),
            Some(list) => {
                panic!("`crate::{{{}` hides what is used; one `use` for each module", &list[..list.len().min(30)])
            }
        }
    }
    names
}

#[test]
fn modules_use_only_what_lies_below_them() {
    for (module, path, text) in files() {
        let allowed = LAYERS.iter().find(|layer| layer.0 == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} has no place in the layers; give it one"));
        for name in used(&code(&text)) {
            let fine = name == module || allowed.contains(&name.as_str());
            assert!(fine, "{} uses crate::{name}, which {module} may not", path.display());
        }
    }
}

#[test]
fn only_the_bindings_name_pyo3() {
    for (module, path, text) in files() {
        let named = code(&text).contains("pyo3");
        assert!(!named || module == "py", "{} names pyo3", path.display());
    }
}

#[test]
fn only_the_journal_names_sqlite() {
    for (module, path, text) in files() {
        let named = code(&text).contains("rusqlite");
        assert!(!named || module == "journal", "{} names rusqlite", path.display());
    }
}

#[test]
fn unsafe_code_is_in_the_wake_only() {
    for (module, path, text) in files() {
        let named = code(&text).contains("unsafe {");
        assert!(!named || module == "wake", "{} has unsafe code", path.display());
    }
}

#[test]
fn source_files_stay_readable() {
    for (_, path, text) in files() {
        let lines = text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines; split it", path.display());
    }
}
