"""`img2tab sbom`: the bill of what is installed, beside what pip says, the lock and the files themselves."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from docs.make import reference
from img2tab_core import weights
from img2tab_core.base.files import ROOT, sha256_of
from tests.test_supply_chain import LOCKS, locked


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(the bill that the verb wrote, what it said)."""
    file = tmp_path_factory.mktemp("bill") / "img2tab.cdx.json"
    done = CliRunner().invoke(reference.app(), ["sbom", "--out", str(file)])
    assert done.exit_code == 0, done.output
    return json.loads(file.read_text()), done.stdout


@pytest.fixture(scope="module")
def packages(written) -> dict[str, dict]:
    """Name -> the package's part of the bill."""
    return {part["name"]: part for part in written[0]["components"] if part["type"] == "library"}


def test_the_bill_keeps_the_schema_of_cyclonedx_1_7_and_names_no_path_and_no_server(written):
    bill, answer = written
    text = json.dumps(bill)
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    assert "://" not in text and str(ROOT) not in text and sys.prefix not in text
    references = [part["bom-ref"] for part in bill["components"]]
    assert len(set(references)) == len(references) > 100
    named = {name for edge in bill["dependencies"] for name in (edge["ref"], *edge["dependsOn"])}
    assert named <= {*references, "img2tab-studio"}
    assert answer.startswith(f"{len([r for r in references if r.startswith('pkg:')])} packages: ")


def test_every_package_that_pip_lists_is_in_the_bill_at_its_version_and_no_other(packages):
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    expected = {canonicalize_name(line["name"]): line["version"] for line in json.loads(listed.stdout)}
    expected.pop("img2tab-studio", None)
    assert {name: part["version"] for name, part in packages.items()} == expected


def test_what_streamlit_needs_is_required_pytest_is_optional_and_streamlits_edges_are_those_pip_shows(
    written, packages
):
    assert {packages[name]["scope"] for name in ("streamlit", "starlette", "torch", "numpy")} == {"required"}
    assert {packages[name]["scope"] for name in ("pytest", "iniconfig", "ruff", "lightgbm")} == {"optional"}
    shown = subprocess.run(
        [sys.executable, "-m", "pip", "show", "streamlit"], capture_output=True, text=True, check=True
    )
    needs = next(line for line in shown.stdout.splitlines() if line.startswith("Requires:"))[9:].split(",")
    (edge,) = [edge for edge in written[0]["dependencies"] if edge["ref"] == packages["streamlit"]["bom-ref"]]
    assert set(edge["dependsOn"]) == {packages[canonicalize_name(name.strip())]["bom-ref"] for name in needs}


def test_hashes_are_those_of_the_lock_at_the_same_version_and_a_local_build_of_torch_has_none(packages):
    entries = locked(LOCKS["requirements.lock"])
    for name, part in packages.items():
        hashes = [value["content"] for value in part.get("hashes", ())]
        assert hashes == entries.get((name, part["version"]), [])
    assert len(packages["alembic"]["hashes"]) == 2
    assert packages["torch"]["version"] == "2.13.0" or "hashes" not in packages["torch"]


def test_licences_are_spdx_where_a_package_says_what_it_is_and_9_of_10_packages_do(packages):
    def licence(name: str) -> dict:
        return packages[name]["licenses"][0]

    assert licence("streamlit") == {"expression": "Apache-2.0"}  # written so in its metadata
    assert licence("catboost") == {"license": {"id": "Apache-2.0"}}  # "Apache License, Version 2.0"
    assert licence("certifi") == {"license": {"id": "MPL-2.0"}}
    assert licence("scipy") == {"license": {"name": "BSD License"}}  # its text says which, the word does not
    stated = [part for part in packages.values() if "licenses" in part and "name" not in str(part["licenses"])]
    assert len(stated) > 0.9 * len(packages)


def test_5_model_files_have_their_licence_and_the_sha256_of_the_file_that_lies_here(written, studio):
    models = {part["bom-ref"]: part for part in written[0]["components"] if part["type"] == "machine-learning-model"}
    needed = [entry for entry in weights.manifest() if not entry.optional]
    assert len(needed) == 5
    for entry in needed:
        part = models[f"model-{entry.name}"]
        assert part["hashes"] == [{"alg": "SHA-256", "content": sha256_of(weights.path(entry.name))}]
        assert {"name": "img2tab:state", "value": "ready"} in part["properties"]
    assert models["model-landmarks-68"]["licenses"] == [
        {"license": {"name": "Trained on iBUG 300-W: no commercial use."}}
    ]
    assert models["model-face-descriptor"]["licenses"] == [{"license": {"id": "CC0-1.0"}}]
