"""An agent on AWS, with tools on Lambda: `cdk deploy`."""

import os
from pathlib import Path

from aws_cdk import App, CfnOutput, Stack
from aws_cdk import aws_secretsmanager as secretsmanager

from infinity.deploy.cdk import InfinityAgent, Options, ToolFunction

HERE = Path(__file__).parent
LAYERS = sorted(HERE.glob("dist/infinity-layer-*.zip"))

app = App()
stack = Stack(app, "Concierge")

# Something random until you put your key in; it is in no template.
key = secretsmanager.Secret(stack, "ModelKey")
CfnOutput(stack, "ModelKeySecret", value=key.secret_name)

agent = InfinityAgent(
    stack,
    "Agent",
    code=HERE / "agent",
    layer=os.environ.get("INFINITY_LAYER") or (LAYERS or ["no layer; run: infinity layer build"])[-1],
    options=Options(secrets={"ANTHROPIC_API_KEY": key}),
)
office = ToolFunction(stack, "Office", agent=agent, code=HERE / "office", handler="office.handler")
agent.add_toolset("office", function=office.function)

app.synth()
