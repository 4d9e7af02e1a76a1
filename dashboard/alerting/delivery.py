"""Sends what is due. A channel that fails is not tried again in the same round, so that one that is down holds up no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dashboard.alerting.channels import Channel
from dashboard.alerting.outbox import Outbox
from dashboard.alerting.senders import NotSent


@dataclass(frozen=True, slots=True)
class Sent:
    """How many deliveries a round made, and what went wrong: channel -> reason."""

    sent: int
    failed: dict[str, str]


def deliver(outbox: Outbox, channels: Iterable[Channel], clock: Callable[[], int]) -> Sent:
    """One round over everything that is due at `clock()` (ns). Never raises for a channel; reasons are kept in the outbox."""
    by_name = {channel.name: channel for channel in channels}
    sent = 0
    failed: dict[str, str] = {}
    for delivery in outbox.claim(clock()):
        channel = by_name.get(delivery.channel)
        reason = failed.get(delivery.channel)
        if channel is None:
            reason = "there is no channel of this name any more"
        elif reason is None:
            try:
                channel.send(delivery.alert)
            except NotSent as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001  a plug-in of Apprise may raise anything; kept, shown and tried again
                reason = f"{type(error).__name__}: {error}"
        if reason is None:
            outbox.sent(delivery, clock())
            sent += 1
        else:
            failed[delivery.channel] = reason
            outbox.failed(delivery, clock(), reason)
    return Sent(sent, failed)
