"""What happened to each key of shared state: reads, and the chain of versions its writes made.

    reads      r1(v1)      r2(v1)
    writes                        w1 -> v2      w2 -> v3      what w2 was based on: the version its step last read (v1)
    chain      v1                 v2            v3

The order of a chain is the store's own: by version where versions are recorded, else by the time a write ended.
A *step* is one agent invocation: what it writes is taken to rest on what it last read of that key.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate
from typing import Any, cast

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.frames import Frames
from tracer.ids import canonical_json
from tracer.model import CasOutcome, SpanKind, SpanStatus
from tracer.semconv import Tracehound

MISSING = object()
"""value of something that was not recorded (None is a legal value)"""
READABLE_CHARS = 40
"""of an item of a list, in the name of its path"""
LOOKED_BACK = 64
"""how many writes back an old content is looked for, so that a long history costs no square of its length"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateOp:
    """One read or write of a key."""

    span_id: str
    write: bool
    at_ns: int
    """when it took effect: the end of the span"""
    agent: str | None
    step: str
    """span id of the agent invocation it belongs to"""
    version: int | None
    """version read or written"""
    expected: int | None
    value: Any = MISSING
    """value read or written"""
    before: Any = MISSING
    """for a write: the value it replaced"""
    changed_paths: tuple[str, ...] | None = None
    cas: str | None = None
    merge: str | None = None
    pid: int | None = None
    """process that recorded it, and so whose clock `at_ns` is"""

    @property
    def applied(self) -> bool:
        """False for a write that was refused."""
        return self.cas != CasOutcome.CONFLICT


@dataclass(slots=True)
class KeyHistory:
    """All operations on one key of one run, in order of effect."""

    run_id: str
    key: str
    ops: list[StateOp]
    chain: list[StateOp] = field(default_factory=list[StateOp])
    """the writes that happened, in the store's order"""
    position: dict[str, int] = field(default_factory=dict[str, int])
    """span id of a write -> its index in the chain"""
    _by_version: dict[int, int] = field(default_factory=dict[int, int])
    _reached_ns: list[int] = field(default_factory=list[int])
    _leaves: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def __post_init__(self) -> None:
        self.ops.sort(key=lambda op: (op.at_ns, op.write, op.version if op.version is not None else -1, op.span_id))
        self.chain = _chain([op for op in self.ops if op.write and op.applied])
        self.position = {op.span_id: index for index, op in enumerate(self.chain)}
        self._by_version = {op.version: index for index, op in enumerate(self.chain) if op.version is not None}
        self._reached_ns = list(accumulate((op.at_ns for op in self.chain), max))

    def leaves_of(self, op: StateOp) -> dict[str, Any]:
        """`leaves` of the value an operation read or wrote, computed once."""
        if op.span_id not in self._leaves:
            self._leaves[op.span_id] = {} if op.value is MISSING else leaves(op.value)
        return self._leaves[op.span_id]

    def value_before(self, index: int) -> Any:
        """The value the write at `index` of the chain replaced: as recorded with it, else what the write before it left.

        Writers that keep no versions record what they had read, not what the store held: such a snapshot (see `own_snapshot`)
        says nothing of the store, so the write before it is believed.
        """
        write = self.chain[index]
        if write.before is not MISSING and not self.own_snapshot(index):
            return write.before
        return self.chain[index - 1].value if index > 0 else MISSING

    def own_snapshot(self, index: int) -> bool:
        """Whether what the write at `index` says it replaced is an older content of the key, not what the write before it had left.

        Then the writer changed its own copy, unless somebody who was not recorded had put the old content back.
        """
        if index == 0:
            return False
        before, left = self.chain[index].before, self.chain[index - 1].value
        if before is MISSING or left is MISSING or not before or same(before, left):
            return False
        older = (self.chain[0].before, *(op.value for op in self.chain[max(0, index - 1 - LOOKED_BACK) : index - 1]))
        return any(value is not MISSING and same(value, before) for value in older)

    def locate(self, version: int | None, value: Any, at_ns: int) -> int | None:
        """Index in the chain of the write that made what was seen; -1 for what was there before the first write, None for a
        version nobody was seen writing.

        By version where there is one, else the newest write up to `at_ns` with that content (the lenient choice where the
        same content came twice), else the newest write up to `at_ns`.
        """
        if version is not None and self._by_version:
            if version in self._by_version:
                return self._by_version[version]
            return -1 if version < min(self._by_version) else None
        earlier = bisect_right(self._reached_ns, at_ns)
        if value is not MISSING:
            for index in range(earlier - 1, -1, -1):
                if self.chain[index].value is not MISSING and same(self.chain[index].value, value):
                    return index
            first = self.value_before(0) if self.chain else MISSING
            if first is not MISSING and same(first, value):
                return -1
        return earlier - 1


def histories(frames: Frames, keys: pl.DataFrame | None = None) -> list[KeyHistory]:
    """The history of every key, ordered by run and key; `keys` (run_id, state_key) limits them. Failed operations are left out."""
    columns = ["run_id", "trace_id", "span_id", "kind", "agent", "start_ns", "end_ns", "state_key", "version_read", "version_written",
               "version_expected", "changed_paths", "cas_outcome", "input_refs", "output_refs", "pid", "attributes"]  # fmt: skip
    spans = frames.spans.select(*columns, "duplicate_of", "status").filter(
        pl.col("kind").is_in([SpanKind.STATE_READ, SpanKind.STATE_WRITE])
        & pl.col("state_key").is_not_null()
        & pl.col("duplicate_of").is_null()
    )
    if keys is not None:
        spans = spans.join(keys, on=["run_id", "state_key"], how="semi")
    refused = (pl.col("cas_outcome") == CasOutcome.CONFLICT).fill_null(value=False)
    spans = spans.filter(refused | ~pl.col("status").is_in([SpanStatus.ERROR, SpanStatus.RUNNING]))
    steps = agent_steps(frames, spans)
    grouped: dict[tuple[str, str], list[StateOp]] = defaultdict(list)
    for row in spans.select(columns).iter_rows(named=True):
        write = row["kind"] == SpanKind.STATE_WRITE
        grouped[row["run_id"], row["state_key"]].append(
            StateOp(
                span_id=row["span_id"],
                write=write,
                at_ns=row["end_ns"] if row["end_ns"] is not None else row["start_ns"],
                agent=row["agent"],
                step=steps[row["trace_id"], row["span_id"]],
                version=row["version_written"] if write else row["version_read"],
                expected=row["version_expected"] if write else None,
                value=_value(frames.contents, row["output_refs"]),
                before=_value(frames.contents, row["input_refs"]) if write else MISSING,
                changed_paths=None if row["changed_paths"] is None else tuple(row["changed_paths"]),
                cas=row["cas_outcome"],
                merge=attributes_of(row["attributes"]).get(Tracehound.MERGE),
                pid=row["pid"],
            )
        )
    return [KeyHistory(run_id=run, key=key, ops=ops) for (run, key), ops in sorted(grouped.items())]


def agent_steps(frames: Frames, spans: pl.DataFrame) -> dict[tuple[str, str], str]:
    """(trace_id, span_id) of each of `spans` -> span id of the agent invocation around it, else of its topmost ancestor.

    An ancestor that never arrived still has an id: what hung from it stays one step.
    """
    traces = spans["trace_id"].unique().implode()
    around = frames.spans.select("trace_id", "span_id", "parent_span_id", "kind")
    around = around.filter(pl.col("trace_id").is_in(traces))
    place = ["trace_id", "span_id"]
    # Most spans have nothing below them; a climb passes only its start and what is somebody's parent.
    passed = pl.concat([around.select("trace_id", span_id="parent_span_id"), spans.select(place)]).unique()
    around = around.join(passed, on=place, how="semi")
    parents = {(trace, span): (parent, kind) for trace, span, parent, kind in around.iter_rows()}
    found: dict[tuple[str, str], str] = {}
    for trace, span in spans.select("trace_id", "span_id").iter_rows():
        climbed: list[tuple[str, str]] = []
        here, step = span, span
        while (trace, here) in parents and (trace, here) not in climbed:
            if (trace, here) in found:
                step = found[trace, here]
                break
            climbed.append((trace, here))
            step = here
            parent, kind = parents[trace, here]
            if kind == SpanKind.AGENT or parent is None:
                break
            here = step = parent
        found.update(dict.fromkeys(climbed, step))
    return found


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Leaf path -> value. A list is a set of its items, so that what two writers append can be told apart whatever the order."""
    flat: dict[str, Any] = {}
    pending: list[tuple[str, Any]] = [(path, value)]
    while pending:
        at, one = pending.pop()
        if isinstance(one, dict) and one:
            held = cast("dict[str, Any]", one)
            pending.extend((f"{at}.{name}" if at else str(name), part) for name, part in held.items())
        elif isinstance(one, list) and one:
            items = cast("list[Any]", one)
            flat.update({f"{at}[{_digest(item)}]": item for item in items})
        else:
            flat[at] = one
    return flat


def readable(path: str, item: Any) -> str:
    """The path as people say it: an item of a list by its beginning, not by the digest that tells it from the others.

    >>> readable("notes[1f0c22ab]", {"text": "the boiler in the basement of the north wing leaks"})
    'notes[{"text":"the boiler in the basement of th...]'
    """
    stem, bracket, _ = path.rpartition("[")
    if not bracket or item is MISSING or path != f"{stem}[{_digest(item)}]":
        return path
    told = item if isinstance(item, str) else canonical_json(item)
    return f"{stem}[{told if len(told) <= READABLE_CHARS else told[: READABLE_CHARS - 3] + '...'}]"


def differing(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """Leaf path -> (value before, value after) where they differ; a path that is not there has the value MISSING."""
    old, new = leaves(before), leaves(after)
    return {path: (old.get(path, MISSING), new.get(path, MISSING)) for path in sorted(old.keys() | new.keys())
            if path not in old or path not in new or not same(old[path], new[path])}  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equality of recorded values; 1 and True differ, 1 and 1.0 do not."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    return bool(one == other)


def _digest(item: Any) -> str:
    return blake2b(canonical_json(item).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def _value(contents: Mapping[int, str], refs: Sequence[int] | None) -> Any:
    texts = [contents[ref] for ref in refs or () if ref in contents]
    if len(texts) != 1:
        return MISSING
    try:
        return json.loads(texts[0])
    except ValueError:
        return texts[0]


def _chain(writes: Iterable[StateOp]) -> list[StateOp]:
    """Writes in the store's order: numbered ones by version, the others where their time puts them."""
    newest = -1
    placed: list[tuple[tuple[int, int, int, str], StateOp]] = []
    for op in writes:  # in order of time
        if op.version is not None:
            placed.append(((op.version, 0, op.at_ns, op.span_id), op))
            newest = max(newest, op.version)
        else:
            placed.append(((newest, 1, op.at_ns, op.span_id), op))
    return [op for _, op in sorted(placed, key=lambda item: item[0])]
