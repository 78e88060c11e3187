"""Dialects of Chat Completions: known endpoints refuse nothing, unknown ones teach what they want by one refusal per rule, once and for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from infinity import errors
from infinity.abc.model import ModelRequest, Turn
from infinity.models import reasoning
from infinity.models.access import Access, ModelTimeouts
from infinity.models.dialects import ROWS, dialect_of
from infinity.models.learning import RULES
from infinity.models.lessons import META, Lessons
from infinity.models.model_list import Told, told_of
from infinity.models.openai import Api, OpenAIModel, OpenAIOptions
from infinity.models.openai_models import info
from infinity.models.settings import DialectSettings
from infinity.models.too_long import window_in
from infinity.testing.chat_dialects import STRICT
from infinity.testing.openai_server import OpenAIServer
from infinity.testing.provider_contract import IMAGE
from infinity.testing.script import Reply

TIMEOUTS = ModelTimeouts(connect=5, stall=20, total=40)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "look", "input": arguments}


def result(id: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": [*content]}


# Everything that histories hold: foreign reasoning, parallel calls, images in results, words right behind results, events, late results.
HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": [text("go"), IMAGE]},
    {
        "role": "assistant",
        "content": [
            reasoning.block("hm", "elsewhere chat other", {"reasoning_content": "hm"}),
            {"type": "thinking", "thinking": "of Claude", "signature": "EqQB=="},
            text("Both."),
            use("call_5f0a6c1e2b3d4e5f60718293a4b5c6", path="a"),
            use("call_1f0a6c1e2b3d4e5f60718293a4b5c6", path="b"),
        ],
    },
    {
        "role": "user",
        "content": [
            result("call_5f0a6c1e2b3d4e5f60718293a4b5c6", text("seen"), IMAGE),
            result("call_1f0a6c1e2b3d4e5f60718293a4b5c6", text("still running; its result comes later")),
            text("how is it going?"),
        ],
    },
    {"role": "assistant", "content": [text("Well.")]},
    {"role": "user", "content": [text("fine")]},
    {"role": "assistant", "content": [use("call_2f0a6c1e2b3d4e5f60718293a4b5c6")]},
    {"role": "user", "content": [result("call_2f0a6c1e2b3d4e5f60718293a4b5c6", text("an event"))]},
]
TOOLS = [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}]


def request(messages: list[dict[str, Any]] | None = None, model: str = "some-model") -> ModelRequest:
    encode = msgspec.json.encode
    return ModelRequest(info(model), "Be brief.", encode(TOOLS), encode(messages or HISTORY), 4000)


class Meta:
    """A store, as far as lessons need one."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def meta(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def put_meta(self, key: str, value: bytes) -> None:
        self.kept[key] = value


@asynccontextmanager
async def connected(
    server: OpenAIServer, store: Meta | None = None, dialect: DialectSettings | None = None
) -> AsyncIterator[OpenAIModel]:
    """A provider as a process has it that has just started."""
    model = OpenAIModel(
        Access("sk-dialects", base_url=server.url), TIMEOUTS, OpenAIOptions(Api.CHAT, dialect=dialect)
    )
    lessons = Lessons()
    if store is not None:
        lessons.keep_in(store)
    model.taught_by(lessons)
    try:
        yield model
    finally:
        await model.close()


async def ask(model: OpenAIModel, asked: ModelRequest | None = None) -> Turn:
    last = [part async for part in model.stream(asked or request())][-1]
    assert isinstance(last, Turn)
    return last


REPLY = Reply().think("I look.").call("look", path="c")


@pytest.mark.parametrize("name", [name for name in STRICT if name in ROWS])
async def test_a_known_endpoint_refuses_nothing(name: str) -> None:
    async with (
        OpenAIServer(lambda _: REPLY, dialect=name) as server,
        connected(server, dialect=DialectSettings(row=name)) as model,
    ):
        turn = await ask(model)
        ours = [{**block, "id": "call_3"} if block["type"] == "tool_use" else block for block in turn.blocks]
        answered = [
            {"role": "assistant", "content": ours},
            {"role": "user", "content": [result("call_3", text("x"))]},
        ]
        await ask(model, request([*HISTORY, *answered]))
    assert (server.violations, server.effects.refused) == ([], 0)


@pytest.mark.parametrize("name", STRICT)
async def test_an_unknown_endpoint_teaches_what_it_wants_once(name: str) -> None:
    store = Meta()
    async with OpenAIServer(lambda _: REPLY, dialect=name) as server:
        async with connected(server, store) as model:
            await ask(model)
            taught = server.effects.refused
            await ask(model)
        async with connected(server, store) as model:  # after a restart
            await ask(model)
        assert server.violations == []
        lessons = msgspec.json.decode(store.kept.get(META, b"{}"))
        learned = [lesson["rule"] for of in lessons.values() for lesson in of]
    assert server.effects.refused == taught
    if name != "silent":
        assert taught <= len(learned)


async def test_what_says_nothing_is_found_out_all_the_same() -> None:
    async with (
        OpenAIServer(lambda _: Reply().say("x"), dialect="silent") as server,
        connected(server) as model,
    ):
        await ask(model)
        assert server.effects.refused > 0
        refused = server.effects.refused
        await ask(model)
    assert server.effects.refused == refused


async def test_a_refusal_that_no_form_helps_is_the_first_one_and_is_not_puzzled_over_again() -> None:
    replies = [Reply().fail(400, message=f"the moon is in the wrong house {number}") for number in range(40)]
    async with OpenAIServer(lambda _: replies.pop(0)) as server, connected(server) as model:
        with pytest.raises(errors.InvalidModelRequest, match="house 0"):
            await ask(model)
        first = len(server.requests)
        with pytest.raises(errors.InvalidModelRequest):
            await ask(model)
    assert 1 < first <= 10 and len(server.requests) == first + 1


@pytest.mark.parametrize("status", [401, 404, 429, 529])
async def test_other_errors_teach_nothing(status: int) -> None:
    async with OpenAIServer(lambda _: Reply().fail(status)) as server, connected(server) as model:
        with pytest.raises(errors.ModelError):
            await ask(model)
    assert len(server.requests) == 1


async def test_what_the_configuration_says_is_not_learned_otherwise() -> None:
    settings = DialectSettings(row="plain", call_ids="any")
    async with (
        OpenAIServer(lambda _: REPLY, dialect="mistral") as server,
        connected(server, dialect=settings) as model,
    ):
        with pytest.raises(errors.InvalidModelRequest, match="length of 9"):
            await ask(model)


async def test_an_endpoint_that_sends_reasoning_with_calls_gets_it_with_every_call() -> None:
    store = Meta()
    async with OpenAIServer(lambda _: REPLY, dialect="deepseek") as server:
        async with connected(server, store) as model:
            await ask(model, request([{"role": "user", "content": "go"}]))
            await ask(model)
        async with connected(server, store) as model:
            await ask(model)
    assert server.effects.refused == 0


async def test_a_window_that_a_refusal_tells_is_known_from_there_on() -> None:
    store = Meta()
    said = "This model's maximum context length is 8192 tokens. However, you requested 9300 tokens."
    async with (
        OpenAIServer(lambda _: Reply().fail(400, message=said)) as server,
        connected(server, store) as model,
    ):
        with pytest.raises(errors.ContextTooLong):
            await ask(model)
        assert model.told("some-model").window == 8192
        assert model.told("another").window is None


@pytest.mark.parametrize(
    ("listed", "window", "price"),
    [
        ({"max_model_len": 8192}, 8192, None),
        ({"context_length": 131072, "top_provider": {"context_length": 32768}}, 131072, None),
        ({"context_window": "4096"}, 4096, None),
        ({"meta": {"n_ctx": 16384}}, 16384, None),
        ({"loaded_context_length": 4096, "max_context_length": 262144}, 4096, None),
        ({"pricing": {"prompt": "0.000001", "completion": "0.000002"}}, None, (1, 2, 1, 1)),
        ({"pricing": {"prompt": "-1", "completion": "0"}}, None, None),
        ({"pricing": "free", "context_length": None}, None, None),
    ],
)
def test_a_list_of_models_tells_sizes_and_prices(
    listed: dict[str, Any], window: int | None, price: tuple[float, ...] | None
) -> None:
    told = told_of({"data": [{"id": "other", "max_model_len": 1 << 20}, {"id": "mine", **listed}]}, "mine")
    assert told.window == window
    assert told.price == (pytest.approx(price) if price is not None else None)


@pytest.mark.parametrize(
    "listed", [None, [], {}, {"data": None}, {"data": [3]}, "text", {"data": [{"id": "x"}]}]
)
def test_a_list_of_another_form_tells_nothing(listed: Any) -> None:
    assert told_of(listed, "mine") == Told()


async def test_a_model_of_unknown_size_has_the_window_that_its_endpoint_lists() -> None:
    store = Meta()
    async with OpenAIServer(lambda _: Reply().say("x")) as server:
        server.sizes = {"max_model_len": 6000}
        server.models = ("some-model",)
        for _ in range(2):
            async with connected(server, store) as model:
                await ask(model)
                assert model.told("some-model").window == 6000
        assert server.lists == 1
    assert all(body["max_tokens"] < 6000 for body in server.bodies)


async def test_a_conversation_that_fits_the_window_a_refusal_names_is_sent_again_with_a_shorter_answer() -> (
    None
):
    def answer(body: dict[str, Any]) -> Reply:
        said = f"This model's maximum context length is 2048 tokens. However, you requested {body['max_tokens']} tokens."
        return Reply().fail(400, message=said) if body["max_tokens"] > 2000 else Reply().say("x")

    async with OpenAIServer(answer) as server, connected(server) as model:
        await ask(model, request([{"role": "user", "content": "go"}]))
        assert len(server.requests) == 2
        await ask(model, request([{"role": "user", "content": "go"}]))
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("said", "window"),
    [
        ("This model's maximum context length is 8192 tokens. However, you requested 9300 tokens.", 8192),
        ("prompt is too long: 205668 tokens > 200000 maximum", 200_000),
        (
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            1_048_576,
        ),
        ("This model's maximum prompt length is 131072 but the request contains 200000 tokens.", 131_072),
        ("You passed 8193 input tokens. However, the model's context length is only 8192 tokens.", 8192),
        ("Your request exceeded model token limit: 262,144 (requested: 300000)", 262_144),
        ("the request exceeds the available context size", None),
    ],
)
def test_the_limit_is_found_in_a_refusal(said: str, window: int | None) -> None:
    assert window_in(said) == window


def test_addresses_have_their_rows() -> None:
    assert [
        dialect_of(host)
        for host in (
            "api.openai.com",
            "me.openai.azure.com",
            "openrouter.ai",
            "127.0.0.1:11434",
            "localhost:1234",
            "10.0.0.1:11434",
            "notopenrouter.ai",
            "[::1]:9",
        )
    ] == ["openai", "azure", "openrouter", "ollama", "lmstudio", "plain", "plain", "plain"]


def test_rules_have_names_of_their_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
