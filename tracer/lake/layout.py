"""Where things lie in a lake, and the file system below it: a local folder, or any that fsspec speaks (`s3://...`)."""

from __future__ import annotations

import io
import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from importlib import import_module
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from tracer.errors import BadInput, SchemaTooNew, StoreError

LAYOUT = 1
BUCKETS = 16
HEAD = "_lake.json"
TABLES = ("spans", "events", "links", "contents", "marks", "traces")
"""in the order they are written: a part exists once its file of the last table does"""


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """What one writer shipped at once to one partition; parts of later names are newer."""

    name: str
    day: str
    bucket: int

    def path(self, table: str) -> str:
        """Of its file of `table`, below the lake."""
        return f"{table}/day={self.day}/bucket={self.bucket:02d}/{self.name}.parquet"


def new_part(day: str, bucket: int) -> Part:
    return Part(f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}", day, bucket)


def day_of(time_ns: int) -> str:
    """UTC date of an instant, as in the names of folders."""
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d")


@dataclass(slots=True)
class Lake:
    """A lake that is there. Picklable: another machine opens it by its URL."""

    url: str
    """a folder, `s3://bucket/folder`, or any URL fsspec knows"""
    buckets: int = BUCKETS
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """what fsspec is given to open it, such as `endpoint_url`; by default from $FSSPEC_<PROTOCOL>_..., or AWS's own variables"""

    def bucket_of(self, run_id: str) -> int:
        """The first two bytes of the BLAKE2b of the run id, modulo the number of buckets."""
        return int.from_bytes(blake2b(run_id.encode()).digest()[:2], "big") % self.buckets

    def write(self, path: str, data: bytes) -> None:
        """Put a file in its place as a whole.

        Raises:
            StoreError: it cannot be written.
        """
        fs, root = _open(self.url, self.options)
        target = f"{root}/{path}"
        try:
            if _is_local(self.url):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                part = f"{os.path.dirname(target)}/.{uuid.uuid4().hex}"
                with open(part, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, target)
            else:
                fs.pipe_file(target, data)  # one PUT: seen whole or not at all
        except Exception as error:  # every file system raises what it likes
            raise StoreError(
                f"Cannot write {target!r}: {_told(error)}", hint="is there room, and may you write there?"
            ) from error

    def table(self, part: Part, table: str) -> pl.DataFrame | None:
        """The rows of `table` in `part`; None where it has none.

        Raises:
            StoreError: the file is there and cannot be read.
        """
        fs, root = _open(self.url, self.options)
        path = f"{root}/{part.path(table)}"
        try:
            return pl.read_parquet(io.BytesIO(fs.cat_file(path)), hive_partitioning=False)
        except FileNotFoundError:
            return None
        except PolarsError as error:
            raise StoreError(
                f"{path!r} is damaged: {_told(error)}", hint="remove the part's files and ship its runs again."
            ) from error
        except Exception as error:
            raise StoreError(f"Cannot read {path!r}: {_told(error)}") from error

    def parts(self, days: Sequence[str] | None = None, bucket: int | None = None) -> list[Part]:
        """The parts of the lake, oldest first; of some days, or of one bucket.

        Raises:
            StoreError: it cannot be listed.
        """
        fs, root = _open(self.url, self.options)
        fs.invalidate_cache()
        try:
            found = [str(path) for path in fs.find(f"{root}/traces")]
        except FileNotFoundError:
            return []
        except Exception as error:
            raise StoreError(f"Cannot list {self.url!r}: {_told(error)}") from error
        parts = [part for path in found if (part := _part(path)) is not None]
        return sorted(
            part for part in parts if (days is None or part.day in days) and (bucket is None or part.bucket == bucket)
        )


def open_lake(url: str, *, create: bool = False, options: Mapping[str, Any] | None = None) -> Lake:
    """The lake at `url`.

    Raises:
        BadInput: there is none and `create` is False, or its file system is not installed.
        SchemaTooNew: a newer tracehound made it.
        StoreError: it cannot be reached.
    """
    lake = Lake(url.rstrip("/") if "://" in url else os.path.abspath(url), options=options or {})
    fs, root = _open(lake.url, lake.options)
    try:
        head = fs.cat_file(f"{root}/{HEAD}")
    except FileNotFoundError:
        if not create:
            raise BadInput(
                f"There is no lake at {url!r}.",
                hint="make one: tracehound export --parquet, or tracehound serve --lake.",
            ) from None
        lake.write(HEAD, json.dumps({"layout": LAYOUT, "buckets": lake.buckets}).encode())
        return lake
    except NotADirectoryError as error:
        raise BadInput(
            f"{url!r} is a file; a folder was expected.", hint="a lake is a folder, or s3://bucket/folder."
        ) from error
    except Exception as error:
        raise StoreError(f"Cannot reach {url!r}: {_told(error)}") from error
    try:
        told = json.loads(head)
        layout, lake.buckets = int(told["layout"]), int(told["buckets"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{url!r} is no lake: its {HEAD} cannot be read ({error}).") from error
    if layout > LAYOUT:
        raise SchemaTooNew(
            f"The lake {url!r} has layout {layout}; this tracehound knows layouts up to {LAYOUT}.",
            hint="update tracehound on this machine.",
        )
    return lake


def is_lake(url: str) -> bool:
    """Whether `url` is meant as a lake: a URL, or a folder that has a lake's head."""
    return "://" in url or os.path.isfile(os.path.join(url, HEAD))


def _is_local(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def _open(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The file system and the path of the lake in it; fsspec keeps one instance per set of options."""
    core: Any = import_module("fsspec.core")  # only lakes need it; it has no types
    try:
        fs, root = core.url_to_fs(url, **dict(options))
    except ImportError as error:
        raise BadInput(
            f"Nothing here can open {url!r}: {error}.",
            hint="for s3:// install the extra: uv tool install 'tracehound[s3]'.",
        ) from error
    except ValueError as error:
        raise BadInput(
            f"{url!r} is no address of a lake: {error}.", hint="give a folder or s3://bucket/folder."
        ) from error
    except Exception as error:  # some file systems connect as soon as they are named
        raise StoreError(
            f"Cannot reach {url!r}: {_told(error)}", hint="give a folder or s3://bucket/folder."
        ) from error
    return fs, str(root).rstrip("/")


def _part(path: str) -> Part | None:
    steps = path.split("/")
    if len(steps) < 4 or not steps[-1].endswith(".parquet") or steps[-1].startswith("."):
        return None
    day, bucket = steps[-3].removeprefix("day="), steps[-2].removeprefix("bucket=")
    return Part(steps[-1].removesuffix(".parquet"), day, int(bucket)) if bucket.isdecimal() else None


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more is known'}"
