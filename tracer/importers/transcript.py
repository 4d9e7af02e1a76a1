"""Message transcripts: JSON or JSONL whose records hold a list of messages `{agent|name|role, content}`.

One record is one run; so are bare messages, one a line, that name the same conversation or none; a first line without messages tells of them. Recognised: the list under history, messages, conversation,
traj ... (Who&When, AutoGen and Magentic logs, tau-bench, ChatDev), a JSON array of messages or of records, one of
either a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from tracer.importers import any_agent, inspect_log, jaeger, langfuse_export, langsmith_runs, phoenix_spans, spans_json
from tracer.importers.base import Importer, Sink
from tracer.importers.entries import is_message
from tracer.importers.jsontext import NOTHING, parse
from tracer.importers.record import LISTS, messages_in
from tracer.importers.source import Source, Unreadable
from tracer.importers.turns import run_of

_MARK = re.compile(
    rb'"(?:'
    + "|".join(LISTS).encode()
    + rb')"\s*:\s*(?:[\[{]|"\s*\[)|"(?:content|role|source|speaker|speaker_name|agent_name)"\s*:'
)
_RUNS = ("conversation_id", "run_id", "trace_id", "session_id", "thread_id", "dialogue_id", "episode_id", "instance_id")
"""fields by which lines of bare messages are told apart"""
_OTHER = re.compile(rb'"resource_?(?:S|s)pans"|"resource_?(?:L|l)ogs"')
_TOLD_APART = (
    any_agent.sniff,
    inspect_log.sniff,
    jaeger.sniff,
    langfuse_export.sniff,
    langsmith_runs.sniff,
    phoenix_spans.sniff,
    spans_json.sniff,
)
"""formats whose spans hold messages too"""


def sniff(head: bytes) -> bool:
    if head.lstrip()[:1] not in (b"{", b"[") or _MARK.search(head) is None or _OTHER.search(head) is not None:
        return False
    return not any(sniff_other(head) for sniff_other in _TOLD_APART)


def read(source: Source, sink: Sink) -> None:
    loose: dict[str, list[Mapping[str, Any]]] = {}
    first_loose: dict[str, int | None] = {}
    header: tuple[int | None, Mapping[str, Any]] | None = None
    name = _stem(source)
    for position, (line, value) in enumerate(_values(source, sink)):
        documents = cast(list[Any], value) if isinstance(value, list) else [value]
        if documents and all(is_message(item) for item in documents):
            for message in cast(list[Mapping[str, Any]], documents):
                run = _conversation(message)
                loose.setdefault(run, []).append(message)
                first_loose.setdefault(run, line)
            continue
        if position == 0 and isinstance(value, Mapping) and messages_in(cast(Mapping[str, Any], value)) is None:
            header = line, cast(Mapping[str, Any], value)
            continue
        for number, document in enumerate(documents):
            where = "" if len(documents) == 1 else f"record {number}: "
            if not isinstance(document, Mapping):
                sink.report.skip(
                    line, f"{where}expected a record with a list of messages, got {type(document).__name__}"
                )
                continue
            _record(cast(Mapping[str, Any], document), line, where, name, sink)
    about = dict(header[1]) if header and loose else {}
    if header and not loose:
        _record(header[1], header[0], "", name, sink)
    for run, messages in loose.items():
        named = {"conversation_id": run} if run else {}
        _record({**about, **named, "messages": messages}, first_loose[run], "", name, sink)


def _conversation(message: Mapping[str, Any]) -> str:
    """What a line says of the run that it is a message of; "" where it says nothing."""
    return next((str(message[key]) for key in _RUNS if isinstance(message.get(key), str | int) and message[key]), "")


def _record(record: Mapping[str, Any], line: int | None, where: str, name: str, sink: Sink) -> None:
    if messages_in(record) is None:
        keys = ", ".join(repr(str(key)) for key in list(record)[:6]) or "nothing"
        sink.report.skip(
            line, f"{where}no list of messages (looked for {', '.join(LISTS[:5])} ...); the record has {keys}"
        )
        return
    run = run_of(record, name)
    if not run.spans:
        sink.report.skip(line, f"{where}none of the {run.left_out} entries has both an author and a text")
        return
    if run.left_out:
        sink.report.note(
            line, f"{where}{run.left_out} of {run.left_out + run.steps} entries have no author or no text; left out"
        )
    sink.spans(run.spans, run.contents, count=1)


def _values(source: Source, sink: Sink) -> Iterator[tuple[int | None, Any]]:
    """(line, JSON value) of every line, or of the whole file where a line is no value of its own."""
    by_line = False
    try:
        for number, line in source.lines():
            if not line.strip():
                continue
            parsed = parse(line)
            if parsed.reason is not None and not by_line and not _more_documents(source, number):
                yield from _whole(source, sink)
                return
            by_line = True
            if parsed.reason is not None:
                sink.report.skip(number, parsed.reason)
            if parsed.value is not NOTHING:
                yield number, parsed.value
    except Unreadable as error:
        sink.report.skip(error.line, error.reason)


def _more_documents(source: Source, after: int) -> bool:
    """True where a later line is a JSON value with braces: the bad line is one of many, not the opening of one."""
    try:
        for number, line in source.lines():
            if number > after and line.strip():
                found = parse(line)
                return found.reason is None and isinstance(found.value, dict | list)
    except Unreadable:
        return False  # the caller meets the same end and reports it
    return False


def _whole(source: Source, sink: Sink) -> Iterator[tuple[int | None, Any]]:
    data, broken = source.whole()
    if broken:
        sink.report.skip(None, broken)
    parsed = parse(data)
    if parsed.reason is not None:
        sink.report.skip(parsed.line, parsed.reason)
    if parsed.value is not NOTHING:
        yield 1, parsed.value


def _stem(source: Source) -> str:
    """File name without its endings: the workflow of runs that do not name one."""
    return source.path.name.split(".", 1)[0] or "transcript"


IMPORTER = Importer("transcript", sniff, read)
