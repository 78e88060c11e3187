"""The way on after a refusal (I11, DESIGN 5.7): a simpler form of the same history, sent once more.

What enters history was checked, but an API may refuse what its documentation allows, and histories of earlier versions hold what was not
checked. A refusal that names a block, one with images or reasoning in the request, or one for its length is answered with a request in
which that block is a sentence, the images are words, reasoning is left out or the longest texts are shortened. If it is
accepted, this form is remembered beside the history, by positions of entries, and inherited by children; the entries stay as they are. If
nothing in history can be made simpler, the cause is elsewhere, and ``blame`` says where to look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from infinity.abc import ModelInfo, ModelRequest
from infinity.engine import compaction
from infinity.engine.content import CHARS_PER_TOKEN, fits
from infinity.engine.memo import Simpler, recall, remember
from infinity.engine.request import LEAST_TEXT, request_of
from infinity.engine.slice.state import Slice
from infinity.errors import ContextTooLong, InvalidModelRequest, ModelError, ModelRefused

MOST_REQUESTS = 3
"""Simpler requests of one completion: what was named, then everything that can be simpler, then the rest of a named block."""
_NAMED = re.compile(r"\bmessages\.(\d+)\.content\.(\d+)")
_REASONING = (b'"type":"thinking"', b'"type":"redacted_thinking"')
_ATTACHED = (b'"type":"image"', b'"type":"document"')
_USUAL_TEXT = 4_000
"""Characters. A history in which even such texts would have to be cut is long, and not its texts: that is what compaction is for."""
_STATUSES = frozenset({None, 400, 413, 422})
"""Of refusals that speak of the request's content. Others are about keys, models and addresses."""


@dataclass(slots=True)
class Fallback:
    """The simpler requests of one completion."""

    current: Slice
    info: ModelInfo
    simpler: Simpler | None = None
    """The form of the last request; ``None`` is the one on record."""
    reason: str = ""
    requests: int = 0

    def after(self, error: ModelError, request: ModelRequest) -> ModelRequest | None:
        """The request to send in place of a refused one; ``None`` if no simpler one can be expected to fare better."""
        if self.requests >= MOST_REQUESTS or error.status not in _STATUSES:
            return None
        if not isinstance(error, ContextTooLong | InvalidModelRequest | ModelRefused):
            return None
        for simpler in self._candidates(error, request):
            plainer = request_of(self.current, self.info, simpler)
            if plainer.messages != request.messages:
                self.simpler, self.reason = simpler, self.reason or str(error)
                self.requests += 1
                return plainer
        return None

    def accepted(self) -> None:
        """The last request was. If it was a simpler one, its form stays in force for this thread and its children, and the user is told."""
        if self.simpler is None:
            return
        memo = recall(self.current.thread)
        told = _told(memo.simpler, self.simpler)
        memo.simpler = self.simpler
        remember(self.current.thread, memo)
        self.current.note("simplified", text=f"the model API refused a request ({self.reason[:300]}). {told}")

    def _candidates(self, error: ModelError, request: ModelRequest) -> Iterator[Simpler]:
        """From the one that loses least to the one that loses most."""
        now = recall(self.current.thread).simpler if self.simpler is None else self.simpler
        position = self.current.thread.position
        if isinstance(error, ContextTooLong):
            yield from self._shorter(now, request)
            return
        if (named := self._named(str(error), now)) is not None:
            yield named
        if any(mark in request.messages for mark in _ATTACHED):
            yield now.without_images(position)
        if any(mark in request.messages for mark in _REASONING):
            yield now.without_images(position).without_reasoning(position)

    def _named(self, text: str, now: Simpler) -> Simpler | None:
        """Without the block that the refusal names, as the Messages API does."""
        if (found := _NAMED.search(text)) is None:
            return None
        images = self.info.images and not compaction.is_summariser(self.current)
        place = self.current.thread.place(
            int(found[1]), int(found[2]), images=images, documents=images, simpler=msgspec.json.encode(now)
        )
        return None if place is None else now.without(place)

    def _shorter(self, now: Simpler, request: ModelRequest) -> Iterator[Simpler]:
        """Texts shortened to what fills half the window, then a quarter, then an eighth; and no images, which count as well."""
        thread, position = self.current.thread, self.current.thread.position
        compacts = not compaction.is_summariser(self.current) and thread.summary_range(1) is not None
        fixed = len(request.system) + len(request.tools)
        window = self.info.context_window >> (self.requests + 1)
        longest = thread.longest_text(max(fits(window, fixed), 0))
        usual = longest is None or longest < _USUAL_TEXT
        if usual and compacts and self.requests == 0:
            return
        if longest is not None:
            yield now.shortened(max(longest, LEAST_TEXT), position)
        yield now.without_images(position)


def blame(info: ModelInfo, error: ModelError, request: ModelRequest | None) -> str:
    """Where to look when nothing in history explains a refusal; begins with a semicolon."""
    if request is None or error.status not in _STATUSES:
        return ""
    fixed = (len(request.system) + len(request.tools)) // CHARS_PER_TOKEN
    if isinstance(error, ContextTooLong) and fixed * 2 > info.context_window:
        return (
            f"; the instructions and tools alone are about {fixed} tokens of the {info.context_window} of {info.name}: "
            "use a model with a larger window, fewer toolsets or shorter instructions"
        )
    if isinstance(error, ContextTooLong):
        return (
            f"; check that context_window ({info.context_window}) is what {info.name} really has; "
            "`infinity compact` summarises the history, another model may have a larger window"
        )
    return (
        "; a simpler form of the conversation was refused as well or is not possible, so look at the model's name and settings, "
        "the instructions and the tools' schemas"
    )


def _told(before: Simpler, after: Simpler) -> str:
    """What the new form leaves out, in words."""
    what = []
    if len(after.left_out) > len(before.left_out):
        what.append("without the block it named")
    if after.images_before > before.images_before:
        what.append("without the images and documents so far")
    if after.reasoning_before > before.reasoning_before:
        what.append("without the reasoning so far")
    if after.longest_before > before.longest_before:
        what.append(f"with texts shortened to {after.longest} characters")
    return f"It took one {' and '.join(what)}; later requests are made so, the history itself is unchanged"
