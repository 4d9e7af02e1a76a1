"""Tool calls that settle something about one object: `set_order_status(order_id="A-17", status="approved")` is a choice.

Only calls that put a value in the place of another one (set, update, assign, approve ...); what is added beside others (a comment,
a mail) settles nothing. The scope names the tool, the object and which arguments were given, so that two agents that change different
fields of one object do not contradict each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from tracer.ids import canonical_json
from tracer.normalise.values import as_text

MARK = "decision"
"""mark of a row whose scope_key and choice were read from the arguments of a tool call"""
_SETS = re.compile(
    r"(?:^|_)(?:set|update|change|assign|reassign|approve|decide|book|reserve|reschedule|schedule|rename|price|rate)(?:_|$)"
)
_OBJECT = re.compile(r"(?:^|_)(?:id|key|number|no|uuid)$", re.IGNORECASE)
_LONGEST = 200
"""characters of a choice; longer arguments are texts, not settings"""


def settled(tool_name: str | None, arguments: Any) -> tuple[str, str] | None:
    """(scope, choice) of a tool call that sets something on an object named by an id, None for all others."""
    if tool_name is None or not isinstance(arguments, Mapping) or not _SETS.search(tool_name.lower()):
        return None
    given = cast(Mapping[str, Any], arguments)
    objects = {name: text for name, value in given.items() if _OBJECT.search(name) and (text := as_text(value))}
    rest = {name: value for name, value in given.items() if name not in objects}
    if not objects or not rest:
        return None
    only = next(iter(rest.values())) if len(rest) == 1 else None
    choice = as_text(only) or canonical_json(rest)
    if len(choice) > _LONGEST:
        return None
    named = ", ".join(f"{name}={text}" for name, text in sorted(objects.items()))
    return f"{tool_name}({named}): {', '.join(sorted(rest))}", choice
