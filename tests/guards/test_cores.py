"""The pure parts: accounts under concurrency, the shared ledger, the price table, option texts."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.errors import BadInput, BudgetExceeded
from tracer.online.budget import Account, Hold, Meter
from tracer.online.ledger import DAY_NS, HOUR_NS, Ledger, WindowFull, WindowLimit
from tracer.online.limits import Limits, parse
from tracer.online.tariff import Rate, Tariff, Used, table
from tracer.pricing.host_table import TABLE
from tracer.pricing.prices import Prices
from tracer.pricing.usage import Usage

ROOT = Path(__file__).resolve().parents[2]
CALLS = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 80), st.booleans()), max_size=40)
"""(reserved, really spent, by the first or the second child)"""


@settings(max_examples=40, deadline=None)
@given(calls=CALLS, limit=st.integers(1, 300), order=st.randoms(use_true_random=False))
def test_a_budget_is_passed_only_by_what_calls_under_way_cost_more(
    calls: list[tuple[int, int, bool]], limit: int, order: random.Random
) -> None:
    """Any interleaving of reservations and settlements, by two children of one budget."""
    parent = Account("p", {"budget": Meter("budget", "usd", Decimal(limit))})
    children = [Account("a", {}, parent), Account("b", {"budget": Meter("budget", "usd", Decimal(limit))}, parent)]
    meter = parent.meters["budget"]
    under_way: list[tuple[Account, Hold, int, int]] = []
    excess = 0
    for reserved, actual, second in calls:
        while under_way and order.random() < 0.4:
            account, hold, promised, cost = under_way.pop(order.randrange(len(under_way)))
            account.settle(hold, {"budget": Decimal(cost)})
            excess += max(cost - promised, 0)
        account = children[second]
        hold = account.reserve({"budget": Decimal(reserved)})
        if isinstance(hold, Hold):
            under_way.append((account, hold, reserved, actual))
        assert meter.reserved == sum(promised for _, _, promised, _ in under_way)
        assert meter.spent + meter.reserved <= limit + excess
    for account, hold, promised, cost in under_way:
        account.settle(hold, {"budget": Decimal(cost)})
        account.settle(hold, {"budget": Decimal(cost)})  # a second time is nothing
        excess += max(cost - promised, 0)
    assert meter.reserved == 0
    assert meter.spent <= limit + excess


def test_threads_never_overspend() -> None:
    """Eight threads, one budget of 500: exactly 500 calls are admitted."""
    account = Account("p", {"iterations": Meter("iterations", "calls", Decimal(500))})
    admitted: list[int] = []

    def work() -> None:
        child = Account("c", {}, account)
        for _ in range(100):
            hold = child.reserve({"iterations": Decimal(1)})
            if isinstance(hold, Hold):
                admitted.append(1)
                child.settle(hold, {"iterations": Decimal(1)})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == account.meters["iterations"].spent == 500


class Clock:
    def __init__(self) -> None:
        self.ns = 10 * DAY_NS

    def now_ns(self) -> int:
        return self.ns


PER_HOUR = WindowLimit(name="per_hour", limit=Decimal(10), length_ns=HOUR_NS)
PER_DAY = WindowLimit(name="per_day", limit=Decimal(15), length_ns=DAY_NS)
AT_ONCE = WindowLimit(name="concurrent_runs", limit=Decimal(1), length_ns=0)


def test_a_window_opens_again_when_spending_has_left_it(tmp_path: Path) -> None:
    """Two processes share it; holds count until they are paid; an hour later there is room, in the day only for the rest."""
    clock = Clock()
    one, two = Ledger(tmp_path / "g", clock=clock), Ledger(tmp_path / "g", clock=clock)
    first = one.hold(Decimal(6), [PER_HOUR, PER_DAY])
    assert isinstance(first, str)
    full = two.hold(Decimal(5), [PER_HOUR, PER_DAY])
    assert isinstance(full, WindowFull)
    assert (full.window, full.spent, full.reserved) == (PER_HOUR, 0, 6)
    one.pay(first, Decimal(9))
    assert isinstance(two.hold(Decimal("1.01"), [PER_HOUR]), WindowFull)
    clock.ns += HOUR_NS
    later = two.hold(Decimal(6), [PER_HOUR, PER_DAY])
    assert isinstance(later, str)
    two.pay(later, Decimal(6))
    full = one.hold(Decimal(1), [PER_HOUR, PER_DAY])
    assert isinstance(full, WindowFull)
    assert full.window == PER_DAY
    assert (one.spent(HOUR_NS), one.spent(DAY_NS)) == (6, 15)
    one.close()
    two.close()


def test_torn_and_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    """A process killed while writing costs its own last line, nothing else."""
    clock = Clock()
    one = Ledger(tmp_path, clock=clock)
    hold = one.hold(Decimal(1), [PER_HOUR])
    assert isinstance(hold, str)
    one.pay(hold, Decimal(3))
    with (tmp_path / "ledger").open("ab") as file:
        file.write(b'00000000 {"k":"pay","t":1,"i":"","a":"99"}\n0badc0de {"k":"pay","t"')
    two = Ledger(tmp_path, clock=clock)
    assert two.spent(HOUR_NS) == 3
    again = two.hold(Decimal(1), [PER_HOUR])
    assert isinstance(again, str)
    two.pay(again, Decimal(2))
    assert Ledger(tmp_path, clock=clock).spent(HOUR_NS) == one.spent(HOUR_NS) == 5


def test_the_file_is_rewritten_when_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in a window, held or running stays; the rest goes; other processes notice."""
    monkeypatch.setattr("tracer.online.journal.COMPACT_BYTES", 4_000)
    clock = Clock()
    writer, reader = Ledger(tmp_path, clock=clock), Ledger(tmp_path, clock=clock)
    run = writer.start_run([AT_ONCE])
    assert reader.spent(DAY_NS) == 0
    kept = writer.hold(Decimal(1), [])
    for _ in range(200):
        hold = writer.hold(Decimal(1), [])
        assert isinstance(hold, str)
        writer.pay(hold, Decimal(2))
        clock.ns += HOUR_NS
    assert (tmp_path / "ledger").stat().st_size < 9_000
    assert reader.spent(DAY_NS) == writer.spent(DAY_NS) == 46
    assert isinstance(reader.start_run([AT_ONCE]), WindowFull)
    assert isinstance(run, str)
    writer.end_run(run)
    assert isinstance(reader.start_run([AT_ONCE]), str)
    full = reader.hold(Decimal(4), [WindowLimit(name="per_hour", limit=Decimal(4), length_ns=HOUR_NS)])
    assert isinstance(full, WindowFull)
    assert (full.reserved, isinstance(kept, str)) == (1, True)


KILLED = """
import sys
from decimal import Decimal
from tracer.online.ledger import Ledger, WindowLimit
ledger = Ledger(sys.argv[1])
ledger.start_run([])
ledger.hold(Decimal(9), [])
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_blocks_nobody_for_ever(tmp_path: Path) -> None:
    """Its run ends at once; what it had reserved counts as spent, and leaves the window like everything spent."""
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, cwd=ROOT
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        ledger = Ledger(tmp_path)
        assert isinstance(ledger.start_run([AT_ONCE]), WindowFull)
        full = ledger.hold(Decimal(2), [PER_HOUR])
        assert isinstance(full, WindowFull)
        assert (full.spent, full.reserved) == (0, 9)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    run = ledger.start_run([AT_ONCE])
    assert isinstance(run, str)
    full = ledger.hold(Decimal(2), [PER_HOUR])
    assert isinstance(full, WindowFull)
    assert (full.spent, full.reserved) == (9, 0)
    later = Clock()
    later.ns = 2**62
    assert isinstance(Ledger(tmp_path, clock=later).hold(Decimal(2), [PER_HOUR]), str)


RACER = """
import sys
from decimal import Decimal
from tracer.online.ledger import HOUR_NS, Ledger, WindowLimit
ledger, mine = Ledger(sys.argv[1]), 0
window = [WindowLimit(name="per_hour", limit=Decimal(60), length_ns=HOUR_NS)]
for _ in range(50):
    hold = ledger.hold(Decimal(1), window)
    if isinstance(hold, str):
        ledger.pay(hold, Decimal(1))
        mine += 1
print(mine)
"""


def test_processes_together_never_pass_a_window(tmp_path: Path) -> None:
    """Three processes race for 60 dollars with 150 calls: 60 are admitted."""
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT) for _ in "abc"
    ]
    assert sum(int(racer.communicate()[0]) for racer in racers) == 60
    assert Ledger(tmp_path).spent(HOUR_NS) == 60


MODELS = [
    "gpt-4o", "gpt-4o-2024-08-06", "gpt-4.1-mini", "gpt-5", "o4-mini", "claude-opus-4-1-20250805", "claude-sonnet-4-5",
    "gemini-2.5-pro", "openai/gpt-4o",
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("input_tokens", [10_000, 300_000])
def test_the_hosts_table_agrees_with_the_full_one(model: str, input_tokens: int) -> None:
    """Same model, same tokens, same dollars, for short and for long calls, on the day the table was made."""
    day = table()["date"]
    at_ns = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()) * 10**9
    whole, _ = Prices().price(
        model, None, Usage(input_tokens=input_tokens, output_tokens=1_000, cached_tokens=4_000), at_ns
    )
    used = Used(input_tokens=input_tokens, output_tokens=1_000, cached_tokens=4_000)
    assert Tariff().rate(model).cost(used) == whole


RATES = {
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": False,
    "openrouter/anthropic/claude-sonnet-4-5": False,
    "models/gemini-2.5-pro": False,
    "gpt-4o-ultra-secret": True,
    "no such model": True,
    "": True,
    None: True,
}


@pytest.mark.parametrize(("model", "unknown"), RATES.items())
def test_names_are_matched_without_guessing(model: str | None, unknown: bool) -> None:
    """Providers' spellings are known; a longer name is another model, charged by the estimate."""
    assert Tariff().rate(model).estimated is unknown


def test_own_prices_win_and_the_table_says_where_it_is_from() -> None:
    """Exact before beginning, longest beginning first; source and date stand in the file that is shipped."""
    own = {
        "gpt-4o": Rate(Decimal(1), Decimal(2)),
        "my-*": Rate(Decimal(3), Decimal(4)),
        "my-big*": Rate(Decimal(5), Decimal(6)),
    }
    tariff = Tariff(own)
    assert [tariff.rate(m).input for m in ("gpt-4o", "my-small", "my-bigger")] == [1, 3, 5]
    shipped = json.loads(TABLE.read_text("utf-8"))
    assert shipped["source"].startswith("genai-prices ")
    assert len(shipped["prices"]) > 300


OPTIONS: dict[str, Limits | None] = {
    "budget=5": Limits(budget_usd=Decimal(5)),
    "budget=$0.50": Limits(budget_usd=Decimal("0.50")),
    "tokens=200k": Limits(tokens=200_000),
    "tokens=1.5m": Limits(tokens=1_500_000),
    "seconds=300": Limits(seconds=300.0),
    "iterations=50": Limits(iterations=50),
    "loop=critical": Limits(loop="critical"),
    "per-day=20": Limits(per_day_usd=Decimal(20)),
    "concurrent_runs = 3": Limits(concurrent_runs=3),
    "fanout=40": Limits(fanout=40),
    "fanout=on": Limits(fanout=64),
    "deadlock=true": Limits(deadlock=True),
    "state_bytes=64kb": Limits(state_bytes=64_000),
    "budget": None,
    "budget=": None,
    "budget=-1": None,
    "budget=nan": None,
    "iterations=0": None,
    "iterations=1.5": None,
    "loop=maybe": None,
    "bugdet=5": None,
}


@pytest.mark.parametrize("option", OPTIONS)
def test_option_texts(option: str) -> None:
    """What `--guard` takes; anything else is an error that names it."""
    wanted = OPTIONS[option]
    if wanted is None:
        with pytest.raises(BadInput) as error:
            parse([option])
        assert option.split("=")[0] in error.value.message
    else:
        assert parse([option]) == wanted


def test_a_stop_can_be_sent_to_another_process() -> None:
    """It is pickled with its reason, as multiprocessing does with what a worker raises."""
    stop = BudgetExceeded(
        "m", scope="s", limit=1, spent=2, unit="usd", guard="budget", span_ids=("a",), partial="half a report"
    )
    again = pickle.loads(pickle.dumps(stop))
    assert (again.reason, again.partial, str(again)) == (stop.reason, stop.partial, str(stop))
