"""Settings by reference: each fetched once, all at once; what cannot be read is listed in full, and shows no secret."""

from __future__ import annotations

import pytest
from tests.patience import PATIENCE

from infinity.aws.client import Aws
from infinity.aws.secrets import resolve
from infinity.emulator import Emulator, Gate, broken, refused
from infinity.errors import ConfigError


async def test_references_are_replaced_and_everything_else_is_left_alone(cloud: Emulator, aws: Aws) -> None:
    arn = cloud.secrets.create("api", '{"token": "hunter2", "port": 5432, "on": true}')
    cloud.secrets.create("plain", "hunter3")
    cloud.parameters.create("/team/db", "postgresql://db")
    environment = {
        "BY_NAME": "secretsmanager:api#token",
        "BY_ARN": f"secretsmanager:{arn}#port",
        "A_FLAG": "secretsmanager:api#on",
        "WHOLE": "secretsmanager:plain",
        "STORE": "ssm:/team/db",
        "PLAIN": "as it is",
        "EMPTY": "",
    }
    assert await resolve(environment, aws) == {
        **environment,
        "BY_NAME": "hunter2",
        "BY_ARN": "5432",
        "A_FLAG": "true",
        "WHOLE": "hunter3",
        "STORE": "postgresql://db",
    }
    assert aws.counts["secretsmanager.GetSecretValue"] == 3 and aws.counts["ssm.GetParameter"] == 1


async def test_without_references_nobody_is_asked(aws: Aws) -> None:
    assert await resolve({"A": "b"}, aws) == {"A": "b"}
    assert aws.counts.total() == 0


async def test_all_are_fetched_at_once(cloud: Emulator, aws: Aws) -> None:
    for name in ("a", "b", "c"):
        cloud.secrets.create(name, name)
    gates = [Gate() for _ in range(3)]
    for gate in gates:
        cloud.faults.add("secretsmanager", "GetSecretValue", gate, times=1)
    import asyncio

    task = asyncio.create_task(resolve({name: f"secretsmanager:{name}" for name in "abc"}, aws))
    async with asyncio.timeout(PATIENCE):
        for gate in gates:
            await gate.arrived()
    for gate in gates:
        gate.open()
    assert await task == {"a": "a", "b": "b", "c": "c"}


@pytest.mark.trap("S9")
async def test_everything_that_cannot_be_read_is_listed_at_once_without_any_value(
    cloud: Emulator, aws: Aws
) -> None:
    cloud.secrets.create("api", '{"token": "hunter2", "list": ["hunter2"]}')
    cloud.secrets.create("text", "hunter2 {")
    environment = {
        "NO_SECRET": "secretsmanager:none",
        "NO_KEY": "secretsmanager:api#port",
        "NO_TEXT": "secretsmanager:api#list",
        "NO_JSON": "secretsmanager:text#key",
        "NO_PARAMETER": "ssm:/none",
        "NO_NAME": "secretsmanager:",
        "FINE": "secretsmanager:text",
    }
    with pytest.raises(ConfigError) as caught:
        await resolve(environment, aws)
    lines = str(caught.value).splitlines()
    assert [line.partition(" ")[0] for line in lines[1:]] == [name for name in environment if name != "FINE"]
    assert "NO_SECRET (secretsmanager:none): " in lines[1] and "ResourceNotFoundException" in lines[1]
    assert "no text under the key 'port'" in lines[2] and "is not JSON" in lines[4]
    assert "ParameterNotFound" in lines[5] and "names nothing" in lines[6]
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "hunter2" not in str(seen)
        seen = seen.__cause__ or seen.__context__


async def test_a_missing_permission_is_named(cloud: Emulator, aws: Aws) -> None:
    cloud.faults.add("ssm", "GetParameter", refused("AccessDeniedException"))
    with pytest.raises(ConfigError, match=r"TOKEN .ssm:x.: .*allow ssm:GetParameter"):
        await resolve({"TOKEN": "ssm:x"}, aws)


async def test_a_service_that_recovers_is_waited_for(cloud: Emulator, aws: Aws) -> None:
    cloud.parameters.create("x", "value")
    cloud.faults.add("ssm", "GetParameter", broken(503), times=2)
    assert await resolve({"TOKEN": "ssm:x"}, aws) == {"TOKEN": "value"}
