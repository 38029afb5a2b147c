"""Which Python `make` takes: `.ci/python` looks at what is on the path and says one sentence where none fits."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "python"
WORKS = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
SHIM = "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n"  # of a Python that is not chosen


def of_version(version: str) -> str:
    """A program that answers as a Python of another version does: the question itself says what it sees."""
    numbers = tuple(map(int, version.split(".")))
    return f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.version_info = {numbers}; exec(sys.argv[1])" "$2"\n'


@pytest.fixture
def take(tmp_path):
    """Runs the script where nothing but these programs is on the path."""

    def run(wanted: str | None = None, **programs: str) -> subprocess.CompletedProcess:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in programs.items():
            file = folder / name.replace("_", ".")
            file.write_text(text)
            file.chmod(0o755)
        return subprocess.run(
            [shutil.which("bash"), str(SCRIPT), *([wanted] if wanted is not None else [])],
            env={"PATH": str(folder), "PYENV_ROOT": str(tmp_path / "none")},
            text=True,
            capture_output=True,
            timeout=60,
        )

    return run


def test_of_4_on_the_path_the_first_that_works_and_is_3_11_to_3_13_is_taken(take):
    done = take(python3_11=SHIM, python3_12=of_version("3.10.13"), python3_13=WORKS, python3=SHIM)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{sys.executable}\n", "")


@pytest.mark.parametrize("version", ["3.11.0", "3.12.1", "3.13.9"])
def test_each_of_the_3_versions_fits(take, version):
    assert take("", python3=of_version(version)).returncode == 0


def test_where_none_fits_1_sentence_names_each_with_its_reason(take):
    done = take(python3_13=SHIM, python3=of_version("3.14.0"), python=of_version("3.10.2"))
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "needs Python 3.11, 3.12 or 3.13 with its venv module" in done.stderr
    for reason in ("python3.13 does not start", "python3 is 3.14.0", "python is 3.10.2"):
        assert reason in done.stderr
    assert "make PYTHON=" in done.stderr


def test_with_no_python_at_all_the_sentence_says_so(take):
    done = take()
    assert done.returncode == 1 and "none was found" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_python_that_is_named_is_taken_or_refused_and_no_other_instead(take):
    done = take("python3.13", python3_13=SHIM, python3_11=WORKS)
    assert done.returncode == 1 and "python3.13 does not start" in done.stderr and done.stdout == ""


def test_a_python_that_is_named_by_its_path_is_taken(take):
    assert take(sys.executable).stdout == f"{sys.executable}\n"
