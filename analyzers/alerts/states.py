"""What was told, what is still on, and what waits: `advance` turns readings into alerts. Pure; the caller keeps the states.

    readings    ok  crit crit  ok  crit crit  ok
    alerts          FIRE      END  held FIRE  END      the second begins within the cooldown and is told when it is over

An event (a run too dear, a finding) is told once, ever. Several of one group in one look are one alert, and what comes within the
cooldown of its group waits in the state and is told, all together, when the cooldown ends: quiet, but nothing is lost.
A graver level than the one told does not wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal

from analyzers.alerts.evaluate import Reading, Status
from analyzers.alerts.rules import Level, Rule
from analyzers.wording import amount, duration

WAITING_SHOWN = 20
"""events of one group whose sentences are kept while they wait; the rest is counted"""
_RANK: Mapping[str, int] = {"ok": 0, "no_data": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message to people."""

    id: str
    rule: str
    kind: Literal["fired", "resolved"]
    level: Level
    workflow: str | None
    agent: str | None
    runs: tuple[str, ...]
    value: float | None
    threshold: float | None
    samples: int
    at_ns: int
    """when it was decided"""
    since_ns: int
    """when what it is about began"""
    sentence: str
    """the reason"""
    more: tuple[str, ...] = ()
    """further events of the same group"""
    attached: tuple[str, ...] = ()
    then: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> Alert:
        lists = {name: tuple(body[name]) for name in ("runs", "more", "attached")}
        values: dict[str, Any] = {**body, **lists}
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is remembered of one group (rule, workflow, agent)."""

    status: Status = "ok"
    since_ns: int = 0
    told_level: Level | None = None
    """level of the alert that is on; None where none is"""
    quiet_until_ns: int = 0
    quiet_level: Level | None = None
    """nothing at or below this level is told before `quiet_until_ns`"""
    seen: Mapping[str, int] = field(default_factory=dict[str, int])
    """event key -> when it was seen, for as long as it can come again"""
    waiting: tuple[Mapping[str, Any], ...] = ()
    """events that came in the cooldown: level, sentence, run_id, at_ns"""
    waiting_more: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> State:
        values: dict[str, Any] = {**body, "waiting": tuple(body["waiting"])}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Step:
    """`states` are all that are to be kept; `alerts` are to be sent now; `held` is how many events wait in cooldowns."""

    states: Mapping[str, State]
    alerts: tuple[Alert, ...]
    held: int


def advance(rules: Iterable[Rule], states: Mapping[str, State], readings: Iterable[Reading], now_ns: int) -> Step:
    """The next states and the alerts of one look. States of rules that are gone are dropped."""
    by_name = {rule.name: rule for rule in rules}
    events: dict[str, list[Reading]] = defaultdict(list)
    levels: dict[str, Reading] = {}
    for reading in readings:
        if reading.event:
            events[reading.group].append(reading)
        else:
            levels[reading.group] = reading
    kept: dict[str, State] = {}
    alerts: list[Alert] = []
    for group in {**dict.fromkeys(states), **dict.fromkeys(levels), **dict.fromkeys(events)}:
        rule = by_name.get(group.partition("|")[0])
        if rule is None:
            continue
        before = states.get(group, State())
        if group in levels:
            kept[group], said = _level(rule, before, levels[group], now_ns)
        else:
            kept[group], said = _events(rule, before, group, events[group], now_ns)
        alerts.extend(said)
    held = sum(len(state.waiting) + state.waiting_more for state in kept.values())
    return Step(kept, tuple(alerts), held)


def _level(rule: Rule, before: State, reading: Reading, now_ns: int) -> tuple[State, list[Alert]]:
    status = reading.status
    if status == "no_data":
        if rule.no_data == "keep":
            return before, []
        status = "warning" if rule.no_data == "alert" else "no_data"
    since = before.since_ns if status == before.status else now_ns
    state = replace(before, status=status, since_ns=since)
    if status in ("ok", "no_data"):
        if before.told_level is None:
            return state, []
        ended = f"Over after {duration(max(0, now_ns - before.since_ns))}: {reading.sentence}"
        end = _alert(rule, reading, "resolved", before.told_level, ended, now_ns, before.since_ns)
        return replace(state, told_level=None), [end]
    level: Level = "critical" if status == "critical" else "warning"
    if before.told_level is not None and _RANK[level] <= _RANK[before.told_level]:
        return state, []
    quiet = now_ns < before.quiet_until_ns and _RANK[level] <= _RANK[before.quiet_level or "ok"]
    if quiet:
        return state, []
    state = replace(state, told_level=level, quiet_until_ns=now_ns + rule.cooldown_ns, quiet_level=level)
    return state, [_alert(rule, reading, "fired", level, reading.sentence, now_ns, since)]


def _events(rule: Rule, before: State, group: str, readings: list[Reading], now_ns: int) -> tuple[State, list[Alert]]:
    seen = {key: at for key, at in before.seen.items() if now_ns - at <= 2 * rule.window_ns}
    fresh = {reading.key: reading for reading in readings if reading.key not in before.seen}
    seen.update((reading.key, now_ns) for reading in readings)
    state = replace(before, seen=seen)
    told = [_kept(reading) for reading in fresh.values()]
    graver = max((_RANK[one["level"]] for one in told), default=0) > _RANK[before.quiet_level or "ok"]
    if now_ns < before.quiet_until_ns and not graver:
        together = (*before.waiting, *told)
        more = before.waiting_more + max(0, len(together) - WAITING_SHOWN)
        return replace(state, waiting=together[:WAITING_SHOWN], waiting_more=more), []
    together = (*before.waiting, *told)
    if not together:
        return state, []
    lead = max(together, key=lambda one: (_RANK[one["level"]], -one["at_ns"]))
    rest = [one for one in together if one is not lead]
    level: Level = lead["level"]
    more = tuple(one["sentence"] for one in rest)
    if before.waiting_more:
        more = (*more, f"and {amount(before.waiting_more, 'more event')} of the same kind")
    alert = Alert(
        id=_id(rule.name, group, "fired", now_ns), rule=rule.name, kind="fired", level=level, workflow=lead["workflow"],
        agent=lead["agent"], runs=tuple(dict.fromkeys(one["run_id"] for one in (lead, *rest) if one["run_id"])), value=lead["value"],
        threshold=lead["threshold"], samples=len(together) + before.waiting_more, at_ns=now_ns, since_ns=min(one["at_ns"] for one in together),
        sentence=lead["sentence"], more=more, attached=tuple(lead["attached"]), then=rule.then,
    )  # fmt: skip
    quiet = replace(state, waiting=(), waiting_more=0, status=level, quiet_until_ns=now_ns + rule.cooldown_ns, quiet_level=level)  # fmt: skip
    return quiet, [alert]


def _kept(reading: Reading) -> dict[str, Any]:
    return {
        "level": reading.status, "sentence": reading.sentence, "workflow": reading.workflow, "agent": reading.agent, "run_id": reading.run_id,
        "value": reading.value, "threshold": reading.threshold, "at_ns": reading.at_ns, "attached": list(reading.attached),
    }  # fmt: skip


def _alert(rule: Rule, reading: Reading, kind: Literal["fired", "resolved"], level: Level, sentence: str, now_ns: int, since_ns: int) -> Alert:  # fmt: skip
    return Alert(
        id=_id(rule.name, reading.group, kind, now_ns), rule=rule.name, kind=kind, level=level, workflow=reading.workflow, agent=reading.agent,
        runs=(), value=reading.value, threshold=reading.threshold, samples=reading.samples, at_ns=now_ns, since_ns=since_ns,
        sentence=sentence, then=rule.then if kind == "fired" else "",
    )  # fmt: skip


def _id(rule: str, group: str, kind: str, now_ns: int) -> str:
    return blake2b(f"{rule}\x00{group}\x00{kind}\x00{now_ns}".encode(), digest_size=8).hexdigest()
