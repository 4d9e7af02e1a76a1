"""How one alert is handed to one channel. Each either returns, or raises `NotSent` with the reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from importlib import import_module
from typing import Any

from analyzers.alerts.states import Alert
from tracer.errors import BadInput, shorten

COLOURS = {"critical": "#c0392b", "warning": "#d68910", "resolved": "#2e8b57"}


class NotSent(Exception):
    """The channel did not take it; the alert stays in the outbox."""


def subject_of(alert: Alert) -> str:
    """One line: level, rule, and whom it is about."""
    who = alert.agent or alert.workflow or "the store"
    word = "over" if alert.kind == "resolved" else alert.level
    return " ".join(f"[{word}] {alert.rule}: {who}".split())


def text_of(alert: Alert) -> str:
    """The alert as plain text: reason, what else, what the detectors said, what to do, where to look."""
    lines = [alert.sentence, *alert.attached]
    if alert.more:
        lines += ["", f"Also ({len(alert.more)}):", *(f"- {one}" for one in alert.more[:10])]
        if len(alert.more) > 10:
            lines.append(f"- and {len(alert.more) - 10} more")
    if alert.then:
        lines += ["", f"Do: {alert.then}."]
    if alert.runs:
        lines.append(f"Look: tracehound report {alert.runs[0]}")
    moment = datetime.fromtimestamp(alert.at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return "\n".join([*lines, "", f"Rule {alert.rule}, {moment}, alert {alert.id}"])


def sign(secret: str, alert_id: str, timestamp: int, body: bytes) -> str:
    """The value of header `webhook-signature`: "v1," and the base64 of HMAC-SHA256 over `id.timestamp.body`.

    Source: the Standard Webhooks specification 1.0, symmetric signatures; a secret that begins with whsec_ is base64.
    """
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    mac = hmac.new(key, f"{alert_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def send_webhook(alert: Alert, url: str, secret: str | None, timeout_s: float) -> None:
    """POST the alert as JSON; headers webhook-id (the same at every attempt), webhook-timestamp, webhook-signature."""
    body = json.dumps({"type": f"alert.{alert.kind}", "data": {**alert.to_json(), "text": text_of(alert)}}).encode()
    now = int(time.time())
    headers = {"webhook-id": alert.id, "webhook-timestamp": str(now)}
    if secret:
        headers["webhook-signature"] = sign(secret, alert.id, now, body)
    _post(url, body, headers, timeout_s)


def send_slack(alert: Alert, url: str, timeout_s: float) -> None:
    """POST in the form of Slack's incoming webhooks, which Mattermost, Rocket.Chat and others take as well."""
    colour = COLOURS["resolved" if alert.kind == "resolved" else alert.level]
    body = {"text": _escaped(subject_of(alert)), "attachments": [{"color": colour, "text": _escaped(text_of(alert))}]}
    _post(url, json.dumps(body).encode(), {}, timeout_s)


def _escaped(text: str) -> str:
    """Slack reads <...> as links and mentions: what a model said must not call everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Stay(urllib.request.HTTPRedirectHandler):
    """An alert goes where the file says and nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> None:
    request = urllib.request.Request(url, body, {"content-type": "application/json", "user-agent": "tracehound", **headers})  # fmt: skip
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=timeout_s) as answer:
            answer.read(1_000)
    except urllib.error.HTTPError as error:
        with error:
            said = shorten(error.read(300).decode(errors="replace").strip())
        raise NotSent(f"answered {error.code}{': ' + said if said else ''}") from error
    except (OSError, ValueError) as error:  # refused, timed out, no such host, bad certificate
        reason = getattr(error, "reason", None) or error
        raise NotSent(getattr(reason, "strerror", None) or str(reason) or type(error).__name__) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A server that takes mail, and to whom it goes."""

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    tls: str
    user: str | None
    password: str | None
    timeout_s: float


def send_mail(alert: Alert, mail: Mail) -> None:
    """One message to all; its Message-ID is made of the alert's id, so that a repeated one is recognised."""
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject_of(alert), mail.sender, ", ".join(mail.to)
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(alert.id, "tracehound.local")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text_of(alert))
    try:
        context = ssl.create_default_context()
        if mail.tls == "tls":
            server = smtplib.SMTP_SSL(mail.host, mail.port, timeout=mail.timeout_s, context=context)
        else:
            server = smtplib.SMTP(mail.host, mail.port, timeout=mail.timeout_s)
        with server:
            if mail.tls == "starttls":
                server.starttls(context=context)
            if mail.user:
                server.login(mail.user, mail.password or "")
            refused = server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise NotSent(f"{error}" or type(error).__name__) from error
    if refused:
        raise NotSent(f"refused for {', '.join(refused)}")


def apprise_sender(place: str, url: str) -> Callable[[Alert], None]:
    """A sender through Apprise, an optional package.

    Raises:
        BadInput: it is not installed, or does not know this kind of address. The address is a secret and not shown.
    """
    try:
        apprise: Any = import_module("apprise")
    except ImportError as error:
        raise BadInput(
            f'{place}: a channel of type "apprise" needs Apprise, which is not installed.',
            hint="install it with: pip install 'tracehound[alerts]'",
        ) from error
    if not apprise.Apprise().add(url):
        kind = shorten(url.partition(":")[0], 20)
        raise BadInput(f"{place}: Apprise does not take this {kind!r} address.", hint="its form is in Apprise's list of services.")  # fmt: skip

    def send(alert: Alert) -> None:
        handler = apprise.Apprise()
        handler.add(url)
        kind = "success" if alert.kind == "resolved" else "failure" if alert.level == "critical" else "warning"
        if not handler.notify(title=subject_of(alert), body=text_of(alert), notify_type=kind, body_format="text"):
            raise NotSent("Apprise could not deliver it")

    return send
