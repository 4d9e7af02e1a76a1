"""Tests of the desk, as a user writes them. Run by `tests/checks/test_plugin.py`, which knows which of them must fail."""

from __future__ import annotations

import desk
import pytest


def test_healthy(tracehound_run):
    tracehound_run.limit(budget_usd=0.05, tokens=2_000, seconds=60)
    assert "Thursday" in desk.answer("Where is my parcel?")


def test_loops(tracehound_run):
    desk.answer_in_circles("Where is my parcel?")


@pytest.mark.tracehound(allow=["loop", "ping_pong"], fail_on="critical")
def test_loops_as_agreed(tracehound_run):
    desk.answer_in_circles("Where is my parcel?")


@pytest.mark.tracehound(budget_usd=0.50)
def test_overspends(tracehound_run):
    desk.answer_at_any_price("Where is my parcel?")


def test_conflicts(tracehound_run):
    desk.answer_twice("Refund?")


def test_records_nothing(tracehound_run):
    assert True


def test_own_failure_comes_first(tracehound_run):
    desk.answer_in_circles("Where is my parcel?")
    assert "Thursday" in "Friday"


def test_without_the_fixture():
    desk.answer("Where is my parcel?")


@pytest.mark.tracehound(budget=1)
def test_misspelt_limit(tracehound_run):
    pass
