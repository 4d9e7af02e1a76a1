"""What the trace page says of a run beyond its pictures: path, ledger, suspects, and texts that are read when looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from analyzers.critical_path import RunTree, find_slack, walk
from analyzers.run import analyse
from dashboard.documents.conversation import PAGE_SPANS, conversation_document, conversation_pages, page_of
from dashboard.documents.ledger import ledger_view
from dashboard.documents.path import path_document
from dashboard.documents.suspects import suspects_view
from dashboard.figures.trace_view import build_view, path_columns, payload
from dashboard.run_analysis import look_into
from dashboard.stored_texts import StoredTexts, references
from tests import drawn
from tests.dashboard import stores

LOOP = drawn.frames(stores.looping())


def picks(value: Any) -> set[str]:
    """Every span that some block of a document selects."""
    if isinstance(value, list):
        return set[str]().union(*(picks(one) for one in value))
    if not isinstance(value, Mapping):
        return set()
    own = {value["pick"]["span"]} if "span" in (value.get("pick") or {}) else set[str]()
    return own.union(*(picks(one) for one in value.values()))


def insight() -> Mapping[str, Any]:
    """The deeper analysis of the looping run."""
    return look_into(LOOP, analyse(LOOP).findings)


def test_the_path_names_every_span_that_held_the_run_up() -> None:
    """All stretches of a short path are rows, and each selects its span."""
    tree = RunTree.of(LOOP)
    pieces = walk(tree)
    document = path_document(LOOP, pieces, find_slack(tree, pieces))
    assert {piece.span_id for piece in pieces if piece.span_id} <= picks(document)
    [told, *_] = path_document(LOOP, [], {})
    assert "no times" in told["text"]


def test_the_viewer_gets_the_path_in_its_own_indices() -> None:
    """The stretches tile the run from its first to its last moment; spans are told by their distance, ends that are a span's own by -1."""
    pieces = walk(RunTree.of(LOOP))
    made = payload(build_view(LOOP))
    path = path_columns(made, pieces)
    columns, at, drawn = made["columns"], 0, list[tuple[str, int, int]]()
    for i, lead, took in zip(accumulate(path["span"]), path["lead"], path["took"], strict=True):
        start = at + lead
        at = columns["start"][i] + columns["dur"][i] if took < 0 else start + took
        drawn.append((columns["id"][i], start, at))
    t0 = int(made["t0_ns"])
    assert drawn == [(piece.span_id, piece.start_ns - t0, piece.end_ns - t0) for piece in pieces if piece.span_id]
    assert set(path["lead"]) == {0}
    assert -1 in path["took"]
    assert max(path["took"]) > 0


def test_the_ledger_adds_up_and_leads_to_its_calls() -> None:
    """The last row is the whole; a run without any price shows no money at all."""
    document = ledger_view(insight())
    table = next(block for block in document if block["block"] == "table")
    assert table["rows"][-1]["cells"][0]["text"] == "all"
    calls = [int(row["cells"][4].replace(",", "")) for row in table["rows"]]
    assert sum(calls[:-1]) == calls[-1] == LOOP.billed.height
    assert picks(table) <= set(LOOP.spans["span_id"])
    assert "being made" in ledger_view(None)[0]["text"]
    free = drawn.frames(
        drawn.run("w", drawn.llm(0, 1, model="nobody-knows", input_tokens=9, output_tokens=1, cost=None))
    )
    shown = json.dumps(ledger_view(look_into(free, ())))
    assert "price unknown" in shown
    assert "$0" not in shown


def test_suspects_are_ranked_and_lead_to_their_step() -> None:
    """The card of a failed run names steps of that run; without evidence it says so."""
    document = suspects_view(insight(), {}, LOOP)
    assert picks(document)
    assert picks(document) <= set(LOOP.spans["span_id"])
    assert "does not suffice" in json.dumps(suspects_view({"suspects": []}, {}, LOOP))


def test_texts_are_read_once_and_together() -> None:
    """A prefetch reads what is missing in one go; a text nobody recorded is missing, not empty."""
    asked: list[list[int]] = []

    def read(ids: list[int]) -> Mapping[int, str]:
        asked.append(ids)
        return {one: f"text {one}" for one in ids if one != 3}

    texts = StoredTexts([1, 2, 3, 4], read)
    texts.prefetch([1, 2, 3, 99])
    assert (texts[1], texts.get(3), 2 in texts, 3 in texts) == ("text 1", None, True, False)
    assert texts[4] == "text 4"
    assert asked == [[1, 2, 3], [4]]
    assert len(texts) == 4


def test_pages_of_a_long_transcript_say_everything_once() -> None:
    """Page by page every message is told, none twice, and a span's page is where it speaks."""
    messages = [drawn.message("a", "b", i, f"word {i}", id=f"m{i}") for i in range(PAGE_SPANS + 5)]
    frames = drawn.frames(drawn.run("w", *messages))
    assert conversation_pages(frames) == 2
    said = [block["text"] for page in range(2) for block in conversation_document(frames, page=page) if "text" in block]
    assert sorted(text for text in said if text.startswith("word")) == sorted(f"word {i}" for i in range(len(messages)))
    last = f"m{len(messages) - 1}"
    assert page_of(frames, last) == 1
    assert last in picks(conversation_document(frames, page=1))


def test_references_are_listed_once() -> None:
    """A history that is sent again refers to the same texts."""
    found = references(LOOP.spans)
    assert len(found) == len(set(found))
    assert set(found) == set(LOOP.contents)
