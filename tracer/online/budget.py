"""What may be spent, what is spent, and what is promised to calls under way.

    reserve before the call      spent 3.10   reserved 0.40   limit 5.00      the next 0.60 fits, 1.60 does not
    settle after it              spent 3.32   reserved 0.00                   with what it really cost

An account may have a parent: a reservation is made on all of them or on none, so that children share what is left, however
many ask at once. As long as no call costs more than was reserved for it, no limit is passed; else it is passed by
the difference of the calls under way, never by more.
Amounts are Decimals in the meter's own unit. One lock for all accounts of the process, held for microseconds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

NOTHING = Decimal(0)
WARN_AT = Decimal("0.75")


@dataclass(slots=True)
class Meter:
    """One limited quantity of an account."""

    name: str
    """budget, tokens, iterations, concurrency ..."""
    unit: str
    limit: Decimal
    warn_at: Decimal | None = WARN_AT
    """share of the limit that is worth a warning; None for none"""
    spent: Decimal = NOTHING
    reserved: Decimal = NOTHING
    warned: bool = False
    portion: Decimal = NOTHING
    """what one extension adds"""

    def __post_init__(self) -> None:
        self.portion = self.portion or self.limit

    def fits(self, amount: Decimal) -> bool:
        return self.spent < self.limit and self.spent + self.reserved + amount <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a reservation was not made."""

    account: Account
    meter: str
    unit: str
    limit: Decimal
    spent: Decimal
    reserved: Decimal
    """promised to other calls under way"""
    needed: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class NearLimit:
    """A meter has passed its warning share; said once."""

    account: Account
    meter: str
    unit: str
    limit: Decimal
    spent: Decimal


@dataclass(slots=True)
class Hold:
    """A reservation; settle or release it once, whichever comes first counts."""

    parts: list[tuple[Account, Meter, Decimal]]
    open: bool = True


@dataclass(slots=True, eq=False)
class Account:
    """Meters with one owner. `parent` is charged with everything this one is charged with."""

    name: str
    meters: Mapping[str, Meter] = field(default_factory=dict[str, Meter])
    parent: Account | None = None

    def chain(self) -> Iterator[Account]:
        account: Account | None = self
        while account is not None:
            yield account
            account = account.parent

    def reserve(self, needs: Mapping[str, Decimal]) -> Hold | Refusal:
        """Promise `needs` (meter name -> amount) here and on every parent; meters that nobody limits are passed over."""
        with _lock:
            parts: list[tuple[Account, Meter, Decimal]] = []
            for account in self.chain():
                for name, amount in needs.items():
                    meter = account.meters.get(name)
                    if meter is None:
                        continue
                    if not meter.fits(amount):
                        return Refusal(
                            account=account,
                            meter=name,
                            unit=meter.unit,
                            limit=meter.limit,
                            spent=meter.spent,
                            reserved=meter.reserved,
                            needed=amount,
                        )
                    parts.append((account, meter, amount))
            for _, meter, amount in parts:
                meter.reserved += amount
            return Hold(parts)

    def settle(self, hold: Hold, actual: Mapping[str, Decimal]) -> Sequence[NearLimit]:
        """Replace a promise by what was really used; a meter that `actual` does not name used nothing."""
        with _lock:
            if not hold.open:
                return ()
            hold.open = False
            warnings: list[NearLimit] = []
            for account, meter, amount in hold.parts:
                meter.reserved -= amount
                meter.spent += actual.get(meter.name, NOTHING)
                if (
                    meter.warn_at is not None
                    and not meter.warned
                    and meter.spent > 0
                    and meter.spent >= meter.limit * meter.warn_at
                ):
                    meter.warned = True
                    warnings.append(
                        NearLimit(
                            account=account, meter=meter.name, unit=meter.unit, limit=meter.limit, spent=meter.spent
                        )
                    )
            return warnings

    def charge(self, actual: Mapping[str, Decimal]) -> Sequence[NearLimit]:
        """Book what was spent without asking, for calls that are already over."""
        with _lock:
            hold = Hold(
                [
                    (account, account.meters[name], NOTHING)
                    for account in self.chain()
                    for name in actual
                    if name in account.meters
                ]
            )
        return self.settle(hold, actual)

    def release(self, hold: Hold) -> None:
        """Take a promise back: the call was not made."""
        self.settle(hold, {})

    def extend(self, name: str) -> None:
        """Allow one portion more of a meter, and warn anew."""
        with _lock:
            meter = self.meters[name]
            meter.limit += meter.portion
            meter.warned = False


_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # the thread that held it does not exist here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
