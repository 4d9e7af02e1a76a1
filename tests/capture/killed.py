"""A program that is killed; run by `test_crash.py`. Each span that has ended is named on stdout, after its block was left."""

from __future__ import annotations

import itertools
import os
import sys
import time

import tracer

MODE, STORE = sys.argv[1:3]


def say(word: str, *words: str) -> None:
    os.write(1, (" ".join((word, *words)) + "\n").encode())


tracer.init(STORE, fold_at_exit=False)
if MODE == "busy":
    for number in itertools.count():
        with tracer.workflow(f"run-{number}"), tracer.agent("a"):
            with tracer.llm_call("m", messages=[{"role": "user", "content": f"question {number}"}]) as span:
                span.completion(f"answer {number}")
            say(span.span_id)
elif MODE == "hung":
    with tracer.workflow("w"), tracer.agent("a"), tracer.llm_call("m", messages=["waiting for this"]):
        tracer.flush()
        say("ready")
        time.sleep(600)
elif MODE == "fork":
    with tracer.workflow("w"):
        with tracer.tool("before"):
            pass
        child = os.fork()
        if child == 0:
            # As multiprocessing does: the child has its own spans, and ends without unwinding the parent's.
            with tracer.agent("in child"):
                pass
            tracer.shutdown()
            os._exit(0)
        os.waitpid(child, 0)
        child = os.fork()
        if child == 0:
            sys.exit(0)  # unwinds the blocks that the parent opened, in the wrong process
        os.waitpid(child, 0)
        with tracer.tool("after"):
            pass
elif MODE == "exit":
    with tracer.workflow("w"):
        pass
    # No shutdown: the interpreter's end does it.
