"""Frames survive the way to disk and back, and damage costs only what is damaged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.build import span
from tracer.model import RawEvent, RawLink, RawSpan
from tracer.store.frame import (
    HEADER,
    BadFrame,
    Frame,
    FrameKind,
    decode_records,
    encode_frame,
    encode_records,
    scan_frames,
)

TEXT = st.text(max_size=12)
NUMBER = st.integers(-(2**63), 2**63 - 1)
VALUE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBER | st.floats(allow_nan=False) | TEXT | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT.filter(lambda key: key != "$bytes"), inner, max_size=3)
    ),
    max_leaves=6,
)
ATTRIBUTES = st.dictionaries(TEXT.filter(lambda key: key != "$bytes"), VALUE, max_size=4)
SPANS = st.builds(
    RawSpan,
    trace_id=TEXT,
    span_id=TEXT,
    parent_span_id=st.none() | TEXT,
    name=TEXT,
    start_ns=NUMBER,
    end_ns=st.none() | NUMBER,
    status=st.sampled_from(["unset", "ok", "error"]),
    status_message=TEXT,
    attributes=ATTRIBUTES,
    events=st.lists(st.builds(RawEvent, name=TEXT, time_ns=NUMBER, attributes=ATTRIBUTES, body=VALUE), max_size=2),
    links=st.lists(st.builds(RawLink, trace_id=TEXT, span_id=TEXT, attributes=ATTRIBUTES), max_size=2),
    resource=st.sampled_from([{}, {"service.name": "a"}, {"service.name": "b", "n": 1}]),
    scope=st.sampled_from(["", "one", "two"]),
    dropped_attributes=st.integers(0, 9),
    content=st.dictionaries(st.sampled_from(["input", "output"]), st.lists(NUMBER, max_size=3), max_size=2),
)


RECORDS = given(st.lists(SPANS, max_size=3), st.lists(SPANS, max_size=2), st.dictionaries(NUMBER, TEXT, max_size=3))


@settings(max_examples=8, deadline=None)
@RECORDS
def test_records_come_back_as_they_went(spans: list[RawSpan], starts: list[RawSpan], contents: dict[int, str]) -> None:
    """Any spans, starts and contents read back equal."""
    frame = encode_frame(FrameKind.RECORDS, encode_records(spans, starts=starts, contents=contents, pid=7, dropped=2))
    [read] = scan_frames(frame, sealed=True)
    assert isinstance(read, Frame)
    records = decode_records(read.payload)
    assert (records.spans, records.starts, records.contents) == (spans, starts, contents)
    assert (records.pid, records.dropped) == (7, 2)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@RECORDS
def test_many_records_come_back_as_they_went(
    spans: list[RawSpan], starts: list[RawSpan], contents: dict[int, str]
) -> None:
    """The same, for many more."""
    test_records_come_back_as_they_went.hypothesis.inner_test(spans, starts, contents)


def test_a_large_payload_is_deflated_and_comes_back() -> None:
    """Compression is invisible to the reader."""
    payload = b"the same words again and again " * 2000
    frame = encode_frame(FrameKind.RECORDS, payload)
    assert len(frame) < len(payload) / 10
    assert [f.payload for f in scan_frames(frame, sealed=True) if isinstance(f, Frame)] == [payload]


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    """No database takes a lone surrogate; the rest of the text is kept."""
    payload = encode_records([span(1, attributes={"text": "a\ud83d b"})])
    assert decode_records(payload).spans[0].attributes == {"text": "a� b"}
    assert decode_records(encode_records([], contents={1: "a\ud83d b", 2: "c"})).contents == {1: "a� b", 2: "c"}


def test_frames_with_the_texts_inside_the_json_are_still_read() -> None:
    """A spool that an earlier release left behind."""
    payload = '{"pid":7,"contents":{"-5":"line\\nü","6":""},"spans":[]}'.encode()
    assert decode_records(payload).contents == {-5: "line\nü", 6: ""}


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b'{"spans":[{}]}', b'{"spans":[{"unknown":1}]}', b"\xff\xfe", b"3", b'{"bodies":[[1,3]]}\nab'],
)
def test_what_is_no_record_is_refused(payload: bytes) -> None:
    """Foreign payloads raise ValueError, whatever they are."""
    with pytest.raises(ValueError):
        decode_records(payload)


FIRST = encode_frame(FrameKind.RECORDS, encode_records([span(1)]))
SECOND = encode_frame(FrameKind.RECORDS, encode_records([span(2)]))
THIRD = encode_frame(FrameKind.RECORDS, encode_records([span(3)]))


@pytest.mark.parametrize("sealed", [False, True], ids=["writer lives", "writer gone"])
def test_a_file_cut_anywhere_gives_exactly_its_whole_frames(sealed: bool) -> None:
    """At every length of a three-frame file the whole frames are read, and nothing else; a torn end is no damage."""
    data = FIRST + SECOND + THIRD
    borders = [len(FIRST), len(FIRST + SECOND), len(data)]
    for cut in range(len(data) + 1):
        read = list(scan_frames(data[:cut], sealed=sealed))
        whole = [item for item in read if isinstance(item, Frame)]
        assert len(whole) == sum(border <= cut for border in borders), cut
        torn = [item for item in read if isinstance(item, BadFrame)]
        assert all(item.torn and item.end == cut for item in torn)
        assert len(torn) == (sealed and cut not in (0, *borders))


def test_a_changed_byte_costs_one_frame() -> None:
    """Wherever a byte of the middle frame flips, the frames around it are read and the damage is reported."""
    for at in range(len(SECOND)):
        broken = bytearray(SECOND)
        broken[at] ^= 0x41
        read = list(scan_frames(FIRST + bytes(broken) + THIRD, sealed=False))
        assert [decode_records(f.payload).spans[0] for f in read if isinstance(f, Frame)] == [span(1), span(3)], at
        [bad] = [item for item in read if isinstance(item, BadFrame)]
        assert bytes(broken) == bad.data
        assert not bad.torn


def test_damage_at_the_end_waits_until_the_writer_is_gone() -> None:
    """The last frame of a growing file may be half written, so only a sealed file has a bad last frame."""
    broken = FIRST + SECOND[:-1] + b"\x00"
    assert [type(item) for item in scan_frames(broken, sealed=False)] == [Frame]
    _, bad = scan_frames(broken, sealed=True)
    assert isinstance(bad, BadFrame)
    assert not bad.torn


def test_offsets_count_from_the_start_of_the_file() -> None:
    """Reading on from an offset gives the same borders as reading from the start."""
    everything = list(scan_frames(FIRST + SECOND, sealed=True))
    later = list(scan_frames(SECOND, base=len(FIRST), sealed=True))
    assert later == everything[1:]
    assert HEADER.size < later[0].end - later[0].start
