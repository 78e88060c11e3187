"""Learning an endpoint's dialect: what it refused is sent once more in another form, and the form that it
took is known from there on.

A refusal that was not bought costs a round trip, so a rule is learned by one: first those that the
refusal's words or code speak of, then those that are most often the cause of one that says nothing. A
rule counts as learned when the request that it changed was taken; one that left the refusal as it was
is not. When nothing helps, the refusal goes to the engine, which has simpler forms of the conversation
itself. Every attempt is bounded (``MOST_REQUESTS``), and what failed is not tried again for each
completion.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from infinity.errors import InvalidModelRequest, ModelError, ModelUnavailable

from .dialects import Dialect
from .lessons import Lessons
from .model_list import Told

__all__ = ["RULES", "Learner", "Rule"]

T = TypeVar("T")

MOST_REQUESTS = 10
"""Of one completion, the first included."""
_MOST_HOPELESS = 256
"""Refusals that are remembered as those that nothing helped."""
_NOT_TAKEN = re.compile(
    r"unsupported|not supported|n't support|unknown|unrecogni[sz]ed|unexpected|extra|not permitted|not allowed|invalid (?:field|parameter)|additional",
    re.I,
)
_WANTED = re.compile(
    r"missing|require|must (?:be )?(?:contain|include|have|carry|pass|provided|set)|passed back|expected",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that endpoints want otherwise.

    ``change``: fields of the dialect; ``hint``: the words of refusals that speak of it; ``taken``: what
    those words say of it besides, if it must be said; ``guess``: tried when nothing is said.
    """

    name: str
    change: dict[str, Any]
    hint: re.Pattern[str]
    taken: re.Pattern[str] | None = None
    guess: bool = False
    of_model: bool = False
    """Whether it holds for one model of the endpoint only."""
    leaves_out: str = ""
    """The parameter that is not sent, where that is the rule."""
    together: tuple[str, ...] = ()
    """The names of the rules that this one consists of."""

    def speaks(self, text: str) -> bool:
        """Whether a refusal speaks of this rule.

        Args:
            text: of the refusal.
        """
        return self.hint.search(text) is not None and (
            self.taken is None or self.taken.search(text) is not None
        )

    def applied(self, dialect: Dialect) -> Dialect:
        """The dialect with this rule.

        Args:
            dialect: the one that was refused.
        """
        if self.leaves_out:
            return replace(dialect, without=dialect.without | {self.leaves_out})
        return replace(dialect, **self.change)


def _rule(name: str, hint: str, change: dict[str, Any], **more: Any) -> Rule:
    return Rule(name, change, re.compile(hint, re.I), **more)


_NAMED = re.compile(_WANTED.pattern + r"|empty", re.I)
_ROLES = r"\broles?\b|alternat|message.?order|after (?:a |the )?(?:tool|user|assistant|system)|user message|conversation order"

RULES: tuple[Rule, ...] = (
    _rule(
        "call_ids=nine",
        r"\bid\b|call.?ids?\b|a-z|alphanumeric|length.{0,12}\b9\b|\bnine\b",
        {"call_ids": "nine"},
        guess=True,
    ),
    _rule(
        "reasoning=reasoning_content",
        r"reasoning.?content|thinking.{0,40}(?:missing|require|passed)",
        {"reasoning": "reasoning_content"},
        taken=_WANTED,
        guess=True,
        of_model=True,
    ),
    _rule(
        "reasoning=reasoning",
        r"\breasoning\b(?!.?(?:content|effort))",
        {"reasoning": "reasoning"},
        taken=_WANTED,
        of_model=True,
    ),
    _rule(
        "signatures=true", r"thought.?signature|\bsignature", {"signatures": True}, guess=True, of_model=True
    ),
    _rule(
        "reasoning=none",
        r"reasoning|thinking",
        {"reasoning": "none", "signatures": False},
        guess=True,
        of_model=True,
    ),
    _rule("user_after_result=false", _ROLES, {"user_after_result": False}, guess=True),
    _rule("user_after_result=true", _ROLES, {"user_after_result": True}),
    _rule(
        "single_calls=true",
        r"(?:single|one) (?:tool|function).?calls?|(?:parallel|multiple) (?:tool|function).?calls?",
        {"single_calls": True},
        of_model=True,
    ),
    _rule("result_names=true", r"\bname\b|function_?response", {"result_names": True}, taken=_NAMED),
    _rule(
        "limit=max_completion_tokens",
        r"max_tokens|max_completion_tokens",
        {"limit": "max_completion_tokens"},
        of_model=True,
    ),
    _rule("limit=max_tokens", r"max_completion_tokens", {"limit": "max_tokens"}, of_model=True),
    _rule("limit=", r"max_(?:completion_|output_)?tokens", {"limit": ""}, taken=_NOT_TAKEN, of_model=True),
    _rule("usage=false", r"stream_options|include_usage", {"usage": False}, guess=True),
    _rule("instructions=system", r"developer", {"instructions": "system"}),
    _rule(
        "instructions=developer",
        r"\bsystem\b",
        {"instructions": "developer"},
        taken=re.compile(r"developer", re.I),
    ),
    _rule("instructions=user", r"\bsystem\b|developer|\brole\b", {"instructions": "user"}, of_model=True),
    _rule(
        "content=text",
        r"\bcontent\b",
        {"content": "text"},
        taken=re.compile(r"\bstr(?:ing)?\b|list|array|sequence|text", re.I),
    ),
    _rule("empty_content=true", r"\bcontent\b", {"empty_content": True}, guess=True),
)
_PARAMETERS = (
    "include",
    "parallel_tool_calls",
    "chat_template_kwargs",
    "prompt_cache_key",
    "reasoning",
    "reasoning_effort",
    "seed",
    "service_tier",
    "stop",
    "temperature",
    "tool_choice",
    "top_p",
)
"""What is left out of requests where an endpoint or model does not know it."""
_WITHOUT = "without "
_WINDOW, _OUTPUT = "window:", "output_limit:"


class Learner:
    """What is known of one endpoint."""

    def __init__(
        self, endpoint: str, row: Dialect, lessons: Lessons, fixed: frozenset[str] = frozenset()
    ) -> None:
        """Begin with what is known of it.

        Args:
            endpoint: its name among lessons: address and API.
            row: the dialect of its address.
            lessons: of all endpoints.
            fixed: the names that the configuration decides, which nothing is learned of.
        """
        self._endpoint = endpoint
        self._row = row
        self._fixed = fixed
        self.lessons = lessons
        self._hopeless: set[str] = set()

    def dialect(self, model: str) -> Dialect:
        """The row, and what was learned; only lessons that are loaded.

        Args:
            model: some lessons hold for one model.
        """
        dialect = self._row
        for lesson in self.lessons.of(self._endpoint, model):
            dialect = self._with(dialect, lesson.rule)
        return dialect

    def told(self, model: str) -> Told:
        """What the endpoint has told of a model: in its list, or in a refusal.

        Args:
            model: its id.
        """
        rules = {
            lesson.rule.partition(":")[0]: lesson.rule.partition(":")[2]
            for lesson in self.lessons.of(self._endpoint, model)
        }
        price = tuple(float(each) for each in rules["price"].split()) if "price" in rules else None
        return Told(
            int(rules["window"]) if "window" in rules else None,
            int(rules["output_limit"]) if "output_limit" in rules else None,
            price if price is not None and len(price) == 4 else None,
        )

    async def learn_window(self, model: str, tokens: int, said: str) -> None:
        """Keep a window. Only what is less than was known: a refusal may speak of another limit than a
        list does.

        Args:
            model: its id.
            tokens: of the window.
            said: what it was learned from.
        """
        known = self.told(model).window
        # Too small a window costs a compaction; too large a one costs a refusal each time.
        if known is None or tokens < known:
            await self.lessons.add(self._endpoint, f"{_WINDOW}{tokens}", model, said)

    async def listed(self, model: str, told: Told) -> None:
        """Keep what its list of models says. Learned limits of answers are smaller, and stay.

        Args:
            model: its id.
            told: sizes and prices.
        """
        said = "its list of models"
        if told.window is not None:
            await self.learn_window(model, told.window, said)
        if told.output is not None and self.told(model).output is None:
            await self.lessons.add(self._endpoint, f"{_OUTPUT}{told.output}", model, said)
        if told.price is not None:
            await self.lessons.add(
                self._endpoint, "price:" + " ".join(f"{price:g}" for price in told.price), model, said
            )

    async def answered(self, model: str, fields: set[str]) -> None:
        """Learn from an answer with calls: anyone who sends reasoning with its own calls wants it with all of
        them.

        Args:
            model: its id.
            fields: those that reasoning came in.
        """
        dialect = self.dialect(model)
        if "reasoning_content" in fields and dialect.learns_from_answers and dialect.reasoning == "optional":
            rule = _by_name("reasoning=reasoning_content")
            assert rule is not None
            await self._learn(rule, model, "its answers carry reasoning_content with calls")

    async def ask(
        self,
        model: str,
        build: Callable[[Dialect], dict[str, Any]],
        send: Callable[[dict[str, Any]], Awaitable[T]],
    ) -> T:
        """Send a request in a form that the endpoint takes.

        Args:
            model: its id.
            build: makes the request in a dialect.
            send: sends it; its ``InvalidModelRequest`` and ``ModelUnavailable`` may be learned from.

        Returns:
            What ``send`` gives.

        Raises:
            ModelError: the endpoint's first refusal, if no form is taken; any other error of ``send``
                at once.
        """
        await self.lessons.load()
        dialect = self.dialect(model)
        body = build(dialect)
        try:
            return await send(body)
        except (InvalidModelRequest, ModelUnavailable) as error:
            if not _may_be_of_form(error):
                raise
            first = error
        return await self._tries(model, dialect, body, first, build, send)

    async def _tries(
        self,
        model: str,
        dialect: Dialect,
        body: dict[str, Any],
        first: ModelError,
        build: Callable[[Dialect], dict[str, Any]],
        send: Callable[[dict[str, Any]], Awaitable[T]],
    ) -> T:
        helped: list[Rule] = []
        tried: set[str] = set()
        refusal = first
        for _ in range(MOST_REQUESTS - 1):
            found = self._next(refusal, dialect, body, build, tried)
            if found is None:
                break
            rule, changed = found
            tried.add(rule.name)
            try:
                answer = await send(changed)
            except (InvalidModelRequest, ModelUnavailable) as error:
                # Another kind of failure, from which nothing is learned.
                if not _may_be_of_form(error):
                    raise
                # Another complaint: the rule has cured the first one, and stays in the request.
                if _gist(error) != _gist(refusal):
                    helped.append(rule)
                    dialect, body, refusal = rule.applied(dialect), changed, error
                continue
            for each in [*helped, rule]:
                for part in [part for name in each.together if (part := _by_name(name))] or [each]:
                    await self._learn(part, model, str(first))
            return answer
        if len(self._hopeless) < _MOST_HOPELESS:
            # Guesses were in vain, and are not made again for the same words.
            self._hopeless.add(_key(body, first))
        raise first

    def _next(
        self,
        refusal: ModelError,
        dialect: Dialect,
        body: dict[str, Any],
        build: Callable[[Dialect], dict[str, Any]],
        tried: set[str],
    ) -> tuple[Rule, dict[str, Any]] | None:
        """The next rule to try, and the request that it makes; only one that changes the request."""
        for rule in self._candidates(refusal, body):
            if rule.name in tried or self._fixed & rule.change.keys():
                continue
            changed = build(rule.applied(dialect))
            # One that changes nothing would be refused again, and count as tried.
            if changed != body:
                return rule, changed
        return None

    def _candidates(self, refusal: ModelError, body: dict[str, Any]) -> Iterator[Rule]:
        """Those that the refusal speaks of, the most definite first; then, unless that was in vain before,
        those that may be its cause.
        """
        text = str(refusal)
        yield from _of_numbers(text, body)
        yield from _of_parameters(text, body)
        yield from (rule for rule in RULES if rule.speaks(text))
        if isinstance(refusal, InvalidModelRequest) and _key(body, refusal) not in self._hopeless:
            yield from (rule for rule in RULES if rule.guess)
            yield from self._together()

    def _together(self) -> Iterator[Rule]:
        """Several demands of an endpoint that says nothing: everything that can be wanted, first with
        reasoning, then without.
        """
        for reasoning in ("reasoning_content", "none"):
            rules = [
                rule
                for rule in RULES
                if rule.guess
                and not self._fixed & rule.change.keys()
                and rule.change.get("reasoning", reasoning) == reasoning
                and rule.change.get("signatures") is not True
            ]
            change = {name: value for rule in rules for name, value in rule.change.items()}
            names = tuple(rule.name for rule in rules)
            yield Rule("+".join(names), change, _NOT_TAKEN, together=names)

    async def _learn(self, rule: Rule, model: str, said: str) -> None:
        await self.lessons.add(self._endpoint, rule.name, model if rule.of_model else "", said)

    def _with(self, dialect: Dialect, rule: str) -> Dialect:
        if rule.startswith(_WITHOUT):
            return replace(dialect, without=dialect.without | {rule.removeprefix(_WITHOUT)})
        if rule.startswith(_OUTPUT):
            return replace(dialect, output_limit=int(rule.removeprefix(_OUTPUT)))
        found = _by_name(rule)
        return dialect if found is None or self._fixed & found.change.keys() else found.applied(dialect)


def _may_be_of_form(error: ModelError) -> bool:
    """Whether another form of the request may be taken.

    Servers that fill in templates fail with 500 where those refuse a conversation.
    """
    if isinstance(error, InvalidModelRequest):
        return error.status in (None, 400, 422)
    return error.status in (500, 501) and _TEMPLATES.search(str(error)) is not None


_TEMPLATES = re.compile(r"template|jinja|raise_exception|\broles?\b|alternat|not supported|unsupported", re.I)


def _gist(error: ModelError) -> str:
    """What a refusal says, without what differs from one to the next."""
    return re.sub(r"\[request [^]]*\]|\d+", "", str(error))


def _key(body: dict[str, Any], refusal: ModelError) -> str:
    return f"{body.get('model')} {_gist(refusal)}"


_NUMBER = re.compile(r"(?<![\w.])\d[\d,_]*")
_ANSWER = re.compile(r"max_(?:completion_|output_)?tokens|(?:completion|output) tokens", re.I)
_NOT_FOR_THIS = re.compile(_NOT_TAKEN.pattern + r"|only|does not|doesn't|cannot|deprecated", re.I)


def _of_numbers(text: str, body: dict[str, Any]) -> Iterator[Rule]:
    """ "At most 4096 completion tokens": a smaller number than was sent, in a refusal that speaks of the
    answer.
    """
    sent = next(
        (body[name] for name in ("max_tokens", "max_completion_tokens", "max_output_tokens") if name in body),
        0,
    )
    if _ANSWER.search(text) is None:
        return
    numbers = (int(re.sub("[,_]", "", each)[:12]) for each in _NUMBER.findall(text))
    # Smaller numbers are those of lists and versions; 400 is the refusal's own status.
    if fitting := [number for number in numbers if 128 <= number < sent and number != 400]:
        yield Rule(f"{_OUTPUT}{max(fitting)}", {"output_limit": max(fitting)}, _ANSWER, of_model=True)


def _of_parameters(text: str, body: dict[str, Any]) -> Iterator[Rule]:
    """A parameter that can be left out, and that the refusal calls by its name."""
    if _NOT_FOR_THIS.search(text) is None:
        return
    for name in _PARAMETERS:
        if name in text and name in body:
            yield Rule(f"{_WITHOUT}{name}", {}, _NOT_FOR_THIS, of_model=True, leaves_out=name)


def _by_name(name: str) -> Rule | None:
    return next((rule for rule in RULES if rule.name == name), None)
