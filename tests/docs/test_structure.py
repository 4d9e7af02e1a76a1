"""What a reader may rely on when he opens a folder: modules import downwards only."""

from __future__ import annotations

import grimp
import networkx as nx
import pytest

pytestmark = pytest.mark.slow


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports for types and inside functions count, too; the floors themselves are import-linter's contracts."""
    graph = grimp.build_graph("tracer", "analyzers", "dashboard", cache_dir=None)
    imports = nx.DiGraph((a, b) for a in graph.modules for b in graph.find_modules_directly_imported_by(a))

    assert imports.number_of_nodes() > 400
    assert [sorted(circle) for circle in nx.strongly_connected_components(imports) if len(circle) > 1] == []
