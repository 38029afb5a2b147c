"""A label file becomes targets: what each column says of each photo, as 0, 1 or unknown.

How a column is read, by the distinct values in it (empty cells, NA, NaN, NULL, ? and "unknown" are unknown, -1):

| values                        | becomes                                                                       |
|-------------------------------|-------------------------------------------------------------------------------|
| -1/1, 0/1, true/false, yes/no | one target; -1 beside both 0 and 1 is unknown                                 |
| two others, words or numbers  | one target; the classes in alphabetical (numbers: rising) order               |
| 3 to 12 words                 | one target of so many classes; bands as 0-2, 20-29, 70+ are in order          |
|                               | (of fewer than 10 rows a word is unknown, where two others have as many)      |
|                               | or, asked for, one target a word: that word against all others                |
| more numbers                  | a float column, no target; with borders one target of bands, in order         |
| more words, or a single value | a text column, no target                                                      |
"""

from __future__ import annotations

import math
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from img2tab_core.base import foreign
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import Target
from img2tab_core.tables.bands import Bands, band_order
from img2tab_core.tables.store import banded

PHOTO_COLUMNS = ("image", "photo", "file", "filename", "path", "name", "image_id", "file_name")
PHOTO = "photo"  # the column of a table that names the photos
MOST_CATEGORIES = 12
RARE = 10  # a class of several with fewer rows is unknown, where two others have as many
UNKNOWN = {"", "na", "n/a", "nan", "null", "?", "unknown"}
YES, NO = {"true", "yes", "t", "y"}, {"false", "no", "f", "n"}
NAME_LENGTH = 48
MOST_COLUMNS, LONGEST_LINE, MOST_BYTES = 2000, 100_000, 100_000_000  # of a label file; the two last in bytes
SHOWN = 12  # columns that are named in a sentence


@dataclass(frozen=True, eq=False)
class Labels:
    """A label file, read.

    names: the photos it names, None where it names none; columns: DataFrame, int8 (from 0, -1 unknown) per target,
    float or text otherwise; targets: one per int8 column; no_target: why a column became none, by its own name.
    """

    names: tuple[str, ...] | None
    columns: pd.DataFrame
    targets: tuple[Target, ...]
    no_target: dict[str, str]

    def at(self, rows: np.ndarray) -> pd.DataFrame:
        """The columns of these rows, int64 (n,); everything is unknown where a row is -1."""
        gone, taken = rows < 0, {}
        for name, column in self.columns.items():
            values = column.to_numpy()[rows].copy()
            values[gone] = {"i": -1, "f": np.nan}.get(values.dtype.kind, "")
            taken[name] = values
        return pd.DataFrame(taken)


def read_labels(
    file: Path, *, names_photos: bool = True, against_rest: bool = False, bands: Sequence[Bands] = ()
) -> Labels:
    """A CSV file (comma, semicolon or tab) with a header line, or CelebA's list_attr_celeba.txt.

    names_photos: the first column names the photos where none is called image, photo, file, filename, path or name;
    otherwise only a column so called does. against_rest: a column of several words becomes a target for each word
    instead of one of them all. bands: columns of numbers or days that become ordered classes. Raises Img2TabError where
    the file cannot be read, a photo has two rows, no column can be predicted, or a column of `bands` is not there.
    """
    raw = _read(file)
    column = _photo_column(raw) or (raw.columns[0] if names_photos else None)
    names = None
    if column is not None:
        names = _photo_names(raw[column], file, once=names_photos)
        raw = raw.drop(columns=column)
    columns = {name: raw[name] for name in raw.columns}
    return _labels(names, columns, file.name, against_rest=against_rest, bands=bands)


@dataclass(frozen=True, eq=False)
class Answers:
    """What a label file says of photos about one target of a table.

    names: the photos, as the file names them; truth: int8 (n,), 0, 1 or -1 where it is unknown; column: the one that
    says it; meaning: which of its values stands for which class, in words; groups: other columns with few values, as
    text, "" where unknown, (n,) each; people: who is in a photo, (n,), None where the file does not say.
    """

    names: tuple[str, ...]
    truth: np.ndarray
    column: str
    meaning: str
    groups: dict[str, np.ndarray]
    people: np.ndarray | None


def answers_for(file: Path, target: Target, column: str = "") -> Answers:
    """What a CSV file with a column of photos says about a target.

    column: the one to read; "" looks for one called as the target, with or without "perceived". Its values are read as
    in any label file, or, where two of them are words of the target's classes (male in "perceived male", M as its
    first letter), as these. Raises Img2TabError where there is no such column, or its values are not two.
    """
    raw = _read(file)
    photos = _photo_column(raw) or raw.columns[0]
    others = [name for name in raw.columns if name != photos]
    wanted = [column.strip()] if column else [target.name, target.name.removeprefix("perceived_")]
    fitting = [name for word in wanted for name in others if slug(name) == slug(word)]
    if not fitting:
        raise Img2TabError(
            f"{file.name} must have a column {' or '.join(dict.fromkeys(wanted))} that says it of each photo, got "
            f"{_listed(others) or 'no column beside the photos'}. Name the column to read."
        )
    names = _photo_names(raw[photos], file, once=True)
    truth, meaning = _truth_of(raw[fitting[0]], target, file.name)
    groups, people = {}, None
    for name in others:
        if name == fitting[0]:
            continue
        cells = raw[name].str.strip().str.casefold().replace(dict.fromkeys(UNKNOWN, ""))
        values = [value for value in pd.unique(cells) if value]
        if slug(name) == "person":
            people = cells.to_numpy(object)
        elif 2 <= len(values) <= MOST_CATEGORIES:
            groups[name.strip()] = cells.to_numpy(object)
    return Answers(names, truth, fitting[0].strip(), meaning, groups, people)


def _photo_column(raw: pd.DataFrame) -> str | None:
    """The column that is called as one that names photos is."""
    called = {name.strip().lower(): name for name in reversed(raw.columns)}
    return next((called[word] for word in PHOTO_COLUMNS if word in called), None)


def _photo_names(cells: pd.Series, file: Path, *, once: bool) -> tuple[str, ...]:
    """The photos a column names. once: raise Img2TabError where it names one twice."""
    names = cells.str.strip()
    twice = names[names.duplicated()]
    if once and len(twice):
        raise Img2TabError(
            f"Every photo must have one row in {file.name}, got {twice.iloc[0]!r:.80} more than once "
            f"({len(twice):,} rows too many). Remove the extra rows."
        )
    return tuple(names.tolist())


def _truth_of(cells: pd.Series, target: Target, file: str) -> tuple[np.ndarray, str]:
    """int8 (n,) of 0, 1 and -1, and how it was read."""
    text = cells.str.strip().str.casefold()
    values = sorted({value for value in pd.unique(text) if value not in UNKNOWN})
    as_classes = {value: which for value in values if (which := _class_of(value, target)) is not None}
    if not as_classes:
        as_classes = {value: int(value in YES | {"1"}) for value in values if value in YES | NO | {"0", "1"}}
    if values and len(as_classes) == len(values):  # also where only one of the classes is there
        truth = np.array([as_classes.get(value, -1) for value in text], np.int8)
        return truth, ", ".join(f"{value} is {target.classes[as_classes[value]]}" for value in values)
    made, columns, reason = _column("label", cells, file, against_rest=True)
    if len(made) != 1:
        raise Img2TabError(
            f"Column {cells.name} of {file} must have two values, as 0 and 1 or no and yes, got "
            f"{_listed(values, 6) or 'none'}"
            f"{f' ({reason})' if reason else ''}. Name another column, or mend it."
        )
    truth = columns[0]
    first, second = (sorted(set(text[truth == which])) for which in (0, 1))
    return truth, f"{', '.join(first)} is {target.classes[0]}, {', '.join(second)} is {target.classes[1]}"


def _class_of(value: str, target: Target) -> int | None:
    """The class that a word names: a word that only one of the two has, or its first letter; None where it does not."""
    words = [set(re.findall(r"[a-z]+", name.casefold())) for name in target.classes]
    own = [words[0] - words[1] - {"not", "no"}, words[1] - words[0] - {"not", "no"}]
    fits = [value in own[which] or (len(value) == 1 and value in {word[0] for word in own[which]}) for which in (0, 1)]
    return None if fits[0] == fits[1] else int(fits[1])


def labels_of(array: np.ndarray, names: Sequence[str], *, file: str) -> Labels:
    """Labels of an array (N,) or (N, K) of numbers or truth values, columns called `names` or label_1, label_2, ...

    Raises Img2TabError where it holds something else, the names do not fit, or no column can be predicted.
    """
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
        raise Img2TabError(
            f"Labels in {file} must be numbers of shape (N,) or (N, K), got {array.dtype} of shape {array.shape}. "
            "Save them so, or give a CSV file."
        )
    table = array.reshape(len(array), -1)  # (N, K)
    names = list(names) or (
        [PurePath(file).stem] if array.ndim == 1 else [f"label_{k + 1}" for k in range(table.shape[1])]
    )
    if len(names) != table.shape[1]:
        raise Img2TabError(
            f"--label-names must name the {table.shape[1]} columns of {file}, got {len(names)} names. "
            "Give one name per column, with commas."
        )
    return _labels(None, {name: pd.Series(table[:, k]) for k, name in enumerate(names)}, file)


def rows_for(photos: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """For every photo the row that names it, int64 (n,), -1 where none does.

    A name may be the photo's path in its folder, its file name, or its file name without the ending; the last two
    only where they mean one photo.
    """
    whole = {name.replace("\\", "/"): i for i, name in enumerate(names)}
    rows = np.full(len(photos), -1, np.int64)
    for of_photo in (lambda photo: photo, lambda photo: PurePath(photo).name, lambda photo: PurePath(photo).stem):
        shorts = [of_photo(photo) for photo in photos]
        once = _once(shorts)
        for i, short in enumerate(shorts):
            if rows[i] < 0 and short in whole and short in once:
                rows[i] = whole[short]
    by_end = {PurePath(name).name: i for name, i in whole.items()}  # "images/a.jpg" for the photo a.jpg
    ends, photo_ends = _once(PurePath(name).name for name in whole), _once(PurePath(photo).name for photo in photos)
    for i, photo in enumerate(photos):
        end = PurePath(photo).name
        if rows[i] < 0 and end in ends and end in photo_ends and _is_end(photo, names[by_end[end]]):
            rows[i] = by_end[end]
    return rows


def _is_end(first: str, second: str) -> bool:
    """Whether the longer path ends as the shorter: more/a.jpg ends as a.jpg; male/a.jpg and female/a.jpg do not."""
    parts = sorted((PurePath(path.replace("\\", "/")).parts for path in (first, second)), key=len)
    return parts[1][len(parts[1]) - len(parts[0]) :] == parts[0]


def slug(text: str) -> str:
    """Lower case letters a-z, digits and single underscores; "label" where nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:NAME_LENGTH].strip("_") or "label"


# --- reading a file --------------------------------------------------------------------------------


def _read(file: Path) -> pd.DataFrame:
    """Every cell as text, as it stands in the file; at least two columns or one that is no photo's name."""
    _check_bytes(file)
    try:
        with file.open(encoding="utf-8-sig") as stream:
            first, second = stream.readline(), stream.readline()
            skipped = int(bool(re.fullmatch(r'"?sep=.?"?', first.strip())))  # as Excel writes it
            if skipped:
                first, second = second, stream.readline()
    except UnicodeDecodeError as error:
        raise Img2TabError(
            f"{file.name} must be a text file in UTF-8, got other bytes. Save it as CSV in UTF-8."
        ) from error
    if re.fullmatch(r"[0-9]{1,9}", first.strip()) and len(second.split()) > 1:
        return _celeba(file, count=int(first))
    separator = max(",;\t", key=first.count)
    for line in (first, second):
        _check_width(file, line.count(separator) + 1)
    if any(cell.strip(' "\n').lower().endswith((".jpg", ".jpeg", ".png")) for cell in first.split(separator)):
        raise Img2TabError(
            f"{file.name} must start with a header line that names its columns, got {first.strip()[:80]!r}. "
            "Add one, for instance: image,smiling"
        )
    return _parsed(file, sep=separator, skipinitialspace=True, skiprows=skipped)


def _check_bytes(file: Path) -> None:
    """Raises Img2TabError where a file is no text in UTF-8, too large to be one of labels, or has a line that is."""
    kind, size = foreign.kind_of(file), 0
    if kind not in (foreign.TEXT, foreign.WEB_PAGE, foreign.UNKNOWN):
        raise Img2TabError(f"{file.name} must be a text file in UTF-8, got {kind}. Save it as CSV in UTF-8.")
    try:
        with file.open("rb") as stream:
            while line := stream.readline(LONGEST_LINE + 1):
                size += len(line)
                if b"\0" in line:
                    raise Img2TabError(
                        f"{file.name} must be a text file in UTF-8, got one with NUL bytes. Save it as CSV in UTF-8."
                    )
                if len(line) > LONGEST_LINE or size > MOST_BYTES:
                    raise Img2TabError(
                        f"{file.name} must have at most {MOST_COLUMNS:,} columns, {LONGEST_LINE:,} bytes in a line and "
                        f"{MOST_BYTES / 1e6:.0f} MB, got more. Keep the columns and rows that label the photos."
                    )
    except OSError as error:
        raise Img2TabError(f"{file} cannot be read ({foreign.reason(error)}). Name the file of labels.") from error


def _check_width(file: Path, columns: int) -> None:
    if columns > MOST_COLUMNS:
        raise Img2TabError(
            f"{file.name} must have at most {MOST_COLUMNS:,} columns, got {columns:,}. Keep those that label photos."
        )


def _celeba(file: Path, *, count: int) -> pd.DataFrame:
    """A count line, a line with the names of the attributes, then a photo and its attributes a line."""
    with file.open(encoding="utf-8-sig") as stream:
        stream.readline()
        names = stream.readline().split()
    _check_width(file, len(names))
    raw = _parsed(file, sep=r"\s+", skiprows=2, header=None)
    if len(raw) != count or raw.shape[1] != len(names) + 1:
        raise Img2TabError(
            f"{file.name} must have {count:,} photos with {len(names)} attributes, as its first two lines say, got "
            f"{len(raw):,} lines of {raw.shape[1] - 1}. Download it again."
        )
    if len({"image", *names}) <= len(names):
        raise Img2TabError(f"{file.name} must name every attribute once, and none of them image. Download it again.")
    raw.columns = ["image", *names]
    return raw


def _parsed(file: Path, **options: Any) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row with more cells than the header
            # packed files are never unpacked, whatever their name
            raw = pd.read_csv(
                file,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                index_col=False,
                compression=None,
                **options,
            )
    except pd.errors.ParserWarning as error:
        raise Img2TabError(
            f"Every row of {file.name} must have as many cells as its header line, got one with more. Quote cells that "
            "hold the separator, and remove separators at the ends of lines."
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        why = "it is empty" if isinstance(error, pd.errors.EmptyDataError) else foreign.reason(error)
        raise Img2TabError(
            f"{file.name} must be a table of labels with a header line, got one that cannot be read ({why}). "
            "Save it as CSV in UTF-8."
        ) from error
    if raw.empty:
        raise Img2TabError(f"{file.name} must have a row per photo below its header line, got none. Add the labels.")
    return raw.fillna("")


# --- columns -> targets ----------------------------------------------------------------------------


def _labels(
    names: tuple[str, ...] | None,
    columns: dict[str, pd.Series],
    file: str,
    *,
    against_rest: bool = False,
    bands: Sequence[Bands] = (),
) -> Labels:
    made: dict[str, np.ndarray] = {}
    targets: list[Target] = []
    no_target: dict[str, str] = {}
    for name, cells in columns.items():
        made_of_it, values, reason = _column(str(name), cells, file, against_rest=against_rest)
        for target, column in zip(made_of_it, values[: len(made_of_it)], strict=True):
            own = _free(target.name, made)
            made[own] = column
            targets.append(replace(target, name=own))
        if reason:
            no_target[str(name)] = reason
            made[_free(slug(str(name)), made)] = values[0] if not made_of_it and values else _text(cells)
    for wanted in bands:
        target, column = _banded(wanted, columns, file, taken=made)
        made[target.name] = column
        targets.append(target)
        no_target.pop(wanted.column, None)
    if not targets:
        reasons = "; ".join(f"{_listed([name])}: {reason}" for name, reason in list(no_target.items())[:5])
        raise Img2TabError(
            f"{file} must have a column that can be predicted (0/1, -1/1, true/false or up to {MOST_CATEGORIES} "
            f"categories), got none{f' ({reasons})' if reasons else ''}. Add one."
        )
    count = len(next(iter(columns.values())))
    return Labels(names, pd.DataFrame(made, index=pd.RangeIndex(count)), tuple(targets), no_target)


def _column(
    name: str, cells: pd.Series, file: str, *, against_rest: bool
) -> tuple[list[Target], list[np.ndarray], str]:
    """(targets, a column each, why there is no target): without a target the column is floats, or [] for text."""
    numbers = _numbers(cells)
    if numbers is not None:
        return _of_numbers(name, numbers, file)
    codes, values = pd.factorize(cells.str.strip().str.casefold())  # (N,), distinct values in order of appearance
    # of several spellings the one that comes first in the alphabet, so that the order of the rows changes nothing
    spelled = cells.str.strip().groupby(codes).min()
    known = [k for k, value in enumerate(values) if value not in UNKNOWN]
    if {values[k] for k in known} <= YES | NO:
        truth = np.array([-1 if v in UNKNOWN else int(v in YES) for v in values], np.int8)[codes]  # (N,)
        return _binary(name, truth, file, "no, false are 0 and yes, true are 1")
    if len(known) < 2:
        return [], [], "it has fewer than two values"
    if len(known) > MOST_CATEGORIES:
        return [], [], f"it has {len(known):,} different texts, more than {MOST_CATEGORIES}"
    order = sorted(known, key=lambda k: (values[k], spelled[k]))
    missing = ~np.isin(codes, known)
    if len(order) == 2:
        column = np.where(missing, -1, codes == order[1]).astype(np.int8)
        low, high = (_class(name, spelled[k]) for k in order)
        how = f"As labelled in {file}, column {name}; the classes in alphabetical order."
        return [Target(slug(name), _title(name), (low, high), how)], [column], ""
    if not against_rest:
        return _several(name, [str(spelled[k]) for k in order], np.where(missing, -1, _positions(codes, order)), file)
    targets, made = [], []
    for k in order:
        how = f"As labelled in {file}, column {name}: {spelled[k]} against all others."
        classes = (f"other {_words(name)}", _class(name, spelled[k]))
        targets.append(Target(slug(f"{name}_{spelled[k]}"), f"{_title(name)}: {spelled[k]}", classes, how))
        made.append(np.where(missing, -1, codes == k).astype(np.int8))
    return targets, made, ""


def _several(name: str, words: list[str], column: np.ndarray, file: str) -> tuple[list[Target], list[np.ndarray], str]:
    """One target of several classes. words: in alphabetical order; column: int (N,), which of them, -1 unknown."""
    counts = np.bincount(column[column >= 0], minlength=len(words))
    often = [k for k in range(len(words)) if counts[k] >= RARE]
    rare = [] if len(often) < 2 else [words[k] for k in range(len(words)) if k not in often]
    if rare:
        words, column = [words[k] for k in often], np.where(np.isin(column, often), np.searchsorted(often, column), -1)
    order = band_order(words)
    if order is not None:
        words, column = [words[k] for k in order], np.where(column < 0, -1, np.argsort(order)[column])
    how = f"As labelled in {file}, column {name}; the classes "
    how += "in alphabetical order." if order is None else "in the order of their numbers."
    how += f" Of fewer than {RARE} faces, and so unknown: {', '.join(rare)}." if rare else ""
    classes = tuple(_class(name, word) for word in words)
    target = Target(slug(name), _title(name), classes, how, ordered=order is not None and len(words) > 2)
    return [target], [column.astype(np.int8)], ""


def _positions(codes: np.ndarray, order: list[int]) -> np.ndarray:
    """Where each code stands in `order`; int64 (N,), of a code that is not in it anything."""
    place = np.zeros(max([*codes.tolist(), *order]) + 1, np.int64)
    place[order] = np.arange(len(order))
    return place[codes]


def _banded(
    bands: Bands, columns: dict[str, pd.Series], file: str, *, taken: Iterable[str]
) -> tuple[Target, np.ndarray]:
    """The target of bands of a column, and its classes, int8 (N,)."""
    fitting = [name for name in columns if slug(str(name)) == slug(bands.column)]
    if not fitting:
        raise Img2TabError(f"Bands need a column that is there, got {bands.column!r} and in {file} {_listed(columns)}.")
    cells = columns[fitting[0]]
    numbers = bands.numbers(cells)
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        what = "days written as 1970-12-31" if bands.day else "numbers"
        raise Img2TabError(f"Column {bands.column} of {file} must hold {what} to make bands of, got none.")
    name = _free(slug(f"{bands.column}_band"), taken)
    whole = bands.day is not None or bool((known == np.floor(known)).all())
    target = bands.target(name, f"{_title(bands.column)} band", whole=whole, source=f"in {file}")
    return target, banded(numbers, bands.borders)


def _of_numbers(name: str, numbers: np.ndarray, file: str) -> tuple[list[Target], list[np.ndarray], str]:
    known = ~np.isnan(numbers)
    values = np.unique(numbers[known])
    if set(values) <= {-1.0, 0.0, 1.0}:
        negative = 0 if 0 not in values else -1  # -1/1, or -1 as the mark of unknown beside 0/1
        truth = np.where(known, numbers, -1)
        truth = np.where(known & (truth == -1), negative, truth).astype(np.int8)  # (N,)
        meaning = "-1 is the first class and 1 the second" if 0 not in values else "0 and 1"
        meaning += ", -1 is unknown" if {-1.0, 0.0} <= set(values) else ""
        return _binary(name, truth, file, meaning, floats=numbers)
    if len(values) == 2:
        low, high = (_class(name, f"{value:g}") for value in values)
        how = f"As labelled in {file}, column {name}; the smaller number is the first class."
        column = np.where(known, numbers == values[1], -1).astype(np.int8)
        return [Target(slug(name), _title(name), (low, high), how)], [column], ""
    few = "a single number" if len(values) == 1 else f"{len(values):,} different numbers"
    return [], [numbers], f"it has {few}"


def _binary(
    name: str, truth: np.ndarray, file: str, meaning: str, floats: np.ndarray | None = None
) -> tuple[list[Target], list[np.ndarray], str]:
    if not (truth == 0).any() or not (truth == 1).any():
        return [], [] if floats is None else [floats], "it has fewer than two values"
    classes = (f"not {_words(name)}", _words(name))
    return [Target(slug(name), _title(name), classes, f"As labelled in {file}, column {name}; {meaning}.")], [truth], ""


def _numbers(cells: pd.Series) -> np.ndarray | None:
    """float64 (N,) with NaN where unknown, or None where a known cell is no number."""
    if cells.dtype.kind in "biuf":
        values = cells.to_numpy(np.float64)
    else:
        codes, distinct = pd.factorize(cells.str.strip().str.casefold())
        numbers = [number for value in distinct if (number := _number(value)) is not None]
        if len(numbers) < len(distinct) or np.isnan(numbers).all():
            return None
        values = np.array(numbers, np.float64)[codes]  # (N,)
    return np.where(np.isfinite(values), values, np.nan)


def _number(text: str) -> float | None:
    """NaN where it says that it is unknown, None where it is no number."""
    if text in UNKNOWN:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return None


def _text(cells: pd.Series) -> np.ndarray:
    return cells.astype(str).str.strip().to_numpy(object)


def _words(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).lower()


def _title(name: str) -> str:
    words = " ".join(name.replace("_", " ").split())
    return words[:1].upper() + words[1:]


def _class(name: str, value: str) -> str:
    """A class's name; a bare letter or number means nothing without its column."""
    return f"{_words(name)} {value}" if len(value) <= 2 or _number(value) is not None else value


def _free(name: str, taken: Iterable[str]) -> str:
    """The name, or with a number where it is taken; `photo` always is."""
    if name not in taken and name != PHOTO:
        return name
    return next(new for k in range(2, 10_000) if (new := f"{name}_{k}") not in taken)


def _listed(words: Iterable[str], most: int = SHOWN) -> str:
    """The first words, with commas, each cut to 40 letters that can be printed."""
    listed = list(words)
    return ", ".join(foreign.printable(word, 40) for word in listed[:most]) + (
        " and more" if len(listed) > most else ""
    )


def _once(words: Iterable[str]) -> set[str]:
    """The words that occur once."""
    seen: set[str] = set()
    again: set[str] = set()
    for word in words:
        (again if word in seen else seen).add(word)
    return seen - again
