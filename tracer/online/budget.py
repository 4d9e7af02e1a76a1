"""What may be spent, what is spent, and what is promised to calls under way.

    reserve before the call      spent 3.10   reserved 0.40   limit 5.00      the next 0.60 fits, 1.60 does not
    settle after it              spent 3.32   reserved 0.00                   with what it really cost

An account may have a parent: a reservation is made on all of them or on none, so that children share what is left, however
many ask at once. As long as no call costs more than was reserved for it, no limit is passed; else it is passed by
the difference of the calls under way, never by more.
An account may be shared with other processes through a book: then what all of them spent and promised is what counts.
Amounts are Decimals in the meter's own unit. One lock for all accounts of the process, held for microseconds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from .shared import SharedBook

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


@dataclass(slots=True, eq=False)
class Hold:
    """A reservation; settle or release it once, whichever comes first counts."""

    parts: list[tuple[Account, Meter, Decimal]]
    open: bool = True
    booked: dict[Account, str] = field(default_factory=dict["Account", str])
    """the names it has in shared books"""

    def accounts(self) -> list[Account]:
        return list(dict.fromkeys(account for account, _, _ in self.parts))

    def of(self, account: Account) -> dict[str, Decimal]:
        """What was promised on `account`."""
        return {meter.name: amount for each, meter, amount in self.parts if each is account}


@dataclass(slots=True, eq=False)
class Account:
    """Meters with one owner. `parent` is charged with everything this one is charged with."""

    name: str
    meters: Mapping[str, Meter] = field(default_factory=dict[str, Meter])
    parent: Account | None = None
    book: SharedBook | None = None
    """where other processes have a part in it"""
    holds: set[Hold] = field(default_factory=set[Hold])
    """open ones"""

    def chain(self) -> Iterator[Account]:
        account: Account | None = self
        while account is not None:
            yield account
            account = account.parent

    def reserve(self, needs: Mapping[str, Decimal]) -> Hold | Refusal:
        """Promise `needs` (meter name -> amount) here and on every parent; meters that nobody limits are passed over."""
        with _lock, _together(self.chain()):
            refusal = self._refusal(needs)
            if refusal is not None and refusal.account.bury_dead():
                refusal = self._refusal(needs)
            if refusal is not None:
                return refusal
            hold = Hold([(a, a.meters[name], n) for a in self.chain() for name, n in needs.items() if name in a.meters])
            for _, meter, amount in hold.parts:
                meter.reserved += amount
            for account in hold.accounts():
                account.holds.add(hold)
                account.enter(hold)
            return hold

    def _refusal(self, needs: Mapping[str, Decimal]) -> Refusal | None:
        for account in self.chain():
            for name, amount in needs.items():
                meter = account.meters.get(name)
                if meter is not None and not meter.fits(amount):
                    return Refusal(
                        account=account,
                        meter=name,
                        unit=meter.unit,
                        limit=meter.limit,
                        spent=meter.spent,
                        reserved=meter.reserved,
                        needed=amount,
                    )
        return None

    def settle(self, hold: Hold, actual: Mapping[str, Decimal]) -> Sequence[NearLimit]:
        """Replace a promise by what was really used; a meter that `actual` does not name used nothing."""
        with _lock, _together(hold.accounts()):
            if not hold.open:
                return ()
            hold.open = False
            warnings: list[NearLimit] = []
            for _, meter, amount in hold.parts:
                meter.reserved -= amount
                meter.spent += actual.get(meter.name, NOTHING)
            for account in hold.accounts():
                account.holds.discard(hold)
                account.leave(hold, actual)
            for account, meter, _ in hold.parts:
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

    def share(self, book: SharedBook) -> None:
        """From now on `book` counts; what this process has spent and promised so far is entered."""
        with _lock, book.open():
            book.pay("", {name: meter.spent for name, meter in self.meters.items()})
            self.book = book
            for hold in self.holds:
                self.enter(hold)
            self.read_book()

    def enter(self, hold: Hold) -> None:
        if self.book is not None:
            hold.booked[self] = self.book.hold(hold.of(self))

    def leave(self, hold: Hold, actual: Mapping[str, Decimal]) -> None:
        if self.book is not None:
            self.book.pay(hold.booked.get(self, ""), {name: actual.get(name, NOTHING) for name in hold.of(self)})
            self.read_book()

    def bury_dead(self) -> bool:
        """Settle what killed processes had promised; True where that changed something."""
        changed = self.book is not None and self.book.bury_dead()
        self.read_book()
        return changed

    def read_book(self) -> None:
        if self.book is not None:
            for name, meter in self.meters.items():
                meter.spent, meter.reserved = self.book.spent(name), self.book.reserved(name)

    def extend(self, name: str) -> None:
        """Allow one portion more of a meter, and warn anew."""
        with _lock:
            meter = self.meters[name]
            meter.limit += meter.portion
            meter.warned = False


@contextmanager
def _together(accounts: Iterable[Account]) -> Generator[None]:
    """While other processes that share one of `accounts` wait; their spending is known inside. Children before parents."""
    with ExitStack() as stack:
        for account in accounts:
            if account.book is not None:
                stack.enter_context(account.book.open())
                account.read_book()
        yield


_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # the thread that held it does not exist here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
