"""Real processes: killed, hung, forked, ended; and what importing costs them."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tracer
from tests.capture.spool import read_spool
from tracer.capture.exit import start_folding
from tracer.store.database import Store
from tracer.testing import recording_to, segment_writer, tmp_store

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("duckdb", "polars", "pyarrow", "streamlit", "plotly", "genai_prices", "networkx", "pandas", "numpy")
HOST = [
    "__init__.py",
    "clock.py",
    "errors.py",
    "ids.py",
    "model.py",
    "semconv.py",
    "testing.py",
    "store/segment.py",
    "store/frame.py",
]


def start(mode: str, store: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed.py")), mode, str(store)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def lines_until(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def rest_of(process: subprocess.Popen[str]) -> list[str]:
    """What it said before it died; a line that was cut short was not said."""
    assert process.stdout is not None
    said = process.stdout.read()
    process.stdout.close()
    process.wait(30)
    return said.split("\n")[:-1]


def test_a_killed_process_keeps_every_span_that_had_ended(tmp_path: Path) -> None:
    """SIGKILL at a random point of a tight loop: each span whose block was left is in the file, with its texts."""
    store = tmp_path / "t.duckdb"
    process = start("busy", store)
    said = lines_until(process, 200)
    process.send_signal(signal.SIGKILL)
    said += rest_of(process)
    found = read_spool(store)
    llm = {span.span_id: span for span in found.spans if span.name == "chat m"}
    assert set(said) <= set(llm)
    assert len(said) >= 200
    for span_id in said:
        content = llm[span_id].content
        question, answer = (
            json.loads(found.contents[named])["content"] for named in (*content["input"], *content["output"])
        )
        assert question.split()[1] == answer.split()[1]
    known = {span.span_id for span in [*found.starts, *found.spans]}
    assert {span.parent_span_id for span in found.spans} - {None} <= known


def test_a_hung_process_shows_what_it_was_doing(tmp_path: Path) -> None:
    """Killed in the middle of an LLM call: workflow, agent and call are there as started, with the prompt."""
    store = tmp_path / "t.duckdb"
    process = start("hung", store)
    assert lines_until(process, 1) == ["ready"]
    process.kill()
    rest_of(process)
    found = read_spool(store)
    assert (found.spans, [span.name for span in found.starts]) == ([], ["w", "a", "chat m"])
    assert json.loads(found.contents[found.starts[2].content["input"][0]])["content"] == "waiting for this"


def test_a_forked_child_records_its_own_spans_and_leaves_the_parents_alone(tmp_path: Path) -> None:
    """Each process writes each of its spans once; ends of the parent's spans in a child are not written."""
    store = tmp_path / "t.duckdb"
    process = start("fork", store)
    rest_of(process)
    assert process.returncode == 0
    found = read_spool(store)
    assert sorted(span.name for span in found.spans) == ["after", "before", "in child", "w"]
    by_name = {span.name: span for span in found.spans}
    assert by_name["w"].status == "unset"
    assert by_name["in child"].parent_span_id == by_name["w"].span_id
    pids = {name: span.resource["process.pid"] for name, span in by_name.items()}
    assert pids["before"] == pids["after"] == pids["w"] != pids["in child"]


def test_a_clean_exit_needs_no_shutdown(tmp_path: Path) -> None:
    """The interpreter's end writes what is left."""
    process = start("exit", tmp_path / "t.duckdb")
    rest_of(process)
    assert process.returncode == 0
    assert [span.name for span in read_spool(tmp_path / "t.duckdb").spans] == ["w"]


@pytest.mark.slow
def test_the_folding_process_moves_spans_into_the_database(tmp_path: Path) -> None:
    """What a clean exit starts: a process of its own that reads the spool, whatever lies in the working directory."""
    with recording_to(segment_writer(tmp_path)), tracer.workflow("w"):
        pass
    pid = start_folding(tmp_store(tmp_path))
    assert pid is not None
    assert os.waitpid(pid, 0)[1] == 0
    with Store(tmp_store(tmp_path)).lease() as connection:
        assert connection.execute("SELECT name FROM spans").fetchall() == [("w",)]


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import tracer", (*HEAVY, "opentelemetry")),
        ("import tracer; tracer.agent(lambda: 1)", (*HEAVY, "opentelemetry.sdk")),
        ("import tracer; tracer.init('t.duckdb', fold_at_exit=False)\nwith tracer.agent('a'): pass", (*HEAVY, "opentelemetry.exporter")),
        ("import tracer.testing", HEAVY),
    ],
    ids=["import", "decorate", "record", "testing"],
)  # fmt: skip
def test_importing_is_light(code: str, absent: tuple[str, ...], tmp_path: Path) -> None:
    """The package alone brings nothing, decorators no SDK, and recording none of the reading side's packages."""
    program = f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    loaded = json.loads(done.stdout)
    assert [name for name in loaded if name.startswith(tuple(f"{one}." for one in absent)) or name in absent] == []


def test_the_host_side_loads_under_another_name(tmp_path: Path) -> None:
    """A host with a module called `tracer` of its own can still be recorded."""
    program = f"""
import importlib.util, sys
where = {str(ROOT / "tracer")!r}
spec = importlib.util.spec_from_file_location("_th", where + "/__init__.py", submodule_search_locations=[where])
module = importlib.util.module_from_spec(spec); sys.modules["_th"] = module; spec.loader.exec_module(module)
module.init("t.duckdb")
with module.workflow("w"): module.progress("p")
module.shutdown()
assert "tracer" not in sys.modules, sorted(name for name in sys.modules if name.startswith("tracer"))
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ""})
    assert sorted(span.name for span in read_spool(tmp_path / "t.duckdb").spans) == ["progress", "w"]


def test_the_host_side_uses_relative_imports_only() -> None:
    """Else it could not be loaded under another name."""
    package = Path(str(tracer.__file__)).parent
    files = [package / name for name in HOST] + sorted((package / "capture").glob("*.py"))
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            wrong = [name for name in names if name.split(".")[0] in ("tracer", "analyzers", "dashboard", *HEAVY)]
            assert not wrong, f"{file}: {wrong}"
