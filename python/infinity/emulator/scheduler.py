"""Amazon EventBridge Scheduler: one-time schedules that send to SQS within the minute in which they are due.

They never fire early. ``schedules`` reads what may be written down, ``firing`` delivers. What AWS leaves
open, such as a schedule in the past, can be switched, so that nobody counts on one of the answers.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from .clock import Timeline
from .failure import AwsError
from .firing import Firing
from .protocols import RestJsonService
from .schedules import Schedule, invalid, parsed
from .wire import Reply, Request

__all__ = ["Scheduler"]

PRECISION_MS = 60_000
_GROUP = re.compile(r"[0-9a-zA-Z_.-]{1,64}")


def _spread(schedule: Schedule) -> int:
    """A fixed lateness for each name, anywhere in the minute: nobody may count on the second."""
    return zlib.crc32(f"{schedule.group}/{schedule.name}".encode()) % PRECISION_MS


class Scheduler(RestJsonService):
    """``lateness`` says how many ms after its time a schedule fires, less than 60,000.

    The documentation does not say what becomes of a one-time schedule whose time is past when it is
    created. Here it is taken and does not fire (``missed`` counts those), or with ``refuses_past`` it is
    refused: anyone who creates one late can count on neither.
    """

    name = "scheduler"

    def __init__(self, timeline: Timeline, region: str, account: str, firing: Firing) -> None:
        self._timeline = timeline
        self._place = f"arn:aws:scheduler:{region}:{account}:"
        self._firing = firing
        self._schedules: dict[tuple[str, str], Schedule] = {}
        self._groups: dict[str, int] = {"default": timeline.now()}
        self._tokens: dict[str, str] = {}
        self.lateness: Callable[[Schedule], int] = _spread
        self.refuses_past = False
        self.missed = 0

    def schedules(self) -> list[Schedule]:
        """All that exist, fired ones that were not deleted included."""
        return list(self._schedules.values())

    def ensure_group(self, name: str) -> None:
        """Make a schedule group if it is not there."""
        if name not in self._groups:
            self._create_group(name)

    def restore(self, name: str, group: str, given: dict[str, Any], created_at: int) -> None:
        """Take in a schedule of an earlier run; one whose time came meanwhile fires now.

        Args:
            name: The schedule's.
            group: Made if it is not there.
            given: The request that made the schedule.
            created_at: Milliseconds since the epoch.
        """
        _, due = parsed(name, given)
        now = self._timeline.now()
        self._groups.setdefault(group, created_at)
        arn = f"{self._place}schedule/{group}/{name}"
        schedule = Schedule(name, group, arn, given, due, created_at, created_at)
        self._schedules[group, name] = schedule
        if schedule.enabled:
            # At once if it is overdue: nobody was there to fire it, and it must not be lost.
            schedule.alarm = self._timeline.at(max(due, now), lambda: self._fire(schedule))

    # requests

    def operation(self, request: Request) -> str:
        match request.method, request.segments:
            case "GET", ["schedules"]:
                return "ListSchedules"
            case "GET", ["schedule-groups"]:
                return "ListScheduleGroups"
            case method, ["schedules" | "schedule-groups" as kind, _]:
                verb = {"POST": "Create", "PUT": "Update", "GET": "Get", "DELETE": "Delete"}.get(method)
                if verb is not None and (kind, verb) != ("schedule-groups", "Update"):
                    return f"{verb}Schedule{'' if kind == 'schedules' else 'Group'}"
        raise AwsError(
            "UnknownOperationException", f"{request.method} {request.raw_path} is not offered.", 404
        )

    async def call(self, operation: str, request: Request) -> Reply:
        name = request.segments[1] if len(request.segments) > 1 else ""
        match operation:
            case "CreateSchedule":
                return self.answer(self._create(name, self.document(request)))
            case "UpdateSchedule":
                return self.answer(self._update(name, self.document(request)))
            case "GetSchedule":
                return self.answer(self._found(name, request.query.get("groupName")).described())
            case "DeleteSchedule":
                self._remove(self._found(name, request.query.get("groupName")))
                return self.answer({})
            case "ListSchedules":
                return self.answer(self._list(request.query))
            case "CreateScheduleGroup":
                return self.answer(self._create_group(name))
            case "DeleteScheduleGroup":
                return self.answer(self._delete_group(name))
            case "GetScheduleGroup":
                return self.answer(self._group(self._known_group(name)))
        return self.answer({"ScheduleGroups": [self._group(group) for group in sorted(self._groups)]})

    # schedules

    def _create(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        group, due = parsed(name, given)
        self._known_group(group)
        arn = f"{self._place}schedule/{group}/{name}"
        # A repeat of a request under its token succeeds without effect, also when the schedule is gone
        # already. That is the trap which ``cloud/alarms.py`` avoids with a token for each call.
        token = given.get("ClientToken")
        request = json.dumps([name, {**given, "ClientToken": None}], sort_keys=True)
        if token is not None and token in self._tokens:
            if self._tokens[token] != request:
                raise AwsError("ConflictException", "The client token was used with other parameters.", 409)
            return {"ScheduleArn": arn}
        if (group, name) in self._schedules:
            raise AwsError("ConflictException", f"Schedule {name} already exists.", 409)
        now = self._timeline.now()
        if due < now and self.refuses_past:
            raise invalid(f"Invalid Schedule Expression {given['ScheduleExpression']}: it is in the past.")
        schedule = Schedule(name, group, arn, given, due, now, now)
        self._schedules[group, name] = schedule
        if token is not None:
            self._tokens[token] = request
        self._arm(schedule)
        return {"ScheduleArn": arn}

    def _update(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        group, due = parsed(name, given)
        schedule = self._found(name, group)
        if schedule.alarm is not None:
            schedule.alarm.cancel()
        # As if it were new: one that has fired fires again at its new time.
        schedule.given, schedule.due_at, schedule.fired = given, due, False
        schedule.modified_at = self._timeline.now()
        self._arm(schedule)
        return {"ScheduleArn": schedule.arn}

    def _found(self, name: str, group: str | None) -> Schedule:
        schedule = self._schedules.get((group or "default", name))
        if schedule is None:
            raise AwsError("ResourceNotFoundException", f"Schedule {name} does not exist.", 404)
        return schedule

    def _remove(self, schedule: Schedule) -> None:
        if schedule.alarm is not None:
            schedule.alarm.cancel()
        self._schedules.pop((schedule.group, schedule.name), None)

    def _list(self, query: Mapping[str, str]) -> dict[str, Any]:
        group, prefix = query.get("ScheduleGroup"), query.get("NamePrefix", "")
        most, after = int(query.get("MaxResults", 100)), query.get("NextToken", "")
        chosen = [
            schedule
            for key, schedule in sorted(self._schedules.items())
            if group in (None, key[0]) and key[1].startswith(prefix) and "/".join(key) > after
        ]
        summaries = []
        for schedule in chosen[:most]:
            full = schedule.described()
            names = ("Arn", "Name", "GroupName", "State", "CreationDate", "LastModificationDate")
            summaries.append({n: full[n] for n in names} | {"Target": {"Arn": schedule.target["Arn"]}})
        answer: dict[str, Any] = {"Schedules": summaries}
        if len(chosen) > most:
            answer["NextToken"] = f"{chosen[most - 1].group}/{chosen[most - 1].name}"
        return answer

    # firing

    def _arm(self, schedule: Schedule) -> None:
        schedule.alarm = None
        if not schedule.enabled:
            return
        # See the class: nothing can be relied on for a time that is past.
        if schedule.due_at < self._timeline.now():
            self.missed += 1
            schedule.fired = True
            return
        late = min(self.lateness(schedule), PRECISION_MS - 1)
        schedule.alarm = self._timeline.at(schedule.due_at + late, lambda: self._fire(schedule))

    def _fire(self, schedule: Schedule) -> None:
        # Before the delivery, which may take long: a schedule fires once, however long its target refuses.
        schedule.fired = True
        self._firing.fire(schedule, lambda: self._completed(schedule))

    def _completed(self, schedule: Schedule) -> None:
        # One that was updated meanwhile has not completed.
        if schedule.deletes_itself and schedule.fired:
            self._remove(schedule)

    # groups

    def _create_group(self, name: str) -> dict[str, Any]:
        if _GROUP.fullmatch(name) is None or name.startswith("aws"):
            raise invalid(
                f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint"
            )
        if name in self._groups:
            raise AwsError("ConflictException", f"Schedule group {name} already exists.", 409)
        self._groups[name] = self._timeline.now()
        return {"ScheduleGroupArn": f"{self._place}schedule-group/{name}"}

    def _delete_group(self, name: str) -> dict[str, Any]:
        if self._known_group(name) == "default":
            raise invalid("The default schedule group cannot be deleted.")
        del self._groups[name]
        for schedule in [s for s in self._schedules.values() if s.group == name]:
            self._remove(schedule)
        return {}

    def _known_group(self, name: str) -> str:
        if name not in self._groups:
            raise AwsError("ResourceNotFoundException", f"Schedule group {name} does not exist.", 404)
        return name

    def _group(self, name: str) -> dict[str, Any]:
        made = self._groups[name] / 1000
        arn = f"{self._place}schedule-group/{name}"
        return {
            "Arn": arn,
            "Name": name,
            "State": "ACTIVE",
            "CreationDate": made,
            "LastModificationDate": made,
        }
