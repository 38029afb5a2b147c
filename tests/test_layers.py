"""Imports only go up the list of wings: an import stays in its wing or goes to one that stands before it."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The order of the method. A wing may import those before it; changing this list is a decision about the architecture.
WINGS = (
    "img2tab_core",  # the public names, given lazily
    "img2tab_core.base",
    "img2tab_core.networks",
    "img2tab_core.faces",
    "img2tab_core.weights",
    "img2tab_core.tables",
    "img2tab_core.backbones",
    "img2tab_core.concepts",
    "img2tab_core.classifiers",
    "img2tab_core.studio",
    "img2tab_core.audits",
    "img2tab_core.training",
    "img2tab_core.sessions",
    "img2tab_core.reports",
    "img2tab_core.cli",
    "dashboard",
    "dashboard.components",
    "dashboard.charts",
    "dashboard.state",
    "dashboard.parts",
    "dashboard.views",
    "dashboard.app",
    "dashboard.hardening",
    "dashboard.serving",
)
FILES = [p for folder in ("img2tab_core", "dashboard") for p in sorted((ROOT / folder).rglob("*.py"))]


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def wing_of(module: str) -> str:
    return max((wing for wing in WINGS if module == wing or module.startswith(wing + ".")), key=len)


def imports_of(file: Path) -> set[str]:
    """Modules of the project that a file imports anywhere, also inside functions and for type checkers alone."""
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                imported.add(inner if inner in MODULES else node.module)
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "later":
            imported |= {name.value for name in node.args}
    return imported & set(MODULES)


@pytest.mark.parametrize("file", [file for file in FILES if module_of(file) != "img2tab_core"], ids=module_of)
def test_an_import_goes_to_a_wing_before_its_own_or_stays_inside(file):
    own = WINGS.index(wing_of(module_of(file)))
    above = [name for name in imports_of(file) if WINGS.index(wing_of(name)) > own]
    assert not above, f"{module_of(file)} imports {', '.join(above)}, which stand later in the list of wings"


@pytest.mark.parametrize("wing", WINGS)
def test_no_import_comes_back_inside_a_wing(wing):
    inside = {name: file for name, file in MODULES.items() if wing_of(name) == wing}
    graph = {name: imports_of(file) & set(inside) - {name} for name, file in inside.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_there_are_fourteen_wings_in_the_core_and_every_folder_is_one():
    folders = {
        f"img2tab_core.{place.name}" for place in (ROOT / "img2tab_core").iterdir() if (place / "__init__.py").exists()
    }
    assert folders | {"img2tab_core.studio"} == {wing for wing in WINGS if wing.startswith("img2tab_core.")}
    assert len(folders) == 13


@pytest.mark.parametrize("file", [f for f in FILES if "img2tab_core" in f.parts], ids=module_of)
def test_the_core_has_no_streamlit_and_prints_only_in_the_terminal(file):
    text = file.read_text()
    assert "import streamlit" not in text
    if module_of(file) not in ("img2tab_core.cli.terminal", "img2tab_core.cli.training"):
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        assert "print" not in {getattr(call.func, "id", "") for call in calls}


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_every_file_says_its_one_idea_first(file):
    tree = ast.parse(file.read_text())
    if tree.body:
        assert ast.get_docstring(tree), f"{file} has no first line"
