"""What becomes of a test whose environment cannot be built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.environments import Environments

pytestmark = pytest.mark.slow


def test_versions_that_contradict_each_other_fail_and_what_is_not_there_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is our fault; a registry that answers nothing proves nothing, and that is said."""
    environments = Environments(tmp_path)
    with pytest.raises(pytest.fail.Exception, match="contradict each other"):
        environments.with_packages("contradiction", ["idna==3.10", "idna==3.9"])
    monkeypatch.setattr("tests.e2e.environments.ATTEMPTS", 1)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(pytest.skip.Exception, match="NOT PROVEN"):
        environments.with_packages("no registry", ["idna==3.10"])
