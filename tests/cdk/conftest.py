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

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "lambda"
FUNCTIONS = ("agent", "receiver", "api", "relay", "dead_letters", "sweep")
EVERYTHING = """
import sys
from pathlib import Path
from aws_cdk import App, Stack
from aws_cdk import aws_cloudwatch_actions as actions, aws_kms as kms, aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager, aws_sns as sns, aws_ssm as ssm
from infinity.cloud.cdk import InfinityAgent, Options

code, layer = sys.argv[1:]
stack = Stack(App(), "Everything")
keys = secretsmanager.Secret(stack, "Keys")
options = Options(
    agent="desk:agent",
    environment={"INFINITY_MODEL": "fast"},
    secrets={
        "ANTHROPIC_API_KEY": (keys, "anthropic"),
        "OTHER": ssm.StringParameter.from_secure_string_parameter_attributes(stack, "Other", parameter_name="/other"),
    },
    timeout=900,
    concurrency=50,
    api_token=keys,
    public_url="https://agent.example",
    key=kms.Key(stack, "Key"),
    snap_start=True,
    alarm_email="ops@agent.example",
    alarm_actions=[actions.SnsAction(sns.Topic(stack, "Alarm"))],
    keep=False,
)
agent = InfinityAgent(stack, "Agent", code=code, layer=layer, options=options)
agent.add_toolset("web_search", url="https://search.example", token_secret=(keys, "search"))
stack.node.root.synth()
"""


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The least that is a layer: the infrastructure looks at nothing but its manifest."""
    from infinity.cloud.layer.build import MANIFEST

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


def synthesised(arguments: list[str], folder: Path, out: Path, layer: Path) -> Path:
    """The stack's template. ``out``: where the assembly goes."""
    environment = {**os.environ, "CDK_OUTDIR": str(out), "INFINITY_LAYER": str(layer)}
    environment["PYTHONPATH"] = str(ROOT / "python")
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (template,) = out.glob("*.template.json")
    return template


@pytest.fixture(scope="session")
def example(layer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesised(["app.py"], EXAMPLE, tmp_path_factory.mktemp("example"), layer)


@pytest.fixture(scope="session")
def everything(layer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    arguments = ["-c", EVERYTHING, str(EXAMPLE / "agent"), str(layer)]
    return synthesised(arguments, EXAMPLE, tmp_path_factory.mktemp("everything"), layer)


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
