"""A session's run as CycloneDX 1.7: a bill of materials whose model has a model card, for machines to read.

Source of the form: CycloneDX 1.7 (ECMA-424), `modelCard`. What it says is what the model card in Markdown says.
"""

from __future__ import annotations

import uuid
from datetime import UTC
from typing import Any

from img2tab_core import __version__, tables
from img2tab_core.audits.audit_record import Audit, Measure
from img2tab_core.audits.groups import STANDARD
from img2tab_core.audits.metrics import GAPS, MEANINGS, METRICS
from img2tab_core.base.files import sha256_of
from img2tab_core.base.records import StyleTable
from img2tab_core.classifiers import kinds
from img2tab_core.classifiers.preparation import titles_of
from img2tab_core.classifiers.runs import Run
from img2tab_core.reports.findings import licences, model_folder, trained_with
from img2tab_core.sessions.session_records import RunInfo, SessionInfo
from img2tab_core.sessions.session_runs import SessionRuns

FILE = "model_card.cdx.json"
FAMILIES = {  # kind of classifier -> its architecture, as a reader of many cards expects it
    "catboost": "gradient boosted decision trees",
    "xgboost": "gradient boosted decision trees",
    "lightgbm": "gradient boosted decision trees",
    "forest": "random forest",
    "logistic": "logistic regression",
    "tabnet": "attentive neural network for tables",
    "pixels": "neural network that reads pixels",
}
USES = (
    "Looking into how a classifier treats groups of faces, and what it looks at.",
    "Teaching and research on the fairness of image classifiers.",
)
LIMITS = (
    "Not for decisions about persons, and not for finding out who somebody is.",
    "Labels are perceived: what people or networks see in a picture, in two classes or a few.",
    "A gap on these faces says nothing about other faces: measure again on those that matter.",
)


def bill_of(runs: SessionRuns, session: SessionInfo, info: RunInfo, *, audit: Audit | None = None) -> dict[str, Any]:
    """The bill of a run that is done, plain types; audit: where it was made already.

    Its serial number follows from the run, so the same run has the same. Raises Img2TabError where the run has no model
    here.
    """
    run, table = runs.model(session, info), runs.table(session)
    audited = audit or runs.auditor.audit(run, session.sensitive)
    data = f"table-{table.key[:16]}"
    model = {
        "type": "machine-learning-model",
        "bom-ref": info.run_id,
        "name": f"{tables.target_of(table, session.target).title}, run {info.number} of {session.name}",
        "version": info.run_id,
        "description": info.note.strip() or f"A {kinds.title_of(info.kind)} over style channels of {session.backbone}.",
        "hashes": [{"alg": "SHA-256", "content": sha256_of(model_folder(info) / run.classifier.file)}],
        "licenses": [{"license": {"name": licence}} for _, licence in licences(session.backbone)],
        "properties": _properties(info, run, table, runs),
        "modelCard": {
            "modelParameters": _parameters(info, run, table, session, data),
            "quantitativeAnalysis": {"performanceMetrics": _metrics(audited)},
            "considerations": _considerations(audited, session, table),
        },
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, info.run_id + session.table_key)}",
        "version": 1,
        "metadata": {
            "timestamp": (info.finished or info.started).astimezone(UTC).isoformat(timespec="seconds"),
            "authors": [{"name": info.who or session.owner}],
            "tools": {"components": [{"type": "application", "name": "img2tab", "version": __version__}]},
            "component": {"type": "application", "name": f"Audit session {session.name}", "bom-ref": "session"},
        },
        "components": [_without_empty(model), _dataset(table, session, data), *_libraries(info)],
        "dependencies": [{"ref": info.run_id, "dependsOn": [data]}, {"ref": "session", "dependsOn": [info.run_id]}],
    }


# --- the parts ----------------------------------------------------------------------------------------


def _properties(info: RunInfo, run: Run, table: StyleTable, runs: SessionRuns) -> list[dict[str, str]]:
    treated = info.treatment.sentence(titles_of(table, runs.studio.description(table.backbone)))
    facts = {
        "img2tab:run": info.run_id,
        "img2tab:seed": str(info.seed),
        "img2tab:channels": f"{run.classifier.n_features_in_}",
        "img2tab:excluded": f"{len(info.excluded)}",
        "img2tab:treatment": treated,
        "img2tab:threshold": f"{STANDARD:g}",
        "img2tab:origin": run.origin,
    }
    return [{"name": name, "value": value} for name, value in facts.items() if value]


def _parameters(info: RunInfo, run: Run, table: StyleTable, session: SessionInfo, data: str) -> dict[str, Any]:
    return {
        "approach": {"type": "supervised"},
        "task": "classification",
        "architectureFamily": FAMILIES.get(info.kind, info.kind),
        "modelArchitecture": kinds.title_of(info.kind),
        "datasets": [{"ref": data}],
        "inputs": [{"format": f"{run.classifier.n_features_in_} style channels of {session.backbone}, float32"}],
        "outputs": [{"format": f"probability of “{tables.target_of(table, session.target).classes[1]}”, 0 to 1"}],
    }


def _metrics(audited: Audit) -> list[dict[str, Any]]:
    """Every measure of every group and of everyone, and the gaps; what could not be measured is left out, not 0."""
    rows = [
        _metric(title, group.measures[name], group.name)
        for group in (*audited.by_group, audited.overall)
        for name, title in METRICS.items()
    ]
    rows += [_metric(f"{title} between groups", audited.gaps[name], "") for name, title in GAPS.items()]
    return [row for row in rows if row is not None]


def _metric(title: str, measure: Measure, group: str) -> dict[str, Any] | None:
    if measure.value is None:
        return None
    row: dict[str, Any] = {"type": title, "value": f"{measure.value:.6g}"}
    if group:
        row["slice"] = group
    if measure.low is not None and measure.high is not None:
        row["confidenceInterval"] = {"lowerBound": f"{measure.low:.6g}", "upperBound": f"{measure.high:.6g}"}
    return row


def _considerations(audited: Audit, session: SessionInfo, table: StyleTable) -> dict[str, Any]:
    return {
        "users": ["Engineers who debug an image classifier", "Fairness auditors", "Researchers and teachers"],
        "useCases": list(USES),
        "technicalLimitations": [*LIMITS, *_not_measured(audited)],
        "ethicalConsiderations": [
            {
                "name": f"{GAPS[name]} between groups of {' × '.join(audited.attributes)}: {MEANINGS[name]}",
                "mitigationStrategy": "Excluding or erasing concepts, balancing, thresholds; see the session's report.",
            }
            for name in GAPS
            if audited.gaps[name].value is not None
        ],
    }


def _not_measured(audited: Audit) -> list[str]:
    return [
        f"{title} could not be measured: {audited.gaps[name].note}."
        for name, title in GAPS.items()
        if audited.gaps[name].value is None
    ]


def _dataset(table: StyleTable, session: SessionInfo, reference: str) -> dict[str, Any]:
    rows = {part: len(table.rows(part)) for part in ("train", "validation", "test")}
    return {
        "type": "data",
        "bom-ref": reference,
        "name": table.name,
        "version": session.table_key,
        "data": [
            {
                "type": "dataset",
                "name": table.name,
                "description": f"{len(table.split):,} faces as style codes of {table.backbone}: {rows['train']:,} to "
                f"train, {rows['validation']:,} to choose by, {rows['test']:,} to test.",
                "sensitiveData": [f"{target.title}: {target.how}" for target in (*table.targets, *table.many)],
                "classification": "restricted",
            }
        ],
    }


def _libraries(info: RunInfo) -> list[dict[str, str]]:
    return [
        {"type": "library", "name": name, "version": number, "bom-ref": f"{name}@{number}"}
        for name, number in trained_with(info).items()
    ]


def _without_empty(component: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in component.items() if value not in ([], "")}
