"""The public interface: nine names, given when they are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import img2tab_core

NAMES = ["Auditor", "Edit", "Face", "Img2TabError", "Run", "Studio", "StyleCode", "StyleTable", "__version__"]


def test_the_public_names_are_these_9_and_each_is_there():
    assert img2tab_core.__all__ == dir(img2tab_core) == NAMES
    for name in NAMES:
        assert getattr(img2tab_core, name) is not None
    assert img2tab_core.Studio.__module__ == "img2tab_core.studio"
    with pytest.raises(AttributeError, match="no attribute 'Unknown'"):
        img2tab_core.Unknown  # noqa: B018 - asked for


def test_importing_the_package_imports_0_further_modules_of_it_and_none_of_the_libraries():
    code = (
        "import sys, importlib; before = set(sys.modules); import img2tab_core; "
        "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('_')))"
    )
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in imported if name.startswith("img2tab_core")] == ["img2tab_core"]
    assert not {"numpy", "torch", "pandas", "streamlit", "sklearn", "PIL"} & set(imported)
