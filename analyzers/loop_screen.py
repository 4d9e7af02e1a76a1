"""Throws out runs that come round but plainly bring something new every time, before the loop core reads them word by word.

    run A   fetch doc-1 | fetch doc-2 | fetch doc-3 ...    every round names a new item       thrown out
    run B   please clarify | please elaborate | ...        rounds 2 to 9 name nothing new     kept, the core decides

Set-based throughout: texts are cut into words and items once per distinct text, what is new in a run is the first
occurrence of a token in it, and the evidence of a step is Page's CUSUM as a cumulative sum minus its running minimum.
The measure errs to one side. Only tokens the core surely counts are news here, shares must be a margin above the
core's, and filled templates count for nothing. Where no texts were recorded, hashes are what is left: a step that was never
given these arguments, never gave this result, or has a task of its own got further there, and one of which nothing is known says nothing. Runs with branches side by side are
always kept, since a lane's share of news cannot be told from the run's. O(tokens), about a tenth of the core's cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from analyzers.events import EVENT_KINDS, spoken
from analyzers.lanes import BRANCHING
from tracer.model import SpanKind, SpanStatus
from tracer.online.loop import LoopThresholds
from tracer.online.novelty import HEAD_CHARS, TAIL_CHARS, is_counter
from tracer.online.words import COMMON, FUNCTION_WORDS, STEM

MARGIN = 1.2
"""how much larger than the core's a share of news must be to count as surely new"""
_SPOKEN = [str(k) for k in (SpanKind.MESSAGE, SpanKind.HANDOFF, SpanKind.AGENT)]
_AT_END = [str(k) for k in (SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.STATE_WRITE)]
_FAILING = [str(k) for k in (SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.LLM)]
_WORD = r"^\p{L}{3,}$"
_ITEM = r"^(?:\p{L}{1,12}-)?\d{1,9}(?:[.,]\d{1,4})?%?$"
"""plain numbers and ids such as DOC-7073: what the core counts as an item whatever stands around it, but for these:"""
_COUNTED = r"^(?:\w*_)?(?:attempt|iteration|step|try|tries|retry|retries|round|turn|pass|count|counter|seq|sequence|version|revision|rev|elapsed|duration|latency|timestamp|time|tokens|cost)s?$"
_UNITS = r"^(?:ns|us|µs|ms|s|secs?|seconds?|minutes?|mins?|hours?|tokens|kb|mb|bytes)$"
_COUNTING = r"^\d{1,4}$"
"""in an object such a number may only count the rounds"""
_EPOCH = r"^1[4-9]\d{8}$"
_COUNTER_ID = r"^(?:attempt|iteration|step|try|retry|round|turn|pass)s?-"


def worth_replaying(
    spans: pl.DataFrame, contents: Mapping[int, str], thresholds: LoopThresholds, min_errors: int
) -> pl.Series:
    """Run ids of `spans` (whole runs) that the core must look at, sorted."""
    kept = [_with_branches(spans), _with_errors(spans, min_errors)]
    sure = pl.concat([part.collect()["run_id"] for part in kept]).unique()
    events = _events(spans.filter(~pl.col("run_id").is_in(sure.implode())))
    judged = _novelty(events, contents)
    return pl.concat([sure, _stale(judged, thresholds), _repeated(judged, thresholds)]).unique().sort()


def _with_branches(spans: pl.DataFrame) -> pl.LazyFrame:
    """Runs in which siblings that could be branches overlap in time."""
    family = ["run_id", "trace_id", "parent_span_id"]
    ends = pl.col("end_ns").fill_null(2**62)
    return (
        spans.lazy()
        .filter(pl.col("kind").is_in(sorted(BRANCHING)) & pl.col("duplicate_of").is_null())
        .sort("start_ns", "span_id")
        .with_columns(before=ends.cum_max().shift(1).over(family))
        .filter(pl.col("start_ns") < pl.col("before"))
        .select("run_id")
        .unique()
    )


def _with_errors(spans: pl.DataFrame, min_errors: int) -> pl.LazyFrame:
    failed = (pl.col("status") == SpanStatus.ERROR) & (pl.col("kind") == SpanKind.TOOL)
    return spans.lazy().filter(failed).group_by("run_id").len().filter(pl.col("len") >= min_errors).select("run_id")


def _events(spans: pl.DataFrame) -> pl.DataFrame:
    """One row per step in the order the core sees it: at, run_id, symbol, kind, and the texts it brings (`refs`)."""
    steps = spans.filter(
        pl.col("kind").is_in([str(k) for k in EVENT_KINDS if k != SpanKind.WAIT]) & pl.col("duplicate_of").is_null()
    )
    callers = spans.select("trace_id", "span_id", caller="agent")
    kind = pl.col("kind")
    given, answered = pl.col("input_refs").fill_null([]), pl.col("output_refs").fill_null([])
    refs = (
        pl.when(kind == SpanKind.LLM).then(answered)
        .when(kind.is_in([SpanKind.TOOL, SpanKind.RETRIEVER])).then(pl.concat_list(given, answered))
        .when(kind == SpanKind.STATE_WRITE).then(pl.lit([], pl.List(pl.Int64)))
        .otherwise(given)
    )  # fmt: skip
    name = (
        pl.when(kind == SpanKind.AGENT).then(pl.col("caller"))
        .otherwise(pl.coalesce("tool_name", "target_agent", "purpose", "scope_key", "state_key"))
    )  # fmt: skip
    at = pl.when(kind.is_in(_AT_END)).then(pl.coalesce("end_ns", "start_ns")).otherwise(pl.col("start_ns"))
    state = kind == SpanKind.STATE_WRITE
    bare = {
        name: pl.when(refs_.list.len() == 0).then(name)
        for name, refs_ in (("args_hash", given), ("result_hash", answered))
    }
    size = pl.when(state & (answered.list.len() == 0)).then("value_bytes")
    failed = (pl.col("status") == SpanStatus.ERROR) & kind.is_in(_FAILING)
    told = pl.any_horizontal(
        pl.col("args_hash", "result_hash", "task_id", "value_bytes", "reason", "choice").is_not_null()
    ) | (given.list.len() + answered.list.len() > 0)  # fmt: skip
    shown = told | pl.col("progress").fill_null(value=False)
    return (
        steps.join(callers, left_on=["trace_id", "parent_span_id"], right_on=["trace_id", "span_id"], how="left")
        .with_columns(
            at_ns=at, refs=refs, step=name.fill_null(""), agent=pl.col("agent").fill_null(""), failed=failed,
            judged=shown | failed, silent=failed & ~shown,
            unheard=~(shown | failed) & kind.is_in(_FAILING), progress=pl.col("progress").fill_null(value=False),
            texts=given.list.len() + answered.list.len() > 0, **bare, value_bytes=size,
        )
        .sort("run_id", "at_ns", "start_ns", "span_id")
        .with_row_index("at")
        .with_columns(marks=_surely_further([key for key in steps["state_key"].drop_nulls().unique() if is_counter(key)]))
        .select("at", "run_id", "agent", "kind", "step", "refs", "texts", "failed", pl.col("judged", "silent", "unheard", "marks").cast(pl.Int64))
    )  # fmt: skip


def _surely_further(counters: Sequence[str]) -> pl.Expr:
    """Whether the core is sure to take a step, in order, for progress by what is recorded beside its texts; states in `counters` only count."""
    symbol = ("run_id", "agent", "kind", "step")

    def unheard(*what: str) -> pl.Expr:
        known = pl.all_horizontal(pl.col(what).is_not_null())
        return known & pl.struct(*symbol, *what).is_first_distinct()

    tool = pl.col("kind").is_in([SpanKind.TOOL, SpanKind.RETRIEVER])
    worked = ~pl.col("failed")
    return (
        pl.col("progress")
        | (tool & worked & (unheard("args_hash") | unheard("result_hash")))
        | (~pl.col("kind").is_in([SpanKind.STATE_WRITE]) & worked & unheard("task_id"))
        | ((pl.col("kind") == SpanKind.STATE_WRITE) & ~pl.col("step").is_in(counters) & unheard("value_bytes"))
    )


def _tokens(refs: pl.Series, contents: Mapping[int, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """ref -> text (a number, equal for equal texts), and per text its tokens: (text, token, item, sure), each token once.

    Words are stems without small talk; an item is a token with a digit; `sure` are those the core is sure to count.
    """
    ids = refs.unique().drop_nulls().to_list()
    texts = [spoken(contents[ref]) if ref in contents else "" for ref in ids]
    number = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    named = pl.DataFrame(
        {"ref": ids, "text": [number[text] for text in texts]}, schema={"ref": pl.Int64, "text": pl.UInt32}
    )
    clipped = [t if len(t) <= HEAD_CHARS + TAIL_CHARS else f"{t[:HEAD_CHARS]} {t[-TAIL_CHARS:]}" for t in number]
    chunk = pl.col("chunk")
    cut = (
        pl.DataFrame({"body": clipped}, schema={"body": pl.String})
        .lazy()
        .select(
            text=pl.int_range(pl.len(), dtype=pl.UInt32),
            object=pl.col("body").str.starts_with("{"),
            chunk=pl.col("body").str.to_lowercase().str.extract_all(r"[\p{L}\d](?:[\p{L}\d_.,:/@%-]*[\p{L}\d%])?"),
        )
        .explode("chunk")
        .drop_nulls("chunk")
        .with_columns(chunk=chunk.hash(), spelled=chunk)
        .collect()
    )
    # The patterns are asked once per distinct chunk, not per occurrence.
    spelled = pl.col("spelled")
    common = sorted(COMMON | {word[:STEM] for word in FUNCTION_WORDS})
    stem = spelled.str.slice(0, STEM)
    word = spelled.str.contains(_WORD)
    kinds = (
        cut.unique("chunk")
        .lazy()
        .select(
            "chunk",
            item=spelled.str.contains(r"\d"),
            word=word & ~stem.is_in(common),
            plain=spelled.str.contains(_ITEM) & ~spelled.str.contains(_COUNTER_ID) & ~spelled.str.contains(_EPOCH),
            counting=spelled.str.contains(_COUNTING),
            counted=spelled.str.contains(_COUNTED),
            unit=spelled.str.contains(_UNITS),
            token=pl.when(word).then(stem).otherwise(spelled).hash(),
        )
        .collect()
    )
    counted, unit = pl.col("counted").shift(1, fill_value=False), pl.col("unit").shift(-1, fill_value=False)
    tokens = (
        cut.lazy()
        .select("text", "chunk", "object")
        .join(kinds.lazy(), on="chunk", maintain_order="left")
        .with_columns(
            sure=(pl.col("plain") & ~counted & ~unit & ~(pl.col("object") & pl.col("counting"))) | pl.col("word")
        )
        .filter(pl.col("item") | pl.col("word"))
        .select("text", "token", "item", "sure")
        .unique(["text", "token"])
        .collect()
    )
    return named, tokens


def _novelty(events: pl.DataFrame, contents: Mapping[int, str]) -> pl.DataFrame:
    """`events` with items, words, new_items, new_words (counts per event) and `said`, a hash of the tokens that surely count."""
    flat = events.select("at", "run_id", ref="refs").explode("ref").drop_nulls("ref")
    named, tokens = _tokens(flat["ref"], contents)
    flat = flat.join(named, on="ref").drop("ref").lazy()
    item = pl.col("item")
    size = tokens.lazy().group_by("text").agg(
        items=item.sum(), words=(~item).sum(), said=pl.col("token").filter(pl.col("sure")).sum()
    )  # fmt: skip
    sizes = flat.join(size, on="text").group_by("at").agg(pl.col("items", "words", "said").sum())
    # Only the first time a text is told in a run can it hold news.
    first_told = flat.group_by("run_id", "text").agg(pl.col("at").min())
    news = (
        first_told.join(tokens.lazy().filter(pl.col("sure")), on="text")
        .group_by("run_id", "token")
        .agg(pl.col("at").min(), item.first())
        .group_by("at")
        .agg(new_items=item.sum(), new_words=(~item).sum())
    )
    numbers = ["items", "words", "new_items", "new_words"]
    return (
        events.lazy()
        .join(sizes, on="at", how="left")
        .join(news, on="at", how="left")
        .with_columns(pl.col(numbers).cast(pl.Int64).fill_null(0), pl.col("said").fill_null(0))
        .sort("at")
        .collect()
    )


def _rounds(judged: pl.DataFrame, symbol: list[str]) -> pl.LazyFrame:
    """Per event what came since the same symbol's last occurrence: d_items, d_words, d_new_items, d_new_words, d_judged, d_silent, d_unheard, d_marks, gap."""
    numbers = ["items", "words", "new_items", "new_words", "judged", "silent", "unheard", "marks"]
    return (
        judged.lazy()
        .with_columns(pl.col(n).cum_sum().over("run_id").alias(f"sum_{n}") for n in numbers)
        .with_columns(
            *((pl.col(f"sum_{n}") - pl.col(f"sum_{n}").shift(1).over(symbol)).alias(f"d_{n}") for n in numbers),
            gap=pl.col("at") - pl.col("at").shift(1).over(symbol),
        )
    )


def _stale(judged: pl.DataFrame, t: LoopThresholds) -> pl.Series:
    """Runs in which the evidence of some step could reach the warning."""
    fine = ["run_id", "agent", "kind", "step"]
    handed = judged.filter(pl.col("kind") == SpanKind.HANDOFF).with_columns(step=pl.lit("*"))
    called = judged.filter((pl.col("kind") == SpanKind.AGENT) & (pl.col("step") != "")).with_columns(
        agent="step", step=pl.lit("*")
    )
    words = pl.col("d_new_words") >= MARGIN * t.word_ratio * pl.max_horizontal("d_words", t.min_words)
    items = pl.col("d_new_items") >= MARGIN * t.hard_ratio * pl.max_horizontal("d_items", t.min_hard)
    silent = (pl.col("new_words") == 0) & (pl.col("new_items") == 0)
    heard = pl.col("d_judged") - pl.when("failed").then(0).otherwise("d_silent")
    unknown = (pl.col("d_judged") == 0) | (pl.col("d_unheard") > t.unheard * heard)
    step = (
        pl.when(pl.col("gap").is_null() | (pl.col("gap") > t.max_period)).then(0.0)
        .when(unknown).then(pl.when((pl.col("d_unheard") > 0) & ~pl.col("failed")).then(-t.credit).otherwise(0.0))
        .when(words | items | (pl.col("d_marks") > 0)).then(-t.credit)
        .when(silent).then(t.verbatim)
        .otherwise(1.0)
    )  # fmt: skip
    # The coarse anchors count their own occurrences, but between them everything the run said.
    parts = [_rounds(judged, fine)]
    for coarse in (handed, called):
        if not coarse.is_empty():
            others = judged.join(coarse.select("at"), on="at", how="anti").with_columns(step=pl.col("step") + "\0")
            parts.append(
                _rounds(pl.concat([others, coarse.select(others.columns)]).sort("at"), fine).filter(step=pl.lit("*"))
            )
    found = [
        part.with_columns(total=step.cum_sum().over(fine))
        .with_columns(low=pl.min_horizontal(pl.col("total").cum_min().over(fine), 0.0))
        .filter(pl.col("total") - pl.col("low") >= t.warn)
        .select("run_id")
        .unique()
        .collect()["run_id"]
        for part in parts
    ]
    return pl.concat(found)


def _repeated(judged: pl.DataFrame, t: LoopThresholds) -> pl.Series:
    """Runs in which one request could have been made often enough to be asked about."""
    fine = ["run_id", "agent", "kind", "step"]
    exact = (
        judged.lazy()
        .filter(~pl.col("kind").is_in(_SPOKEN) & pl.col("texts"))
        .group_by(*fine, "said")
        .len()
        .filter(pl.col("len") >= t.reask_warn)
        .select("run_id")
    )
    items = (pl.col("d_new_items") >= t.fresh_items) & (
        pl.col("d_new_items") >= MARGIN * t.hard_ratio * pl.col("d_items")
    )
    words = (pl.col("d_new_words") >= MARGIN * t.word_ratio * pl.max_horizontal("d_words", t.min_words)) & (
        pl.col("kind") != SpanKind.MESSAGE
    )
    loose = (
        _rounds(judged, fine)
        .filter(
            pl.col("kind").is_in(_SPOKEN)
            & pl.col("texts")
            & pl.col("gap").is_not_null()
            & (pl.col("new_items") == 0)
            & ~(items | words)
        )
        .group_by(fine)
        .len()
        .filter(pl.col("len") >= t.reask_warn - 1)
        .select("run_id")
    )
    return pl.concat([exact, loose]).collect()["run_id"]
