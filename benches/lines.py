"""Code, comments and docstrings of the Python package, counted for the working tree and for a git revision.

    python benches/lines.py [REVISION]

A line counts once: as code, as a comment, as a docstring, or as blank. A line with both code and a comment counts as code. A public function is
documented if its docstring names each of its arguments, in double backquotes or in an ``Args:`` section; the arguments
of a constructor may stand at its class. ``self`` and ``cls`` do not count.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tarfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "python/infinity"
ROWS = {
    "files": "files",
    "code": "lines of code",
    "comments": "lines of comments alone",
    "docstrings": "lines of docstrings",
    "described": "docstrings",
    "short": "of these, of one line",
    "functions": "public functions and methods with arguments",
    "undocumented": "of these, with an argument that the docstring does not name",
    "wide": "lines of code above 110 columns",
}
_SKIPPED = (
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.COMMENT,
)
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def measured(sources: Iterator[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for source in sources:
        counts += _file(source)
    return counts


def _file(source: str) -> Counter[str]:
    tree = ast.parse(source)
    nodes = [node for node in ast.walk(tree) if isinstance(node, _Documented)]
    strings = [found for node in nodes if (found := _docstring(node)) is not None]
    prose = {line for found in strings for line in range(found.lineno, (found.end_lineno or 0) + 1)}
    code: set[int] = set()
    comments: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in _SKIPPED:
            code.update(range(token.start[0], token.end[0] + 1))
    code -= prose
    lines = source.splitlines()
    public = [
        node
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _arguments(node)
    ]
    public = [node for node in public if not node.name.startswith("_") or node.name == "__init__"]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    of_class = {id(member): ast.get_docstring(each) or "" for each in classes for member in each.body}
    return Counter(
        files=1,
        code=len(code),
        comments=len(comments - code),
        docstrings=len(prose),
        described=len(strings),
        short=sum(found.lineno == found.end_lineno for found in strings),
        functions=len(public),
        undocumented=sum(
            not _names_all(node, of_class.get(id(node), "") if node.name == "__init__" else "")
            for node in public
        ),
        wide=sum(len(lines[number - 1]) > 110 for number in code),
    )


def _docstring(node: _Documented) -> ast.Constant | None:
    first = node.body[0] if node.body else None
    value = first.value if isinstance(first, ast.Expr) else None
    return value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return {each.arg for each in every} - {"self", "cls"}


def _names_all(node: ast.FunctionDef | ast.AsyncFunctionDef, of_class: str) -> bool:
    text = f"{ast.get_docstring(node) or ''}\n{of_class}"
    section = set(re.findall(r"^    (\w+): ", text, re.MULTILINE))
    return all(name in section or f"``{name}``" in text for name in _arguments(node))


def of_tree() -> Iterator[str]:
    return (path.read_text() for path in sorted((ROOT / PACKAGE).rglob("*.py")))


def of_revision(revision: str) -> Iterator[str]:
    packed = subprocess.run(["git", "archive", revision, PACKAGE], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        for member in archive:
            if member.name.endswith(".py") and (file := archive.extractfile(member)) is not None:
                yield file.read().decode()


def main() -> None:
    columns = {"now": measured(of_tree())}
    columns |= {name: measured(of_revision(name)) for name in sys.argv[1:]}
    print(f"{'':62}" + "".join(f"{name[:12]:>14}" for name in columns))
    for row, title in ROWS.items():
        print(f"{title:62}" + "".join(f"{counts[row]:>14,}" for counts in columns.values()))


if __name__ == "__main__":
    main()
