"""Imports only go down: the table of floors, held by reading every file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = {                                                           # the first prefix that fits decides
    "img2tab_core.errors": 0, "img2tab_core.layout": 0.1, "img2tab_core.records": 0.2,
    "img2tab_core.words": 0.2,
    "img2tab_core.manifest": 0.2, "img2tab_core.later": 0, "img2tab_core.files": 0, "img2tab_core.watching": 0,
    "img2tab_core.networks.ops": 0.5, "img2tab_core.networks.face_descriptor": 0.5,
    "img2tab_core.networks.ir_se50": 0.5, "img2tab_core.networks.resnet50": 0.5,
    "img2tab_core.networks.features": 0.5, "img2tab_core.networks": 1, "img2tab_core.openvino_ir": 1,
    "img2tab_core.dlib_dat": 1.5,
    "img2tab_core.lpips_pickle": 1.5,
    "img2tab_core.feature_cache": 1.9, "img2tab_core.batching": 1.9,
    "img2tab_core.photos": 2, "img2tab_core.alignment": 2, "img2tab_core.rendering": 2, "img2tab_core.scoring": 2,
    "img2tab_core.classifiers.base": 1.8, "img2tab_core.classifiers": 2,
    "img2tab_core.labels": 2, "img2tab_core.code_files": 2,
    "img2tab_core.distances": 3.2, "img2tab_core.weights": 3, "img2tab_core.tables": 3,
    "img2tab_core.sessions.migrations": 3, "img2tab_core.sessions.records": 3, "img2tab_core.sessions.values": 3,
    "img2tab_core.sessions.tree": 3.1, "img2tab_core.sessions.run_difference": 3.1,
    "img2tab_core.sessions.shared_exclusions": 3.1,
    "img2tab_core.sessions.rows": 3.1, "img2tab_core.sessions.run_process": 3.15,
    "img2tab_core.sessions.database": 3.15,
    "img2tab_core.sessions.store": 3.2,
    "img2tab_core.backbone_names": 3.1, "img2tab_core.checkpoints": 3.2, "img2tab_core.names": 3.2,
    "img2tab_core.importing": 3.2,
    "img2tab_core.comparison": 3.2, "img2tab_core.fairness.groups": 3.2, "img2tab_core.fairness.gaps": 3.2,
    "img2tab_core.fairness.decisions": 3.21, "img2tab_core.fairness.calibration": 3.21,
    "img2tab_core.fairness.audit_record": 3.22,
    "img2tab_core.fairness.bootstrap": 3.23, "img2tab_core.fairness.audits": 3.3, "img2tab_core.fairness.changes": 3.3,
    "img2tab_core.fairness.threshold_costs": 3.31, "img2tab_core.remedies": 3.4,
    "img2tab_core.quick": 3.2,
    "img2tab_core.proxies.channels": 3.2, "img2tab_core.proxies.draws": 3.2, "img2tab_core.proxies.carriers": 3.32,
    "img2tab_core.proxies.stand_ins": 3.32, "img2tab_core.proxies.linear_probe": 3.32,
    "img2tab_core.proxies.exclusion_curves": 3.32,
    "img2tab_core.intervention": 3.35, "img2tab_core.worked_example": 3.5,
    "img2tab_core.backbone": 3.5,                                    # a generator and its encoder, opened by weights
    "img2tab_core.refinement": 3.6,
    "img2tab_core.quality": 3, "img2tab_core.evaluation": 3.65,
    "img2tab_core.population": 3.7, "img2tab_core.doctor": 3.8,
    "img2tab_core.runs": 3.9, "img2tab_core.trainer": 3.95, "img2tab_core.service": 4, "img2tab_core.jobs": 4,
    "img2tab_core.auditing": 4.1, "img2tab_core.session_runs": 4.15, "img2tab_core.report": 4.2,
    "img2tab_core.report_parts.files": 4.155, "img2tab_core.report_parts.markup": 4.155,
    "img2tab_core.report_parts.words": 4.16, "img2tab_core.report_parts.page": 4.16,
    "img2tab_core.report_parts.drawings": 4.165, "img2tab_core.report_parts.cells": 4.165,
    "img2tab_core.report_parts.findings": 4.17, "img2tab_core.run_card": 4.18,
    "img2tab_core.report_parts.sheets": 4.185, "img2tab_core.report_parts.opening": 4.19,
    "img2tab_core.report_parts": 4.195,
    "img2tab_core.training.expression": 3.1, "img2tab_core.training.augment": 3.1,
    "img2tab_core.training.sampling": 3.1, "img2tab_core.training.targets": 3.16,
    "img2tab_core.training.surrogate": 3.17, "img2tab_core.training.second_identity": 3.15,
    "img2tab_core.training.tfjs": 3.1, "img2tab_core.training.real_photos": 3.1,
    "img2tab_core.training.shipping": 3.1, "img2tab_core.training.pairs": 3.15,
    "img2tab_core.training.preview_heads": 3.2, "img2tab_core.training.encoder": 3.2,
    "img2tab_core.training.faceres": 3.15, "img2tab_core.training.probes": 3.15,
    "img2tab_core.training.labels": 3.2, "img2tab_core.training.agreement": 3.6,
    "img2tab_core.training.build_population": 3.6, "img2tab_core.training.commands": 4.5,
    "img2tab_core.training.domain_gap": 3.1, "img2tab_core.training.corrections": 3.1,
    "img2tab_core.training.portraits": 4.2, "img2tab_core.training.portrait_card": 3.1,
    "img2tab_core.training.model_card": 3.7,
    "img2tab_core.training.aligned_pictures": 3.15, "img2tab_core.training.reconstruction": 3.2,
    "img2tab_core.training.train_e4e": 3.3, "img2tab_core.training.e4e_commands": 3.6,
    "img2tab_core.terminal": 4.3, "img2tab_core.cli_import": 4.4, "img2tab_core.cli_classifiers": 4.4,
    "img2tab_core.cli_audit": 4.4, "img2tab_core.cli_sessions": 4.4,
    "img2tab_core.cli": 5,
    "dashboard.components.dragging": 4.85, "dashboard.components.drag_line": 4.95, "dashboard.components": 4.9,
    "dashboard.charts": 5, "dashboard.audit_charts": 5.1, "dashboard.proxy_charts": 5.1,
    "dashboard.doors": 5.3, "dashboard.session_state": 5.4, "dashboard.state": 5.5, "dashboard.audit_state": 5.6,
    "dashboard.face_state": 5.52, "dashboard.refinement_state": 5.54, "dashboard.training_state": 5.52,
    "dashboard.standing": 5.6, "dashboard.is_it_real": 5.8, "dashboard.drawing": 5.6,
    "dashboard.gap.shared": 5.8, "dashboard.gap": 5.9,
    "dashboard.views": 6,
    "dashboard.app": 7, "dashboard.serving": 8,
}
FILES = [p for folder in ("img2tab_core", "dashboard") for p in sorted((ROOT / folder).rglob("*.py"))]


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> float | None:
    best = max((name for name in FLOORS if module == name or module.startswith(name + ".")), key=len, default=None)
    return FLOORS.get(best)


def imports_of(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            is_package = node.module in ("img2tab_core", "dashboard") or (ROOT / node.module.replace(".", "/")).is_dir()
            found += [f"{node.module}.{alias.name}" for alias in node.names] if is_package else [node.module]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_an_import_only_goes_down(file):
    module = module_of(file)
    own = floor_of(module)
    if file.name == "__init__.py":
        return
    assert own is not None, f"{module} has no floor: add it to the table"
    for name in imports_of(file):
        other = floor_of(name)
        if other is None or name == module:
            continue
        assert other < own, f"{module} (floor {own}) imports {name} (floor {other})"


@pytest.mark.parametrize("file", [f for f in FILES if f.parts[-2:-1] != ("dashboard",) and "img2tab_core" in f.parts],
                         ids=module_of)
def test_the_core_has_no_streamlit_and_prints_only_in_the_terminal(file):
    text = file.read_text()
    assert "import streamlit" not in text
    if module_of(file) not in ("img2tab_core.terminal", "img2tab_core.training.commands"):
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        assert "print" not in {getattr(call.func, "id", "") for call in calls}


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_every_file_says_its_one_idea_first(file):
    tree = ast.parse(file.read_text())
    if tree.body:
        assert ast.get_docstring(tree), f"{file} has no first line"
