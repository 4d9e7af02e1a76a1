"""`tracehound run`: what is run, how it ends, and what is said at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from dashboard.commands.run import command_line, service_name
from tests.capture_auto.running import SPAN, command, run, variables, write
from tests.guards.clients import FILES
from tracer.errors import BadInput
from tracer.store import reads
from tracer.store.database import Store


def test_a_program_is_recorded_folded_and_summed_up(tmp_path: Path) -> None:
    """Arguments and exit code pass through; one line on stderr; the service is the program's name."""
    write(tmp_path, program=SPAN + "import sys\nwith span('work'): print(sys.argv[1:])\nsys.exit(3)\n")
    done = run(tmp_path, "--", "program.py", "-x", "--", "y")
    assert (done.code, done.out) == (3, "['-x', '--', 'y']\n")
    assert done.err == f"tracehound: 1 run, 1 span -> {done.store}\n"
    spans = reads.load(Store(done.store)).spans
    assert spans.select("name", "service", "status").rows() == [("work", "program", "ok")]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["tracer.init('traces.duckdb')", "pass"], ids=["with init", "decorators alone"])
def test_guards_of_the_run_hold_what_the_program_tells_of_itself(first: str, tmp_path: Path) -> None:
    """There is one copy of tracehound in the process: its guard refuses the third call, by the error that the program can catch."""
    write(
        tmp_path,
        program=f"""
            import tracer
            from tracer.errors import BudgetExceeded
            {first}
            made = 0
            try:
                with tracer.workflow("own"):
                    for _ in range(5):
                        with tracer.llm_call("gpt-4o") as call:
                            call.usage(input_tokens=1, output_tokens=1)
                            made += 1
            except BudgetExceeded as stop:
                print(made, stop.guard)
        """,
    )
    done = run(tmp_path, "--guard", "iterations=2", "--", "program.py")
    assert (done.code, done.out) == (0, "2 iterations\n"), done.err
    spans = reads.load(Store(done.store)).spans
    assert spans.filter(kind="llm").height == 2
    assert spans.filter(kind="guard_trip").height >= 1
    assert spans["run_id"].n_unique() == 1


@pytest.mark.slow
def test_a_call_of_a_client_that_a_guard_refuses_is_no_trouble_of_the_recorder(tmp_path: Path) -> None:
    """The client is wrapped by the recorder and by the guard: the refusal goes to the program, and nothing is said to have failed."""
    for name, body in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(body)
    write(
        tmp_path,
        program="""
            from types import SimpleNamespace as N
            import openai, tracer
            from openai.resources.chat.completions import Completions
            from tracer.errors import BudgetExceeded
            tracer.init("traces.duckdb")
            openai.server = lambda asked: N(model="gpt-4o", usage=N(prompt_tokens=1, completion_tokens=1), choices=[])
            made = 0
            try:
                with tracer.agent("writer"):
                    for _ in range(5):
                        Completions().create(model="gpt-4o", messages=[{"role": "user", "content": "go on"}])
                        made += 1
            except BudgetExceeded as stop:
                print(made, stop.guard)
        """,
    )
    done = run(tmp_path, "--guard", "iterations=2", "--", "program.py")
    assert (done.code, done.out) == (0, "2 iterations\n"), done.err
    assert "failed" not in done.err
    spans = reads.load(Store(done.store)).spans
    assert spans.filter(kind="llm").height == 2


@pytest.mark.slow
def test_a_killed_program_ends_the_run_the_same_way(tmp_path: Path) -> None:
    """kill -9 in the middle of a span: the same signal, and the span is there as interrupted."""
    write(tmp_path, program=SPAN + "import os\nwith span('work'): os.kill(os.getpid(), 9)\n")
    done = run(tmp_path, "--", "program.py")
    assert done.code == -signal.SIGKILL
    assert reads.load(Store(done.store)).spans["status"].to_list() == ["interrupted"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_signals_are_passed_on(number: signal.Signals, tmp_path: Path) -> None:
    """The program gets the signal and may end as it likes; what it recorded is folded."""
    write(
        tmp_path,
        program=SPAN
        + f"""
import signal, sys
def stop(number, frame):
    sys.exit(7)
signal.signal({int(number)}, stop)
with span("work"):
    print("ready", flush=True)
    signal.pause()
""",
    )
    process = subprocess.Popen(
        command("--", "program.py"), cwd=tmp_path, env=variables(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "1 span ->" in err


@pytest.mark.slow
def test_a_module_of_a_package_is_run_as_by_python_m(tmp_path: Path) -> None:
    """With our option, or with the interpreter named: its package, arguments and exit code, and the service named after it."""
    package = tmp_path / "agents_of_mine"
    package.mkdir()
    write(
        package, __init__="", __main__=SPAN + "import sys\nwith span(__package__): print(sys.argv[1:])\nsys.exit(4)\n"
    )
    for words in (("-m", "--", "agents_of_mine", "-x"), ("--", sys.executable, "-m", "agents_of_mine", "-x")):
        done = run(tmp_path, *words)
        assert (done.code, done.out) == (4, "['-x']\n"), done.err
    spans = reads.load(Store(tmp_path / "traces.duckdb")).spans
    assert spans.select("name", "service").rows() == [("agents_of_mine", "agents_of_mine")] * 2


@pytest.mark.slow
def test_the_interpreter_of_another_environment_is_used_and_left_alone(tmp_path: Path) -> None:
    """An environment without any package is recorded; nothing is installed there."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    write(tmp_path, program=SPAN + "import sys\nwith span('work'): print(sys.prefix)\n")
    done = run(tmp_path, "--", str(python), "program.py")
    assert (done.code, done.out) == (0, f"{tmp_path / 'env'}\n"), done.err
    assert "1 span ->" in done.last_line
    assert not list((tmp_path / "env").glob("lib/*/site-packages/*"))


COMMANDS = {
    "a script": (["app.py", "-v"], False, ["PYTHON", "app.py", "-v"]),
    "a module": (["package.part", "-v"], True, ["PYTHON", "-m", "package.part", "-v"]),
    "another interpreter": (["python3", "app.py"], False, ["python3", "app.py"]),
    "a package's directory": (["tool"], False, ["PYTHON", "tool"]),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_what_is_executed(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts and modules with this interpreter, anything else as it stands."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, app="")
    (tmp_path / "tool").mkdir()
    words, module, wanted = COMMANDS[case]
    monkeypatch.setattr("sys.executable", "PYTHON")
    assert command_line(words, module=module) == wanted


@pytest.mark.parametrize("words", [[], ["missing.py"], ["no-such-command-anywhere"]])
def test_what_cannot_be_run_is_bad_input(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, a missing script, an unknown command: a sentence and a hint instead of a traceback."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        command_line(words, module=False)
    assert caught.value.hint


NAMES = {
    "python app.py": "app", "/x/.venv/bin/python3.12 -u dir/app.py -v": "app", "python -m pkg.tool": "pkg.tool",
    "gunicorn -w 2": "gunicorn",
}  # fmt: skip


@pytest.mark.parametrize("line", NAMES)
def test_what_a_program_is_called(line: str) -> None:
    """Its script, its module, else its executable."""
    assert service_name(line.split()) == NAMES[line]
