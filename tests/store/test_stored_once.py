"""A chat history that is sent again at every call costs its new messages only, in the segment and in the database."""

from __future__ import annotations

import random

import pytest

from tests.store.build import span
from tracer.ids import canonical_json, content_id
from tracer.store import retention
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

MESSAGE_CHARS = 20_000
ID_BYTES = 24
"""what naming a message once more may cost in a segment, as text"""


def talk(store: Store, calls: int) -> tuple[int, int]:
    """Record a conversation of `calls` calls, each sending all messages so far; bytes of the messages, and of the segments."""
    noise = random.Random(1)
    writer = SegmentWriter(store.path)
    bodies: dict[int, str] = {}
    for number in range(calls):
        body = canonical_json({"role": "user", "content": noise.randbytes(MESSAGE_CHARS // 2).hex()})
        bodies[content_id(body)] = body
        sent = {"input": list(bodies)}
        writer.write_spans([span(number, content=sent, attributes={"gen_ai.operation.name": "chat"})], contents=bodies)
    writer.close()
    segments = sum(path.stat().st_size for path in store.spool_path.glob("*.seg"))
    return sum(map(len, bodies.values())), segments


@pytest.mark.slow
def test_a_growing_history_is_stored_once(empty_store: Store) -> None:
    """Every message is once in the segment and once in the database; calling it again costs its id."""
    calls = 120
    empty = empty_store.path.stat().st_size
    messages, segments = talk(empty_store, calls)
    named = calls * (calls + 1) // 2
    assert named * MESSAGE_CHARS > 50 * messages  # what it would take to store every call whole
    assert segments < messages + named * ID_BYTES + calls * 400
    empty_store.fold()
    with empty_store.lease() as con:
        con.execute("CHECKPOINT").fetchall()
        _, used = retention.used_bytes(con)
        [(texts, stored, refs)] = con.execute(
            "SELECT count(*), sum(bytes)::BIGINT, (SELECT sum(len(input_refs))::BIGINT FROM spans) FROM contents"
        ).fetchall()
        compressions = {row[0] for row in con.execute(
            "SELECT DISTINCT compression FROM pragma_storage_info('contents') WHERE column_name = 'body' AND segment_type = 'VARCHAR'"
        ).fetchall()}  # fmt: skip
    assert (texts, stored, refs) == (calls, messages, named)
    assert compressions <= {"ZSTD", "Uncompressed"}  # a column segment of constant or few rows is left as it is
    assert "ZSTD" in compressions
    print(f"{messages=} {segments=} naive={named * MESSAGE_CHARS} database={used - empty}")
    # Random hex halves under zstd; an id takes 8 bytes at most; the columns of a small table take a part of a block each.
    assert used - empty < messages * 0.6 + named * 8 + 6 * 262_144
