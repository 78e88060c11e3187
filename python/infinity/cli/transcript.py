"""What a conversation looks like while it happens: live text first, then what was recorded, each word once.

``chat`` feeds it events and prints what it writes. It keeps what is open, so that a line can be taken for
an answer; it sends nothing by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .display import clean, dim, moment, one_line, question_lines, strong, text_of, warn, within
from .stream import Event

__all__ = ["ASLEEP", "Transcript"]


ASLEEP = "asleep"
_BUILT_IN = dict.fromkeys(("sleep", "sleep_until", "sleep_until_event_or_input"), ASLEEP)
"""Calls that stay open without leaving, in words."""


class Transcript:
    """Prints events.

    A turn is shown live round by round and recorded at the end of its slice: what was shown is compared
    with what was recorded, and only the difference is printed. Text of a broken attempt is marked as void
    (M5).

    Args:
        write: Gets pieces of text as they are to appear.
        reasoning: Whether the model's reasoning is shown.
    """

    def __init__(self, write: Callable[[str], None], *, reasoning: bool = False) -> None:
        self._write = write
        self._reasoning = reasoning
        self._rounds: deque[str] = deque()
        self._fresh_line = True
        self.thread: str | None = None
        """Whose conversation it is."""
        self.sent: set[str] = set()
        """Ids of messages that this client sent: shown by anyone who typed them."""
        self.calls: dict[str, str] = {}
        """Open calls: id → what it looks like."""
        self.prompts: dict[str, dict[str, Any]] = {}
        """Open questions, by id."""
        self.asked: str | None = None
        """The question that is shown, by id: one at a time, so that an answer cannot go to another."""
        self.busy = False
        """A slice runs, or something is queued."""
        self.closed = False
        self._shows: dict[str, Callable[[dict[str, Any]], None]] = {
            "queued": self._queued,
            "slice": self._slice,
            "text": self._text,
            "reasoning": self._thought,
            "retract": self._retract,
            "lost": self._lost,
            "entry": self._entry,
            "call": self._call,
            "call_ended": self._call_ended,
            "prompt": self._prompt,
            "prompt_closed": self._prompt_closed,
            "problem": self._problem,
            "fallback": self._fallback,
            "simplified": self._simplified,
            "status": self._status,
            "subscription": self._subscription,
            "child": self._child,
            "view": self._view,
            "disconnected": self._disconnected,
            "connected": self._connected,
        }

    def show(self, event: Event) -> None:
        """Print one event. Kinds that this version does not know are passed over."""
        if event.kind == "slice" and event.cursor is not None:
            self._committed()
        elif event.kind == "call" and event.cursor is None:
            return  # its arguments are not there yet; the recorded call follows
        elif (shows := self._shows.get(event.kind)) is not None:
            shows(event.data)

    def line(self, text: str) -> None:
        """Print a line of its own, below whatever is half written."""
        self._write(("" if self._fresh_line else "\n") + text + "\n")
        self._fresh_line = True

    # -- live

    def _queued(self, _: dict[str, Any]) -> None:
        self.busy = True

    def _slice(self, data: dict[str, Any]) -> None:
        self.busy = True
        if data.get("state") == "started":
            self._rounds.append("")
        elif data.get("state") == "retrying":
            self.line(dim(f"(the model: {data.get('code')}; trying again)"))

    def _text(self, data: dict[str, Any]) -> None:
        if not self._rounds:
            self._rounds.append("")
        text = clean(data["text"])
        self._rounds[-1] += text
        if text:
            self._write(text)
            self._fresh_line = text.endswith("\n")

    def _thought(self, data: dict[str, Any]) -> None:
        if self._reasoning:
            self._write(dim(clean(data["text"])))
            self._fresh_line = False

    def _retract(self, _: dict[str, Any]) -> None:
        if self._rounds and self._rounds[-1]:
            self.line(dim("(that was cut off and does not count)"))
            self._rounds[-1] = ""

    def _lost(self, _: dict[str, Any]) -> None:
        self._void()

    def _view(self, data: dict[str, Any]) -> None:
        what = "changed" if data.get("content") is not None else "cleared"
        self.line(dim(f"(view {one_line(str(data['view_type']))} {what})"))

    def _disconnected(self, data: dict[str, Any]) -> None:
        self._void()
        answered = data.get("answered")
        why = one_line(data["reason"]) if answered else "the daemon is away"
        self.line(dim(f"({why}; {'trying again' if answered else 'waiting for it'} …)"))

    def _connected(self, _: dict[str, Any]) -> None:
        self.line(dim("(connected again)"))

    def _void(self) -> None:
        """What was shown live is not all there was: the record will be shown whole."""
        if any(self._rounds):
            self.line(dim("…"))
        self._rounds.clear()

    # -- recorded

    def _entry(self, data: dict[str, Any]) -> None:
        kind = data["kind"]
        if kind == "turn":
            self._turn(text_of(data["assistant"]))
            for block in data["assistant"]:
                if block["type"] == "tool_use":
                    # Calls that leave are recorded with what they look like; built-ins are only here.
                    self.calls[block["id"]] = _BUILT_IN.get(block["name"], one_line(block["name"]))
        elif kind == "user":
            # What this user typed is on the screen already; without an id it is the runtime's own text.
            if data["meta"].get("message_id") not in self.sent and "message_id" in data["meta"]:
                self.line(f"{strong('>')} {within(text_of(data['user']), '  ')}")
        elif kind in ("result", "event"):
            self.line(dim(f"  ↳ {within(self._shown(data), '    ')}"))

    def _turn(self, text: str) -> None:
        live = self._rounds.popleft() if self._rounds else ""
        if live and text.startswith(live):
            text = text[len(live) :]
        elif live.strip() and live.strip() == text.strip():
            text = ""
        elif live:
            # What was shown is not what counts: the recorded text follows whole, on a line of its own.
            self.line("")
        if text:
            self._write(text)
        if text or live:
            self._write("\n")
            self._fresh_line = True

    def _shown(self, data: dict[str, Any]) -> str:
        """The first kind of segment that a terminal knows, else what the model saw (RES-3)."""
        for segment in data["meta"].get("display") or ():
            if segment.get("type") == "text":
                return _short(clean(str(segment["content"])))
            if segment.get("type") == "diff":
                return f"{clean(str(segment['content'].get('path')))}\n{clean(str(segment['content'].get('patch')))}"
        tool = one_line(str(data["meta"].get("tool", "")))
        return f"{tool}: {_short(text_of(data['user']))}" if tool else _short(text_of(data["user"]))

    def _call(self, data: dict[str, Any]) -> None:
        shown = one_line(data.get("display") or data["tool"])
        self.calls[data["id"]] = shown
        self.line(dim(f"  → {shown}"))

    def _call_ended(self, data: dict[str, Any]) -> None:
        shown = self.calls.pop(data["id"], None)
        if shown is not None and data["state"] != "answered":
            self.line(dim(f"  ✗ {shown}: {data['state']}"))

    def _prompt(self, data: dict[str, Any]) -> None:
        again = data["id"] in self.prompts and not data.get("auth_url")
        self.prompts[data["id"]] = data
        # The latest of it is kept all the same: it may have changed.
        if again:
            return  # what children ask is said again whenever the stream begins
        if data.get("prompt_kind") == "oauth":
            if data.get("auth_url"):  # not in the stream: anyone who follows it fetches the prompt itself
                self._ask(data)
        elif self.asked is None:
            self._ask_next()
        else:
            self.line(dim("(one more question waits; it is asked when this one is answered)"))

    def _ask(self, data: dict[str, Any]) -> None:
        first, *rest = question_lines(data, str(data.get("prompt_kind")))
        asker = data.get("thread")
        if asker is not None and asker != self.thread:
            self.line(dim(f"(in the child {one_line(str(asker))})"))
        self.line(f"{strong('?')} {first}")
        for line in rest:
            self.line(line)

    def _ask_next(self) -> None:
        found = next((prompt for prompt in self.prompts.values() if prompt.get("choices")), None)
        self.asked = None if found is None else str(found["id"])
        if found is not None:
            self._ask(found)
            how = "the number" if _by_letter(found) is None else "the number, or y or n,"
            self.line(dim(f"    type {how} and nothing else; everything else is said to the agent"))

    def answer(self, line: str) -> tuple[str, int] | None:
        """The question that a line answers, and with which choice.

        Args:
            line: What the user entered. Only the shown question is answered, by its number or ``y``/``n``
                and nothing else: whatever else is typed is said to the agent.

        Returns:
            The question's id and the index of the choice; ``None`` if the line is not an answer.
        """
        prompt = self.prompts.get(self.asked or "")
        if prompt is None:
            return None
        word, letters = line.strip().lower(), _by_letter(prompt)
        if letters is not None and word in ("y", "yes", "n", "no"):
            return prompt["id"], letters[word[0]]
        number = int(word) if word.isascii() and word.isdigit() and len(word) < 4 else -1
        return (prompt["id"], number) if 0 <= number < len(prompt["choices"]) else None

    def _prompt_closed(self, data: dict[str, Any]) -> None:
        self.prompts.pop(data["id"], None)
        if self.asked == data["id"]:
            self._ask_next()

    def _problem(self, data: dict[str, Any]) -> None:
        child = f"child {one_line(str(data['thread']))}: " if data.get("thread") else ""
        self.line(warn(f"! {child}{within(clean(data['text']), '  ')} ({data['code']})"))

    def _fallback(self, data: dict[str, Any]) -> None:
        words = f"{data['model']} answers instead of {data['instead_of']}: {data['text']}"
        self.line(dim(f"({within(clean(words), '  ')})"))

    def _simplified(self, data: dict[str, Any]) -> None:
        self.line(dim(f"({within(clean(data['text']), '  ')})"))

    def _status(self, data: dict[str, Any]) -> None:
        self.line(dim(f"({data['status']})"))
        self.closed = self.closed or data["status"] == "closed"

    def _subscription(self, data: dict[str, Any]) -> None:
        self.line(dim("(subscribed)" if data["active"] else "(subscription ended)"))

    def _child(self, data: dict[str, Any]) -> None:
        self.line(dim(f"  + thread {data['id']}"))

    def _committed(self) -> None:
        """The slice has ended; say what is still open."""
        self._rounds.clear()
        self.busy = False
        if self.calls:
            self.line(dim(f"(waiting: {', '.join(self.calls.values())}; you can go on talking)"))

    # -- a thread that was there before

    def recall(self, entries: Sequence[dict[str, Any]], *, more: bool) -> None:
        """Print the last exchanges, as they looked when they happened.

        Args:
            entries: As the API gives them.
            more: Whether others came before.
        """
        if more:
            self.line(dim("(earlier history is left out; infinity show has it)"))
        for entry in entries:
            self._entry(entry)
        # What these called has been answered since, or is among what is open.
        self.calls.clear()

    def catch_up(self, thread: dict[str, Any]) -> None:
        """Print what is open already, and remember it.

        Args:
            thread: As the daemon describes it.
        """
        for reason in thread["explanation"]["reasons"]:
            if reason["kind"] == "call":
                self.calls[reason["id"]] = one_line(reason["text"])
            if reason["kind"] == "sleep":
                self.calls[reason["id"]] = ASLEEP
            if reason["kind"] in ("call", "sleep", "timer", "subscription", "problem", "failing"):
                due = f", until {moment(reason['until'])}" if reason.get("until") else ""
                self.line(dim(f"(waiting: {one_line(reason['text'])}{due})"))
        self.busy = thread["explanation"]["state"] in ("running", "queued")
        for prompt in thread["prompts"]:
            self._prompt({**prompt, "prompt_kind": prompt["kind"]})


def _by_letter(prompt: dict[str, Any]) -> dict[str, int] | None:
    """Which choice ``y`` is and which ``n``, where there are two and they say so."""
    places: dict[str, int] = {}
    for index, choice in enumerate(prompt.get("choices", ())):
        for letter, words in _YES_AND_NO.items():
            if choice.strip().lower() in words:
                places[letter] = index
    return places if len(places) == 2 == len(prompt["choices"]) else None


_YES_AND_NO = {"y": ("yes", "y", "allow"), "n": ("no", "n", "deny")}


def _short(text: str, limit: int = 300) -> str:
    text = text.strip()
    return text if len(text) <= limit else f"{text[:limit]}…"
