"""The pages: links resolve, snippets are files that run, what the README promises is on its first screen."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("benches/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
)
EXAMPLES = sorted(ROOT.glob("examples/**/*"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short_and_begins_with_what_to_type() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    first_screen = "\n".join(lines[:40])
    assert "make demo" in first_screen
    assert "make test" in first_screen


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_python_snippet_is_part_of_an_example_that_runs(page: Path) -> None:
    sources = [example.read_text() for example in EXAMPLES if example.suffix == ".py"]
    for snippet in blocks(page, "python"):
        assert any(snippet.strip() in source for source in sources), f"in no file of examples/:\n{snippet}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_configuration_snippet_is_valid(page: Path) -> None:
    from infinity.config.schema import Config
    from infinity.models.registry import Models

    for snippet in blocks(page, "toml"):
        config = Config.model_validate(tomllib.loads(snippet))
        Models(config.models, environment={})


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_on_a_page_exists(page: Path) -> None:
    import click

    from infinity.cli.main import infinity

    commands = infinity.list_commands(click.Context(infinity))
    for line in "\n".join(blocks(page, "sh")).splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["make"]:
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert set(words[1:2]) <= set(targets), line
        if words[:1] == ["infinity"] and len(words) > 1:
            assert words[1].startswith("-") or words[1] in commands, line


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text()
    pages = [page.name for page in folder.glob("0*.md")]
    assert pages
    assert not [name for name in pages if f"({name})" not in listed]


def test_every_page_can_be_found_from_the_first_one() -> None:
    folder = ROOT / "docs"
    found, waiting = set(), [folder / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        found.add(page)
        links = [link.partition("#")[0] for link in LINK.findall(prose(page)) if "://" not in link]
        waiting += [(page.parent / link).resolve() for link in links if link.endswith(".md")]
    assert set(folder.glob("**/*.md")) - found == set()
