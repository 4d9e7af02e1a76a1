"""A file as bytes or as lines, gzip opened, encodings told apart; what cannot be read ends in one clear problem."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

HEAD_BYTES = 65_536
"""what importers look at to recognise a format"""
LINE_BYTES = 256 << 20
"""the longest line that is read: a request of a collector has a few MB; parsed, a line takes about ten times its length"""
WHOLE_BYTES = 1 << 30
"""the longest document that is read in one piece"""
INFLATED_BYTES, INFLATED_RATIO = 1 << 30, 200
"""gzip that has grown beyond both is a bomb: traces shrink to a tenth or a fiftieth, zeros to a thousandth"""
_GZIP = b"\x1f\x8b"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Unreadable(Exception):
    """The file, or the rest of it from `line` on, cannot be read."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


@dataclass(slots=True)
class Source:
    """A file to import. Every call opens it anew, so that it can be read twice; nothing is kept in memory by `lines`."""

    path: Path
    damage: str | None = None
    """set by `head` where the compressed data ends before enough of it was read"""

    def head(self) -> bytes:
        """The first bytes, decompressed; UTF-16 text comes as UTF-8. A gzip cut short gives what there is."""
        with self._open() as stream:
            try:
                data = stream.read(HEAD_BYTES)
            except (EOFError, OSError, zlib.error) as error:
                data, self.damage = self._salvage()[:HEAD_BYTES], _damaged(error)
        return _as_utf8(data) if data.startswith(_UTF16) else data.removeprefix(codecs.BOM_UTF8)

    def whole(self) -> tuple[bytes, str | None]:
        """(all bytes that can be read, what is wrong with the rest or None)."""
        with self._open() as stream:
            try:
                data = stream.read(WHOLE_BYTES + 1)
                broken = None
            except (EOFError, OSError, zlib.error) as error:
                data, broken = self._salvage(), _damaged(error)
        if len(data) > WHOLE_BYTES:
            raise Unreadable(
                f"the document is longer than {WHOLE_BYTES >> 20:,} MB; expected one request a line, or several files"
            )
        if data.startswith(_UTF16):
            data = _as_utf8(data)
        return data.removeprefix(codecs.BOM_UTF8), broken

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(line number from 1, line without its end). Raises Unreadable where the rest cannot be decompressed."""
        with self._open() as stream:
            first = stream.read(2) if stream.seekable() else b""
            stream.seek(0)
            source: BinaryIO = io.BytesIO(self.whole()[0]) if first in _UTF16 else stream
            number = 0
            try:
                while line := source.readline(LINE_BYTES + 1):
                    number += 1
                    if len(line) > LINE_BYTES:
                        raise Unreadable(f"the line is longer than {LINE_BYTES >> 20:,} MB", number)
                    text = line.rstrip(b"\r\n")
                    yield number, text.removeprefix(codecs.BOM_UTF8) if number == 1 else text
            except (EOFError, OSError, zlib.error) as error:
                raise Unreadable(_damaged(error), number + 1) from error

    def _open(self) -> BinaryIO:
        try:
            stream = self.path.open("rb")
        except IsADirectoryError as error:
            raise Unreadable("is a directory; expected a file") from error
        except FileNotFoundError as error:
            raise Unreadable("no such file") from error
        except (OSError, ValueError) as error:
            raise Unreadable(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
        compressed = stream.read(2) == _GZIP
        stream.seek(0)
        if not compressed:
            return stream
        return cast(BinaryIO, _Gzip(stream))

    def _salvage(self) -> bytes:
        """As much of a damaged gzip file as comes out before the damage, `WHOLE_BYTES` at most."""
        engine = zlib.decompressobj(wbits=31)
        out: list[bytes] = []
        left = WHOLE_BYTES
        with self.path.open("rb") as stream:
            while left > 0 and (block := stream.read(HEAD_BYTES)):
                try:
                    out.append(engine.decompress(block, left))
                except zlib.error:
                    break
                left -= len(out[-1])
        return b"".join(out)


class _Gzip(gzip.GzipFile):
    """A gzip file that closes the file below it, and is Unreadable where it is a bomb."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._below = stream

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._check()
        return data

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        self._check()
        return line

    def _check(self) -> None:
        packed, inflated = self._below.tell(), self.tell()
        if inflated > INFLATED_BYTES and inflated > INFLATED_RATIO * packed:
            raise Unreadable(
                f"{packed:,} bytes of gzip have become {inflated:,} so far, which no trace does; expand it yourself if it is sound"
            )

    def close(self) -> None:
        super().close()
        self._below.close()


def _damaged(error: Exception) -> str:
    return f"compressed data ends early or is damaged: {error}"


def _as_utf8(data: bytes) -> bytes:
    return data.decode("utf-16", "replace").encode("utf-8", "replace")
