"""The example synthesised once, and a stack with every option, as plain templates. ``make cdk`` runs these; they need Node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLE = ROOT / "examples" / "lambda"
FUNCTIONS = ("agent", "receiver", "api", "relay", "dead_letters", "sweep")


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The least that is a layer: the infrastructure looks at nothing but its manifest."""
    from infinity.deploy.layer.build import MANIFEST

    file = tmp_path_factory.mktemp("layer") / "layer.zip"
    manifest = {
        "infinity": "0.1.0",
        "wheel": "infinity_runtime.whl",
        "wheel_sha256": "0" * 64,
        "python": "3.12",
        "architecture": "aarch64",
        "packages": {},
        "bytecode": True,
    }
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(manifest))
    return file


def synthesised(arguments: list[str], folder: Path, out: Path, layer: Path) -> dict[str, Path]:
    """Templates by the names of their stacks. ``out``: where the assembly goes."""
    environment = {**os.environ, "CDK_OUTDIR": str(out), "INFINITY_LAYER": str(layer)}
    environment["PYTHONPATH"] = str(ROOT / "python")
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return {file.name.removesuffix(".template.json"): file for file in out.glob("*.template.json")}


@pytest.fixture(scope="session")
def example(layer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (made,) = synthesised(["app.py"], EXAMPLE, tmp_path_factory.mktemp("example"), layer).values()
    return made


@pytest.fixture(scope="session")
def assembly(layer: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The templates of ``stacks.py``."""
    arguments = [str(HERE / "stacks.py"), str(EXAMPLE / "agent"), str(layer)]
    return synthesised(arguments, EXAMPLE, tmp_path_factory.mktemp("stacks"), layer)


@pytest.fixture(scope="session")
def everything(assembly: dict[str, Path]) -> Path:
    return assembly["Everything"]


class Template:
    """Resources of a template, by type."""

    def __init__(self, file: Path) -> None:
        self.document = json.loads(file.read_text())
        self.resources: dict[str, dict[str, Any]] = {
            name: resource
            for name, resource in self.document["Resources"].items()
            # The CDK's own, which empties a bucket before it is deleted.
            if not name.startswith("CustomS3AutoDeleteObjectsCustomResourceProvider")
        }

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties of the resources of this type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def one(self, kind: str) -> dict[str, Any]:
        (properties,) = self.of(kind).values()
        return properties

    def functions(self) -> dict[str, dict[str, Any]]:
        """Properties of the host's functions, by the handler's name."""
        found = self.of("AWS::Lambda::Function").values()
        prefix = "infinity.cloud.handlers."
        return {
            each["Handler"].removeprefix(prefix): each for each in found if each["Handler"].startswith(prefix)
        }

    def variables(self, function: str) -> dict[str, Any]:
        found: dict[str, Any] = self.functions()[function]["Environment"]["Variables"]
        return found

    def id_of(self, function: str) -> str:
        handler = f"infinity.cloud.handlers.{function}"
        found = self.of("AWS::Lambda::Function").items()
        return next(name for name, each in found if each["Handler"] == handler)

    def statements(self, role: Any = None) -> list[dict[str, Any]]:
        """Of every policy, or of those that are attached to one role (as a function names it)."""
        wanted = {"Ref": role["Fn::GetAtt"][0]} if role else None
        documents = [
            policy["PolicyDocument"]
            for policy in self.of("AWS::IAM::Policy").values()
            if wanted is None or wanted in policy["Roles"]
        ]
        return [statement for document in documents for statement in document["Statement"]]

    def allowed(self, function: str) -> set[str]:
        """Actions that a function may do on something."""
        return {
            action
            for statement in self.statements(self.functions()[function]["Role"])
            for action in listed(statement["Action"])
        }


def queues(template: Template) -> dict[str, tuple[str, dict[str, Any]]]:
    """By what the variables say; ``dead`` is the inbox queue's dead-letter queue."""
    found = template.of("AWS::SQS::Queue")
    variables = template.variables("agent")
    named = {
        "inbox": variables["INFINITY_INBOX_QUEUE"]["Ref"],
        "delay": variables["INFINITY_DELAY_QUEUE"]["Ref"],
        "output": variables["INFINITY_OUTPUT_QUEUE"]["Ref"],
        "late": variables["INFINITY_SCHEDULE_DEAD_LETTERS"]["Fn::GetAtt"][0],
    }
    named["dead"] = found[named["inbox"]]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    assert set(named.values()) == set(found)
    return {name: (id, found[id]) for name, id in named.items()}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="session", params=["example", "everything"])
def template(request: pytest.FixtureRequest) -> Template:
    return Template(request.getfixturevalue(request.param))


@pytest.fixture(scope="session")
def plain(example: Path) -> Template:
    return Template(example)


@pytest.fixture(scope="session")
def full(everything: Path) -> Template:
    return Template(everything)


@pytest.fixture(scope="session")
def existing(assembly: dict[str, Path]) -> Template:
    return Template(assembly["Existing"])


@pytest.fixture(scope="session")
def network(assembly: dict[str, Path]) -> Template:
    return Template(assembly["Network"])


@pytest.fixture(scope="session")
def two(assembly: dict[str, Path]) -> Template:
    return Template(assembly["Two"])
