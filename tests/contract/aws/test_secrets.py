"""Secrets Manager, the parameter store, and who one is."""

from __future__ import annotations

from tests.contract.aws.backends import Aws, fresh
from tests.contract.aws.conftest import refused

SERVICE = "secretsmanager"


async def test_a_secret_is_read_by_its_name_and_its_arn(aws: Aws) -> None:
    name = fresh("secret")
    made = await aws.call("secretsmanager", "create_secret", Name=name, SecretString="hush")
    for wanted in (name, made["ARN"]):
        found = await aws.call("secretsmanager", "get_secret_value", SecretId=wanted)
        assert found["SecretString"] == "hush" and found["Name"] == name


async def test_a_secret_has_one_name_and_may_change(aws: Aws) -> None:
    name = fresh("secret")
    await aws.call("secretsmanager", "create_secret", Name=name, SecretString="one")
    with refused("ResourceExistsException"):
        await aws.call("secretsmanager", "create_secret", Name=name, SecretString="two")
    await aws.call("secretsmanager", "put_secret_value", SecretId=name, SecretString="two")
    found = await aws.call("secretsmanager", "get_secret_value", SecretId=name)
    assert found["SecretString"] == "two"


async def test_a_secret_that_is_not_there_is_said_not_to_be(aws: Aws) -> None:
    with refused("ResourceNotFoundException"):
        await aws.call("secretsmanager", "get_secret_value", SecretId=fresh("none"))


async def test_a_parameter_is_decrypted_if_asked(aws: Aws) -> None:
    name = "/" + fresh("parameter")
    await aws.call("ssm", "put_parameter", Name=name, Value="hush", Type="SecureString")
    clear = await aws.call("ssm", "get_parameter", Name=name, WithDecryption=True)
    assert clear["Parameter"]["Value"] == "hush"
    sealed = await aws.call("ssm", "get_parameter", Name=name)
    assert sealed["Parameter"]["Value"] != "hush"


async def test_a_parameter_is_overwritten_only_if_asked(aws: Aws) -> None:
    name = "/" + fresh("parameter")
    await aws.call("ssm", "put_parameter", Name=name, Value="1", Type="String")
    with refused("ParameterAlreadyExists"):
        await aws.call("ssm", "put_parameter", Name=name, Value="2", Type="String")
    answer = await aws.call("ssm", "put_parameter", Name=name, Value="2", Type="String", Overwrite=True)
    assert answer["Version"] == 2
    found = await aws.call("ssm", "get_parameter", Name=name)
    assert found["Parameter"]["Value"] == "2"


async def test_a_parameter_that_is_not_there_is_said_not_to_be(aws: Aws) -> None:
    with refused("ParameterNotFound"):
        await aws.call("ssm", "get_parameter", Name="/" + fresh("none"))


async def test_a_caller_is_told_who_it_is(aws: Aws) -> None:
    identity = await aws.call("sts", "get_caller_identity")
    assert identity["Arn"].startswith("arn:aws:") and identity["Account"].isdecimal()
