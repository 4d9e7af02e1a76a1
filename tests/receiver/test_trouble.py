"""The receiver when something is wrong around it: a full disk, a back-end that is away, a folding process that dies."""

from __future__ import annotations

import gzip
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tests.receiver.backends import Backend, backend
from tests.receiver.serving import PROTOBUF, request, serving
from tracer.capture.forward import Forwarder, Item, Target
from tracer.receiver.counts import Counts
from tracer.receiver.folding import Folding
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter


@pytest.mark.slow
def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """No room: 503 with Retry-After instead of a silent loss; room again: 200. Only what got a 200 is in the store."""
    limit = 100_000
    note = {"note": "x" * 1_000}

    with serving(
        tmp_path / "t.duckdb", before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    ) as server:
        acknowledged: set[int] = set()
        numbers = range(1, 11)
        while (answer := server.post(request(numbers, attributes=note).SerializeToString())).status == 200:
            acknowledged.update(numbers)
            numbers = range(numbers.stop, numbers.stop + 10)
            assert numbers.stop < 1_000
        assert acknowledged
        assert (answer.status, answer.json["status"]) == (503, 503)
        assert int(answer.headers["retry-after"]) > 0
        assert server.ask("GET", "/healthz").status == 200
        assert server.metric("receiver_write_failures_total") == 1

        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert server.post(request([2_000]).SerializeToString()).status == 200
        server.process.kill()
        server.process.wait(30)

    store = Store(tmp_path / "t.duckdb")
    store.fold()
    spans = reads.load(store).spans["span_id"].to_list()
    assert sorted(int(span, 16) for span in spans) == sorted({*acknowledged, 2_000})
    assert reads.counters(store)["bad_frames"] == 0


@pytest.mark.slow
def test_everything_accepted_is_forwarded_as_it_came(tmp_path: Path) -> None:
    """The other back-end gets the same bytes with their encoding and its own key; what was refused is not sent on."""
    body = gzip.compress(request([1, 2]).SerializeToString())
    with backend() as other:
        options = ["--forward", f"{other.url}/otel", "--forward-header", "X-Key=k=1"]
        with serving(tmp_path / "t.duckdb", *options) as server:
            assert server.post(b"noise").status == 400
            assert server.post(body, content_encoding="gzip", authorization="Bearer mine").status == 200
            assert other.asked.acquire(timeout=20)
            assert server.stop()[0] == 0

    [(path, sent, headers)] = other.taken
    assert (path, sent) == ("/otel/v1/traces", body)
    assert (headers["content-type"], headers["content-encoding"]) == (PROTOBUF, "gzip")
    assert headers["X-Key"] == "k=1"
    assert "mine" not in str(headers)


def test_forwarding_to_nobody_ends_in_time_and_tells_what_is_missing() -> None:
    """A back-end that is away: offering never waits, stopping gives up at its deadline and counts what was not sent."""
    counts = Counts()
    forwarder = Forwarder(Target("http://127.0.0.1:1", {}), 1_000, counts.add)
    forwarder.start()
    for _ in range(3):
        forwarder.offer(Item("traces", b"body", {}, 2))

    assert forwarder.stop(0.01) == 6
    assert "tracehound_forward_dropped_total 6" in counts.render({})[0].decode()


def forwarded(other: Backend, items: list[bytes], *, queue_bytes: int = 1_000) -> dict[str, float]:
    """Offer `items` of one span each, let the back-end answer them, stop; what was counted."""
    counts = Counts()
    forwarder = Forwarder(Target(other.url, {}), queue_bytes, counts.add)
    for body in items:
        forwarder.offer(Item("traces", body, {}, 1))
    expected = len(other.answers) or 1
    forwarder.start()
    for _ in range(expected):
        assert other.asked.acquire(timeout=20)
    forwarder.stop(10)
    lines = (line for line in counts.render(forwarder.gauges())[0].decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.split() for line in lines) if "_forward_" in name}


@pytest.mark.parametrize(
    ("answers", "sent", "dropped", "retries"),
    [
        pytest.param([200], 1, 0, 0, id="taken"),
        pytest.param([503, 200], 1, 0, 1, id="busy, then taken"),
        pytest.param([429, 200], 1, 0, 1, id="too many, then taken"),
        pytest.param([400], 0, 1, 0, id="refused for good"),
    ],
)
def test_forwarding_repeats_what_may_be_repeated(
    answers: list[int], sent: int, dropped: int, retries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Busy back-ends are asked again, refusals are dropped; both are counted."""
    monkeypatch.setattr("tracer.capture.forward.BACKOFF_S", 0.01)
    with backend(*answers) as other:
        found = forwarded(other, [b"body"])

    assert found == {
        "tracehound_forward_spans_total": sent,
        "tracehound_forward_dropped_total": dropped,
        "tracehound_forward_retries_total": retries,
        "tracehound_forward_queue_bytes": 0,
    }


def test_a_full_forwarding_queue_drops_the_newest_and_counts_it() -> None:
    """Five bodies of 400 bytes in a queue of 1,000: two are sent, three are counted as dropped."""
    with backend(200, 200) as other:
        found = forwarded(other, [b"x" * 400] * 5)

    assert len(other.taken) == 2
    assert found["tracehound_forward_dropped_total"] == 3


def until(true: Callable[[], bool], changed: threading.Event) -> None:
    """Wait for what another thread does, looking whenever `changed` is set or a moment has passed."""
    for _ in range(1_000):
        if true():
            return
        changed.wait(0.02)
    raise AssertionError("it did not happen")


@pytest.mark.slow
def test_a_folding_process_that_dies_is_started_again(tmp_path: Path) -> None:
    """After kill -9 of the folding process the next fold brings everything in; the failure is counted and told."""
    counts, told = Counts(), list[str]()
    never = threading.Event()
    writer = SegmentWriter(tmp_path / "t.duckdb")
    folding = Folding(tmp_path / "t.duckdb", 0.05, counts, told.append)

    def lag() -> float:
        return folding.gauges()["fold_lag_seconds"]

    folding.start()
    until(lambda: (tmp_path / "t.spool" / ".fold").exists(), never)
    process = cast(Any, folding)._process
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    writer.write_otlp(request([1, 2]).SerializeToString())
    folding.written()
    assert lag() > 0 or told
    until(lambda: bool(told) and lag() == 0, never)
    writer.close()

    assert folding.stop(30)
    assert "folding process ended" in told[0]
    assert "tracehound_fold_spans_total 2" in counts.render({})[0].decode()
    with Store(tmp_path / "t.duckdb").lease() as con:
        assert con.execute("SELECT count(*) FROM spans").fetchall() == [(2,)]
