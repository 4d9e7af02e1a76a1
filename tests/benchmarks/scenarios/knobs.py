"""What is varied from run to run besides the scenario itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Topology = Literal["pipeline", "supervisor", "chat", "map_reduce", "nested"]
Wording = Literal["verbatim", "template", "pool", "other"]
Text = Literal["full", "hashed", "none"]
Arrival = Literal["ordered", "shuffled", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """What is varied from run to run besides the scenario itself."""

    block: Literal["clean", "gaps", "harsh"] = "clean"
    topology: Topology = "pipeline"
    size: int = 20
    """spans of healthy work around the scenario"""
    branches: int = 1
    """concurrent lanes of healthy work, the scenario's own included"""
    irrelevant: float = 0.0
    """share of the spans that have nothing to do with agents"""
    missing: float = 0.0
    """share of the spans that are lost after recording"""
    skew_ns: int = 0
    """how far the clocks of every second agent are off"""
    arrival: Arrival = "ordered"
    text: Text = "full"
    wording: Wording = "template"
