"""The texts of a run, read from the store when somebody looks at them: a run of 50,000 spans has hundreds of megabytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import polars as pl

HELD_TEXTS = 20_000
"""texts kept at once; beyond that the ones read first are forgotten"""


class StoredTexts(Mapping[int, str]):
    """content_id -> text over `ids`, read on demand and kept. One read of the store per `prefetch`, or per text not fetched before."""

    def __init__(self, ids: Iterable[int], read: Callable[[list[int]], Mapping[int, str]]) -> None:
        self._ids = frozenset(ids)
        self._read = read
        self._held: dict[int, str | None] = {}

    def prefetch(self, ids: Iterable[int]) -> None:
        """Read those of `ids` that are not held, at once."""
        missing = [one for one in dict.fromkeys(ids) if one in self._ids and one not in self._held]
        if not missing:
            return
        found = self._read(missing)
        while self._held and len(self._held) + len(missing) > HELD_TEXTS:
            self._held.pop(next(iter(self._held)), None)
        self._held.update({one: found.get(one) for one in missing})

    def __getitem__(self, content_id: int) -> str:
        self.prefetch([content_id])
        text = self._held.get(content_id)
        if text is None:
            raise KeyError(content_id)
        return text

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def references(spans: pl.DataFrame) -> list[int]:
    """The texts that `spans` refer to, each once, in order."""
    columns = [pl.col(name).explode() for name in ("input_refs", "output_refs")]
    parts = [spans.select(column).to_series().drop_nulls() for column in columns]
    return pl.concat(parts).unique(maintain_order=True).to_list()


def read_ahead(texts: Mapping[int, str], spans: pl.DataFrame) -> None:
    """Fetch all texts of `spans` in one go, where they are not in memory anyway."""
    if isinstance(texts, StoredTexts):
        texts.prefetch(references(spans))
