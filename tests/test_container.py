"""The container: a file that keeps the rules of one, and a server that needs no root and writes to two folders only.

No container is started here: the file is read, and the server runs where a container would have put it, in a mount
namespace whose file system is read-only, as a user without a name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest

from tests import browser

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "deploy" / "Containerfile"
USER = 10001  # of the container file; nobody's number here
ENCLOSE = """
if [ -n "$CLOSED" ]; then  # a Python in root's own folder: that folder is open here, with nothing but Python in it
    mount --bind "$PYTHON" "$SPARE"
    mount -t tmpfs -o mode=755 none "$CLOSED"
    mkdir -p "$PYTHON"
    mount --bind "$SPARE" "$PYTHON"
fi
for folder in "$HOME" "$TMPDIR"; do mount --bind "$folder" "$folder"; done
for folder in $(findmnt -no TARGET -T "$PROJECT" | sort -u) /; do mount -o remount,bind,ro "$folder"; done
! touch "$PROJECT/tests/.written" 2>/dev/null || { echo "the project can be written to" >&2; exit 9; }
exec setpriv --reuid $USER_ID --regid $USER_ID --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
"""


BEGIN_AND_TRAIN = """
from img2tab_core.cli.main import app
new = "session new kept --table toy --target kind --sensitive group"
for words in (new, "session train kept --exclude 3 --why try"):
    app(words.split(), standalone_mode=False)
"""


def instructions() -> list[tuple[str, str]]:
    """(instruction, its words) of the container file in order; what goes on in the next line is joined."""
    text = re.sub(r"^\s*#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], " ".join(line.split()[1:])) for line in text.splitlines() if line.strip()]


def test_the_container_file_ends_as_user_10001_in_exec_form_with_a_health_check_and_installs_by_hash_alone():
    lines = instructions()
    names = [name for name, _ in lines]
    last = dict(lines)
    assert last["USER"] == f"{USER}:{USER}" and names.index("USER") > max(
        place for place, name in enumerate(names) if name in ("RUN", "COPY")
    )
    assert last["ENTRYPOINT"].startswith("[") and last["CMD"].startswith("[")
    assert 'CMD ["python"' in last["HEALTHCHECK"] and "/_stcore/health" in last["HEALTHCHECK"]
    assert last["VOLUME"] == '["/data", "/models"]'
    assert "ADD" not in names and not any(":latest" in words for _, words in lines)
    installs = [words for name, words in lines if name == "RUN" and "pip install" in words]
    assert all("--require-hashes" in words or "--no-index --" in words or "--no-deps" in words for words in installs)
    assert sum("--require-hashes" in words and "--only-binary :all:" in words for words in installs) == 1
    assert all("rm -rf /var/lib/apt/lists/*" in words for name, words in lines if "apt-get" in words)
    assert not re.search(r"(?i)password|secret|token|\.pem", FILE.read_text())


def test_what_goes_into_the_image_is_named_and_nothing_a_visitor_kept_is():
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert kept[1] == "*"
    taken = [line[1:] for line in kept if line.startswith("!")]
    assert all(any(ROOT.glob(name)) for name in taken)
    assert not {".img2tab", ".git", "tests", "pretrained_models", "assets", "docs", "."} & set(taken)


def test_hadolint_has_nothing_to_say_of_the_container_file():
    done = subprocess.run([Path(sys.executable).with_name("hadolint"), FILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture
def enclosed():
    """(what to put before a command, the only folder but the temporary one where it may write)."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("needs root, unshare and setpriv (util-linux)")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace may be made here")
    python, closed = Path(sys.base_prefix), _closed(Path(sys.base_prefix))
    if _closed(ROOT) or _closed(Path(sys.executable).parent):
        pytest.skip("the project lies in a folder that only its owner may look into")
    with tempfile.TemporaryDirectory(prefix="img2tab-enclosed-") as place:
        folders = {name: Path(place) / name for name in ("home", "tmp", "spare")}
        os.chmod(place, 0o755)  # noqa: S103 - for a user without a name
        for folder in folders.values():
            folder.mkdir()
            os.chown(folder, USER, USER)
        settings = {"HOME": folders["home"], "IMG2TAB_HOME": folders["home"], "TMPDIR": folders["tmp"]}
        settings |= {"PROJECT": ROOT, "USER_ID": USER, "PYTHON": python, "CLOSED": closed, "SPARE": folders["spare"]}
        words = [f"{name}={value}" for name, value in settings.items()]
        yield ["env", *words, "unshare", "--mount", "bash", "-euc", ENCLOSE, "enclosed"], folders["home"]


def _closed(path: Path) -> Path | str:
    """The outermost folder on the way to a path that others may not look into, "" where there is none."""
    return next((folder for folder in reversed([path, *path.parents]) if not folder.stat().st_mode & 0o001), "")


def hand_over(folder: Path) -> None:
    """Give what lies in a folder to the user of the container; links stay links."""
    subprocess.run(["chown", "-R", "-P", f"{USER}:{USER}", str(folder)], check=True)


def test_a_session_is_begun_and_its_run_kept_by_a_user_without_rights_where_all_else_is_read_only(enclosed, toy_home):
    within, home = enclosed
    toy = toy_home(900, 40, kind=1.5, group_from=30)
    shutil.copytree(toy / "tables", home / "tables")
    hand_over(home)
    done = subprocess.run(
        [*within, sys.executable, "-c", BEGIN_AND_TRAIN], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert list(home.glob("runs/toy-kind-*/run.json")) and (home / "sessions.db").stat().st_uid == USER


@pytest.mark.slow
@pytest.mark.browser
def test_the_server_answers_its_health_check_and_shows_the_first_page_with_2_folders_to_write_to(studio, enclosed):
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    within, home = enclosed
    browser.furnish(home)
    hand_over(home)
    with browser.dashboard(home, within=within) as address:
        assert urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).read() == b"ok"
        with browser.page(address) as page:
            page.get_by_text("How far each concept pushed this decision").wait_for()
            assert page.get_by_test_id("stException").count() == 0
