"""Stacks with options, in one assembly: ``python stacks.py CODE LAYER``, with the folder in ``CDK_OUTDIR``. One process, for Node takes long to start."""

import sys

from aws_cdk import App, Stack
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm

from infinity.deploy.cdk import InfinityAgent, Options, Stores

app = App()
code, layer = sys.argv[1:]


def everything() -> None:
    """Every option that goes with the others; nothing is kept."""
    stack = Stack(app, "Everything")
    keys = secretsmanager.Secret(stack, "Keys")
    other = ssm.StringParameter.from_secure_string_parameter_attributes(
        stack, "Other", parameter_name="/other"
    )
    options = Options(
        agent="desk:agent",
        environment={"INFINITY_MODEL": "fast"},
        secrets={"ANTHROPIC_API_KEY": (keys, "anthropic"), "OTHER": other},
        timeout=900,
        concurrency=50,
        reserve=40,
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


def two() -> None:
    """Two agents in one stack."""
    stack = Stack(app, "Two")
    for name in ("One", "Other"):
        InfinityAgent(stack, name, code=code, layer=layer)


def existing() -> None:
    """On what an earlier deployment has left: names, a URL, an ARN, and a queue of the same program."""
    stack = Stack(app, "Existing")
    stores = Stores.existing(
        cluster="abcdefghijklmnopqrstuvwxyz",
        table="Old-Table",
        bucket="old-bucket",
        inbox="https://sqs.eu-central-1.amazonaws.com/111122223333/Old-Inbox.fifo",
        dead_letters="arn:aws:sqs:eu-central-1:111122223333:Old-Dead.fifo",
        delay="Old-Delay",
        output=sqs.Queue(stack, "Mine", fifo=True, enforce_ssl=True),
    )
    InfinityAgent(stack, "Agent", code=code, layer=layer, options=Options(backup=35), stores=stores)


def network() -> None:
    """In a network, on a PostgreSQL database there, with copies every day."""
    stack = Stack(app, "Network")
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2, restrict_default_security_group=False)
    options = Options(
        store=secretsmanager.Secret(stack, "Url"),
        vpc=vpc,
        subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        backup=7,
        started=True,
        restored="2",
    )
    InfinityAgent(stack, "Agent", code=code, layer=layer, options=options)


for make in (everything, two, existing, network):
    make()
app.synth()
