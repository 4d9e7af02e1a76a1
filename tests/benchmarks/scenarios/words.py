"""Sentences that say something new each time: names, numbers and words drawn from word lists."""

from __future__ import annotations

import random

_START = (
    "Bra",
    "Kel",
    "Mor",
    "Tan",
    "Vel",
    "Ost",
    "Lin",
    "Dar",
    "Fen",
    "Hol",
    "Jar",
    "Nim",
    "Pel",
    "Quen",
    "Ros",
    "Sev",
)
_MIDDLE = ("a", "e", "i", "o", "u", "ai", "ou", "ea")
_END = (
    "dale",
    "mont",
    "ford",
    "wick",
    "stad",
    "by",
    "mere",
    "lin",
    "gard",
    "ton",
    "vik",
    "holm",
    "berg",
    "sand",
    "rup",
)
_NOUNS = [
    "turbine",
    "ledger",
    "harvest",
    "clinic",
    "warehouse",
    "tariff",
    "glacier",
    "museum",
    "orchard",
    "ferry",
    "quarry",
    "bakery",
    "satellite",
    "archive",
    "bridge",
    "vaccine",
    "textile",
    "furnace",
    "library",
    "reservoir",
    "pension",
    "invoice",
    "timber",
    "drone",
    "pharmacy",
    "tunnel",
    "subsidy",
    "aquifer",
    "stadium",
    "licence",
    "sawmill",
    "brewery",
    "hospital",
    "cable",
    "vineyard",
    "auction",
    "refinery",
    "orchestra",
    "barley",
    "canal",
    "dairy",
    "elevator",
    "foundry",
    "greenhouse",
    "harbour",
]
_VERBS = [
    "reported",
    "recorded",
    "delayed",
    "doubled",
    "repaired",
    "exported",
    "audited",
    "closed",
    "inherited",
    "measured",
    "replaced",
    "rejected",
    "financed",
    "relocated",
    "surveyed",
    "insured",
    "flooded",
    "certified",
    "outsourced",
    "rebuilt",
    "inspected",
    "subsidised",
    "leased",
    "merged",
    "donated",
]
_REST = """after the spring flood|because of a supplier in the north|under the old contract|despite two objections|with a grant
|during the second quarter|for the regional council|without further notice|at half the planned price|following an inspection
|on behalf of a cooperative|in spite of heavy snow|once the permit was granted|before the auditors arrived|as agreed in May
|against the advice of counsel|thanks to a new conveyor|within nine weeks|under supervision of the port|from its own reserves""".replace(
    "\n", ""
).split("|")


def name_of_thing(rng: random.Random) -> str:
    """A made-up proper name; some eight million of them."""
    return f"{rng.choice(_START)}{rng.choice(_MIDDLE)}{rng.choice(_END)}-{rng.randrange(1000, 9999)}"


def fact(rng: random.Random) -> str:
    """One sentence with a name and a number in it."""
    return (
        f"{name_of_thing(rng)} {rng.choice(_VERBS)} {rng.randrange(3, 9000)} units of {rng.choice(_NOUNS)} and "
        f"{rng.choice(_NOUNS)} {rng.choice(_REST)}."
    )


def text(rng: random.Random, sentences: int) -> str:
    """Several facts."""
    return " ".join(fact(rng) for _ in range(sentences))
