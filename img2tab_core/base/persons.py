"""Who acts: nobody in particular on one's own computer, a person with a role where a server has people sign in.

What a person may do is asked where it is done, below the pages and the terminal: `must_be_auditor`, `may_see`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from img2tab_core.base.errors import Img2TabError

Role = Literal["auditor", "viewer"]
LEAST_SECRET = 32  # letters that sign the cookie of who is signed in
_NEEDED = ("redirect_uri", "cookie_secret")
_OF_A_PROVIDER = ("client_id", "client_secret", "server_metadata_url")


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in; name: their e-mail address, small letters. role: None where they may do nothing."""

    name: str
    role: Role | None


NOBODY = Person("nobody", None)  # where people sign in, and this has not happened

_carried: ContextVar[Person | None] = ContextVar("img2tab_person", default=None)
_finder: Callable[[], Person] | None = None


def ask_with(finder: Callable[[], Person] | None) -> None:
    """From now on people of this process sign in: `finder` says who acts in the calling thread, NOBODY where none does.

    None: nobody has to sign in, as at first.
    """
    global _finder
    _finder = finder


def acting() -> Person | None:
    """Who acts in this thread; None where nobody has to sign in, so that everything is allowed."""
    carried = _carried.get()
    return carried if carried is not None or _finder is None else _finder()


@contextmanager
def carried(person: Person | None) -> Iterator[None]:
    """A context in which this person acts: work that goes on in another thread is theirs who began it."""
    token = _carried.set(person)
    try:
        yield
    finally:
        _carried.reset(token)


def must_be_auditor(what: str) -> None:
    """Go on where the person who acts may change things. Raises Img2TabError otherwise; what: "train a classifier"."""
    person = acting()
    if person is None or person.role == "auditor":
        return
    if person.role == "viewer":
        raise Img2TabError(
            f"{person.name} may look, not {what}: the role is viewer. Whoever runs this server gives the role auditor."
        )
    raise Img2TabError(f"Sign in to {what}.")


def may_see(owner: str, shared: Collection[str]) -> bool:
    """Whether the person who acts may see what belongs to `owner` and is shared with others."""
    person = acting()
    return person is None or (person.role is not None and person.name in (owner, *shared))


# --- who may sign in: the file of settings -----------------------------------------------------------


def plain_address(address: str) -> str | None:
    """An e-mail address in small letters; None where it is none, or has letters that could pass for others."""
    fits = address.isascii() and re.fullmatch(r"[^@\s\x00-\x20\x7f]+@[^@\s\x00-\x20\x7f]+", address)
    return address.lower() if fits else None


@dataclass(frozen=True)
class Access:
    """Who may sign in, by role: addresses, or *@DOMAIN for everybody of a domain. Who is in both is an auditor.

    trust_unverified: whether an address counts of which the provider does not say that it was verified.
    """

    auditors: tuple[str, ...]
    viewers: tuple[str, ...]
    trust_unverified: bool = False

    def role_of(self, address: str) -> Role | None:
        """The role of an e-mail address; None where it is in neither list."""
        plain = plain_address(address)
        if plain is None:
            return None
        matching = {plain, f"*@{plain.rpartition('@')[2]}"}
        return "auditor" if matching & {*self.auditors} else "viewer" if matching & {*self.viewers} else None


def read_settings(files: Sequence[Path]) -> dict[str, Any]:
    """[auth] and [access] of TOML files, later ones over earlier ones; {} where there is none of the files.

    Raises Img2TabError where a file cannot be read.
    """
    settings: dict[str, Any] = {}
    for file in files:
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            raise Img2TabError(f"{file} must be a TOML file that can be read, got: {error}. Mend it.") from error
        settings |= {part: content[part] for part in ("auth", "access") if part in content}
    return settings


def checked_access(settings: dict[str, Any]) -> Access | None:
    """Who may sign in; None where nobody has to, as there is no [auth].

    Raises Img2TabError where a setting is missing that sign-in needs, or the list of who may come is empty: a server
    that means to ask must not be open by mistake.
    """
    auth, access = settings.get("auth"), settings.get("access", {})
    if auth is None:
        return None
    if not isinstance(auth, dict):
        raise Img2TabError("[auth] must be a table of settings. Write it as docs/how-to/on-a-server.md shows.")
    providers = [part for part in auth.values() if isinstance(part, dict) and part.keys() & {*_OF_A_PROVIDER}]
    missing = [name for name in _NEEDED if not auth.get(name)]
    missing += [name for name in _OF_A_PROVIDER if not all(part.get(name) for part in providers or [auth])]
    if missing:
        raise Img2TabError(f"[auth] must have {', '.join(missing)}. Add it to the file of secrets.")
    if len(str(auth["cookie_secret"])) < LEAST_SECRET:
        raise Img2TabError(
            f"cookie_secret in [auth] must have at least {LEAST_SECRET} random letters, got "
            f"{len(str(auth['cookie_secret']))}. Make one with: python -c 'import secrets; print(secrets.token_hex())'"
        )
    lists = {}
    for role in ("auditors", "viewers"):
        names = access.get(role, []) if isinstance(access, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) and "@" in name for name in names):
            raise Img2TabError(f'{role} in [access] must be a list such as ["ann@lab.example", "*@lab.example"].')
        lists[role] = tuple(name.strip().lower() for name in names)
    if not any(lists.values()):
        raise Img2TabError("[auth] is there, and nobody may sign in: name auditors or viewers in [access].")
    return Access(**lists, trust_unverified=access.get("trust_unverified") is True)
