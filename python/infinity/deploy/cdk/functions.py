"""The six functions: each with a role, a log group and variables of its own; all of the same layer and the
same code.

``agent`` says what each is for (``Duty``). A role begins with nothing but its own log; ``permissions`` adds
single actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import Duration, IgnoreMode, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infinity.deploy.layer.build import read_manifest
from infinity.deploy.layer.python import python_version
from infinity.errors import ConfigError

from .environment import SizeCheck
from .options import Options
from .permissions import be_in_network, use_key

__all__ = ["UNWANTED", "AgentFunction", "Deployment", "Duty", "log_group"]

UNWANTED = ("__pycache__", "*.pyc", ".venv", "cdk.out", ".git", "node_modules", "*.db")

_LEVELS = {
    "debug": lambda_.ApplicationLogLevel.DEBUG,
    "info": lambda_.ApplicationLogLevel.INFO,
    "warning": lambda_.ApplicationLogLevel.WARN,
    "error": lambda_.ApplicationLogLevel.ERROR,
}


@dataclass(frozen=True, slots=True)
class Duty:
    """One function: its handler's name, time-out in seconds and memory in MiB; ``reserve``: invocations that
    are its own, 0 for none.
    """

    name: str
    timeout: int
    memory: int
    about: str
    reserve: int = 0


class Deployment:
    """What all functions have in common: the layer and the code, once each.

    The runtime and the architecture are those that the layer was made for.

    Args:
        scope: The agent.
        code: The folder that becomes the functions' code.
        layer: The zip of ``infinity layer build``.
        options: Network and logging.

    Raises:
        ConfigError: if the folder or the layer cannot be used.
    """

    def __init__(self, scope: Construct, code: str | Path, layer: str | Path, options: Options) -> None:
        folder, file = Path(code), Path(layer)
        if not folder.is_dir():
            raise ConfigError(f"the code is to be a folder, with infinity.toml in it; {folder} is none")
        manifest = read_manifest(file)
        arm = manifest.architecture == "aarch64"
        self.options = options
        self.architecture = lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64
        self.runtime = lambda_.Runtime(
            f"python{manifest.python}",
            lambda_.RuntimeFamily.PYTHON,
            supports_snap_start=python_version(manifest.python) >= (3, 12),
        )
        self.layer = lambda_.LayerVersion(
            scope,
            "Layer",
            code=lambda_.Code.from_asset(str(file)),
            compatible_runtimes=[self.runtime],
            compatible_architectures=[self.architecture],
            description=f"Infinity {manifest.infinity}, wheel {manifest.wheel_sha256[:16]}",
        )
        self.network: dict[str, Any] = _network(scope, options)
        self.code = lambda_.Code.from_asset(str(folder), exclude=list(UNWANTED), ignore_mode=IgnoreMode.GLOB)


class AgentFunction(Construct):
    """One function, with a role, a log group and variables of its own.

    ``role`` may write this function's own log and nothing else until it is allowed more. ``entry`` is what
    events and callers are to reach.

    Args:
        scope: The agent.
        duty: What the function is for.
        deployment: What all functions have in common.
        variables: Of this function; ``tell`` adds more.
    """

    def __init__(
        self, scope: Construct, duty: Duty, deployment: Deployment, variables: Mapping[str, str]
    ) -> None:
        super().__init__(scope, duty.name.title().replace("_", ""))
        options = deployment.options
        self.duty = duty
        self._variables = {"INFINITY_LOG_LEVEL": options.log_level, **variables}
        # Made here and not by Lambda at the first line: one that Lambda makes is kept for ever.
        log = log_group(self, options.log_days)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"Infinity: {duty.about}",
        )
        log.grant_write(self.role)
        use_key(self.role, options.key)
        if deployment.network:
            be_in_network(self.role)
        snap = duty.name == "agent" and options.snap_start
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"Infinity: {duty.about}",
            handler=f"infinity.cloud.handlers.{duty.name}",
            code=deployment.code,
            layers=[deployment.layer],
            runtime=deployment.runtime,
            architecture=deployment.architecture,
            role=self.role,
            log_group=log,
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=_LEVELS[options.log_level],
            timeout=Duration.seconds(duty.timeout),
            memory_size=duty.memory,
            reserved_concurrent_executions=duty.reserve or None,
            environment=self._variables,
            environment_encryption=options.key,
            # A conversation goes round by queues for as long as it lasts; Lambda would take that for a loop
            # and stop it after 16 turns.
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap else None,
            **deployment.network,
        )
        # What events and callers are to reach: a published version where there are snapshots.
        self.entry: Any = (
            lambda_.Alias(self, "Live", alias_name="live", version=self.function.current_version)
            if snap
            else self.function
        )
        self.node.add_validation(SizeCheck(self, duty.name, self._variables))

    def tell(self, name: str, value: str) -> None:
        """Set one more variable. Its size counts towards the 4 KB that a function may have."""
        self._variables[name] = value
        self.function.add_environment(name, value)


def _network(scope: Construct, options: Options) -> dict[str, Any]:
    """One security group for all functions, unless there are some: a database allows it to connect."""
    if options.vpc is None:
        return {}
    # One for all of them: the database's own group then needs to allow a single one.
    groups = list(options.security_groups) or [
        ec2.SecurityGroup(scope, "Functions", vpc=options.vpc, description="Functions of Infinity")
    ]
    return {"vpc": options.vpc, "vpc_subnets": options.subnets, "security_groups": groups}


def log_group(scope: Construct, days: int) -> logs.LogGroup:
    """A log group that goes with the stack.

    Args:
        scope: Where it is made.
        days: How long its lines are kept; one of the numbers that CloudWatch offers.

    Raises:
        ConfigError: for another number; the text lists those that there are.
    """
    names = {
        1: "ONE_DAY",
        3: "THREE_DAYS",
        5: "FIVE_DAYS",
        7: "ONE_WEEK",
        14: "TWO_WEEKS",
        30: "ONE_MONTH",
        60: "TWO_MONTHS",
        90: "THREE_MONTHS",
        180: "SIX_MONTHS",
        365: "ONE_YEAR",
        731: "TWO_YEARS",
    }
    if days not in names:
        raise ConfigError(
            f"log_days is {days}, but CloudWatch keeps logs for {', '.join(map(str, names))} days"
        )
    kept = logs.RetentionDays[names[days]]
    return logs.LogGroup(scope, "Log", retention=kept, removal_policy=RemovalPolicy.DESTROY)
