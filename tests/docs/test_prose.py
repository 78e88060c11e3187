"""Plain English: phrases that readers stumble over stand neither on a page nor in a help text, nor in an error."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.docs.test_pages import PAGES, named, prose

from infinity.cli.main import infinity

PACKAGE = Path(__file__).parents[2] / "python" / "infinity"
FORBIDDEN = {
    "whoever": r"\bwhoever\b",
    "belongs into": r"\bbelongs? into\b",
    "mend": r"\bmend(s|ed|ing)?\b",
    "is no ...": r"(?<!there )\bis no (?!(more|longer|larger|other|reason|harm|limit|good|fault|advice|such|news|bound)\b)\w",
    "lists those there are": r"\blists? those there are\b",
    "for for ever": r"\bfor for\b",
    "goes on by itself": r"\b(goes?|tried|asked) (on |again )?by itself\b",
    "a sentence without a verb": r"(^|[.|:] )(?-i:Of) (a|an|the|what|those|these|two|all|each|more|longer) ",
}


def stumbles(text: str) -> list[str]:
    """The names of the phrases that are in the text."""
    return [
        name for name, pattern in FORBIDDEN.items() if re.search(pattern, text, re.IGNORECASE | re.MULTILINE)
    ]


def helps(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    yield path, " ".join(filter(None, (command.help, command.short_help, command.epilog)))
    for parameter in command.params:
        yield f"{path} {parameter.name}", getattr(parameter, "help", None) or ""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from helps(found, f"{path} {name}")


def errors(source: str) -> Iterator[tuple[int, str]]:
    """Texts in what is raised, with their lines; what is filled in is ``{}``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for part in ast.walk(node.exc):
                if isinstance(part, ast.JoinedStr):
                    yield part.lineno, "".join(str(getattr(each, "value", "{}")) for each in part.values)
                elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=named)
def test_a_page_is_in_plain_english(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "x", prose(page))
    assert stumbles(text) == []


def test_help_is_in_plain_english() -> None:
    assert {where: found for where, text in helps(infinity, "infinity") if (found := stumbles(text))} == {}


def test_errors_are_in_plain_english() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}:{line}: {text}": names
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in errors(path.read_text())
        if (names := stumbles(text))
    }
    assert found == {}


def test_each_phrase_is_found() -> None:
    for text in (
        "Whoever asks.",
        "It belongs into the file.",
        "It is mended.",
        "x is no setting",
        "`infinity threads` lists those there are",
        "nothing waited for for ever",
        "the model is asked again by itself",
        "Of the new thread.",
    ):
        assert len(stumbles(text)) == 1, text
    assert stumbles("There is no thread; it is no longer there. Of course.") == []
