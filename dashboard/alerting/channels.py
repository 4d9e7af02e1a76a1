"""Where alerts go: `[[channel]]` tables beside the rules. Secrets are named by environment variables, never written in the file.

[[channel]]                                  [[channel]]
name = "pager"                               name = "ops"
type = "apprise"                             type = "webhook"
url_env = "PAGER_URL"                        url = "https://example.com/hooks/agents"
levels = ["critical"]                        secret_env = "HOOK_SECRET"
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from analyzers.alerts.parsing import default_rules
from analyzers.alerts.rules import LEVELS, matches
from analyzers.alerts.states import Alert
from analyzers.toml_tables import Table, TomlFile
from dashboard.alerting import senders
from tracer.errors import BadInput, UnknownName

Send = Callable[[Alert], None]
"""Raises `senders.NotSent` where the channel did not take it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One way to people."""

    name: str
    kind: str
    levels: tuple[str, ...]
    rules: tuple[str, ...]
    workflow: tuple[str, ...]
    resolved: bool
    send: Send

    def wants(self, alert: Alert) -> bool:
        return (
            alert.level in self.levels
            and matches(alert.rule, self.rules)
            and matches(alert.workflow, self.workflow)
            and (self.resolved or alert.kind == "fired")
        )


def channels_of(file: TomlFile) -> tuple[Channel, ...]:
    """The channels of a rules file.

    Raises:
        BadInput: a channel is not as it must be, an environment variable is not set, or Apprise is needed and absent.
    """
    found: dict[str, Channel] = {}
    rules = {rule.name for rule in default_rules()} | {str(table.values.get("name")) for table in file.tables("rule")}
    for table in file.tables("channel"):
        channel = _channel(table)
        for name in (pattern.removeprefix("!") for pattern in channel.rules):
            if name not in rules and not set(name) & set("*?["):
                # A channel that waits for a rule that does not exist would stay silent for ever.
                table.refuse(
                    "rules",
                    name,
                    "the name of a rule, or a pattern with *",
                    UnknownName.among("rule", name, rules).hint,
                )
        if channel.name in found:
            raise BadInput(f"{table.place('name')}: there are two channels called {channel.name!r}.")
        found[channel.name] = channel
    return tuple(found.values())


def _channel(table: Table) -> Channel:
    kind = table.choice("type", KINDS)
    channel = Channel(
        name=table.text("name"), kind=kind, levels=table.texts("levels", LEVELS), rules=table.texts("rules", ("*",)),
        workflow=table.texts("workflow", ("*",)), resolved=table.flag("resolved", default=True), send=KINDS[kind](table),
    )  # fmt: skip
    for level in channel.levels:
        if level not in LEVELS:
            table.refuse("levels", level, "warning or critical")
    table.done()
    return channel


def _webhook(table: Table) -> Send:
    url, secret = _url(table), _secret(table, "secret", required=False)
    timeout_s = table.number("timeout_s", 10.0, least=0.1) or 10.0
    return lambda alert: senders.send_webhook(alert, url, secret, timeout_s)


def _slack(table: Table) -> Send:
    url = _url(table)
    timeout_s = table.number("timeout_s", 10.0, least=0.1) or 10.0
    return lambda alert: senders.send_slack(alert, url, timeout_s)


def _email(table: Table) -> Send:
    mail = senders.Mail(
        host=table.text("host"), port=table.whole("port", 587, least=1, most=65_535), sender=table.text("from"), to=table.texts("to"),
        tls=table.choice("tls", ("starttls", "tls", "none"), "starttls"), user=table.text("user", "") or None,
        password=_secret(table, "password", required=False), timeout_s=table.number("timeout_s", 20.0, least=0.1) or 20.0,
    )  # fmt: skip
    if not mail.to:
        table.refuse("to", (), "at least one address")
    if mail.password and mail.tls == "none":
        table.refuse("tls", "none", "starttls or tls, since a password would travel in the clear")
    return lambda alert: senders.send_mail(alert, mail)


def _apprise(table: Table) -> Send:
    url = _secret(table, "url", required=True) or ""
    return senders.apprise_sender(table.place(), url)


def _url(table: Table) -> str:
    url = _secret(table, "url", required=True) or ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        table.refuse(
            "url", url if "url" in table else "(of url_env)", "an address that begins with https:// or http://"
        )
    return url


def _secret(table: Table, key: str, *, required: bool) -> str | None:
    """`key` itself, or the value of the environment variable that `key_env` names."""
    named = table.text(f"{key}_env", "")
    given = table.text(key, "")
    if named and given:
        raise BadInput(f"{table.place(key)}: {table.called()} has both {key} and {key}_env.", hint="keep the second.")
    if named:
        value = os.environ.get(named)
        if not value:
            raise BadInput(f"{table.place(f'{key}_env')}: the environment variable {named} is not set.", hint=f"it holds the {key} of {table.called()}.")  # fmt: skip
        return value
    if not given and required:
        table.text(key)
    return given or None


KINDS: Final[Mapping[str, Callable[[Table], Any]]] = {"webhook": _webhook, "slack": _slack, "email": _email, "apprise": _apprise}  # fmt: skip
"""type -> how its table is read; PagerDuty, Opsgenie, Teams, Telegram and a hundred more go through Apprise"""
