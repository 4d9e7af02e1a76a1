"""Updates that a later write threw away, for one key of shared state: the core of the detector `lost_update`.

    A  read v1 ------------------------- write v3 (v1 + A's change)      B's change is gone
    B        read v1 --- write v2 (v1 + B's change)

The *base* of a write is the version its step last read, or the one it says it expected. A write loses an update when its base is older
than what it replaced, and it puts back or replaces a path that somebody else changed in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from analyzers.state_history import MISSING, KeyHistory, StateOp, differing, leaves, same
from tracer.model import CasOutcome


@dataclass(slots=True)
class Loss:
    """One write that threw away changes of others."""

    write: StateOp
    base: StateOp | None
    """the read (or own write) it rested on"""
    lag: int
    """versions in between"""
    victims: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """span id of a lost write -> paths lost; the key "" is a writer that was not recorded"""
    put_back: list[str] = field(default_factory=list[str])
    """paths that went back to their old value, rather than to a third one"""
    evidence: str = "values"
    repaired: bool = False
    """every lost value was written again later"""


def losses_of(history: KeyHistory, ignored: Sequence[str] = ()) -> list[Loss]:
    """The writes of `history` that threw away changes of others, in the store's order; `ignored` names fields that do not count."""
    before = _last_own(history)
    held = (_loss_at(history, before.get(write.span_id), index, ignored) for index, write in enumerate(history.chain))
    return [loss for loss in held if loss is not None]


def _base(history: KeyHistory, own: StateOp | None, index: int) -> tuple[int | None, StateOp | None]:
    """(index in the chain, operation) the write rests on; (None, None) for a blind write.

    What the writer says it expected comes first, then the last thing its step read or wrote, then a snapshot taken before the write.
    """
    write = history.chain[index]
    if write.expected is not None:
        return history.locate(
            write.expected, MISSING, write.at_ns
        ), own if own and own.version == write.expected else None
    if own is not None:
        if own.write:
            return history.position[own.span_id], own
        return history.locate(own.version, own.value, own.at_ns), own
    if write.before is not MISSING:
        for position in range(index - 1, -1, -1):
            if history.chain[position].value is not MISSING and same(history.chain[position].value, write.before):
                return position, None
        if history.own_snapshot(index):
            return -1, None
    return None, None


def _last_own(history: KeyHistory) -> dict[str, StateOp]:
    """Span id of a write -> what its step read or wrote just before. A step that reads again forgets the older read."""
    newest: dict[str, StateOp] = {}
    before: dict[str, StateOp] = {}
    for op in history.ops:
        if not op.applied:
            continue
        if op.write and op.step in newest:
            before[op.span_id] = newest[op.step]
        newest[op.step] = op
    return before


def _loss_at(history: KeyHistory, own: StateOp | None, index: int, ignored: Sequence[str]) -> Loss | None:
    write = history.chain[index]
    if write.merge in ("append", "crdt") or write.cas in (CasOutcome.OK, CasOutcome.UNVERSIONED):
        return None
    base, rested_on = _base(history, own, index)
    if base is None or (base >= index - 1 and not _untraced_between(history, index, rested_on)):
        return None
    between = [op for op in history.chain[base + 1 : index] if op.step != write.step]
    loss = Loss(write=write, base=rested_on, lag=index - 1 - base)
    now = history.value_before(index)
    then = _value_seen(history, base, rested_on)
    if write.value is not MISSING and now is not MISSING and then is not MISSING:
        if rested_on is None and write.expected is None:
            loss.evidence = "snapshots"
        _compare_values(history, index, base, loss, then, now, ignored)
    elif between and write.changed_paths is not None and all(op.changed_paths is not None for op in between):
        loss.evidence = "changed paths"
        for op in between:
            clashing = sorted(
                p for p in op.changed_paths or () if _overlaps(p, write.changed_paths) and not _ignored(p, ignored)
            )
            if clashing:
                loss.victims[op.span_id] = clashing
    elif between:
        loss.evidence = "versions only"
        loss.victims = {op.span_id: [] for op in between}
    return loss if loss.victims else None


def _compare_values(
    history: KeyHistory, index: int, base: int, loss: Loss, then: object, now: object, ignored: Sequence[str]
) -> None:
    """Fill in which paths others changed between `then` and `now` and the write did not keep."""
    written = history.leaves_of(loss.write)
    later = history.chain[index + 1 :]
    restored = True
    for path, (old, new) in differing(then, now).items():
        if _ignored(path, ignored) or same(written.get(path, MISSING), new):
            continue
        victim = _who_changed(history, range(base + 1, index), path, new)
        if victim is not None and victim.step == loss.write.step:
            continue  # its own earlier change
        loss.victims.setdefault(victim.span_id if victim else "", []).append(path)
        if same(written.get(path, MISSING), old):
            loss.put_back.append(path)
        restored = restored and any(same(history.leaves_of(op).get(path, MISSING), new) for op in later)
    loss.repaired = bool(loss.victims) and restored


def _who_changed(history: KeyHistory, span: Iterable[int], path: str, new: object) -> StateOp | None:
    """The newest write in `span` that gave `path` its value; None where that write was not recorded."""
    for position in reversed(list(span)):
        op = history.chain[position]
        before = history.value_before(position)
        if op.value is MISSING or before is MISSING:
            continue
        change = history.leaves_of(op).get(path, MISSING)
        if same(change, new) and not same(leaves(before).get(path, MISSING), new):
            return op
    return None


def _value_seen(history: KeyHistory, base: int, rested_on: StateOp | None) -> object:
    if rested_on is not None and rested_on.value is not MISSING:
        return rested_on.value
    if base >= 0:
        return history.chain[base].value
    return history.value_before(0) if history.chain else MISSING


def _untraced_between(history: KeyHistory, index: int, rested_on: StateOp | None) -> bool:
    """True where the value that was replaced is not the one the step had seen, although no write is known in between."""
    now = history.chain[index].before
    return (
        rested_on is not None
        and now is not MISSING
        and rested_on.value is not MISSING
        and not same(now, rested_on.value)
    )


def gaps(history: KeyHistory) -> list[str]:
    """Why the chain is not the whole story: writes nobody recorded."""
    reasons: list[str] = []
    for index in range(1, len(history.chain)):
        left, found = history.chain[index - 1].value, history.chain[index].before
        if left is not MISSING and found is not MISSING and not same(left, found) and not history.own_snapshot(index):
            reasons.append(f"write {history.chain[index].span_id} replaced a value that no recorded write had left")
    reasons.extend(
        f"read {op.span_id} saw version {op.version}, which no recorded write made"
        for op in history.ops
        if not op.write and op.version is not None and history.locate(op.version, MISSING, op.at_ns) is None
    )
    return reasons


def _overlaps(path: str, others: Iterable[str]) -> bool:
    return any(
        path == other or path.startswith((other + ".", other + "[")) or other.startswith((path + ".", path + "["))
        for other in others
    )


def _ignored(path: str, ignored: Sequence[str]) -> bool:
    return path.rsplit(".", 1)[-1] in ignored
