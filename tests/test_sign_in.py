"""Who may do what where people sign in: held against a real OIDC provider that runs here, in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from img2tab_core.audits.auditor import Auditor
from img2tab_core.base import files, persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.base.persons import NOBODY, Person
from img2tab_core.classifiers import models, runs
from img2tab_core.sessions.session_runs import SessionRuns
from img2tab_core.sessions.store import Sessions
from img2tab_core.tables import brought, calibrations
from tests import browser

ANN, BOB, VIC = Person("ann@lab.test", "auditor"), Person("bob@lab.test", "auditor"), Person("vic@lab.test", "viewer")
STRANGER = "eve@evil.test"
SECRET = "0123456789abcdef" * 2
AUTH = {
    "redirect_uri": "http://localhost:8501/oauth2callback",
    "cookie_secret": SECRET,
    "client_id": "img2tab",
    "client_secret": "secret",
    "server_metadata_url": "http://localhost:1/.well-known/openid-configuration",
}


@contextmanager
def signed_in(person: Person):
    """As on a server where people sign in, with this one in front of it."""
    persons.ask_with(lambda: NOBODY)
    try:
        with persons.carried(person):
            yield
    finally:
        persons.ask_with(None)


@pytest.fixture(scope="module")
def table(studio):
    return studio.table()


@pytest.fixture
def sessions(table, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    return Sessions()


def test_of_2_auditors_neither_sees_the_other_s_session_until_it_is_shared_and_then_1_may_not_give_it_on(
    sessions, table
):
    with signed_in(ANN):
        made = sessions.create("Smile", "somebody else", table, "smiling", ["perceived_gender"])
        assert made.owner == ANN.name  # not what was typed
    with signed_in(BOB):
        assert sessions.list() == () and sessions.log() == ()
        for look in (
            lambda: sessions.open("Smile"),
            lambda: sessions.open(made.id),
            lambda: sessions.runs(made),
            lambda: sessions.scenarios(made),
            lambda: sessions.tree_text(made),
            lambda: sessions.set_notes(made, "mine"),
            lambda: sessions.delete(made),
            lambda: sessions.start_run(made, None, "catboost", 0, []),
        ):
            with pytest.raises(Img2TabError, match=r"no session|not there any more"):
                look()
    with signed_in(ANN):
        sessions.share(made, " BOB@lab.test ")
    with signed_in(BOB):
        assert sessions.set_notes(made, "from Bob", who="Ann").notes == "from Bob"
        with pytest.raises(Img2TabError, match=r"Only ann@lab\.test"):
            sessions.share(made, STRANGER)
        with pytest.raises(Img2TabError, match=r"Only ann@lab\.test"):
            sessions.delete(made)
        with pytest.raises(Img2TabError, match=r"Only ann@lab\.test"):
            sessions.rename(made, "Mine")
        assert [(entry.who, entry.what) for entry in sessions.log(made)][-1] == (BOB.name, "notes")
        run = sessions.start_run(made, None, "catboost", 0, [])
    with signed_in(ANN):
        sessions.unshare(made, BOB.name)
    with signed_in(BOB):
        assert sessions.list() == ()
        with pytest.raises(Img2TabError, match="not there any more"):
            sessions.cancel_run(run)
        sessions.fail_run(run, "as at the end of what Bob began")  # not a run that trains for ever
    assert sessions.runs(made)[0].state == "failed"
    assert [session.name for session in sessions.list()] == ["Smile"]  # whoever is at the machine itself


def test_a_viewer_looks_at_what_is_shared_and_changes_nothing_by_any_of_13_doors(sessions, studio, table):
    with signed_in(ANN):
        made = sessions.create("Smile", "", table, "smiling", ["perceived_gender"])
        sessions.share(made, VIC.name)
    door = SessionRuns(Auditor(studio))
    with signed_in(VIC):
        assert sessions.open("Smile").id == made.id
        for change in (
            lambda: sessions.create("Mine", "", table, "smiling", ["perceived_gender"]),
            lambda: sessions.rename(made, "Other"),
            lambda: sessions.record(made, "", "looked"),
            lambda: studio.name_concept(7, "nose"),
            lambda: studio.trainer.train_live(table, "smiling", excluded=frozenset({1})),
            lambda: studio.trainer.compare(table, "smiling", kinds=["logistic"], seeds=[0]),
            lambda: calibrations.undo_calibration(table, "smiling"),
            lambda: brought.bring_folder("mine", files.home(), b"", backbone=table.backbone),
            lambda: brought.forget("mine"),
            lambda: models.remove("smile"),
            lambda: door.again(made, None),
            lambda: door.auditor.repeated(None, None, ["perceived_gender"]),
            lambda: door.auditor.matrix(table),
        ):
            with pytest.raises(Img2TabError, match=r"vic@lab\.test may look, not"):
                change()


def test_where_people_sign_in_a_thread_of_nobody_may_nothing_and_a_job_acts_for_the_one_who_began_it(sessions, table):
    persons.ask_with(lambda: NOBODY)
    try:
        with pytest.raises(Img2TabError, match="Sign in to begin a session"):
            sessions.create("Smile", "", table, "smiling", ["perceived_gender"])
        with persons.carried(ANN):
            job = Job.start(lambda progress, cancelled: persons.acting())
        assert job.wait(10) and job.result == ANN and persons.acting() == NOBODY
    finally:
        persons.ask_with(None)


def test_a_run_that_1_auditor_trained_is_kept_for_that_one_and_for_a_second_who_trains_the_same(
    studio, table, tmp_path, monkeypatch
):
    other = studio.trainer.train_quick(table, "smiling", excluded=frozenset({3}))
    kept = replace(other, quick=False, table_key=table.key, note="as of a graphics card")
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    with signed_in(ANN):
        runs.keep(kept)
        assert [known.id for known in runs.others_kept(table, "smiling")] == [kept.id]
    with signed_in(BOB):
        assert runs.others_kept(table, "smiling") == []
        runs.keep(kept)
        assert len(runs.others_kept(table, "smiling")) == 1
    with signed_in(ANN):
        assert len(runs.others_kept(table, "smiling")) == 1
    assert files.read_json(runs.folder_of(kept.id) / "run.json")["by"] == [ANN.name, BOB.name]
    runs.keep(kept)  # at the machine itself: from now on everybody's
    with signed_in(VIC):
        assert len(runs.others_kept(table, "smiling")) == 1
    with signed_in(ANN):
        runs.keep(kept)
    with signed_in(BOB):
        assert len(runs.others_kept(table, "smiling")) == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"auth": {}}, "must have redirect_uri, cookie_secret, client_id"),
        ({"auth": AUTH | {"cookie_secret": "short"}}, "at least 32 random letters, got 5"),
        ({"auth": "yes"}, "must be a table of settings"),
        ({"auth": AUTH}, "nobody may sign in"),
        ({"auth": AUTH, "access": {"auditors": "ann@lab.test"}}, "auditors in .access. must be a list"),
        ({"auth": AUTH, "access": {"viewers": ["ann"]}}, "viewers in .access. must be a list"),
    ],
)
def test_6_ways_to_configure_sign_in_wrongly_are_a_sentence_and_never_an_open_server(settings, sentence):
    with pytest.raises(Img2TabError, match=sentence):
        persons.checked_access(settings)


def test_an_address_has_1_role_by_name_or_by_domain_and_7_that_only_look_like_it_have_none():
    access = persons.checked_access(
        {"auth": AUTH, "access": {"auditors": ["Ann@Lab.test"], "viewers": ["*@lab.test", "ann@lab.test"]}}
    )
    assert access.role_of("ANN@lab.test") == "auditor" and access.role_of("bob@lab.test") == "viewer"
    for address in (
        "lab.test", "@lab.test", "bob@evil.lab.test", "bob@lab.test.evil", "mar\u212a@lab.test", "a\nb@lab.test",
        "a@b@lab.test",
    ):  # fmt: skip
        assert access.role_of(address) is None
    assert persons.checked_access({}) is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--address", "0.0.0.0"), "Nobody has to sign in, so the dashboard listens on this computer only"),
        (("--host", "audits.lab.test"), "and not for audits.lab.test"),
        (("--secrets", "nothing.toml"), "There is no file"),
        (("--secrets", "pyproject.toml"), "has no [auth]"),
    ],
)
def test_4_ways_to_open_a_server_by_mistake_are_refused_in_1_sentence(options, sentence, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "img2tab_core.cli.main", "serve", "--port", "1", *options],
        cwd=browser.ROOT,
        env={**os.environ, "IMG2TAB_HOME": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1 and ended.stdout == "" and ended.stderr.count("\n") == 1 and sentence in ended.stderr


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """(address of a dashboard that asks people to sign in, its file of secrets) with a real provider beside it."""
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    mock = pytest.importorskip("oidc_provider_mock")
    home, port = tmp_path_factory.mktemp("home"), browser.free_port()
    browser.furnish(home)
    with ExitStack() as left:
        provider = left.enter_context(mock.run_server_in_thread())
        secrets, shown = home / "secrets.toml", port
        if shutil.which("nginx"):
            shown = browser.free_port()
            left.enter_context(_nginx(tmp_path_factory.mktemp("nginx"), shown, port))
        _write(secrets, shown, provider.server_port, [ANN.name, BOB.name])
        left.enter_context(browser.dashboard(home, "--secrets", str(secrets), port=port, small=True))
        yield f"http://localhost:{shown}", secrets, provider.server_port


@contextmanager
def _nginx(folder: Path, port: int, behind: int):
    """nginx with the site of docs/deploy, without its TLS, before the server on the port `behind`."""
    site = (
        (browser.ROOT / "docs" / "deploy" / "nginx.conf").read_text().replace("127.0.0.1:8501", f"127.0.0.1:{behind}")
    )
    site = re.sub(r"\n *ssl_.*;", "", site).replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    places = "".join(
        f"{what}_temp_path {folder}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;"
        f"events {{}} http {{ access_log off; {places} {site} }}"
    )
    server = subprocess.Popen(["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
    try:
        yield
    finally:
        server.terminate()
        server.wait(20)


def _write(secrets, port: int, provider: int, auditors: list[str]) -> None:
    auth = AUTH | {
        "redirect_uri": f"http://localhost:{port}/oauth2callback",
        "server_metadata_url": f"http://localhost:{provider}/.well-known/openid-configuration",
    }
    lines = ["[auth]", *(f"{name} = {json.dumps(value)}" for name, value in auth.items())]
    lines += [
        "[access]",
        "trust_unverified = true",
        f"auditors = {json.dumps(auditors)}",
        f"viewers = {json.dumps([VIC.name])}",
    ]
    secrets.write_text("\n".join(lines))


@contextmanager
def _visit(chromium, address: str, who: str | None):
    """A browser of somebody's own, signed in at the provider as `who`."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    if who is not None:
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("textbox").first.fill(who)
        page.get_by_role("button", name="Authorize").click()
        page.wait_for_url(f"{address}/**")
    yield page
    context.close()


@pytest.mark.slow
def test_through_nginx_31_mb_and_20_kb_of_cookies_reach_the_server_and_metrics_only_this_computer(lab):
    if not shutil.which("nginx"):
        pytest.skip("no nginx on this machine: apt-get install nginx-light")
    address, _, _ = lab
    cookies = {"Cookie": f"_streamlit_user={'x' * 20_000}"}
    with urllib.request.urlopen(urllib.request.Request(f"{address}/healthz", headers=cookies), timeout=60) as answer:
        assert answer.status == 200 and answer.headers["strict-transport-security"] == "max-age=31536000"
        assert answer.headers["x-frame-options"] == "DENY"  # the server's own, kept by the proxy
    for path in ("upload_file/a/b", "metrics"):  # of nobody who was let in; counts of what every visit holds
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(
                urllib.request.Request(f"{address}/_stcore/{path}", method="PUT", data=b"1"), timeout=60
            )
    upload = urllib.request.Request(f"{address}/_stcore/upload_file/a/b", data=bytes(31_000_000), method="PUT")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(upload, timeout=60)
    assert refused.value.code in (400, 403)  # of the app, for a visit that there is not; nginx would say 413
    assert urllib.request.urlopen(f"{address}/metrics", timeout=60).status == 200


@pytest.mark.slow
@pytest.mark.browser
def test_4_people_in_4_browsers_each_get_what_is_theirs_and_1_who_is_taken_off_the_list_nothing_more(lab):
    address, secrets, provider = lab
    with browser.opened() as chromium:
        with _visit(chromium, address, None) as page:
            page.get_by_text("this server asks who you are").wait_for()
            browser.settle(page)
            assert page.locator("[data-testid=stPageLink], img").count() == 0
        with _visit(chromium, address, STRANGER) as page:
            page.get_by_text("not on the list").wait_for()
            assert (
                page.get_by_text(STRANGER).count() == 1 and page.locator("[data-testid=stPageLink], img").count() == 0
            )
        with _visit(chromium, address, ANN.name) as ann, _visit(chromium, address, VIC.name) as vic:
            ann.get_by_role("link", name="Sessions").click()
            ann.get_by_placeholder("Smile detector, May").fill("Smile in the lab")
            assert ann.get_by_role("textbox", name="Your name").input_value() == ANN.name
            ann.get_by_role("button", name="Begin", exact=True).click()
            ann.get_by_role("heading", name="Smile in the lab").wait_for()
            vic.get_by_role("link", name="Sessions").click()
            vic.get_by_text("None yet.").wait_for()
            ann.get_by_role("button", name="More").click()
            ann.get_by_role("textbox", name="Share with").fill(VIC.name)
            ann.get_by_role("button", name="Share", exact=True).click()
            ann.get_by_text(f"Shared with {VIC.name}").wait_for()
            vic.reload()
            vic.get_by_test_id("stMain").locator(".stButton").get_by_role("button", name="Open").click()
            vic.get_by_role("heading", name="Smile in the lab").wait_for()
            vic.get_by_role("textbox", name="Question and notes").fill("changed by a viewer")
            vic.keyboard.press("Control+Enter")
            vic.get_by_text("may look, not change a session").wait_for()
            _write(secrets, int(address.rpartition(":")[2]), provider, [BOB.name])
            os.utime(secrets, (1, 1))  # whatever the clock's steps
            ann.get_by_role("link", name="Concepts").click()
            ann.get_by_text("not on the list").wait_for()
