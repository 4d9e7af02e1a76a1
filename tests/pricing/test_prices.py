"""Prices: hand-computed cases, agreement with genai-prices' own sum, overrides, and what is unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.errors import BadInput
from tracer.pricing import Prices, Usage, price, read_overrides

AT = datetime(2026, 11, 1, tzinfo=UTC)
AT_NS = int(AT.timestamp()) * 10**9


def test_cached_tokens_by_hand() -> None:
    """gpt-4o: $2.50 in, $1.25 cached, $10 out per million. 800 x 2.5 + 200 x 1.25 + 100 x 10 = 3250 millionths."""
    cost, source = price(
        "gpt-4o-2024-08-06", "openai", Usage(input_tokens=1000, cached_tokens=200, output_tokens=100), AT_NS
    )

    assert Decimal("0.00325") == cost
    assert source is not None
    assert source.startswith("genai-prices ")
    assert source.endswith(" openai/gpt-4o")


def test_reasoning_tokens_are_part_of_the_output_by_hand() -> None:
    """gpt-5: $1.25 in, $10 out; reasoning is inside the output: 1000 x 1.25 + 500 x 10 = 6250 millionths, not more."""
    cost, _ = price("gpt-5", "openai", Usage(input_tokens=1000, output_tokens=500, reasoning_tokens=400), AT_NS)

    assert Decimal("0.00625") == cost


def test_cache_write_and_tier_by_hand() -> None:
    """claude-sonnet-4-5: $3 in, $0.30 read, $3.75 write, $15 out: 500 x 3 + 300 x .3 + 200 x 3.75 + 100 x 15 = 3840 millionths."""
    usage = Usage(input_tokens=1000, cached_tokens=300, cache_write_tokens=200, output_tokens=100)

    assert Decimal("0.00384") == price("claude-sonnet-4-5", "anthropic", usage, AT_NS)[0]


MODELS = [
    ("gpt-4o", "openai"),
    ("gpt-5", "openai"),
    ("claude-sonnet-4-5", "anthropic"),
    ("gemini-2.5-pro", "google"),
    ("deepseek-chat", "deepseek"),
    ("mistral-small-latest", "mistral"),
    ("sonar", "perplexity"),
]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.integers(0, 400_000),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.integers(0, 10_000),
    st.sampled_from([AT_NS, AT_NS + 12 * 3600 * 10**9, AT_NS - 400 * 86400 * 10**9]),
)
def test_agrees_with_genai_prices(
    model: tuple[str, str], given_tokens: int, cached: float, written: float, got: int, at_ns: int
) -> None:
    """The fast sum is the library's sum, tiers and time of day included."""
    read, write = int(given_tokens * cached), int(given_tokens * written)
    moment = datetime.fromtimestamp(at_ns / 1e9, tz=UTC)
    theirs = calc_price(
        TheirUsage(input_tokens=given_tokens, cache_read_tokens=read, cache_write_tokens=write, output_tokens=got),
        model[0],
        provider_id=model[1],
        genai_request_timestamp=moment,
    )
    ours, _ = price(
        *model, Usage(input_tokens=given_tokens, cached_tokens=read, cache_write_tokens=write, output_tokens=got), at_ns
    )

    assert ours == theirs.total_price.quantize(Decimal("1e-9"))


FOUND = [
    ("gpt-4o", None, True),
    ("openai/gpt-4o", None, True),
    ("openai/gpt-4o", "litellm", True),
    ("gpt-4o", "langchain", True),
    ("gpt-4o", "my-gateway", True),
    ("gpt-4o", "azure.ai.openai", True),
    ("gpt-4o", "openai.chat", True),
    ("gpt-mock", "openai", False),
    ("claude-sonnet-4-5", "openai", False),
    ("autogen", None, False),
    ("", None, False),
]


@pytest.mark.parametrize(("model", "provider", "known"), FOUND)
def test_by_model_and_seller_never_by_framework(model: str, provider: str | None, known: bool) -> None:
    """A framework's name is ignored; a seller that does not sell the model gives no price."""
    cost, source = price(model, provider, Usage(input_tokens=1000, output_tokens=10), AT_NS)

    assert (known, known) == (cost is not None, source is not None)


@pytest.mark.parametrize("usage", [Usage(), Usage(input_tokens=5), Usage(output_tokens=5)])
def test_unreported_tokens_have_no_price(usage: Usage) -> None:
    """A stream without usage costs an unknown amount, not half of it."""
    assert price("gpt-4o", "openai", usage, AT_NS) == (None, None)


def test_overrides(tmp_path: Path) -> None:
    """A user's price wins, by name or pattern, and says so."""
    file = tmp_path / "prices.toml"
    file.write_text('["my-*"]\ninput = 1\noutput = 2.5\ncached = 0.1\n["gpt-4o"]\ninput = 0\noutput = 0\n')
    prices = Prices(read_overrides(file))
    usage = Usage(input_tokens=1_000_000, cached_tokens=500_000, output_tokens=1_000_000)

    assert (Decimal("3.05"), "override my-*") == prices.price("my-model", None, usage, AT_NS)
    assert (Decimal(0), "override gpt-4o") == prices.price("gpt-4o", "openai", usage, AT_NS)
    assert prices.overrides("my-model")
    assert not prices.overrides("claude")


@pytest.mark.parametrize(
    "tables",
    [
        {"m": 3},
        {"m": {"input": 1}},
        {"m": {"input": "x", "output": 1}},
        {"m": {"input": -1, "output": 1}},
        {"m": {"input": 1, "output": 1, "per": 2}},
    ],
)
def test_bad_overrides_name_the_model(tables: dict[str, object]) -> None:
    """A wrong table says which model and what is needed."""
    with pytest.raises(BadInput, match="'m'"):
        read_overrides(tables)
