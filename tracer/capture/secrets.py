"""Keys and tokens that people and tools write into prompts: masked before anything is written, unless switched off.

A text is first searched for the fixed parts of known secrets, which is much cheaper than a regular expression; only a text
that has one of them meets the expression it belongs to.
Rather mask too much than leak: what is lost is a word in a trace, what would leak is an account.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

MASK: Final = "[redacted]"
SHORTEST: Final = 14
"""no known secret is shorter, with what makes it known"""

_Rule = tuple[tuple[str, ...], re.Pattern[str], str]

_BEFORE = r"(?<![A-Za-z0-9_])"
_QUOTES = r"\\?[\"']?"
_RULES: Final[tuple[_Rule, ...]] = (
    # (fixed parts in lower case, one of which every match has; the pattern; what stands in its place)
    (("sk-",), re.compile(_BEFORE + r"sk-[A-Za-z0-9_\-]{16,}"), MASK),  # OpenAI, Anthropic, OpenRouter, Langfuse
    (("sk_live_", "rk_live_"), re.compile(_BEFORE + r"[sr]k_live_[A-Za-z0-9]{10,}"), MASK),  # Stripe
    (("akia", "asia"), re.compile(r"(?<![A-Z0-9])A(?:KI|SI)A[A-Z0-9]{16}(?![A-Z0-9])"), MASK),  # AWS
    (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(_BEFORE + r"(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
        MASK,
    ),
    (("xox",), re.compile(_BEFORE + r"xox[abeoprs]-[A-Za-z0-9\-]{10,}"), MASK),  # Slack
    (("aiza",), re.compile(_BEFORE + r"AIza[A-Za-z0-9_\-]{30,}"), MASK),  # Google
    (("hf_", "lsv2_"), re.compile(_BEFORE + r"(?:hf|lsv2)_[A-Za-z0-9_\-]{24,}"), MASK),
    (
        ("-----begin ",),
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[^\"]*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|(?:[A-Za-z0-9+/=\s]|\\[nr])*)"
        ),
        MASK,
    ),
    (
        ("bearer",),
        re.compile(r"(\bbearer(?:\s|\\t|%20)+)[A-Za-z0-9\-._~+/]{12,}=*", re.IGNORECASE),
        rf"\g<1>{MASK}",
    ),
    (
        ("uthorization",),
        re.compile(
            rf"(\bauthorization{_QUOTES}\s*[:=]\s*{_QUOTES}(?:(?:basic|token|bearer)\s+)?)[A-Za-z0-9\-._~+/]{{12,}}=*",
            re.IGNORECASE,
        ),
        rf"\g<1>{MASK}",
    ),
    (
        ("api_key", "apikey", "api-key", "secret_key", "secretkey", "secret_access_key", "client_secret", "access_token"),
        re.compile(
            rf"((?:api[_-]?key|secret[_-]?(?:access[_-]?)?key|client[_-]?secret|access[_-]?token){_QUOTES}\s*[:=]\s*{_QUOTES})"
            r"[A-Za-z0-9\-._~+/]{16,}=*",
            re.IGNORECASE,
        ),
        rf"\g<1>{MASK}",
    ),
)  # fmt: skip
_NAMED = re.compile(r"authorization|api[_-]?key|password|passwd|client[_-]?secret|(?:^|[._-])cookie", re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """`text` with every known kind of secret replaced; the same object where there is none."""
    if len(text) < SHORTEST:
        return text
    small = text.lower()
    # A search for one character is ten times as fast as one for a word, and most texts lack most of these.
    has = {rare: rare in small for rare in _RARE}
    for parts, pattern, replacement in _GATED:
        for rare, part in parts:
            if (not rare or has[rare]) and part in small:
                text = pattern.sub(replacement, text)
                break
    return text


_RARE: Final = "_-zx"
_GATED: Final = tuple(
    (tuple((next((rare for rare in _RARE if rare in part), ""), part) for part in fixed), pattern, replacement)
    for fixed, pattern, replacement in _RULES
)
"""the rules, each fixed part with the rarest character that it has"""


@lru_cache(maxsize=4_096)
def names_secret(attribute: str) -> bool:
    """True for an attribute whose whole value is a secret by its name, such as an authorization header."""
    return _NAMED.search(attribute) is not None
