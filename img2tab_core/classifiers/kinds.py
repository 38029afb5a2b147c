"""The six kinds of classifier: made by their word, written to a folder and read again without pickle."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType

import numpy as np
from sklearn.utils.validation import check_is_fitted

from img2tab_core import __version__
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import alone_in, make_folder, read_json, settle, sha256_of, together
from img2tab_core.base.foreign import DAMAGED, not_led_out, parsed_json, reason
from img2tab_core.base.records import read_only
from img2tab_core.classifiers.base import ConceptClassifier
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.classifiers.forest import ForestConcepts
from img2tab_core.classifiers.lightgbm import LightGBMConcepts
from img2tab_core.classifiers.logistic import LogisticConcepts
from img2tab_core.classifiers.pixels import PixelClassifier
from img2tab_core.classifiers.tabnet import TabNetConcepts
from img2tab_core.classifiers.xgboost import XGBoostConcepts
from img2tab_core.concepts.erasing import Erasure

MODEL_FILE, RECORD_FILE, FORMAT = CatBoostConcepts.file, "model.json", 1
ERASURE_FILE = "erasure.npz"  # beside them, where training erased something
ADVICE = "Train it again or choose another folder."


@dataclass(frozen=True)
class Kind:
    """One classifier of several: its word, the title a person reads, what it needs.

    module and package: what Python imports and what pip installs; extra: it comes with `pip install -e .[compare]`.
    """

    kind: str
    title: str
    estimator: type[ConceptClassifier]
    module: str
    package: str
    extra: bool


KINDS: dict[str, Kind] = {
    kind.kind: kind
    for kind in (
        Kind("catboost", "CatBoost", CatBoostConcepts, "catboost", "catboost", False),
        Kind("xgboost", "XGBoost", XGBoostConcepts, "xgboost", "xgboost-cpu", True),
        Kind("lightgbm", "LightGBM", LightGBMConcepts, "lightgbm", "lightgbm", True),
        Kind("tabnet", "TabNet", TabNetConcepts, "pytorch_tabnet", "pytorch-tabnet", True),
        Kind("forest", "Random forest", ForestConcepts, "sklearn", "scikit-learn", False),
        Kind("logistic", "Logistic regression", LogisticConcepts, "sklearn", "scikit-learn", False),
    )
}


# brought, not trained here: no choice where a kind is chosen
OWN = Kind(PixelClassifier.kind, "Your classifier", PixelClassifier, "onnxruntime", "onnxruntime", False)
_KNOWN = KINDS | {OWN.kind: OWN}


def absent(kind: str) -> str | None:
    """The sentence that says how to install what a classifier needs; None where it is there."""
    about = of(kind)
    if importlib.util.find_spec(about.module) is not None:
        return None
    how = "pip install -e .[compare]" if about.extra else "pip install -e ."
    return f"{about.title} is not installed: it needs {about.package}. Run `{how}` in the project's folder."


def library_version(kind: str) -> str:
    """The version of the library that decides the result, whatever package it was installed from."""
    library = of(kind).estimator.library
    try:
        return version(library)
    except PackageNotFoundError:  # xgboost instead of xgboost-cpu, for instance
        return str(getattr(importlib.import_module(of(kind).module), "__version__", "unknown"))


def make(
    kind: str,
    *,
    excluded: frozenset[int] = frozenset(),
    screen: int | None = 2048,
    random_state: int = 0,
    thread_count: int = -1,
) -> ConceptClassifier:
    """A classifier of that kind with its default settings, not trained yet."""
    sentence = absent(kind)
    if sentence is not None:
        raise Img2TabError(sentence)
    estimator = KINDS[kind].estimator
    return estimator(excluded=excluded, screen=screen, random_state=random_state, thread_count=thread_count)


def save(model: ConceptClassifier, folder: Path, *, beside: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write the classifier into `folder` (made if absent): its own file, and model.json that says what it is.

    beside: file name -> text of what belongs to it. All of them appear together or not at all, and what else lies in
    the folder stays. Others may write there at once: the last one's stay. Raises Img2TabError where `folder` cannot be
    written, and NotFittedError where the classifier is not trained.
    """
    check_is_fitted(model)
    folder = Path(folder)
    params = model.get_params() | {"excluded": sorted(int(index) for index in model.excluded)}
    try:
        make_folder(folder)
        with alone_in(folder):
            with together(folder) as part:
                model.write(part / model.file)
                if model.erasure_ is not None:
                    model.erasure_.write(part / ERASURE_FILE)
                record = {
                    "format": FORMAT,
                    "kind": model.kind,
                    "sha256": sha256_of(part / model.file),
                    "channels": int(model.n_features_in_),
                    "classes": model.classes_.tolist(),
                    "params": {name: _plain(value) for name, value in params.items()},
                    "screened": model.screened_.tolist(),
                    **({} if model.erasure_ is None else {"erasure": model.erasure_.key}),
                    "versions": {model.library: library_version(model.kind), "img2tab": __version__},
                }
                for name, text in {RECORD_FILE: json.dumps(record, indent=1), **beside}.items():
                    (part / name).write_text(text, encoding="utf-8")
            if model.erasure_ is None:  # of another one that stood here
                (folder / ERASURE_FILE).unlink(missing_ok=True)
    except OSError as error:
        with suppress(OSError):
            folder.rmdir()  # where nothing is in it
        raise Img2TabError(
            f"The classifier cannot be written to {folder} ({error.strerror or error}). Free some space, or choose "
            "another place."
        ) from error


def load(folder: Path) -> ConceptClassifier:
    """The classifier that `save` wrote into `folder`; its probabilities are the same to the last bit.

    Raises Img2TabError where there is none, or it is damaged.
    """
    folder = Path(folder)
    try:
        with alone_in(folder):  # else files that are just being written could be met half new
            settle(folder)
            return _loaded(not_led_out(folder))
    except OSError as error:
        raise Img2TabError(f"There is no readable classifier in {folder} ({reason(error)}). {ADVICE}") from error


def _loaded(folder: Path) -> ConceptClassifier:
    try:
        record = parsed_json((folder / RECORD_FILE).read_bytes(), strict=False)
    except ValueError as error:
        raise Img2TabError(f"The classifier's {RECORD_FILE} in {folder} is damaged. {ADVICE}") from error
    estimator = _estimator_in(record, folder)
    file = folder / estimator.file
    sha256 = sha256_of(file)
    try:
        if record["format"] != FORMAT:
            raise Img2TabError(
                f"The classifier in {folder} must have format {FORMAT}, got {record['format']!r:.40}. {ADVICE}"
            )
        if record["sha256"] != sha256:
            raise Img2TabError(f"The classifier's {file.name} in {folder} is damaged. {ADVICE}")
        model = estimator(**record["params"] | {"excluded": frozenset(record["params"]["excluded"])})
        model._check_parameters()  # a network of as many stages as a record says is made before it is filled
        model.screened_ = read_only(np.array(record["screened"], np.int64))
        model.classes_, model.n_features_in_ = np.array(record["classes"]), int(record["channels"])
        if not (np.diff(model.screened_, prepend=-1) > 0).all() or model.screened_[-1] >= model.n_features_in_:
            raise ValueError(f"its channels are not among {model.n_features_in_}")
        model.read(file)
        if "erasure" in record:
            model.erasure_ = Erasure.read(folder / ERASURE_FILE)
            if model.erasure_.key != record["erasure"]:
                raise ValueError(f"{ERASURE_FILE} is another one's")
    except OSError:
        raise
    except DAMAGED as error:
        raise Img2TabError(f"The classifier in {folder} is damaged ({reason(error)}). {ADVICE}") from error
    return model


def is_saved(folder: Path) -> bool:
    """Whether the files that `save` writes are in `folder`; they are not opened, but for the word for the kind."""
    try:
        kind = _KNOWN.get(str(read_json(folder / RECORD_FILE).get("kind")))
    except OSError:
        return False
    return kind is not None and (folder / kind.estimator.file).is_file()


def _estimator_in(record: object, folder: Path) -> type[ConceptClassifier]:
    kind = record.get("kind") if isinstance(record, dict) else None
    if not isinstance(kind, str) or kind not in _KNOWN:
        raise Img2TabError(f"The classifier in {folder} must be one of {', '.join(KINDS)}, got {kind!r:.40}. {ADVICE}")
    return _KNOWN[kind].estimator


def title_of(kind: str) -> str:
    """What a person reads for a kind of classifier; its word where it is none of these."""
    about = _KNOWN.get(kind)
    return about.title if about is not None else kind


def of(kind: str) -> Kind:
    """What is known of a kind. Raises Img2TabError where there is none of this word."""
    if kind not in _KNOWN:
        raise Img2TabError(f"A classifier's kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    return _KNOWN[kind]


def _plain(value):
    """A parameter as JSON knows it: NumPy's numbers become Python's."""
    return value.item() if isinstance(value, np.generic) else value
