"""How a receiver is set up, and which addresses count as this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything `tracehound serve` can be told."""

    store: Path
    host: str = "127.0.0.1"
    port: int = 4318
    """0: any free one"""
    token: str | None = None
    """what clients send as `Authorization: Bearer ...`; required unless `host` is a loopback address"""
    max_body: int = 64 * MB
    """bytes of one request, as sent and again once inflated"""
    max_held: int = 128 * MB
    """bytes of request bodies held at once; beyond that clients are asked to come back"""
    body_timeout_s: float = 30.0
    fold_every_s: float = 1.0
    """0: leave folding to whoever reads"""
    lake: str | None = None
    """where whole runs go once they are at rest"""
    forward: str | None = None
    """base URL of another OTLP back-end that gets every accepted payload as well"""
    forward_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    forward_queue: int = 64 * MB


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach `host` (a name or address as one writes it)."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.rpartition(":")[0] if ":" in header else header
