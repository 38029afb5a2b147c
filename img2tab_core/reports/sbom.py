"""A software bill of materials as CycloneDX 1.7: every package that is installed here, and the model files.

Source of the form: CycloneDX 1.7 (ECMA-424), as for the model card; purl for the names of packages.
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from img2tab_core import __version__, weights
from img2tab_core.base.files import ROOT, sha256_of
from img2tab_core.base.records import digest
from img2tab_core.weights.manifest import WeightFile
from img2tab_core.weights.store import file_of

PRODUCT = "img2tab-studio"
LOCKS = (ROOT / "requirements.lock", ROOT / "docs" / "deploy" / "requirements.lock")  # a container has the second alone
LOCKED = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ;\\]+)((?:.*\\\n)*.*)$", re.MULTILINE)
SPDX = {  # how packages write a licence where they do not write it as SPDX does, in lower case
    "MIT": ("mit", "mit license", "mit licence"),
    "Apache-2.0": (
        "apache-2.0",
        "apache 2.0",
        "apache license 2.0",
        "apache license, version 2.0",
        "apache software license",
    ),
    "BSD-3-Clause": ("bsd-3-clause", "3-clause bsd license", "bsd 3-clause license"),
    "BSD-2-Clause": ("bsd-2-clause",),
    "MPL-2.0": ("mpl-2.0", "mozilla public license 2.0 (mpl 2.0)"),
    "ISC": ("isc license", "isc license (iscl)"),
    "BSL-1.0": ("boost software license",),
    "CC0-1.0": ("cc0 1.0.",),
    "PSF-2.0": ("psfl", "python software foundation license"),
}
Node = tuple[str, str]  # a package, and one of its extras or ""
_SPDX = {words: name for name, ways in SPDX.items() for words in ways}


def bill() -> dict[str, Any]:
    """The bill, plain types; no path, no address of a server and no name of a person is in it.

    A package is "required" where the product needs it, "optional" where one of its extras does, else "excluded": it
    only lies in the same environment. Hashes are those that the lock has for the release: of all its files, one of
    which was installed. A model file that is not here has the state "missing".
    """
    packages = {str(canonicalize_name(package.name)): package for package in _installed() if package.name}
    product = packages.pop(PRODUCT, None)
    asked = {extra: _needs(product, extra) for extra in ("", *_extras(product))}
    direct: set[Node] = set().union(*asked.values())
    required, every = _reached(asked[""], packages), _reached(direct, packages)
    scopes = {name: "optional" for name, _ in every} | {name: "required" for name, _ in required}
    locked = _locked()
    parts = [_package(packages[name], scopes.get(name, "excluded"), locked) for name in sorted(packages)]
    models = [_model(entry) for entry in weights.manifest() if not entry.optional or file_of(entry).is_file()]
    references = {part["name"]: part["bom-ref"] for part in parts}
    needs: dict[str, set[Node]] = {name: _needs(package) for name, package in packages.items()}
    for name, extra in every:
        needs[name] |= _needs(packages[name], extra)
    edges = [{"ref": references[name], "dependsOn": _named(needs[name], references)} for name in references]
    own = {"ref": PRODUCT, "dependsOn": _named(direct, references) + [model["bom-ref"] for model in models]}
    content = repr((parts, models, edges))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest(content.encode()))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "tools": {"components": [{"type": "application", "name": "img2tab", "version": __version__}]},
            "component": {
                "type": "application",
                "bom-ref": PRODUCT,
                "name": "Img2Tab Studio",
                "version": __version__,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": [
            {
                "type": "platform",
                "bom-ref": "python",
                "name": "Python",
                "version": python_version(),
                "licenses": [{"license": {"id": "PSF-2.0"}}],
            },
            *parts,
            *models,
        ],
        "dependencies": [own, *edges],
    }


# --- packages -----------------------------------------------------------------------------------------


def _installed() -> Iterable[metadata.Distribution]:
    """What is installed. What a package has inside its own folder and puts on the path, as Ray does, is its own."""
    places = [Path(entry) for entry in sys.path]
    folders = {place for place in places if place.name in ("site-packages", "dist-packages")}
    return metadata.distributions(path=[str(place) for place in places if not folders & set(place.parents)])


def _package(package: metadata.Distribution, scope: str, locked: dict[tuple[str, str], list[str]]) -> dict[str, Any]:
    name = canonicalize_name(package.name)
    purl = f"pkg:pypi/{name}@{package.version.replace('+', '%2B')}"
    part = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": package.version,
        "scope": scope,
        "hashes": [{"alg": "SHA-256", "content": value} for value in locked.get((name, package.version), ())],
        "licenses": _licences(package.metadata),
        "purl": purl,
    }
    return {field: value for field, value in part.items() if value != []}


def _licences(about: metadata.PackageMetadata) -> list[dict[str, Any]]:
    """As SPDX where it is known to be that, else in the package's own words; [] where it says nothing."""
    if "License-Expression" in about:
        return [{"expression": about["License-Expression"]}]
    written = (about["License"].strip().splitlines() if "License" in about else [""])[0].strip()
    is_text = len(written) > 60 or "copyright" in written.lower() or not re.search("[A-Za-z]", written)
    words = [] if is_text or written == "UNKNOWN" else [written]
    words += [line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or () if line.startswith("License ::")]
    known = [_licence(text) for text in words]
    return sorted(known, key=lambda licence: "name" in licence.get("license", {}))[:1]


def _licence(text: str) -> dict[str, Any]:
    names = [_SPDX.get(word.lower(), "") for word in re.split(r" (?:AND|OR) ", text)]
    if not all(names):
        return {"license": {"name": text}}
    return {"license": {"id": names[0]}} if len(names) == 1 else {"expression": text}


def _needs(package: metadata.Distribution | None, extra: str = "") -> set[Node]:
    """What a package asks for on this machine; extra: as it is with that extra."""
    needs: set[Node] = set()
    for line in (package.requires if package is not None else None) or ():
        try:
            need = Requirement(line)
        except InvalidRequirement:  # of an old release; pip reads it more generously
            continue
        if need.marker is None or need.marker.evaluate({"extra": extra}):
            needs |= {(canonicalize_name(need.name), wanted) for wanted in ("", *need.extras)}
    return needs


def _extras(package: metadata.Distribution | None) -> list[str]:
    return package.metadata.get_all("Provides-Extra") or [] if package is not None else []


def _reached(nodes: set[Node], packages: Mapping[str, metadata.Distribution]) -> set[Node]:
    """Those of them that are installed and all that they need, and so on."""
    reached: set[Node] = set()
    waiting = list(nodes)
    while waiting:
        name, extra = node = waiting.pop()
        if node not in reached and name in packages:
            reached.add(node)
            waiting += _needs(packages[name], extra)
    return reached


def _named(nodes: set[Node], references: Mapping[str, str]) -> list[str]:
    return sorted({references[name] for name, _ in nodes if name in references})


def _locked() -> dict[tuple[str, str], list[str]]:
    """(name, version) -> sha256 of the files of that release; {} without a lock file."""
    file: Path | None = next((file for file in LOCKS if file.is_file()), None)
    text = "" if file is None else file.read_text(encoding="utf-8")
    return {
        (name, version): re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)
        for name, version, rest in LOCKED.findall(text)
    }


# --- model files --------------------------------------------------------------------------------------


def _model(entry: WeightFile) -> dict[str, Any]:
    file = file_of(entry)
    known = sha256_of(file) if file.is_file() else entry.sha256
    facts = {
        "img2tab:file": entry.file,
        "img2tab:from": entry.origin,
        "img2tab:state": weights.status(entry),
        "img2tab:commercial use": "allowed" if entry.commercial else "not allowed",
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model-{entry.name}",
        "name": entry.title,
        "description": entry.purpose,
        "scope": "optional" if entry.optional else "required",
        **({"hashes": [{"alg": "SHA-256", "content": known}]} if known else {}),
        "licenses": [_licence(entry.licence)],
        "properties": [{"name": name, "value": value} for name, value in facts.items()],
    }
