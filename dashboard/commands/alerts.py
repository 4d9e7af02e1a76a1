"""`tracehound alerts`: evaluate the rules, send what they say, and show what is on, what was sent and what could not be."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analyzers.alerts.evaluate import Reading
from analyzers.alerts.parsing import default_rules, default_text, rules_of
from analyzers.alerts.rules import Rule, preview
from analyzers.alerts.states import Alert
from analyzers.toml_tables import TomlFile
from analyzers.wording import amount
from dashboard.alerting.channels import Channel, channels_of
from dashboard.alerting.delivery import deliver
from dashboard.alerting.looking import dry_run, look
from dashboard.alerting.outbox import Outbox
from dashboard.alerting.senders import NotSent
from dashboard.commands.common import add_json, add_store, count, note, positive_int, print_json, print_table
from dashboard.figures import units
from dashboard.loading import open_store
from tracer.clock import SystemClock
from tracer.errors import BadInput


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--rules", type=Path, metavar="FILE", help="alert rules and channels in TOML, over the defaults"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--preview", action="store_true", help="say each rule in one sentence, and do nothing else")
    what.add_argument("--dry-run", action="store_true", help="what would have been sent over the stored history")
    what.add_argument("--test", metavar="CHANNEL", help="send a test alert through this channel")
    what.add_argument("--write-rules", type=Path, metavar="FILE", help="write the defaults to a file to start from")
    parser.add_argument("--retry", action="store_true", help="try at once what could not be sent so far")
    parser.add_argument("--history", type=positive_int, default=20, metavar="N", help="newest alerts to show (default: 20)")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print nothing but trouble")
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Exit 0 also where alerts are on; `check` is the gate.

    Raises:
        BadInput: a mistake in the rules or channels, or no such channel.
    """
    if args.write_rules:
        return _write(args.write_rules)
    file = TomlFile.read(args.rules) if args.rules else None
    rules = rules_of(file) if file else default_rules()
    if args.preview:
        return _preview(rules, args.json)
    channels = channels_of(file) if file else ()
    if args.test:
        return _test(args.test, channels)
    store = open_store(args.store)
    if args.dry_run:
        return _history(dry_run(store, rules), args)
    outbox, clock = Outbox(store.path), SystemClock()
    step, readings = look(store, rules, channels, outbox, clock.now_ns(), source=args.rules)
    if args.retry:
        outbox.retry()
    sent = deliver(outbox, channels, clock.now_ns)
    if args.json:
        print_json(_document(rules, readings, outbox, args.history))
    elif not args.quiet:
        _print(rules, readings, outbox, args.history, channels)
        note(
            f"{amount(len(step.alerts), 'new alert')}, {amount(sent.sent, 'delivery', 'deliveries')} made, {count(step.held)} held by a cooldown."
        )
    late = outbox.undelivered()
    for name in dict.fromkeys(one.channel for one in late):
        mine = [one for one in late if one.channel == name]
        note(f"Channel {name!r}: {amount(len(mine), 'alert')} not delivered yet, tried up to {amount(max(one.attempts for one in mine), 'time')}: {mine[-1].error}.")  # fmt: skip
    return 0


def _write(path: Path) -> int:
    if path.exists():
        raise BadInput(f"{str(path)!r} is there already.", hint="name another file; nothing was changed.")
    try:
        path.write_text(default_text(), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"Cannot write {str(path)!r}: {error.strerror}.") from error
    note(f"Wrote the default rules to {path}.")
    return 0


def _preview(rules: Sequence[Rule], as_json: bool) -> int:
    if as_json:
        print_json({"rules": [{"name": rule.name, "preview": preview(rule)} for rule in rules]})
    else:
        print_table({"rule": "left", "what it does": "left"}, [[rule.name, preview(rule)] for rule in rules])
    return 0


def _test(name: str, channels: Sequence[Channel]) -> int:
    channel = next((each for each in channels if each.name == name), None)
    if channel is None:
        known = ", ".join(each.name for each in channels) or "none"
        raise BadInput(f"There is no channel {name!r}.", hint=f"channels of the rules file: {known}.")
    now_ns = SystemClock().now_ns()
    alert = Alert(
        id=f"test{now_ns:x}"[:16], rule="test", kind="fired", level="warning", workflow=None, agent=None, runs=(), value=None, threshold=None,
        samples=0, at_ns=now_ns, since_ns=now_ns, sentence="This is a test: alerts of tracehound arrive here.",
    )  # fmt: skip
    try:
        channel.send(alert)
    except NotSent as error:
        raise BadInput(f"Channel {name!r} did not take it: {error}.") from error
    note(f"Sent a test alert through {name!r}.")
    return 0


def _history(alerts: Sequence[Alert], args: Namespace) -> int:
    if args.json:
        print_json({"alerts": [alert.to_json() for alert in alerts]})
        return 0
    _table(alerts, {})
    print(f"{amount(len(alerts), 'alert')} would have been sent over the stored history.")
    return 0


def _on(readings: Sequence[Reading]) -> list[Reading]:
    return [reading for reading in readings if not reading.event and reading.status in ("warning", "critical")]


def _document(rules: Sequence[Rule], readings: Sequence[Reading], outbox: Outbox, history: int) -> dict[str, Any]:
    deliveries = outbox.deliveries()
    return {
        "rules": [{"name": rule.name, "preview": preview(rule)} for rule in rules],
        "on": [
            {"rule": r.rule, "level": r.status, "workflow": r.workflow, "agent": r.agent, "value": r.value, "threshold": r.threshold,
             "samples": r.samples, "sentence": r.sentence}
            for r in _on(readings)
        ],
        "alerts": [
            {**alert.to_json(), "deliveries": [
                {"channel": d.channel, "status": d.status, "attempts": d.attempts, "error": d.error} for d in deliveries if d.alert.id == alert.id
            ]}
            for alert in outbox.alerts(history)
        ],
    }  # fmt: skip


def _print(rules: Sequence[Rule], readings: Sequence[Reading], outbox: Outbox, history: int, channels: Sequence[Channel]) -> None:  # fmt: skip
    on = _on(readings)
    if on:
        print_table({"level": "left", "rule": "left", "says": "left"}, [[r.status, r.rule, r.sentence] for r in on], title="On now")  # fmt: skip
    sent: dict[str, list[str]] = {}
    for delivery in outbox.deliveries():
        word = "" if delivery.status == "sent" else f" {delivery.status}"
        sent.setdefault(delivery.alert.id, []).append(f"{delivery.channel}{word}")
    _table(outbox.alerts(history), sent)
    if not channels:
        note("No channel is set up: alerts are kept and shown here, and sent to nobody (docs/alerts.md).")


def _table(alerts: Sequence[Alert], sent: dict[str, list[str]]) -> None:
    rows = [
        [units.moment(alert.at_ns)[:16], "over" if alert.kind == "resolved" else alert.level, alert.rule,
         alert.sentence + (f" And {len(alert.more)} more." if alert.more else ""), ", ".join(sent.get(alert.id, ())) or "—"]
        for alert in alerts
    ]  # fmt: skip
    if rows:
        print_table({"when (UTC)": "left", "level": "left", "rule": "left", "says": "left", "sent to": "left"}, rows)
    else:
        print("No alert so far.")
