"""Tables, the classifiers trained on them, and what their concepts are worth: opened, trained and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, cast

import numpy as np

from img2tab_core import tables
from img2tab_core.backbones.registry import backbone_key
from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import home, keep_json, read_json, sha256_of
from img2tab_core.base.foreign import inside
from img2tab_core.base.jobs import Report, silent
from img2tab_core.base.later import later
from img2tab_core.base.once import Once
from img2tab_core.base.records import DEFAULT_BACKBONE, ConceptScores, StyleTable, read_only
from img2tab_core.classifiers import runs
from img2tab_core.classifiers.runs import DEFAULT_KIND, Run, card_run_id_of, id_of, run_id_of, treatment_key
from img2tab_core.classifiers.treatment import UNTREATED, Treatment
from img2tab_core.concepts import scores
from img2tab_core.concepts.erasing import CONCEPT, Erasure
from img2tab_core.tables import TargetFaces, population

if TYPE_CHECKING:
    from img2tab_core.backbones import backbone as backbones
    from img2tab_core.classifiers import (
        answers,
        comparison,
        kinds,
        measures,
        models,
        pixels,
        preparation,
        quick,
        reactions,
        xgboost,
    )
    from img2tab_core.classifiers.base import ConceptClassifier
    from img2tab_core.classifiers.catboost import QuantizedPool
    from img2tab_core.concepts import description
else:
    (
        answers,
        backbones,
        comparison,
        description,
        kinds,
        measures,
        models,
        pixels,
        preparation,
        quick,
        reactions,
        xgboost,
    ) = later(
        "img2tab_core.classifiers.answers",
        "img2tab_core.backbones.backbone",
        "img2tab_core.classifiers.comparison",
        "img2tab_core.concepts.description",
        "img2tab_core.classifiers.kinds",
        "img2tab_core.classifiers.measures",
        "img2tab_core.classifiers.models",
        "img2tab_core.classifiers.pixels",
        "img2tab_core.classifiers.preparation",
        "img2tab_core.classifiers.quick",
        "img2tab_core.classifiers.reactions",
        "img2tab_core.classifiers.xgboost",
    )

# how many are kept in memory; what goes is opened, read or computed again when it is asked for
TABLES = 16  # opened tables, which are memory maps
STANDING = 32  # standing runs
TARGETS = 64  # targets whose faces, distances (two numbers a channel) and number of quick concepts are known
PREPARED = 4  # treatments measured on the training faces of a target
ANSWERED = 8  # runs whose answers on the test faces are known

IMPORTS = ("folder", "celeba", "population", "psi")  # verbs of `img2tab import` that make a table
UNNOTED = "By which encoder its faces were read was not noted; import it anew to be sure that photos are read alike."


P = ParamSpec("P")


def _one_class_of_whole(
    verb: Callable[Concatenate[Trainer, StyleTable, str, P], Run],
) -> Callable[Concatenate[Trainer, StyleTable, str, P], Run]:
    """A verb that answers for one class against the rest with the run of all classes, looked at so."""

    @wraps(verb)
    def answered(trainer: Trainer, table: StyleTable, target: str, *args: P.args, **options: P.kwargs) -> Run:
        part = tables.class_of(table, target)
        if part is None:
            return verb(trainer, table, target, *args, **options)
        on_quick = cast("Callable[[Run], None] | None", options.get("on_quick"))
        if on_quick is not None:
            options["on_quick"] = lambda run: on_quick(runs.against(run, target))
        return runs.against(verb(trainer, table, part[0].name, *args, **options), target)

    return answered


class Trainer:
    """Opened tables and trained classifiers of one process; thread-safe, and nothing in it belongs to one visitor."""

    def __init__(self) -> None:
        self._tables: Once[tuple[str, int, int], StyleTable] = Once(TABLES)
        self._codes_of: dict[tuple[str, int, int], tuple[int, int, int]] = {}  # of a table: which file, size, time
        # by the opened table itself: one with other labels is another, whatever its key says
        self._faces: Once[tuple[StyleTable, str], TargetFaces] = Once(TARGETS)
        self._runs: Once[str, Run] = Once(STANDING)
        # the rest but answers by the key of a target's faces
        self._distances: Once[str, tuple[np.ndarray, np.ndarray]] = Once(TARGETS)
        self._answers: Once[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]] = Once(ANSWERED)
        self._shares: Once[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]] = Once(ANSWERED)
        self._pools: Once[str, QuantizedPool] = Once(1)  # of the latest target only: 131 MB
        self._screens: Once[str, quick.Screen] = Once(TARGETS)
        self._preparations: Once[tuple[str, str, Treatment, frozenset[int]], preparation.Preparation] = Once(PREPARED)
        self._answered: Once[tuple[StyleTable, tuple], StyleTable] = Once(TABLES)  # with the answers of own classifiers

    def table_names(self) -> list[str]:
        """Names of the tables that are built, the default first."""
        names = sorted(file.parent.name for file in (home() / "tables").glob(f"*/{tables.TABLE_FILE}"))
        return sorted(names, key=lambda name: name != "default")

    def about_table(self, name: str) -> dict:
        """Where an imported table came from and what was left out; {} for the bundled one."""
        folder = inside(home() / "tables", name)
        about = tables.about_of(folder)
        if about.get("kind") in IMPORTS and not read_json(folder / tables.TABLE_FILE).get("backbone_key"):
            about["note"] = f"{about.get('note', '')} {UNNOTED}".strip()
        return about

    def table(self, name: str = "default") -> StyleTable:
        """An opened table, the same one until its files are replaced.

        Raises Img2TabError where there is none of this name, it is damaged, or its backbone has other weights now:
        then a photo would be read by another encoder than the faces of the table.
        """
        folder = inside(home() / "tables", name)
        try:
            stat = (folder / tables.TABLE_FILE).stat()  # another one after `--anew`
            codes = (folder / tables.CODES_FILE).stat()
        except OSError:
            return tables.open_table(folder)  # says in a sentence that there is none, or what is missing
        place, mark = (str(folder), stat.st_ino, stat.st_mtime_ns), (codes.st_ino, codes.st_size, codes.st_mtime_ns)
        if self._codes_of.setdefault(place, mark) != mark:  # read on, shorter ones would end this process
            if (folder / tables.TABLE_FILE).stat().st_ino != stat.st_ino:  # replaced just now, between the two looks
                return self.table(name)
            raise Img2TabError(
                f"The style codes of the table {name!r} were changed while it was in use: {folder / tables.CODES_FILE} "
                "is another file than when it was opened. Build or import it again; a new table may take its place at "
                "any time."
            )
        table = self._tables.get(place, lambda: self._opened(folder))
        if table.backbone != DEFAULT_BACKBONE:  # people add and remove those while this process runs
            self._check_weights(table)
        if not models.names():  # milliseconds, and nobody's library is imported
            return table
        return self._answered.get((table, answers.state_of(table)), lambda: answers.with_answers(table))

    def table_of(self, run: Run) -> StyleTable:
        """The very table that a run was trained on. Raises Img2TabError where it was replaced since."""
        table = self.table(run.table)
        if run.table_key not in ("", table.key):
            raise Img2TabError(
                f"The table {run.table!r} was replaced after this classifier was trained on it. Reload the page, or "
                "train again on the table there is now."
            )
        return table

    @_one_class_of_whole
    def train(
        self,
        table: StyleTable,
        target: str,
        *,
        kind: str = DEFAULT_KIND,
        excluded: frozenset[int] = frozenset(),
        treatment: Treatment = UNTREATED,
        seed: int = 0,
        rows: int | None = None,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """Train a classifier without the excluded concepts and measure it on the test split; always a new run.

        kind: one of `kinds.KINDS`. excluded: channel indices. treatment: what is erased or balanced. rows: so many of
        the training faces, sampled by the seed with the classes in proportion, of whatever kind the same; None, or as
        many as there are, takes all. Concepts are ranked on all of them either way, and every test face is measured on.
        Raises Cancelled once `cancelled` says so, and Img2TabError where the kind is not installed, the target, the
        channels or what is erased are not in the table, or rows are fewer than two.
        """
        excluded, faces = frozenset(map(int, excluded)), self._faces_of(table, target)
        model, sample = kinds.make(kind, excluded=excluded, random_state=seed), _sample(faces, rows, seed)
        rows = None if sample is None else rows
        run_id = run_id_of(table, target, excluded, seed, kind, treatment, rows)
        run = self._trained(model, run_id, faces, treatment, sample=sample, progress=progress, cancelled=cancelled)
        if sample is None:
            return run
        note = (
            f"Trained on {len(sample.train.rows):,} of {len(faces.train.rows):,} training faces, sampled by the seed "
            f"{seed} with the classes in proportion."
        )
        return replace(run, rows=rows, note=note)

    @_one_class_of_whole
    def train_quick(
        self,
        table: StyleTable,
        target: str,
        *,
        excluded: frozenset[int] = frozenset(),
        treatment: Treatment = UNTREATED,
        seed: int = 0,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """A first answer: a small CatBoost on the few concepts of `screen`, marked quick, with a note that says so.

        Raises what `train` does.
        """
        excluded, screen = frozenset(map(int, excluded)), self.screen(table, target)
        model = quick.classifier(screen, excluded=excluded, seed=seed)
        full_id = run_id_of(table, target, excluded, seed, treatment=treatment)
        run_id = id_of(table, target, quick.QUICK_RECIPE, str(screen.count), full_id)
        faces = self._faces_of(table, target)
        run = self._trained(model, run_id, faces, treatment, progress=progress, cancelled=cancelled)
        return replace(run, quick=True, note=f"Quick answer: {screen.sentence}")

    @_one_class_of_whole
    def train_live(
        self,
        table: StyleTable,
        target: str,
        *,
        kind: str = DEFAULT_KIND,
        excluded: frozenset[int] = frozenset(),
        treatment: Treatment = UNTREATED,
        seed: int = 0,
        on_quick: Callable[[Run], None] | None = None,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """`train` with a first answer on the way: `on_quick` gets the run of `train_quick`, then the full one comes.

        Only the default kind has a quick answer. The first time for a target its style codes are quantized between the
        two, which `prepare` does ahead. Where a person wants and has a graphics card, the full classifier is trained
        there, and the run's note says that it does not come out the same twice. Raises what `train` does.
        """
        from img2tab_core.classifiers.catboost import GpuConcepts, gpu_wished

        persons.must_be_auditor("train a classifier")
        report, excluded = progress or silent, frozenset(map(int, excluded))
        if kind != DEFAULT_KIND:
            return self.train(
                table,
                target,
                kind=kind,
                excluded=excluded,
                treatment=treatment,
                seed=seed,
                progress=report,
                cancelled=cancelled,
            )
        first = self.train_quick(
            table,
            target,
            excluded=excluded,
            treatment=treatment,
            seed=seed,
            cancelled=cancelled,
            progress=lambda share, text: report(0.15 * share, "A quick answer first"),
        )
        if on_quick is not None:
            on_quick(first)
        if not treatment:
            report(0.15, "Quantizing the style codes, once for this target")
            self._codes(self._faces_of(table, target), make=True, cancelled=cancelled)

        def rest(share: float, text: str) -> None:
            report(0.2 + 0.8 * share, text)

        if treatment or not gpu_wished():
            return self.train(
                table,
                target,
                excluded=excluded,
                treatment=treatment,
                seed=seed,
                progress=rest,
                cancelled=cancelled,
            )
        run_id = card_run_id_of(table, target, excluded, seed)
        model = GpuConcepts(excluded=excluded, random_state=seed)
        faces = self._faces_of(table, target)
        run = self._trained(model, run_id, faces, UNTREATED, progress=rest, cancelled=cancelled)
        return replace(run, note="Trained on a graphics card: trained again it would not come out quite the same.")

    def screen(self, table: StyleTable, target: str) -> quick.Screen:
        """How many concepts a quick answer looks at, and what that costs, as far as `prepare` measured it."""
        return self._screen_of(self._faces_of(table, _whole(table, target)))

    def prepare(
        self,
        table: StyleTable,
        target: str,
        *,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> quick.Screen:
        """What makes `train_live` fast, ahead of it: style codes quantized, the number of concepts chosen; both kept.

        Seconds the first time for a target, then at once; meant for the background. Raises what `train` does.
        """
        target = _whole(table, target)
        report, full, faces = progress or silent, self.run(table, target), self._faces_of(table, target)
        report(0.0, "Quantizing the style codes, once for this target")
        pool = self._codes(faces, make=True, cancelled=cancelled)
        with self._screens.making(faces.key):
            screen = self._screen_of(faces)
            if not screen.measured:
                screen = quick.choose(
                    faces,
                    self._order(faces),
                    full.classifier,
                    pool=pool,
                    progress=lambda share, text: report(0.5 + 0.5 * share, text),
                    cancelled=cancelled,
                )
                self._screens.put(faces.key, screen)
                quick.store_screen(faces, screen)
        return screen

    def adopt(self, file: Path, table: StyleTable, target: str) -> Run:
        """A classifier somebody published (an XGBoost JSON) as a run of a table: measured on its test split, kept.

        Raises Img2TabError where the file is none, or its channels are not those of the table.
        """
        started = time.perf_counter()
        model = xgboost.open_published(file)
        if model.n_features_in_ != table.layout.total:
            raise Img2TabError(
                f"{file.name} judges style codes of {model.n_features_in_:,} channels, and the table {table.name!r} "
                f"has {table.layout.total:,}. Choose a table of the backbone it was trained for."
            )
        rows, labels = self._faces_of(table, target).test
        run = Run(
            id=id_of(table, target, sha256_of(file), table.key),
            table=table.name,
            target=target,
            classifier=model,
            excluded=frozenset(),
            seed=0,
            metrics=measures.measure(model, table.psi, labels, rows=rows),
            seconds=time.perf_counter() - started,
            origin=file.name,
            table_key=table.key,
        )
        self.keep(run)
        return run

    def compare(
        self,
        table: StyleTable,
        target: str,
        *,
        kinds: Sequence[str],
        seeds: Sequence[int] = (0, 1, 2),
        faces: int | None = 4000,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> comparison.Comparison:
        """Several kinds of classifier on the same faces: how well they predict, and what their importance finds; kept.

        See `comparison.compare`, also for what it raises.
        """
        persons.must_be_auditor("compare classifiers")
        target = _whole(table, target)
        faces_of_target = self._faces_of(table, target)
        distance, _ = self._distances_of(faces_of_target)
        compared = comparison.compare(
            faces_of_target, distance, kinds=kinds, seeds=seeds, faces=faces, progress=progress, cancelled=cancelled
        )
        keep_json(self._comparison_file(table, target), compared.to_json())
        return compared

    def compared(self, table: StyleTable, target: str) -> comparison.Comparison | None:
        """The latest comparison on this table and target; None where there is none, or the table is another now.

        Of one class against the rest, that of all classes.
        """
        target = _whole(table, target)
        try:
            latest = comparison.Comparison.from_json(read_json(self._comparison_file(table, target)))
        except Img2TabError:
            return None
        return latest if latest.table_key == table.key else None

    @_one_class_of_whole
    def run(
        self,
        table: StyleTable,
        target: str,
        *,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """The standing run of a target, nothing excluded: loaded if it was trained before, else trained and kept.

        Raises Img2TabError where the table has no such target, or the run cannot be kept; Cancelled once `cancelled`
        says so while it is trained.
        """
        tables.any_target_of(table, target)
        if target in table.answered:
            return self.own(table, target, target)
        return self._trained_on_all(table, target, progress, cancelled)

    def keep(self, run: Run) -> None:
        """Write a run under the visitor's folder, so that `kept` finds it again; see `runs.keep`."""
        runs.keep(run)
        self._answers.forget((run.id, run.table_key))  # on a graphics card another model may have had the same id

    def kept(self, table: StyleTable, target: str) -> list[Run]:
        """Every kept run of this table and target: the standing one first, then in the order they were trained.

        Behind them the classifiers of somebody's own that are held against the labels of this target.
        """
        return [self.run(table, target), *runs.others_kept(table, target), *self.judging(table, target)]

    def judging(self, table: StyleTable, target: str) -> list[Run]:
        """The classifiers of somebody's own that are held against the labels of a target, where they were asked about
        all test faces."""
        judged = []
        for record in models.records():
            if record["judges"] == target and record["name"] in table.answered:
                model = models.open_model(record["name"])
                rows = self._faces_of(table, target).test.rows
                if np.isfinite(answers.asked(model, table, model.face_size).of(rows)).all():
                    judged.append(self.own(table, record["name"], target))
        return judged

    def scores(self, run: Run, *, progress: Report | None = None) -> ConceptScores:
        """Distance, direction and importance of every concept for a run's target.

        Importance for a classifier that reads pixels is that of its stand-in. Raises Img2TabError where the run's table
        was replaced.
        """
        table = self.table_of(run)
        distance, direction = self.distances(table, run.target)
        judge = self.stand_in(run, progress=progress) if run.own else run
        return ConceptScores(distance, direction, measures.importance(judge.classifier))

    # --- classifiers of somebody's own ---------------------------------------------------------------

    def own(self, table: StyleTable, name: str, target: str) -> Run:
        """A classifier of somebody's own as a run: of its own answers, or held against the labels of another target.

        Never kept by itself. Raises Img2TabError where there is none of this name, or it was not asked yet.
        """
        model = models.open_model(name)
        known = answers.best(model, table)
        if known is None or (target == name and name not in table.answered):
            raise Img2TabError(f"{answers.why_no_target(model, table)} Ask it: img2tab explain --classifier {name}.")
        size = known.size if target == name else model.face_size
        key = id_of(table, target, "own", model.key, str(size), table.key_for(name))

        def made() -> Run:
            started = time.perf_counter()
            classifier = pixels.PixelClassifier.of(model, backbones.open_backbone(table.backbone), size=size)
            rows, labels = self._faces_of(table, target).test
            metrics = measures.metrics_of(classifier.of_table(table, rows), labels)
            return Run(
                id=key,
                table=table.name,
                target=target,
                classifier=classifier,
                excluded=frozenset(),
                seed=0,
                metrics=metrics,
                seconds=time.perf_counter() - started,
                origin=model.origin,
                table_key=table.key,
                note="A classifier of somebody's own that reads pixels, asked about faces as they are drawn."
                + (
                    " The labels are its own answers, so it is always right: what says something is how often each "
                    "group gets which answer."
                    if target == name
                    else ""
                ),
            )

        return self._runs.get(key, made)

    def fidelity(self, run: Run, stand_in: Run) -> reactions.Fidelity:
        """How far a stand-in says the same as the classifier on whose answers it was trained; on test faces."""
        table = self.table_of(run)
        faces = self._faces_of(table, stand_in.target)

        def both(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            own = cast("pixels.PixelClassifier", run.classifier).of_table(table, rows)
            chance = np.stack([own, stand_in.classifier.probabilities(table.psi, rows)[:, 1]])
            chance = np.clip(chance, 1e-7, 1 - 1e-7)
            log_odds = np.log(chance / (1 - chance))
            return log_odds[0], log_odds[1]

        measured = reactions.fidelity(*both(faces.test.rows), both(faces.validation.rows))
        tables.let_go(table.psi)
        return measured

    def opened_tables(self) -> list[StyleTable]:
        """Every table that opens."""
        opened = []
        for name in self.table_names():
            with suppress(Img2TabError):
                opened.append(self.table(name))
        return opened

    def stand_in(self, run: Run, *, progress: Report | None = None) -> Run:
        """A concept classifier trained on the answers of somebody's own: what comes nearest to looking inside it.

        Its accuracy is its fidelity: how often it says the same about test faces. Trained once and kept.
        """
        table, name = self.table_of(run), cast("pixels.PixelClassifier", run.classifier).name
        if name not in table.answered:
            raise Img2TabError(answers.why_no_target(models.open_model(name), table))
        return self._trained_on_all(table, name, progress)

    def distances(self, table: StyleTable, target: str) -> tuple[np.ndarray, np.ndarray]:
        """Wasserstein-1 and signed mean distance on the training faces; float64 (D,) each, standard deviations.

        Computed once per target of a table. Raises Img2TabError where a class has no training face.
        """
        return self._distances_of(self._faces_of(table, target))

    def classes_apart(self, table: StyleTable, target: str) -> list[tuple[str, str]]:
        """Of a target of more than two classes, for every channel the two classes that it tells apart most: those its
        distance is of; [] where there are two classes anyway."""
        classes = tables.any_target_of(table, target).classes
        if len(classes) == 2:
            return []
        pairs = scores.pairs_of(len(classes))
        furthest = scores.pairwise(self._faces_of(table, target), len(classes))[0].argmax(axis=0)  # (D,)
        return [(classes[pairs[at][0]], classes[pairs[at][1]]) for at in furthest]

    def test_answers(self, run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(row numbers int64, labels 0/1, probability of class 1 float64) of the test faces whose label is known.

        Kept for the latest runs: a moved threshold asks again for the same numbers. Raises Img2TabError where the run's
        table was replaced.
        """

        def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            table = self.table_of(run)
            tables.target_of(table, run.target)
            rows, labels = self._faces_of(table, run.target).test
            if run.whole is not None:
                return rows, labels, read_only(self.test_shares(run.whole)[2][:, _which(table, run.target)])
            if run.own:
                probability = cast("pixels.PixelClassifier", run.classifier).of_table(table, rows)
            else:
                probability = run.classifier.probabilities(table.psi, rows)[:, 1]
            tables.let_go(table.psi)
            return rows, labels, read_only(probability)

        return self._answers.get((run.id, run.table_key), answers)

    def test_shares(self, run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(row numbers int64, labels from 0, probability float64 (n, K) of every class) of the test faces whose label
        is known.

        Kept for the latest runs. Raises Img2TabError where the run's table was replaced.
        """

        def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            table = self.table_of(run)
            rows, labels = self._faces_of(table, run.target).test
            shares = run.classifier.probabilities(table.psi, rows)
            tables.let_go(table.psi)
            return rows, labels, read_only(shares)

        return self._shares.get((run.id, run.table_key), answers)

    def validation_answers(self, run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same of the validation faces, by which an exclusion may be chosen.

        Raises Img2TabError where they are of one class, or the run's table was replaced.
        """
        table = self.table_of(run)
        tables.target_of(table, run.target)
        rows, labels = self._faces_of(table, run.target).validation
        if len(np.unique(labels)) < 2:
            raise Img2TabError(
                f"The validation faces of {run.target!r} must be of both classes, got {len(rows):,} faces. An estimate "
                "needs more of them; train and compare instead."
            )
        probability = run.classifier.probabilities(table.psi, rows)[:, 1]
        tables.let_go(table.psi)
        return rows, labels, read_only(probability)

    # --- inside --------------------------------------------------------------------------------

    def _trained_on_all(
        self,
        table: StyleTable,
        target: str,
        progress: Report | None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """The run of the default kind with nothing excluded: opened where it is kept, else trained and kept."""
        run_id = runs.standing_id(table, target)

        def opened_or_trained() -> Run:
            try:
                return runs.open_kept(run_id)
            except Img2TabError:  # never trained here, or its files are damaged
                run = self.train(table, target, progress=progress, cancelled=cancelled)
                self.keep(run)
                return run

        return self._runs.get(run_id, opened_or_trained)

    def _opened(self, folder: Path) -> StyleTable:
        table = tables.open_table(folder)
        if table.name == population.TABLE:
            table = population.with_age_bands(table)
        if table.backbone == DEFAULT_BACKBONE:  # its weights stay as they are in a process: checked once
            self._check_weights(table)
        return table

    def _check_weights(self, table: StyleTable) -> None:
        """Refuse a table whose faces were encoded by other weights than photos would be now.

        The bundled table and samples of it have no key: the encoder that read their faces is shipped in the same
        commit as what it read.
        """
        if not table.backbone_key:
            return
        now = backbone_key(table.backbone)
        if table.backbone_key == now:
            return
        about = tables.about_of(home() / "tables" / table.name)
        kind = f" {about['kind']}" if about.get("kind") in IMPORTS else ""
        raise Img2TabError(
            f"The table {table.name!r} was encoded by other weights than the backbone {table.backbone} has now"
            + ("" if now else ", or that backbone was removed")
            + ": photos and its faces would not be read alike. Import it again, with the command it was made with and "
            + f"--anew: `img2tab import{kind} ... --name {table.name} --anew`"
            + ("." if table.backbone == DEFAULT_BACKBONE else "; or add the checkpoint it was made with again.")
        )

    def _faces_of(self, table: StyleTable, target: str) -> TargetFaces:
        """The labelled faces of a target, asked for and hashed once per opened table."""
        return self._faces.get((table, target), lambda: tables.faces_of(table, target))

    def _trained(
        self,
        model: ConceptClassifier,
        run_id: str,
        faces: TargetFaces,
        treatment: Treatment,
        *,
        sample: TargetFaces | None = None,
        progress: Report | None,
        cancelled: Callable[[], bool] | None,
    ) -> Run:
        """Train on the quantized codes where they are there, to the same bits on the table's own; measured.

        sample: the same faces with fewer to train on, None for all. Codes of which something is erased were not
        quantized, nor those of a sample: where a channel's values are parted is decided by the faces trained on.
        """
        classes = tables.any_target_of(faces.table, faces.target).against_rest
        started, pool = time.perf_counter(), None
        if treatment:
            measured = self._prepared(sample or faces, treatment, model.excluded)
            rows, labels = (sample or faces).train
            model.fit(
                faces.table.psi,
                labels,
                rows=rows,
                order=measured.order,
                preparation=measured,
                progress=progress,
                cancelled=cancelled,
            )
        else:
            order = self._order(faces)
            if sample is None and model.kind == DEFAULT_KIND:
                pool = self._codes(faces, make=quick.pays(model, faces), cancelled=cancelled)
            quick.train(model, sample or faces, order, pool=pool, progress=progress, cancelled=cancelled)
        seconds = time.perf_counter() - started
        return Run(
            id=run_id,
            table=faces.table.name,
            target=faces.target,
            classifier=model,
            excluded=model.excluded,
            seed=model.random_state,
            metrics=quick.measure(model, faces, pool=pool),
            seconds=seconds,
            table_key=faces.table.key,
            treatment=treatment,
            each=quick.measure_each(model, faces, [view.name for view in classes], pool=pool) if classes else (),
        )

    def erasure(self, table: StyleTable, target: str, names: tuple[str, ...]) -> Erasure:
        """What erasing these takes out of a code: what a run that erases them does; seconds, then at once.

        Raises what `train` does.
        """
        made = self._prepared(self._faces_of(table, target), Treatment(erased=names)).erasure
        if made is None:
            raise ValueError("nothing is named that would be erased")
        return made

    def _prepared(
        self, faces: TargetFaces, treatment: Treatment, excluded: frozenset[int] = frozenset()
    ) -> preparation.Preparation:
        """A treatment measured on a target's training faces; the latest are kept: the quick and the full classifier
        are prepared alike."""

        table = faces.table

        def measured() -> preparation.Preparation:
            rows, labels = faces.train
            made = preparation.prepared(
                table, faces.target, treatment, rows=rows, labels=labels, described=described, excluded=excluded
            )
            tables.let_go(table.psi)
            return made

        named = any(name.startswith(CONCEPT) for name in treatment.names)
        described = description.open_description(table.backbone, backbone_key(table.backbone)) if named else None
        if not (treatment.erased or treatment.moved):  # weights alone read no channel that may be excluded
            excluded = frozenset()
        key = (faces.key, treatment_key(table, treatment), treatment, excluded)
        return self._preparations.get(key, measured)

    def _codes(
        self, faces: TargetFaces, *, make: bool = False, cancelled: Callable[[], bool] | None = None
    ) -> QuantizedPool | None:
        """A target's style codes quantized: from memory, from disk, or made and kept.

        None where there are none and they are not to be made, or another is just about it: nobody waits for them who
        can do without.
        """
        with self._pools.making(faces.key, wait=make) as mine:
            if not mine:
                return None
            pool = self._pools.peek(faces.key) or quick.stored_pool(faces)
            if pool is None and make:
                self._pools.clear()  # room for what making takes
                pool = quick.make_pool(faces, self._order(faces), cancelled=cancelled)
                quick.store_pool(faces, pool)
            if pool is not None:
                self._pools.put(faces.key, pool)
            return pool

    def _screen_of(self, faces: TargetFaces) -> quick.Screen:
        screen = self._screens.peek(faces.key) or quick.stored_screen(faces)
        if screen is None:  # not kept: `prepare` may measure it meanwhile
            return quick.Screen(min(quick.UNMEASURED, faces.table.layout.total))
        self._screens.put(faces.key, screen)
        return screen

    def _distances_of(self, faces: TargetFaces) -> tuple[np.ndarray, np.ndarray]:
        return self._distances.get(faces.key, lambda: scores.distances(faces))

    def _order(self, faces: TargetFaces) -> np.ndarray:
        """All channels, those that set the classes of a target furthest apart first; int64 (D,)."""
        distance, _ = self._distances_of(faces)
        return scores.top(distance, len(distance))

    def _comparison_file(self, table: StyleTable, target: str) -> Path:
        return home() / "comparisons" / f"{table.name}-{target}.json"


def _sample(faces: TargetFaces, rows: int | None, seed: int) -> TargetFaces | None:
    """The faces with so many to train on, the classes in proportion; None where these are all. Raises Img2TabError
    where they are fewer than the classes."""
    labels = faces.train.labels
    if rows is None or rows >= len(labels):
        return None
    classes = len(np.unique(labels))
    if rows < classes:
        raise Img2TabError(f"A classifier of {classes} classes needs at least {classes} training faces, got {rows}.")
    return faces.trained_on(comparison.sampled(labels, rows, seed=seed))


def _whole(table: StyleTable, target: str) -> str:
    """The target that is trained: of one class against the rest, that of all classes."""
    part = tables.class_of(table, target)
    return target if part is None else part[0].name


def _which(table: StyleTable, target: str) -> int:
    """The class that a target asks for against the rest."""
    part = tables.class_of(table, target)
    if part is None:
        raise Img2TabError(f"{target} of the table {table.name!r} does not ask for one class against the rest.")
    return part[1]
