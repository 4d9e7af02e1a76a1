"""What a store tells Prometheus, read back by the library's own parsers, and by a real Prometheus where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from dashboard.alerting.outbox import Outbox
from dashboard.store_metrics import MOST, StoreCollector, _bounded
from tests.alerting.test_delivery import alert, channel, channels, put
from tests.dashboard import stores
from tests.receiver.serving import serving
from tracer.receiver.counts import Counts
from tracer.store.database import Store

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def samples(path: Path) -> list[Sample]:
    """Everything a scrape gives, through OpenMetrics and back."""
    body, content_type = Counts().render({}, StoreCollector(path).families(), OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    return [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]


def value(found: list[Sample], name: str, **labels: str) -> float:
    """The sum of the samples of that name with these labels."""
    mine = [s for s in found if s.name == name and labels.items() <= s.labels.items()]
    assert mine, name
    return sum(s.value for s in mine)


def test_metrics_agree_with_the_store(tmp_path: Path) -> None:
    """Counts, tokens, money and buckets are those of SQL over the same store; exemplars name runs of it."""
    path = tmp_path / "traces.duckdb"
    store = stores.write(path, stores.examples(healthy=20))
    put(Outbox(path), alert(), to=channels(channel("slack", 'url = "http://127.0.0.1:9"')))
    found = samples(path)
    calls = "FROM spans WHERE kind = 'llm'"
    with store.lease() as connection:
        [(n, tokens, cost, unpriced)] = connection.execute(f"SELECT count(*), sum(input_tokens), sum(cost_usd), count(*) - count(cost_usd) {calls}").fetchall()  # fmt: skip
        [(small,)] = connection.execute(f"SELECT count(*) {calls} AND input_tokens <= 256").fetchall()
        [(slow,)] = connection.execute("SELECT count(*) FROM traces WHERE end_ns IS NOT NULL AND (end_ns - start_ns) / 1e9 > 30").fetchall()  # fmt: skip
        traces = {trace for (trace,) in connection.execute("SELECT trace_id FROM traces").fetchall()}

    assert value(found, "gen_ai_client_token_usage_sum", gen_ai_token_type="input") == tokens
    assert value(found, "gen_ai_client_token_usage_bucket", gen_ai_token_type="input", le="256.0") == small
    assert value(found, "gen_ai_client_operation_duration_seconds_count") == n
    assert value(found, "tracehound_cost_usd_total") == pytest.approx(float(cost))
    assert value(found, "tracehound_unpriced_calls_total", gen_ai_request_model="house-model") == unpriced == 1
    assert value(found, "tracehound_runs_total", workflow="answer_ticket", outcome="failed") == 1
    assert value(found, "tracehound_running_runs", workflow="triage") == 1
    ended = value(found, "tracehound_run_duration_seconds_count")
    assert ended - value(found, "tracehound_run_duration_seconds_bucket", le="30.0") == slow == 1
    assert value(found, "tracehound_store_up") == 1
    exemplars = [s.exemplar for s in found if s.exemplar is not None]
    assert exemplars
    assert {e.labels["trace_id"] for e in exemplars} <= traces


def test_no_label_grows_without_bound() -> None:
    """Of 200 workflows the 40 with most stay; the rest is "other", and the sum is the same."""
    rows = [(f"w{i}", float(i)) for i in range(200)]
    kept = {labels[0]: number for labels, number in _bounded(rows, 1)}

    assert len(kept) == MOST + 1
    assert sum(kept.values()) == sum(number for _, number in rows)
    assert kept["w199"] == 199
    assert "w10" not in kept


def test_a_store_that_is_not_there_or_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No store is no error; one that another program holds keeps what was known and says so."""
    from tracer.errors import StoreLocked

    assert value(samples(tmp_path / "none.duckdb"), "tracehound_store_up") == 1
    path = tmp_path / "traces.duckdb"
    stores.write(path, stores.examples(healthy=2))
    collector = StoreCollector(path, fresh_s=0)
    before = {metric.name for metric in collector.families()}

    def locked(*_: Any, **__: Any) -> Any:
        raise StoreLocked("held")

    monkeypatch.setattr(Store, "lease", locked)
    after = {metric.name: metric for metric in collector.families()}
    assert after.keys() == before
    assert after["tracehound_store_up"].samples[0].value == 0


def test_dashboard_and_rules_name_metrics_that_are_there(tmp_path: Path) -> None:
    """Every metric in Grafana's file and in the rules is one that a scrape gives."""
    path = tmp_path / "traces.duckdb"
    stores.write(path, stores.examples(healthy=3))
    given = (
        {s.name for s in samples(path)}
        | {f"{family.name}_total" for family in StoreCollector(path).families()}
        | {family.name for family in StoreCollector(path).families()}
    )
    panels = json.loads((MONITORING / "grafana.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    named = set(re.findall(r"\b(?:tracehound|gen_ai_client)_\w+", " ".join([*asked, (MONITORING / "rules.yml").read_text()])))  # fmt: skip

    assert len(panels) == 12
    assert named - given == set()


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_a_real_prometheus_takes_rules_and_scrapes(tmp_path: Path) -> None:
    """promtool accepts the files; Prometheus scrapes `serve`, stores exemplars, and answers every expression of the dashboard."""
    promtool, prometheus = shutil.which("promtool"), shutil.which("prometheus")
    if promtool is None or prometheus is None:
        message = "no Prometheus found: apt-get install -y prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    for arguments in (["check", "rules", "rules.yml"], ["check", "config", "prometheus.yml"]):
        done = subprocess.run([promtool, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    store = tmp_path / "traces.duckdb"
    stores.write(store, stores.examples(healthy=20))
    with serving(store) as server:
        text = server.ask("GET", "/metrics").body
        checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
        assert checked.returncode in (0, 3), checked.stderr  # 3: remarks on style
        config = (MONITORING / "prometheus.yml").read_text().replace("4318", str(server.port)).replace("15s", "1s")
        (tmp_path / "prometheus.yml").write_text(config)
        shutil.copy(MONITORING / "rules.yml", tmp_path)
        address = f"127.0.0.1:{port()}"
        process = subprocess.Popen(
            [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={address}", "--enable-feature=exemplar-storage"],
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            query = f"http://{address}/api/v1/query?query="
            deadline = time.monotonic() + 90
            runs: list[Any] = []
            while not runs and time.monotonic() < deadline:
                try:
                    runs = ask(query + "sum(tracehound_runs_total)")["data"]["result"]
                except OSError:
                    runs = []
                time.sleep(0.2)
            assert float(runs[0]["value"][1]) == 22
            panels = json.loads((MONITORING / "grafana.json").read_text())["panels"]
            for target in (target for panel in panels for target in panel["targets"]):
                expression = target["expr"].replace("$workflow", ".*")
                assert ask(query + urllib.parse.quote(expression))["status"] == "success", expression
            exemplars = ask(f"http://{address}/api/v1/query_exemplars?query=tracehound_run_duration_seconds_bucket&start=0&end=4000000000")  # fmt: skip
            assert exemplars["status"] == "success"
        finally:
            process.terminate()
            process.wait(30)
