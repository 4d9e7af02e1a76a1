"""What the processes that share one budget have spent and promised together: children have what is left, not all of it anew.

    traces.guards/<name>/account     a hold before a call, a payment after it, with all meters (see `journal`)

What a process that was killed had promised counts as spent, because the provider may have charged it; only calls at once
are free again.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from ..clock import Clock
from .journal import Journal

AT_ONCE = "concurrency"
"""a meter that is only held, never spent"""
Amounts = Mapping[str, Decimal]
"""meter -> amount in its unit"""


class SharedBook(Journal):
    """One process's view of a budget that several have. Methods raise OSError where the folder cannot be used."""

    def __init__(self, folder: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        super().__init__(folder, "account", clock=clock)

    @contextmanager
    def open(self) -> Generator[None]:
        """Nobody else reads or writes in this block; `hold` and `pay` inside it belong together."""
        with self._exclusive():
            yield

    def spent(self, meter: str) -> Decimal:
        """By all processes; as of the last `open`."""
        return self._spent[meter]

    def reserved(self, meter: str) -> Decimal:
        """Promised to calls under way, in all processes; as of the last `open`."""
        return self._reserved[meter]

    def hold(self, amounts: Amounts) -> str:
        """Promise; the hold's id."""
        return self._append("hold", self._clock.now_ns(), a=_texts(amounts))

    def pay(self, hold: str, amounts: Amounts) -> None:
        """Replace a hold by what was really used; "" for what was never held."""
        self._append("pay", self._clock.now_ns(), hold, a=_texts(amounts))

    def bury_dead(self) -> bool:
        """Close what killed processes left open; True where that changed something."""
        owners = {owner for owner, _ in self._holds.values()} - {self._owner}
        dead = {owner for owner in owners if not self._lives(owner)}
        for name, (owner, amounts) in list(self._holds.items()):
            if owner in dead:
                self.pay(name, {meter: Decimal(0) if meter == AT_ONCE else amount for meter, amount in amounts.items()})
        return bool(dead)

    def discard(self) -> None:
        """Remove the folder, unless another process still has a part in it."""
        with self.open():
            others = [path.stem for path in self.folder.glob("*.live") if path.stem != self._owner]
            if not any(map(self._lives, others)):
                shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def _start_books(self) -> None:
        self._spent: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._reserved: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._holds: dict[str, tuple[str, Amounts]] = {}

    def _take(self, entry: dict[str, Any]) -> None:
        name, amounts = str(entry["i"]), {meter: Decimal(text) for meter, text in entry["a"].items()}
        if entry["k"] == "hold":
            self._holds[name] = str(entry["o"]), amounts
            for meter, amount in amounts.items():
                self._reserved[meter] += amount
            return
        _, held = self._holds.pop(name, ("", {}))
        for meter, amount in held.items():
            self._reserved[meter] -= amount
        for meter, amount in amounts.items():
            self._spent[meter] += amount

    def _kept(self, now_ns: int) -> list[dict[str, Any]]:
        return [
            {"k": "pay", "t": now_ns, "i": "", "a": _texts(self._spent)},
            *(
                {"k": "hold", "t": now_ns, "i": name, "o": owner, "a": _texts(amounts)}
                for name, (owner, amounts) in self._holds.items()
            ),
        ]


def _texts(amounts: Amounts) -> dict[str, str]:
    return {meter: str(amount) for meter, amount in amounts.items()}
