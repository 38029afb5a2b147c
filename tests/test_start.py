"""What stands between `make run` and the first page: few imports, and checks that are done in the same process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from img2tab_core.base import files
from img2tab_core.base.later import later

ROOT = Path(__file__).resolve().parents[1]
SLOW = ("torch", "sklearn", "scipy", "catboost", "sqlalchemy", "fairlearn")


def imported(code: str) -> set[str]:
    """Which of the slow libraries a fresh process has imported after this code."""
    said = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*(one for one in {SLOW} if one in sys.modules))"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(said.stdout.split())


def test_the_first_page_imports_none_of_6_slow_libraries():
    assert imported("import dashboard.app, dashboard.views.inspect") == set()


def test_a_studio_and_the_names_of_its_backbones_and_tables_need_none_of_them_either():
    code = "from img2tab_core.studio import Studio; s = Studio(); s.backbone_names(); s.table_names(); s.samples()"
    assert imported(code) == set()
    assert imported(f"{code}; s.backbone()") >= {"torch"}


def test_a_module_for_later_is_the_module():
    colours, words = later("colorsys", "textwrap")
    import colorsys
    import textwrap

    assert colours.rgb_to_hsv is colorsys.rgb_to_hsv and words.dedent is textwrap.dedent
    assert later("colorsys").hsv_to_rgb is colorsys.hsv_to_rgb


def test_what_serving_makes_ready_is_the_default_table_and_1_run_and_no_terminal_verb_is_imported(studio, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "tables").symlink_to(files.home() / "tables")
    code = "import sys; from dashboard.serving import _fetch_and_build; _fetch_and_build(); print(*sys.modules)"
    first, again = (
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "IMG2TAB_HOME": str(home)},
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in range(2)
    )
    assert first.stderr == "" and "img2tab_core.cli" not in first.stdout and "typer" not in first.stdout.split()
    (run,) = (home / "runs").glob("default-*/run.json")
    about = json.loads(run.read_text())
    assert about["target"] == studio.table().targets[0].name and about["excluded"] == []
    assert "catboost" in first.stdout.split() and not {"catboost", "torch"} & set(again.stdout.split())


def test_serve_ready_says_in_one_sentence_what_is_wrong_and_does_not_serve(tmp_path):
    (tmp_path / "home").write_text("a file where a folder should be")
    said = subprocess.run(
        [sys.executable, "-m", "img2tab_core.cli.main", "serve", "--ready"],
        cwd=ROOT,
        env={**os.environ, "IMG2TAB_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 1 and said.stdout == ""
    assert said.stderr.count("\n") == 1 and "cannot be written to" in said.stderr
