"""A run: one classifier, what it was trained without and its metrics; its id, and the folder all runs lie in."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2tab_core import tables
from img2tab_core.backbones.registry import backbone_key
from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import changing, home, read_json
from img2tab_core.base.foreign import DAMAGED, inside, parsed_json, reason
from img2tab_core.base.later import later
from img2tab_core.base.records import Metrics, StyleTable, digest
from img2tab_core.classifiers.treatment import UNTREATED, Treatment
from img2tab_core.concepts.description import open_description
from img2tab_core.concepts.erasing import CONCEPT

if TYPE_CHECKING:
    from img2tab_core.classifiers import against_rest, catboost, kinds
    from img2tab_core.classifiers.base import ConceptClassifier
else:
    against_rest, catboost, kinds = later(
        "img2tab_core.classifiers.against_rest", "img2tab_core.classifiers.catboost", "img2tab_core.classifiers.kinds"
    )

DEFAULT_KIND = "catboost"  # of classifier
OWN_KIND = "pixels"  # of a classifier that somebody brought
OF_ONE = ":"  # in an id of a run or target: what follows says which class is asked about, against the rest
TREATED = "2"  # the recipe of a treatment: another one makes other runs
BY = "by"  # in a run's file: who trained it, where people sign in
RUN_FILE = "run.json"  # beside the classifier's own files


@dataclass(frozen=True)
class Run:
    """One classifier with its exclusions and its measured results on the test split.

    origin: "" where it was trained here, else the file it came from; table_key: of the table it was measured on.
    quick: a first answer until the full classifier is trained, never kept; note: what a person must know of it.
    treatment: what was erased or balanced beside what is excluded. Of more than two classes, each: of every class the
    target that asks for it against the rest, and how the run does on that. whole: of one class against the rest, the
    run of all classes that it is a view of; such a run is kept with that one, and its id begins with that one's.
    rows: how many training faces it was trained on, where these are a sample of them; None where they are all.
    """

    id: str
    table: str
    target: str
    classifier: ConceptClassifier
    excluded: frozenset[int]
    seed: int
    metrics: Metrics
    seconds: float
    origin: str = ""
    table_key: str = ""
    quick: bool = False
    note: str = ""
    treatment: Treatment = UNTREATED
    each: tuple[tuple[str, Metrics], ...] = ()
    whole: Run | None = None
    rows: int | None = None

    @property
    def own(self) -> bool:
        """Whether it is a classifier of somebody's own that reads pixels: asked, never trained here."""
        return self.classifier.kind == OWN_KIND


# --- the folder of runs ------------------------------------------------------------------------------


def folder_of(run_id: str) -> Path:
    """Where the files of a kept run lie, whether or not they are there; of one class against the rest those of all.

    Raises Img2TabError where it is no id, but leads elsewhere.
    """
    return inside(home() / "runs", run_id.partition(OF_ONE)[0])


def keep(run: Run) -> None:
    """Write a run into the folder of runs, where `open_kept` and `others_kept` find it.

    Where people sign in, `others_kept` finds it for those who trained it; the same run trained by two is one.

    Raises Img2TabError where the run is only a quick answer, or its files cannot be written.
    """
    if run.quick:
        raise Img2TabError("A quick answer is not kept, only the full result that replaces it. Wait for that one.")
    person, folder = persons.acting(), folder_of(run.id)
    if person is None:
        save_run(run, folder)
        return
    with changing(folder / BY):  # two may train the same at once
        known = read_json(folder / RUN_FILE)
        by = set(known.get(BY, ()))
        if by or not known:  # else everybody's: kept at the machine, or before people signed in
            by.add(person.name)
        save_run(run, folder, by=by)


def open_kept(run_id: str) -> Run:
    """The kept run of this id, its classifier loaded. Raises Img2TabError where there is none or it is damaged."""
    run = load_run(folder_of(run_id))
    word = run_id.partition(OF_ONE)[2]
    return against(run, f"{run.target}{OF_ONE}{word}") if word else run


def has_model(run_id: str) -> bool:
    """Whether the files of a kept run are there; nothing is loaded, so a damaged one counts until it is opened."""
    if not run_id:
        return False
    folder = folder_of(run_id)
    return (folder / RUN_FILE).is_file() and kinds.is_saved(folder)


def any_kept(table_name: str) -> bool:
    """Whether there is a kept run of a table of this name, of whatever target; no library is imported for it."""
    return any((home() / "runs").glob(f"{table_name}-*/{RUN_FILE}"))


def standing_id(table: StyleTable, target: str) -> str:
    """The id of the standing run of a target: the default kind with seed 0, nothing excluded."""
    return run_id_of(table, target, frozenset(), 0)


def others_kept(table: StyleTable, target: str) -> list[Run]:
    """Every kept run of this very table and target but the standing one, in the order they were trained.

    Where the target is what a classifier answers, that classifier stands; all that was trained on its answers is other.

    Those that are damaged are left out: they can only be trained again.
    """
    part = tables.class_of(table, target)
    if part is not None:
        return [against(run, target) for run in others_kept(table, part[0].name)]
    standing, kept = "" if target in table.answered else standing_id(table, target), []
    for file in (home() / "runs").glob(f"{table.name}-{target}-*/{RUN_FILE}"):
        try:
            when = file.stat().st_mtime
            # a run of another table of this name need not be loaded to be known as such
            about = read_json(file)
            if not _is_for_who_acts(about):
                continue
            if about.get("table_key", "") not in ("", table.key) or about.get("target", target) != target:
                continue  # the files of a target "smiling-2" begin as those of "smiling" do
            run = load_run(file.parent)
        except (Img2TabError, OSError):
            continue
        if run.id != standing and is_of(run, table) and not run.own:
            kept.append((when, run))
    return [run for _, run in sorted(kept, key=lambda pair: pair[0])]


def _is_for_who_acts(about: dict) -> bool:
    """Whether a kept run is shown to the person who acts: their own, and those kept before people signed in."""
    person = persons.acting()
    return person is None or not about.get(BY) or person.name in about[BY]


def against(run: Run, name: str) -> Run:
    """A run of more than two classes as the run of one of them against the rest.

    name: of the target of two classes that asks for it, as `age_band:under_25`. The view has the classifier, the
    exclusions and the seed of the run, an id made of its id, and the metrics that were measured with it. Raises
    Img2TabError where the run has no such class.
    """
    names = [view for view, _ in run.each]
    if name not in names:
        raise Img2TabError(
            f"A run of {run.target} asks about one of {', '.join(names) or 'two classes'}, got {name!r}. Choose one."
        )
    which = names.index(name)
    classifier: Any = against_rest.AgainstRest(run.classifier, which)
    return replace(
        run,
        id=f"{run.id}:{name.rpartition(OF_ONE)[2]}",
        target=name,
        classifier=classifier,
        metrics=run.each[which][1],
        whole=run,
        each=(),
    )


# --- a run's files -----------------------------------------------------------------------------------


def save_run(run: Run, folder: Path, *, by: Collection[str] = ()) -> None:
    """Write a run, the classifier's files and run.json: all of them, or what was there stays.

    Of one class against the rest the run of all classes is written. by: who trained it, where people sign in. Raises
    Img2TabError where `folder` cannot be written.
    """
    run = run.whole or run
    about = {
        "id": run.id,
        "table": run.table,
        "target": run.target,
        "excluded": sorted(run.excluded),
        "seed": run.seed,
        "seconds": run.seconds,
        "metrics": asdict(run.metrics),
        "origin": run.origin,
        "table_key": run.table_key,
        "quick": run.quick,
        "note": run.note,
        "treatment": run.treatment.to_json(),
        **({"each": [[name, asdict(metrics)] for name, metrics in run.each]} if run.each else {}),
        **({} if run.rows is None else {"rows": run.rows}),
        **({BY: sorted(by)} if by else {}),
    }
    kinds.save(run.classifier, folder, beside={RUN_FILE: json.dumps(about, indent=1) + "\n"})


def load_run(folder: Path) -> Run:
    """The run that `save_run` wrote. Raises Img2TabError where there is none or it is damaged."""
    try:
        text, whole = b"", False
        while not whole:  # another one may take its place meanwhile, and loading completes a killed writer's
            text = (folder / RUN_FILE).read_bytes()
            about, classifier = parsed_json(text, strict=False), kinds.load(folder)
            whole = (folder / RUN_FILE).read_bytes() == text
        return Run(
            id=about["id"],
            table=about["table"],
            target=about["target"],
            classifier=classifier,
            excluded=frozenset(about["excluded"]),
            seed=about["seed"],
            metrics=_metrics(about["metrics"]),
            seconds=about["seconds"],
            origin=about.get("origin", ""),
            table_key=about.get("table_key", ""),
            quick=about.get("quick", False),
            note=about.get("note", ""),
            treatment=Treatment.from_json(about.get("treatment", {})),
            each=tuple((name, _metrics(metrics)) for name, metrics in about.get("each", [])),
            rows=about.get("rows"),
        )
    except Img2TabError:
        raise
    except (OSError, *DAMAGED) as error:
        raise Img2TabError(f"There is no readable run in {folder} ({reason(error)}). Train it again.") from error


def _metrics(stored: dict) -> Metrics:
    tuples = {"interval": tuple(stored["interval"]), "confusion": tuple(map(tuple, stored["confusion"]))}
    return Metrics(**stored | tuples)


# --- ids ---------------------------------------------------------------------------------------------


def run_id_of(
    table: StyleTable,
    target: str,
    excluded: frozenset[int],
    seed: int,
    kind: str = DEFAULT_KIND,
    treatment: Treatment = UNTREATED,
    rows: int | None = None,
) -> str:
    """The same table, target, exclusions, seed, kind, settings, treatment and number of faces give the same id."""
    if (part := tables.class_of(table, target)) is not None:
        whole = run_id_of(table, part[0].name, excluded, seed, kind, treatment, rows)
        return f"{whole}{OF_ONE}{target.partition(OF_ONE)[2]}"
    estimator = kinds.of(kind).estimator
    settings = {name: str(value) for name, value in estimator().get_params().items()}
    recipe = catboost.RECIPE if kind == DEFAULT_KIND else f"{kind} {kinds.library_version(kind)}"
    parts: list = [recipe, settings, table.key_for(target), target, sorted(excluded), seed]
    if treatment:
        parts += [treatment.to_json(), treatment_key(table, treatment)]
    if rows is not None:
        parts.append({"rows": rows})
    return id_of(table, target, json.dumps(parts, sort_keys=True))


def treatment_key(table: StyleTable, treatment: Treatment) -> str:
    """sha256 of what a treatment is measured on: the labels it names, the concepts as they are described now, and how
    it is done."""
    labels = [name for name in treatment.names if not name.startswith(CONCEPT)]
    parts = [TREATED, table.key_for(*labels)]
    if len(labels) < len(treatment.names):
        described = open_description(table.backbone, backbone_key(table.backbone))
        parts.append("" if described is None else described.key)
    return digest(*(part.encode() for part in parts))


def card_run_id_of(table: StyleTable, target: str, excluded: frozenset[int], seed: int) -> str:
    """The id of a run of the default kind that is trained on a graphics card; it names the recipe, not the bits."""
    if (part := tables.class_of(table, target)) is not None:
        whole = card_run_id_of(table, part[0].name, excluded, seed)
        return f"{whole}{OF_ONE}{target.partition(OF_ONE)[2]}"
    return id_of(table, target, "graphics card", run_id_of(table, target, excluded, seed))


def id_of(table: StyleTable, target: str, *parts: str) -> str:
    """An id of what was trained on a table for a target, the same wherever the parts are the same."""
    return f"{table.name}-{target}-{digest(*(part.encode() for part in parts))[:12]}"


def is_of(run: Run, table: StyleTable) -> bool:
    """Whether a stored run belongs to this very table, and would come out the same today."""
    if run.origin or (run.note and run.rows is None):
        return run.table_key == table.key
    kind = run.classifier.kind
    return run.id == run_id_of(table, run.target, run.excluded, run.seed, kind, run.treatment, run.rows)
