"""Stored runs through guard policies, with the guards' own cores: `guards` (one guard, one run), `windows` (all runs together), `policy`
(what a whole policy does), `sweep` (what other thresholds would do, and which is worth taking)."""
