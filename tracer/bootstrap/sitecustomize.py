"""Found first on the path by every interpreter that `tracehound run` starts, directly or indirectly.

Loads the recording side of tracehound under a private name, so that a program's own `tracer.py` is untouched, then gets
out of the way: off the path, and on to the `sitecustomize` that would have been found without this one.
"""

import importlib
import importlib.util
import os
import sys
from importlib.machinery import PathFinder

PRIVATE_NAME = "_tracehound"
_here = os.path.dirname(os.path.abspath(__file__))


def _load() -> None:
    package = os.path.dirname(_here)
    spec = importlib.util.spec_from_file_location(
        PRIVATE_NAME, os.path.join(package, "__init__.py"), submodule_search_locations=[package]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no tracehound in {package}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PRIVATE_NAME] = module
    spec.loader.exec_module(module)
    overlay = os.environ.get("TRACEHOUND_OVERLAY")
    if overlay:
        sys.path.append(overlay)  # what the environment has itself comes first
    lent = os.environ.get("TRACEHOUND_LEND")
    if lent:
        from pathlib import Path

        importlib.import_module(f"{PRIVATE_NAME}.capture.auto.borrowed").lend(Path(lent))
    importlib.import_module(f"{PRIVATE_NAME}.capture.auto.start").bootstrap()


sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _here]
try:
    if os.environ.get("TRACEHOUND_STORE"):
        _load()
except Exception as error:  # noqa: BLE001 - an unmodified program must run, recorded or not; what is wrong is said
    print(f"tracehound: nothing is recorded in this process: {type(error).__name__}: {error}", file=sys.stderr)

_other = PathFinder.find_spec("sitecustomize", sys.path)
if _other is not None and _other.loader is not None:
    _module = importlib.util.module_from_spec(_other)
    sys.modules["sitecustomize"] = _module
    _other.loader.exec_module(_module)
