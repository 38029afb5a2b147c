"""The reference, made from the code itself: the terminal's verbs from Typer, the Python names from their docstrings."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from typer import Typer
from typer.main import get_command

from img2tab_core import cli
from img2tab_core.cli import main as terminal
from img2tab_core.cli.planted import planted_app
from img2tab_core.cli.training import register

TITLES = {  # of the pages, by the file of the verbs; one that is not named here has its file's name
    "audits": "Audits",
    "changes": "The smallest change",
    "classifiers": "Training and comparing",
    "concepts": "Concepts",
    "disagree": "Where two classifiers disagree",
    "faces": "Faces and pictures",
    "main": "The machine and the app",
    "models": "Backbones and model files",
    "own_models": "A classifier of your own",
    "photo_check": "Is it right about my photos?",
    "planted": "Planted causes",
    "bias_record": "Bias record and metric",
    "impact_ratios": "Who is selected",
    "provenance": "What a picture says of itself",
    "reports": "Reports",
    "sbom": "Bill of materials",
    "sessions": "Sessions",
    "tables": "Tables and imports",
    "training": "How what is shipped was made",
}
DOORS = {  # the pages of the Python reference: title, and what is on it
    "studio": ("One face and one classifier", ["img2tab_core.studio.Studio"]),
    "auditor": ("Audits", ["img2tab_core.audits.auditor.Auditor", "img2tab_core.audits.audit_record.Audit"]),
    "trainer": (
        "Tables and training",
        ["img2tab_core.classifiers.trainer.Trainer", "img2tab_core.classifiers.runs.Run"],
    ),
    "own-classifiers": (
        "A classifier of your own",
        [
            "img2tab_core.classifiers.pixel_models.of_function",
            "img2tab_core.classifiers.models.register",
            "img2tab_core.classifiers.models.add",
            "img2tab_core.classifiers.models.names",
            "img2tab_core.classifiers.models.open_model",
            "img2tab_core.classifiers.models.remove",
            "img2tab_core.classifiers.pixel_models.PixelModel",
        ],
    ),
    "sessions": (
        "Sessions",
        [
            "img2tab_core.sessions.store.Sessions",
            "img2tab_core.sessions.session_runs.SessionRuns",
            "img2tab_core.sessions.session_records.SessionInfo",
            "img2tab_core.sessions.session_records.RunInfo",
        ],
    ),
    "records": (
        "Records and errors",
        [
            "img2tab_core.base.records.Face",
            "img2tab_core.base.records.StyleCode",
            "img2tab_core.base.records.Edit",
            "img2tab_core.base.records.StyleTable",
            "img2tab_core.base.records.Prediction",
            "img2tab_core.base.records.ConceptScores",
            "img2tab_core.base.errors.Img2TabError",
        ],
    ),
}


@cache
def pages() -> dict[str, str]:
    """Every page of the reference by its name below `reference/`."""
    return {**_terminal_pages(), **_python_pages()}


# --- the terminal ------------------------------------------------------------------------------------------


@cache
def app() -> Typer:
    """The whole terminal as the console script has it: `main.main` adds the same verbs last."""
    whole = Typer()
    whole.registered_commands = list(terminal.app.registered_commands)
    whole.registered_groups = list(terminal.app.registered_groups)
    register(whole)
    whole.add_typer(planted_app)
    return whole


@cache
def command() -> Any:
    """The terminal as a command of Typer, with all its groups."""
    return get_command(app())


def verbs(group: Any = None, words: tuple[str, ...] = ("img2tab",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb with its words, such as ("img2tab", "session", "new"), in the order of `img2tab --help`."""
    for name, verb in (group or command()).commands.items():
        if hasattr(verb, "commands"):
            yield from verbs(verb, (*words, name))
        else:
            yield (*words, name), verb


def _terminal_pages() -> dict[str, str]:
    by_file: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
    for words, verb in verbs():
        by_file.setdefault(inspect.unwrap(verb.callback).__module__.rpartition(".")[2], []).append((words, verb))
    made, index = {}, []
    for file in sorted(by_file, key=lambda file: TITLES.get(file, file)):
        title, name = TITLES.get(file, file), file.replace("_", "-")
        module = importlib.import_module(f"{cli.__name__}.{file}")
        parts = [f"# {title}", _prose((module.__doc__ or "").split("\n\n")[0])]
        parts += [part for words, verb in by_file[file] for part in _verb(words, verb)]
        made[f"cli/{name}.md"] = "\n\n".join(parts) + "\n"
        index += ["", f"## {title}", "", "| verb | what it does |", "|---|---|"]
        index += [
            f"| [`{' '.join(words)}`]({name}.md#{_anchor(words)}) | {_cell(verb.help or '')} |"
            for words, verb in by_file[file]
        ]
    count = sum(map(len, by_file.values()))
    made["cli/index.md"] = "\n".join(
        [
            "# Every verb and option",
            "",
            f"All {count} verbs of `img2tab`, made from the program itself. `img2tab VERB --help` prints the same.",
            "What to use when: [The terminal](../../terminal.md).",
            *index,
            "",
        ]
    )
    return made


def _verb(words: tuple[str, ...], verb: Any) -> Iterator[str]:
    arguments = [param for param in verb.params if not param.opts[0].startswith("-")]
    options = [param for param in verb.params if param.opts[0].startswith("-")]
    needed = [f"{param.opts[0]} {_kind(param)}" for param in options if param.required]
    usage = [*words, *needed, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)]
    yield f"## {' '.join(words)}"
    yield _prose(verb.help or "")
    yield f"```text\n{' '.join(usage)}\n```"
    if rows := [(_argument(param), "needed" if param.required else "", param) for param in arguments] + [
        (_option(param), _default(param), param) for param in options
    ]:
        yield "\n".join(
            ["| | if not given | |", "|---|---|---|"]
            + [f"| `{_code(name)}` | {_cell(default)} | {_cell(_help(param))} |" for name, default, param in rows]
        )


def _argument(param: Any) -> str:
    name = param.metavar or param.name.upper()
    name = f"{name}..." if param.nargs == -1 and not name.endswith("...") else name
    return name if param.required else f"[{name}]"


def _option(param: Any) -> str:
    flags = ", ".join([*param.opts, *param.secondary_opts])
    return flags if param.is_flag else f"{flags} {_kind(param)}"


def _kind(param: Any) -> str:
    """What is written for an option's value."""
    if param.metavar:
        return param.metavar
    kind = param.type_descriptor.annotation
    choices = [str(getattr(choice, "value", choice)) for choice in _choices(kind)]
    if choices:
        return "|".join(choices)
    text = str(kind)
    return next((word for word in ("int", "float", "Path") if word in text), "text").replace("Path", "file").upper()


def _choices(kind: Any) -> tuple:
    if isinstance(kind, type):
        return tuple(kind) if hasattr(kind, "__members__") else ()
    given = getattr(kind, "__args__", ())
    return given if "Literal" in str(kind) and all(isinstance(choice, str) for choice in given) else ()


def _default(param: Any) -> str:
    if param.required:
        return "needed"
    if param.is_flag:
        return ""
    value = param.default() if callable(param.default) else param.default
    return "" if value in (None, "", (), []) else f"`{value}`"


def _help(param: Any) -> str:
    at_least, at_most = param.min, param.max
    bounds = {
        (True, True): f" {at_least} to {at_most}.",
        (True, False): f" {at_least} or more.",
        (False, True): f" {at_most} or less.",
    }.get((at_least is not None, at_most is not None), "")
    return f"{param.help or ''}{bounds}"


def _anchor(words: tuple[str, ...]) -> str:
    return "-".join(words)


# --- Python ------------------------------------------------------------------------------------------------


def _python_pages() -> dict[str, str]:
    made, index = {}, []
    for name, (title, doors) in DOORS.items():
        objects = [(door, _named(door)) for door in doors]
        parts = [f"# {title}", *(part for door, thing in objects for part in _documented(door, thing))]
        made[f"python/{name}.md"] = "\n\n".join(parts) + "\n"
        index += ["", f"## {title}", "", "| name | is |", "|---|---|"]
        for door, thing in objects:
            short = door.rpartition(".")[2]
            index.append(f"| [`{short}`]({name}.md#{short.lower()}) | {_cell(_first(thing))} |")
    made["python/index.md"] = "\n".join(
        [
            "# Python, from the code",
            "",
            "The public doors with the words of their own docstrings. Examples: [Python](../../python.md).",
            "What is not named in `img2tab_core` itself, or by a wing's `__init__`, may change.",
            *index,
            "",
        ]
    )
    return made


def _named(door: str) -> Any:
    module, _, name = door.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _documented(door: str, thing: Any) -> Iterator[str]:
    module, _, short = door.rpartition(".")
    yield f"## {short}"
    yield f"`from {_public(module, short)} import {short}`"
    if inspect.isfunction(thing):
        yield f"```python\n{_signature(short, thing)}\n```"
        yield _prose(inspect.getdoc(thing) or "")
        return
    yield _prose(inspect.getdoc(thing) or "")
    if fields := getattr(thing, "__dataclass_fields__", None):
        rows = [f"| `{field.name}` | `{_code(str(field.type))}` |" for field in fields.values()]
        yield "\n".join(["| field | type |", "|---|---|", *rows])
    for name, member in vars(thing).items():
        if name.startswith("_"):
            continue
        function = member.fget if isinstance(member, property) else inspect.unwrap(getattr(member, "__func__", member))
        if not inspect.isfunction(function):
            continue
        yield f"### {short}.{name}"
        if isinstance(member, property):
            yield f"```python\n{name}: {_type(inspect.signature(function).return_annotation)}\n```"
        else:
            yield f"```python\n{_signature(name, function)}\n```"
        yield _prose(inspect.getdoc(function) or "")


def _public(module: str, short: str) -> str:
    import img2tab_core

    return "img2tab_core" if short in img2tab_core.__all__ else module


def _first(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


def _signature(name: str, function: Any) -> str:
    """A function's parameters as they are written, one a line where there are many; without self."""
    parts, stars = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not stars:
            parts, stars = [*parts, "*"], True
        kind = "" if parameter.annotation is parameter.empty else f": {_type(parameter.annotation)}"
        default = "" if parameter.default is parameter.empty else f" = {_value(parameter.default)}"
        parts.append(f"{parameter.name}{kind}{default if kind else default.replace(' ', '')}")
    returns = inspect.signature(function).return_annotation
    end = "" if returns is inspect.Signature.empty else f" -> {_type(returns)}"
    line = f"{name}({', '.join(parts)}){end}"
    return line if len(line) <= 100 else "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){end}"])


def _type(annotation: Any) -> str:
    if annotation is inspect.Signature.empty:
        return "..."
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _value(value: Any) -> str:
    return value.__name__ if inspect.isfunction(value) else repr(value)


# --- Markdown ----------------------------------------------------------------------------------------------


def _prose(text: str) -> str:
    """A docstring as Markdown: what stands in backticks stays, letters that Markdown reads otherwise are kept."""
    parts = re.split(r"(`[^`]*`)", inspect.cleandoc(text))
    return "".join(part if part.startswith("`") else re.sub(r"([<*\[|])", r"\\\1", part) for part in parts)


def _cell(text: str) -> str:
    return _prose(" ".join(text.split())).replace("`|`", "`\\|`")


def _code(text: str) -> str:
    """Inside backticks in a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for name, text in pages().items():
        print(Path(name), len(text))
