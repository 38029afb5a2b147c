"""The verbs of an audit: how far groups are apart, what a gap is made of, what stands in, what moving it alone does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np

from img2tab_core import tables
from img2tab_core.audits import (
    audit,
    carriers,
    concept_steps,
    exclusion_curves,
    exclusion_estimate,
    group_differences,
    impact_ratios,
    intervention,
    linear_probe,
    many_classes,
    misjudged,
    power,
    remedies,
    slices,
    smallest_change,
    stand_ins,
    threshold_search,
    uncertain_groups,
)
from img2tab_core.audits import matrix as matrices
from img2tab_core.audits import thresholds as threshold_costs
from img2tab_core.audits.audit_record import Audit
from img2tab_core.audits.bootstrap import gap_alone
from img2tab_core.audits.changes import Change, change
from img2tab_core.audits.conditions import conditions_of, labelled_so
from img2tab_core.audits.groups import STANDARD, Groups, Thresholds, crossed, faces_of
from img2tab_core.audits.metrics import HEADLINE, gaps_of
from img2tab_core.audits.misjudged import JudgedFace
from img2tab_core.audits.paired import REPEATS, Difference, PairedComparison, paired_comparison, paired_gaps
from img2tab_core.audits.remedies import Own
from img2tab_core.audits.slices import Slice
from img2tab_core.audits.thresholds import ThresholdCost
from img2tab_core.base import persons, words
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.intervals import Estimate, estimate
from img2tab_core.base.jobs import Report, silent
from img2tab_core.base.once import Once
from img2tab_core.base.records import StyleCode, StyleTable
from img2tab_core.classifiers.base import likeliest, two_columns
from img2tab_core.classifiers.comparison import Comparison
from img2tab_core.classifiers.preparation import prepared, titles_of
from img2tab_core.classifiers.runs import OF_ONE, Run, has_model, standing_id
from img2tab_core.classifiers.treatment import UNTREATED, Treatment
from img2tab_core.concepts.description import channels_of
from img2tab_core.studio import Studio

T = TypeVar("T")
REPEATED = ("equalised_odds", "demographic_parity", "accuracy")  # what `repeated` compares
OURS = "Ours: this exclusion"
KEPT = 256  # answers kept in memory: a few arrays of a number a channel or a face each


class Auditor:
    """What a run does to groups of faces; thread-safe, nothing in it belongs to one visitor.

    sensitive: one or two names of labels of the run's table, whose classes form the groups (two are crossed); where
    one is asked for, it is one name.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._kept: Once[Hashable, object] = Once(KEPT)

    # --- groups and gaps -----------------------------------------------------------------------

    def groups(self, run: Run, sensitive: Sequence[str], rows: np.ndarray) -> list[Groups]:
        """The groups that one or two other targets of the run's table form among these rows, int64 (n,).

        Raises Img2TabError where the run's own target is among them, or the table has no such target.
        """
        table = self.studio.table(run.table)
        if run.target.partition(OF_ONE)[0] in {name.partition(OF_ONE)[0] for name in sensitive}:
            raise Img2TabError(
                f"The groups of an audit are formed by something else than what is predicted, got {run.target} for "
                "both. Choose another attribute."
            )
        return _groups_of(table, sensitive, rows)

    def audit(
        self,
        run: Run,
        sensitive: Sequence[str],
        *,
        thresholds: Thresholds = STANDARD,
        repeats: int = 1000,
    ) -> Audit:
        """What a run does to each group of the test faces, and how far apart the groups are; as `audit.audit`."""
        rows, labels, probability = self.studio.trainer.test_answers(run)
        return audit.audit(
            labels, probability, self.groups(run, sensitive, rows), thresholds=thresholds, repeats=repeats
        )

    def audit_classes(self, run: Run, sensitive: Sequence[str], *, repeats: int = 1000) -> many_classes.ManyClassAudit:
        """What a run of more than two classes does to each group, by the class it chooses; as
        `many_classes.audit_classes`. Of one class against the rest, the run of all classes is audited."""
        whole = run.whole or run
        rows, labels, shares = self.studio.trainer.test_shares(whole)
        target = tables.any_target_of(self.studio.table(whole.table), whole.target)
        groups = self.groups(whole, sensitive, rows)
        return many_classes.audit_classes(labels, likeliest(shares), groups, target, repeats=repeats)

    def impact_ratios(
        self,
        run: Run,
        attribute: str,
        second: str | None = None,
        *,
        threshold: float = STANDARD,
        least_share: float = impact_ratios.LEAST_SHARE,
    ) -> impact_ratios.ImpactRatios:
        """How often each group of the test faces is given class 1, over the group given it most often; as
        `impact_ratios.impact_ratios`.

        Raises Img2TabError where the table has no such attribute, or the run is of more than two classes.
        """
        target = tables.target_of(self.studio.table(run.table), run.target)
        if run.own:  # asked about some faces only
            rows, _, probability = self.studio.trainer.test_answers(run)
        else:  # who is selected does not depend on what somebody is labelled
            table = self.studio.table(run.table)
            rows = table.rows("test")
            probability = run.classifier.probabilities(table.psi, rows)[:, 1]
            tables.let_go(table.psi)
        groups = self.groups(run, [attribute] if second is None else [attribute, second], rows)
        return impact_ratios.impact_ratios(
            probability, groups, given=target.classes[1], threshold=threshold, least_share=least_share
        )

    def matrix(
        self,
        table: StyleTable,
        *,
        train: bool = True,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> matrices.Matrix:
        """Every target of a table by every attribute: the standing runs' gaps, and which of them are beyond chance.

        Kept row by row, a row for each target, so that a stopped one goes on where it was. Rows whose run is kept come
        first, as training one takes longest; without `train` they are the only ones. Raises Img2TabError where the
        table has fewer than two labels or a row cannot be kept; Cancelled once `cancelled` says so.
        """
        if train:
            persons.must_be_auditor("train classifiers for a measurement")
        report, targets = progress or silent, matrices.labelled_targets(table)
        missing = [target for target in targets if self._matrix_row(table, target.name) is None]
        missing.sort(key=lambda target: not has_model(standing_id(table, target.name)))
        if not train:
            missing = [target for target in missing if has_model(standing_id(table, target.name))]
        for number, target in enumerate(missing):
            done, share = (len(targets) - len(missing) + number) / len(targets), 1 / len(targets)
            title = f"{matrices.short_title(target)}, {len(targets) - len(missing) + number + 1} of {len(targets)}"
            report(done, f"Measuring {title}")
            if cancelled is not None and cancelled():
                raise Cancelled("The matrix was stopped; the rows measured so far are kept, and it goes on from there.")

            def training(part: float, text: str, done: float = done, share: float = share, title: str = title) -> None:
                report(done + 0.9 * share * part, f"Training the classifier of {title}")

            run = self.studio.trainer.run(table, target.name, progress=training, cancelled=cancelled)
            rows, labels, probability = self.studio.trainer.test_answers(run)
            matrices.keep_row(table, matrices.row_of(table, target.name, run.id, rows, labels, probability))
        report(1.0, "Measured")
        return self.matrix_so_far(table)

    def matrix_so_far(self, table: StyleTable) -> matrices.Matrix:
        """The rows of the matrix that are measured and kept, at once; nothing is opened or trained."""
        rows = (self._matrix_row(table, target.name) for target in matrices.labelled_targets(table))
        return matrices.matrix_of(table, [row for row in rows if row is not None])

    def seeable(
        self, table: StyleTable, target: str, sensitive: Sequence[str], *, wanted: float = power.WANTED
    ) -> tuple[power.Seeable, ...]:
        """What gaps the test faces of a table can show, for every pair of groups in every class; as `power.seeable`.

        How often faces are judged wrongly is measured on validation faces where the standing run of the target was
        trained, and assumed to be 10 % else; nothing is trained.
        """
        rows, labels = tables.labelled(table, target, "test")
        rates: list[float | None] = [None, None]
        if target not in table.answered and has_model(standing_id(table, target)):
            with suppress(Img2TabError):  # no validation faces of both classes
                _, truth, probability = self.studio.trainer.validation_answers(self.studio.trainer.run(table, target))
                rates = [float(((probability > STANDARD) != truth)[truth == label].mean()) for label in (0, 1)]
        return power.seeable(labels, _groups_of(table, sensitive, rows), rates=rates, wanted=wanted)

    def threshold_cost(self, run: Run, sensitive: Sequence[str], thresholds: Thresholds) -> ThresholdCost:
        """What thresholds, one for all or one per group, cost against 0.5."""
        rows, labels, probability = self.studio.trainer.test_answers(run)
        return threshold_costs.threshold_cost(
            labels, probability, self.groups(run, sensitive, rows), thresholds=thresholds
        )

    def thresholds_changed(
        self, run: Run, sensitive: Sequence[str], thresholds: Thresholds
    ) -> dict[str, Difference | None]:
        """What thresholds change against 0.5 on the same test faces, accuracy and gaps; as `paired.paired_gaps`."""
        rows, labels, probability = self.studio.trainer.test_answers(run)
        formed = crossed(self.groups(run, sensitive, rows))
        cuts = thresholds if isinstance(thresholds, Mapping) else dict.fromkeys(formed.names, thresholds)
        known = formed.codes >= 0
        of_each = np.array([cuts[name] for name in formed.names])[formed.codes[known]]
        decided = probability[known]
        return paired_gaps(labels[known], decided > STANDARD, decided > of_each, formed.codes[known])

    def differences(
        self, run: Run, sensitive: Sequence[str], audited: Audit
    ) -> tuple[group_differences.GroupDifference, ...]:
        """Of an audit of this run by these groups: each difference with the group that is worse off named."""
        rows, labels, probability = self.studio.trainer.test_answers(run)
        cuts = {group.name: STANDARD if group.threshold is None else group.threshold for group in audited.by_group}
        faces = faces_of(labels, probability, self.groups(run, sensitive, rows), cuts)
        rate = group_differences.FALSE_ALARMS
        return group_differences.group_differences(
            audited, gap_alone(faces, rate, repeats=audited.repeats, seed=audited.seed)
        )

    def misjudged(
        self, run: Run, sensitive: Sequence[str], group: str, label: int, *, most: int = 12
    ) -> misjudged.Misjudged:
        """The test faces of a group with this label, 0 or 1, that are called the other class, the surest first.

        With what spoke for each, but of a classifier that reads pixels, where that takes seconds a face, and where the
        concepts of the table's backbone are not described. Raises Img2TabError where there is no such group.
        """
        rows, labels, probability = self.studio.trainer.test_answers(run)
        formed = crossed(self.groups(run, sensitive, rows))
        if group not in formed.names:
            raise Img2TabError(f"A group must be one of {'; '.join(formed.names)}, got {group!r}.")
        inside = formed.codes == formed.names.index(group)
        wrong = misjudged.misjudged(rows, labels, probability, inside, group=group, label=label, most=most)
        table = self.studio.table(run.table)
        described = self.studio.description(table.backbone)
        if run.own or described is None or not wrong.faces:
            return wrong
        codes = [StyleCode.of(table.psi[face.row], table.backbone) for face in wrong.faces]
        return replace(
            wrong,
            faces=tuple(
                replace(face, reasons=misjudged.reasons(described, prediction))
                for face, prediction in zip(wrong.faces, self.studio.predict_all(run, codes), strict=True)
            ),
        )

    def slices(
        self,
        run: Run,
        *,
        label: int | None = None,
        deepest: int = 2,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> slices.Slices:
        """Where a run fails most among groups that nobody named: sought on some faces, confirmed on others.

        label: the class whose faces alone are looked at, from 0 on; None for all faces. deepest: conditions that
        describe a group at most, 1 to 3. Sought on the validation faces and, where these are under 1,000, on one half
        of the test faces; a classifier of somebody's own, which has answers about test faces alone, on one half of
        those. Confirmed on all other test faces. Once per run. Raises Img2TabError where label or deepest is another
        number, Cancelled once `cancelled` says so.
        """
        report, table = progress or silent, self.studio.trainer.table_of(run)
        target = tables.any_target_of(table, run.target)
        if label is not None and label not in range(len(target.classes)):
            raise Img2TabError(f"A class is numbered 0 to {len(target.classes) - 1}, got {label}.")
        among = () if label is None else (labelled_so(target, label),)

        def judged(part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            rows, labels, shares = self._answers(run, part)
            called = likeliest(shares)
            sure = np.take_along_axis(shares, called[:, None], axis=1)[:, 0]
            taken = slice(None) if label is None else labels == label
            return rows[taken], (called != labels)[taken], sure[taken]

        def stop() -> None:
            if cancelled is not None and cancelled():
                raise Cancelled("Stopped; no groups were sought.")

        def made() -> slices.Slices:
            report(0.0, "Asking about the faces to seek on")
            tested = judged("test")
            parts = [] if run.own else [judged("validation")]
            stop()
            few = sum(len(rows) for rows, *_ in parts) < slices.FEW
            if few:
                half = np.random.default_rng(0).permutation(len(tested[0])) < len(tested[0]) // 2
                parts.append((tested[0][half], tested[1][half], tested[2][half]))
                tested = tested[0][~half], tested[1][~half], tested[2][~half]
            rows, wrong = (np.concatenate([part[number] for part in parts]) for number in (0, 1))
            report(0.4, "Reading labels, measures and concepts")
            described = self.studio.description(table.backbone)
            every = conditions_of(table, run.target, described, np.concatenate([rows, tested[0]]))
            stop()
            report(0.6, f"Seeking through {len(every.conditions):,} conditions and what they form together")
            return slices.Slices(
                run.id,
                run.target,
                slices.measured_slices(
                    (wrong, every.holds[: len(rows)]),
                    (tested[1], every.holds[len(rows) :]),
                    every.conditions,
                    tested[0],
                    tested[2],
                    among=among,
                    deepest=deepest,
                ),
                (len(rows), len(tested[0])),
                (int(wrong.sum()), int(tested[1].sum())),
                len(every.conditions),
                every.left_out,
                slices.basis_of(len(rows), len(tested[0]), own=run.own, half=few),
            )

        names = [each.name for each in (*table.targets, *table.many)]
        return self._made(("slices", run.id, table.key_for(*names), label, deepest), made)

    def slice_faces(self, run: Run, group: Slice, *, most: int = 12) -> tuple[JudgedFace, ...]:
        """Test faces of a slice, those judged wrongly first, the surest mistakes first, with what spoke for each; no
        reasons where `misjudged` has none, nor of more than two classes."""
        rows, labels, shares = self._answers(run, "test")
        at = {int(row): number for number, row in enumerate(rows)}
        chosen = [at[row] for row in group.rows[:most]]
        called = likeliest(shares)
        faces = [JudgedFace(int(rows[n]), int(labels[n]), int(called[n]), float(shares[n, called[n]])) for n in chosen]
        table = self.studio.table(run.table)
        described = self.studio.description(table.backbone)
        if run.own or run.each or described is None or not faces:
            return tuple(faces)
        codes = [StyleCode.of(table.psi[face.row], table.backbone) for face in faces]
        return tuple(
            replace(face, reasons=misjudged.reasons(described, prediction))
            for face, prediction in zip(faces, self.studio.predict_all(run, codes), strict=True)
        )

    def perceived_gap(
        self, run: Run, reader: Run, *, error: uncertain_groups.GroupError | None = None
    ) -> uncertain_groups.UncertainGap:
        """The gap of a run between groups that its table does not know, as another run perceives them.

        reader: a run of two classes of any table of the same backbone, which reads the style codes of the test faces;
        of photos with its calibration. error: how often it is right, counted on faces whose group is known; what it
        made of the test faces of its own table if None. Raises Img2TabError where the run is of more than two classes,
        the reader reads pixels or style codes of another backbone.
        """
        table, other = self.studio.trainer.table_of(run), self.studio.trainer.table_of(reader)
        about, target = tables.target_of(other, reader.target), tables.target_of(table, run.target)
        if reader.own or (table.backbone, table.layout) != (other.backbone, other.layout):
            raise Img2TabError(
                f"Groups are perceived by a classifier that reads style codes of {table.backbone}, got {reader.id} of "
                f"{'pixels' if reader.own else other.backbone}. Choose another one."
            )
        if error is None:
            _, truth, probability = self.studio.trainer.test_answers(reader)
            right = (probability > STANDARD) == (truth == 1)
            counts = [(int(right[truth == group].sum()), int((truth == group).sum())) for group in (0, 1)]
            error = uncertain_groups.GroupError(
                f"The classifier of {matrices.short_title(about)}",
                f"test faces of the table {other.name}, against their labels",
                (counts[0][0], counts[1][0]),
                (counts[0][1], counts[1][1]),
            )
        of_photos = self.studio.trainer.about_table(run.table).get("kind") in uncertain_groups.OF_PHOTOS
        judging = self.studio.on_photos(reader) if of_photos else reader
        rows, labels, probability = self.studio.trainer.test_answers(run)
        perceived = judging.classifier.probabilities(table.psi, rows)[:, 1] > STANDARD
        tables.let_go(table.psi)
        return uncertain_groups.uncertain_gap(
            uncertain_groups.counts_of(labels, probability > STANDARD, perceived),
            error,
            groups=(about.classes[0], about.classes[1]),
            classes=(target.classes[0], target.classes[1]),
        )

    def find_thresholds(
        self,
        run: Run,
        sensitive: Sequence[str],
        *,
        gap: str = "equalised_odds",
        each: bool = True,
        most_lost: float = 0.02,
    ) -> threshold_search.ThresholdSearch:
        """The thresholds that bring a gap closest, chosen on validation faces; as `threshold_search.find_thresholds`.

        Raises Img2TabError as that does, and for a classifier that reads pixels: it would have to be asked about every
        validation face first.
        """
        if run.own:
            raise Img2TabError(
                "Thresholds are sought on validation faces, and a classifier that reads pixels would have to be asked "
                "about all of them first. Set them by hand, or train a concept classifier on its answers."
            )
        rows, labels, probability = self.studio.trainer.validation_answers(run)
        return threshold_search.find_thresholds(
            labels, probability, self.groups(run, sensitive, rows), gap=gap, each=each, most_lost=most_lost
        )

    def gaps(self, run: Run, sensitive: Sequence[str]) -> dict[str, float | None]:
        """Every gap, and the accuracy, on the test faces whose group is known, at the standard threshold.

        By the names of `metrics.GAPS`, and "accuracy"; None where it cannot be measured.
        """
        rows, labels, probability = self.studio.trainer.test_answers(run)
        groups = crossed(self.groups(run, sensitive, rows))
        known = groups.codes >= 0
        decisions, labels = (probability > STANDARD)[known], labels[known]
        gaps = gaps_of(labels, decisions, groups.codes[known])
        return gaps | {"accuracy": float((decisions == labels).mean()) if known.any() else None}

    def compare_runs(
        self, before: Run, after: Run, sensitive: Sequence[str] = (), *, repeats: int = REPEATS, seed: int = 0
    ) -> PairedComparison:
        """Two runs on the same test faces, face by face: whether chance alone could explain what changed.

        sensitive: none, or what forms the groups, for the differences of the gaps. repeats: resamples of the faces.
        Raises Img2TabError where the runs are of different tables or targets.
        """
        if (before.table, before.target) != (after.table, after.target):
            raise Img2TabError(
                f"Two runs are compared on the same test faces and labels, got {before.target} of {before.table} and "
                f"{after.target} of {after.table}. Choose two runs of one table and target."
            )
        rows, labels, old = self.studio.trainer.test_answers(before)
        _, _, new = self.studio.trainer.test_answers(after)
        groups = self.groups(after, sensitive, rows) if sensitive else ()
        return paired_comparison(labels, old, new, groups=groups, repeats=repeats, seed=seed)

    def gaps_compared(self, compared: Comparison, sensitive: Sequence[str]) -> dict[str, Estimate]:
        """The gap of equalised odds of every kind that a comparison trained, over its seeds, share of 1; of more than
        two classes the largest of each against the rest.

        By kind; a kind is left out where the comparison did not keep what was decided, and the estimate is of None
        where the gap cannot be measured. Raises Img2TabError where the table has no such attribute.
        """
        table = self.studio.table(compared.table)
        rows, labels = tables.labelled(table, compared.target, "test")
        groups = crossed(_groups_of(table, sensitive, rows))
        known, gaps = groups.codes >= 0, {}
        for contender in compared.contenders:
            decided = [trial.decisions(len(rows)) for trial in contender.trials]
            if decided and all(decisions is not None for decisions in decided):
                classes = len(tables.any_target_of(table, compared.target).classes)
                gaps[contender.kind] = estimate(
                    [
                        gaps_of(labels[known], decisions[known], groups.codes[known])[HEADLINE]
                        if classes == 2
                        else many_classes.largest_gap(labels[known], decisions[known], groups.codes[known], classes)
                        for decisions in decided
                        if decisions is not None
                    ]
                )
        return gaps

    def repeated(
        self,
        before: Run,
        after: Run,
        sensitive: Sequence[str],
        *,
        seeds: int = 5,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> dict[str, Change]:
        """Whether what an exclusion changed comes again: both runs trained anew with every seed, paired by seed.

        Returns the changes of equalised_odds and demographic_parity (smaller is better) and of accuracy on the test
        faces whose group is known. A seed sets the classifier's random numbers; faces and split stay, and what other
        test faces would change is in each change's `faces`. Raises Img2TabError where a run was trained elsewhere or a
        gap cannot be measured.
        """
        persons.must_be_auditor("train classifiers for a measurement")
        table, report = self.studio.table(after.table), progress or silent
        for run in (before, after):
            if run.origin:
                raise Img2TabError(
                    f"{run.origin} was trained elsewhere and cannot be trained again with other seeds. Choose two runs "
                    "that were trained here."
                )
        measured: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in REPEATED}
        decisions: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])  # of each seed, bool (n,)
        for seed in range(seeds):
            for side, run in enumerate((before, after)):
                done = 2 * seed + side
                report(done / (2 * seeds), f"Training {done + 1} of {2 * seeds}")
                again = self.studio.train(
                    table,
                    run.target,
                    kind=run.classifier.kind,
                    excluded=run.excluded,
                    treatment=run.treatment,
                    seed=seed,
                    cancelled=cancelled,
                )
                gaps = self.gaps(again, sensitive)
                for name in REPEATED:
                    value = gaps[name]
                    if value is None:
                        raise Img2TabError(
                            f"The gaps between groups of {' and '.join(sensitive)} cannot be measured: two groups with "
                            "faces of both classes are needed. Choose another attribute."
                        )
                    measured[name][side].append(value)
                decisions[side].append(self.studio.trainer.test_answers(again)[2] > STANDARD)
        rows, labels, _ = self.studio.trainer.test_answers(again)
        codes = crossed(self.groups(after, sensitive, rows)).codes
        of_faces = paired_gaps(labels, np.stack(decisions[0]), np.stack(decisions[1]), codes)
        return {
            name: change(
                *values,
                smaller_is_better=name != "accuracy",
                what="accuracy" if name == "accuracy" else "gap",
                faces=of_faces[name],
            )
            for name, values in measured.items()
        }

    # --- what the gap is made of ---------------------------------------------------------------

    def carried(
        self, table: StyleTable, target: str, sensitive: str, *, progress: Report | None = None
    ) -> carriers.Carried:
        """How much every concept carries an attribute; found on training faces alone, once per table."""
        report = progress or silent

        def make() -> carriers.Carried:
            return carriers.carried(
                table, target, sensitive, progress=lambda share: report(share, "Comparing the groups in every concept")
            )

        return self._made(("carried", table.key_for(target, sensitive), target, sensitive), make)

    def suggest(self, table: StyleTable, target: str, sensitive: str) -> carriers.Suggestion:
        """What to exclude so that a classifier of the target no longer leans on an attribute, by a stated rule."""
        return carriers.suggest(self.carried(table, target, sensitive))

    def curve(
        self,
        table: StyleTable,
        target: str,
        sensitive: str,
        *,
        seeds: Sequence[int] = (0,),
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> exclusion_curves.ExclusionCurve:
        """Accuracy and gap against how much is excluded, in the order of the suggestion; a quick retrain each.

        Ranked on training faces, measured on validation faces to choose by and on test faces to quote.
        """
        persons.must_be_auditor("train classifiers for a measurement")
        ranking = np.array(self.suggest(table, target, sensitive).ranking)
        key = ("curve", table.key_for(target, sensitive), target, sensitive, tuple(seeds))
        return self._made(
            key,
            lambda: exclusion_curves.exclusion_curve(
                table, target, sensitive, ranking, seeds=seeds, progress=progress, cancelled=cancelled
            ),
        )

    def concept_differences(self, table: StyleTable, target: str, sensitive: str) -> np.ndarray:
        """How far two groups differ in every concept within the classes of the target: float64 (K,), signed, SD.

        Raises Img2TabError where the concepts of the table's backbone are not described.
        """
        described = self.studio.described(table.backbone)
        key = ("differences", table.key_for(target, sensitive), target, sensitive, described.key)
        return self._made(key, lambda: concept_steps.differences(table, target, sensitive, described))

    def steps(
        self,
        table: StyleTable,
        target: str,
        sensitive: str,
        *,
        seeds: Sequence[int] = (0,),
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> concept_steps.ConceptSteps:
        """Which concepts to exclude, one after the other, and what each next one buys; a quick retrain each.

        Raises Img2TabError where the concepts of the table's backbone are not described.
        """
        persons.must_be_auditor("train classifiers for a measurement")
        described = self.studio.described(table.backbone)
        key = ("steps", table.key_for(target, sensitive), target, sensitive, tuple(seeds), described.key)
        return self._made(
            key,
            lambda: concept_steps.concept_steps(
                table, target, sensitive, described, seeds=seeds, progress=progress, cancelled=cancelled
            ),
        )

    def estimate(
        self,
        before: Run,
        excluded: frozenset[int],
        sensitive: Sequence[str] = (),
        *,
        treatment: Treatment = UNTREATED,
        on_first: Callable[[exclusion_estimate.ExclusionEstimate], None] | None = None,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> exclusion_estimate.ExclusionEstimate:
        """What training a run without other channels would mean: seconds, quick retrains, on validation faces.

        before: what it is compared with, by what that run excludes and erases. treatment: what the other one erases and
        balances. sensitive: none, one or two names. on_first: called
        with the estimate before the attribute was read from what is left. Raises Img2TabError where the validation
        faces are of one class, and Cancelled once `cancelled` says so.
        """
        table, report, excluded = self.studio.trainer.table_of(before), progress or silent, frozenset(excluded)
        key = ("estimate", table.key_for(before.target, *sensitive), before.target, tuple(sensitive))

        def compared() -> exclusion_estimate.ExclusionEstimate:
            report(0.0, "Quantizing the style codes, once for this target")
            self.studio.trainer.prepare(table, before.target, cancelled=cancelled)  # else the two may differ in more
            report(0.2, "A quick classifier of before")
            old = quick(before.excluded, before.treatment)
            report(0.4, "A quick classifier without what is ticked")
            new = quick(excluded, treatment)
            rows, labels, old_answers = self.studio.trainer.validation_answers(old)
            grew = self.studio.scores(new).importance - self.studio.scores(old).importance
            return exclusion_estimate.exclusion_estimate(
                labels,
                old_answers,
                self.studio.trainer.validation_answers(new)[2],
                self.groups(before, sensitive, rows) if sensitive else (),
                self._took_over(table, grew, excluded),
            )

        def quick(without: frozenset[int], with_treatment: Treatment) -> Run:
            return self._made(
                (*key, "quick", without, with_treatment),
                lambda: self.studio.trainer.train_quick(
                    table, before.target, excluded=without, treatment=with_treatment, cancelled=cancelled
                ),
            )

        first = self._made((*key, before.excluded, before.treatment, excluded, treatment), compared)
        if not sensitive:
            return first
        if on_first is not None:
            on_first(first)
        report(0.8, "Reading the attribute from what is left")
        readable = self._made(
            (*key, "readable", excluded, treatment.erased),
            lambda: linear_probe.readable(
                table,
                sensitive[0],
                excluded=excluded,
                erasure=quick(excluded, treatment).classifier.erasure_,
                test_rows=table.rows("validation"),
            ),
        )
        return replace(first, readable=readable)

    def _took_over(
        self, table: StyleTable, grew: np.ndarray, excluded: frozenset[int]
    ) -> list[exclusion_estimate.TookOver]:
        """Concepts whose share of the importance grew most, by float64 (D,); channels where none are described."""
        described = self.studio.description(table.backbone)
        if described is not None:
            grew = described.by_family(grew)[:-1]
        listed = []
        for number in np.argsort(-grew, kind="stable")[: exclusion_estimate.MOST].tolist():
            if grew[number] < exclusion_estimate.GREW:
                break
            if described is None:
                name, channels = words.place(number, table.layout), frozenset({number})
            else:
                name, channels = described.families[number].name, channels_of(described, [number], stand_ins=True)
            left = tuple(sorted(channels - excluded))
            if left:
                listed.append(exclusion_estimate.TookOver(name, left, float(grew[number])))
        return listed

    def families(self, table: StyleTable) -> stand_ins.Families:
        """Concepts that go together; once per table."""
        return self._made(("families", table.key), lambda: stand_ins.families(table))

    def readable(self, run: Run, sensitive: str) -> linear_probe.Readable:
        """How well an attribute can still be read, on test faces, from what a run neither excludes nor erases."""
        table = self.studio.table(run.table)
        return linear_probe.readable(table, sensitive, excluded=run.excluded, erasure=run.classifier.erasure_)

    def stand_ins(self, run: Run, *, count: int = 10) -> tuple[stand_ins.Link, ...]:
        """The concepts left that go most with an excluded one, given the target."""
        return stand_ins.correlated(self.studio.table(run.table), run.target, run.excluded, count=count)

    # --- intervention and remedies -------------------------------------------------------------

    def intervene(
        self,
        run: Run,
        sensitive: str,
        *,
        channels: Collection[int] | None = None,
        count: int = intervention.COUNT,
        strength: float = intervention.STRENGTHS[-1],
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> intervention.Intervention:
        """Move only the concepts that carry an attribute, of every test face, and see which decisions flip.

        channels: those to move, None for the `count` that carry it most. strength: the largest of six, in multiples of
        what the groups differ by. For a classifier that reads pixels, every face of which is drawn, three strengths and
        a sample of the test faces.
        """
        table = self.studio.table(run.table)
        shift = self.carried(table, run.target, sensitive).shift
        tried = intervention.STRENGTHS[1::2] if run.own else intervention.STRENGTHS
        steps = [strength * step / intervention.STRENGTHS[-1] for step in tried]
        rows = None
        if run.own:
            known = table.rows("test")
            known = known[table.labels[sensitive].to_numpy()[known] >= 0] if sensitive in table.labels else known
            chosen = np.random.default_rng(0).permutation(len(known))[: intervention.DRAWN]
            rows = np.sort(known[chosen])
        return intervention.intervene(
            run.classifier,
            table,
            sensitive,
            shift,
            channels=channels,
            count=count,
            strengths=steps,
            rows=rows,
            progress=progress,
            cancelled=cancelled,
        )

    def checked(
        self,
        run: Run,
        moved: intervention.Intervention,
        *,
        towards: int = 1,
        count: int = 8,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> intervention.Checked:
        """The same edit of a sample of faces through pictures: drawn, encoded again, and read by a probe."""
        table = self.studio.table(run.table)
        key = ("probe", table.key_for(moved.sensitive), moved.sensitive)
        reads = self._made(key, lambda: linear_probe.probe(table, moved.sensitive))
        return intervention.checked(
            moved,
            table,
            self.studio.backbone(table.backbone),
            reads.read,
            model=run.classifier,
            towards=towards,
            count=count,
            progress=progress,
            cancelled=cancelled,
        )

    def smallest_changes(
        self,
        run: Run,
        code: StyleCode,
        *,
        keep: Collection[str] = (),
        answers: int = 3,
        most: int = smallest_change.LARGEST,
        reach: float = 10.0,
        drawn: bool = True,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> smallest_change.SmallestChanges:
        """What would turn the decision about one face, with as little as possible; as `smallest_change` has it."""
        return smallest_change.smallest_changes(
            self.studio,
            run,
            code,
            keep=keep,
            answers=answers,
            most=most,
            reach=reach,
            drawn=drawn,
            progress=progress,
            cancelled=cancelled,
        )

    def remedies(
        self,
        run: Run,
        sensitive: str,
        *,
        seeds: int = 3,
        faces: int = 3000,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> remedies.Remedies:
        """What a run excludes beside the standard remedies: the same samples of training faces, the same test faces.

        faces: that each seed samples of the training faces, all where there are fewer.
        """
        persons.must_be_auditor("train classifiers for a measurement")
        table = self.studio.table(run.table)
        about = tables.target_of(table, sensitive)
        labels = table.labels[run.target].to_numpy()
        groups = Groups(about.title, about.classes, table.labels[sensitive].to_numpy())
        rows, _ = tables.labelled(table, run.target, "train")
        rows = rows[groups.codes[rows] >= 0]
        samples = {
            seed: np.sort(np.random.default_rng(seed).choice(rows, min(faces, len(rows)), replace=False))
            for seed in range(seeds)
        }
        return remedies.compare_remedies(
            table.psi,
            labels,
            groups,
            train=samples,
            test=tables.labelled(table, run.target, "test")[0],
            extra=self._own_way(table, run),
            progress=progress,
            cancelled=cancelled,
        )

    # --- inside --------------------------------------------------------------------------------

    def _answers(self, run: Run, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the faces of a part whose label is known: rows int64 (n,), labels (n,), shares float64 (n, K)."""
        if part == "test":
            if run.each:
                return self.studio.trainer.test_shares(run)
            rows, labels, probability = self.studio.trainer.test_answers(run)
            return rows, labels, two_columns(probability)
        table = self.studio.trainer.table_of(run)
        rows, labels = tables.labelled(table, run.target, part)
        shares = run.classifier.probabilities(table.psi, rows)
        tables.let_go(table.psi)
        return rows, labels, shares

    def _own_way(self, table: StyleTable, run: Run) -> list[Own]:
        """What a run excludes, erases and balances, as a way beside the remedies; none where it does nothing."""
        if not run.treatment:
            return [remedies.excluding(run.excluded, title=OURS)] if run.excluded else []
        described = self.studio.description(table.backbone)

        def answers(task: remedies.Task) -> np.ndarray:
            measured = prepared(
                table,
                run.target,
                run.treatment,
                rows=task.train,
                labels=task.labels,
                described=described,
                excluded=run.excluded,
            )
            left = measured.order[~np.isin(measured.order, list(run.excluded))]
            return remedies.treated(task, replace(measured, order=left))

        how = run.treatment.sentence(titles_of(table, described))
        return [Own(OURS, answers, words.sentence(how))]

    def _matrix_row(self, table: StyleTable, target: str) -> matrices.Row | None:
        """The kept row of a target's standing run."""
        return matrices.kept_row(table, target, standing_id(table, target))

    def _made(self, key: Hashable, make: Callable[[], T]) -> T:
        """Made once; who wants the same thing meanwhile waits for it."""
        return cast(T, self._kept.get(key, make))  # a key names what is made, and so its type


def _groups_of(table: StyleTable, sensitive: Sequence[str], rows: np.ndarray) -> list[Groups]:
    """The groups that labels of a table form among these rows, int64 (n,)."""
    attributes = [tables.any_target_of(table, name) for name in sensitive]
    return [
        Groups(attribute.title, attribute.classes, table.labels[attribute.name].to_numpy()[rows])
        for attribute in attributes
    ]
