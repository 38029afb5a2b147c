"""The model card: what the default backbone reaches on real photos, goal by goal, as one page of Markdown."""

from __future__ import annotations

from img2tab_core.training.measuring import evaluation

GOALS = (
    # what, goal in words, where in the figures, form, whether that is reached
    (
        "same person by dlib's descriptor (distance below 0.6), encoder alone",
        "50 % or more",
        ("encoder", "same_person", "share"),
        ".1%",
        lambda x: x >= 0.50,
    ),
    ("the same after refinement", "98 % or more", ("refined", "same_person", "share"), ".1%", lambda x: x >= 0.98),
    (
        "descriptor distance after refinement, median",
        "0.38 or less",
        ("refined", "identity", "median"),
        ".3f",
        lambda x: x <= 0.38,
    ),
    (
        "seconds of one refinement, median",
        "20 or less",
        ("refined", "encode_seconds", "median"),
        ".1f",
        lambda x: x <= 20,
    ),
    (
        "landmark error of the encoder's reconstruction, share of the eye distance, median",
        "5 % or less",
        ("encoder", "landmarks", "median"),
        ".1%",
        lambda x: x <= 0.05,
    ),
    ("the same after refinement", "5 % or less", ("refined", "landmarks", "median"), ".1%", lambda x: x <= 0.05),
    (
        "seconds from the aligned face to the style code, warm, median",
        "0.15 or less",
        ("encoder", "encode_seconds", "median"),
        ".3f",
        lambda x: x <= 0.15,
    ),
)


def card(measured: dict, classifier: str) -> str:
    """found: {"date", "machine", "made_by", "encoder": record of the weights, "figures": of the encoder on every photo,
    "refined": of every method on the photos that were refined, "gender": right, of, interval}; classifier: the report
    on portraits, Markdown.
    """
    record, both = measured["encoder"], measured["refined"]
    rows = [_gender(measured["gender"]), _r2(record)]
    for what, goal, (method, *path), form, reached in GOALS:
        figures = measured["figures"] if method == "encoder" else both
        cells = []
        for group in ("all", "held_out"):
            value = figures[method][group] if figures else None
            for key in path:
                value = value and value[key]
            cells.append("not measured" if value is None else f"{value:{form}}")
            if group == "all":
                met = value is not None and reached(value)
        rows.append([what, goal, *cells, "yes" if met else "no"])
    lines = [
        "# The default backbone on real photos",
        "",
        f"Measured {measured['date']} on {measured['machine']} by `{measured['made_by']}`.",
        "",
        f"- Encoder: sha256 {record['sha256']}, made {record['date']} on {record['machine']}.",
        f"- Photos: {measured['figures']['encoder']['all']['photos']} for the encoder"
        + (f", {both['refined']['all']['photos']} evenly spread ones for refinement." if both else "."),
        "- The held-out third is fixed by the photos' names; no training sees it.",
        "- dlib's descriptor is an input of the encoder and a loss in both, so its distance flatters them. The "
        "second network took no part in either: its cosine is the independent judge.",
        "",
        "| measure | goal | all | held-out third | reached |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "Refined: the first layers are held near the encoder's, so that edits stay closer to what they did. Nearest: "
        "every layer is let go.",
        "",
        "## The encoder",
        "",
        "```",
        evaluation.as_table(measured["figures"]),
        "```",
    ]
    if both:
        lines += ["", "## Encoder and refinement on the same photos", "", "```", evaluation.as_table(both), "```"]
    lines += ["", "Measures: median (5 to 95 %); shares: 95 % Wilson interval.", "", "# The classifier", "", classifier]
    return "\n".join(lines).rstrip() + "\n"


def _gender(measured: dict) -> list[str]:
    cells = [
        f"{group['right'] / group['of']:.1%} ({group['interval'][0]:.1%} to {group['interval'][1]:.1%})"
        for group in (measured["all"], measured["held_out"])
    ]
    return [
        f"perceived gender as recorded, {measured['folder']}, {measured['all']['of']} portraits",
        "97 % or more",
        *cells,
        "yes" if measured["all"]["right"] / measured["all"]["of"] >= 0.97 else "no",
    ]


def _r2(record: dict) -> list[str]:
    value, least = record["held_out_r2"], 0.75 if "GPU" in record["machine"] else 0.60
    return [
        "R2 of the encoder's w on 1,000 held-out generated faces",
        "0.60 or more without a GPU, 0.75 with one",
        f"{value:.3f}",
        f"{record['held_out_r2_augmented']:.3f} augmented",
        "yes" if value >= least else "no",
    ]
