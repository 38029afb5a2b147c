"""Where photos and tables lie: a folder of this computer, or an object store as s3://BUCKET/... or gs://BUCKET/...

A `Path` is always of this computer. Only `place_of` makes a `Remote`, and only the terminal and Python call it, with
what a person typed: nothing that a page is given can lead to a store. Which server is asked and with whose credentials
comes from the environment and from the files of the stores' own tools, never from a path.
"""

from __future__ import annotations

import configparser
import os
import re
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from img2tab_core.base.errors import Img2TabError, Unreachable
from img2tab_core.base.files import make_folder, whole
from img2tab_core.base.foreign import inside
from img2tab_core.base.once import Once
from img2tab_core.base.records import digest

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

BLOCK = 8 << 20  # bytes of a file in memory at once
TRIES = 5  # of a request that meets no answer, or a server that is too busy for one: some ten seconds altogether
_SETTINGS = ("AWS_", "GOOGLE_", "STORAGE_EMULATOR_HOST")  # how variables begin that say which server, and who asks it
_SERVERS = {"s3": "Amazon S3", "gs": "Google Cloud Storage"}
_ADDRESSES = {"s3": "AWS_ENDPOINT_URL", "gs": "STORAGE_EMULATOR_HOST"}
_GOOGLE = "GOOGLE_APPLICATION_CREDENTIALS"
# how the stores say that these credentials may not, or are none
_REFUSED = re.compile(
    r"\b(ACCESS_DENIED|\w*ACCESS_KEY\w*|SIGNATURE_\w+|\w*EXPIRED_TOKEN\w*|\w*CLIENT_TOKEN\w*|UNRECOGNIZED_CLIENT|"
    r"MISSING_AUTHENTICATION_TOKEN|INVALID_SIGNATURE|REQUEST_EXPIRED|PERMISSION_DENIED|UNAUTHENTICATED|"
    r"OAuth2 access token|HTTP status 40[13])\b"
)
_stores: Once[tuple[str, str, str], FileSystem] = Once(8)  # by scheme, bucket and a digest of the settings


@dataclass(frozen=True)
class Remote:
    """A file or folder of an object store, as `Path` is of this computer.

    key: its name in the bucket, "" the bucket itself; size: bytes of a file, where a list of its folder said so. It may
    be sent to another process, on another machine too, which asks the store with credentials of its own.
    """

    scheme: Literal["s3", "gs"]
    bucket: str
    key: str = ""
    size: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"

    def __truediv__(self, name: str) -> Remote:
        """What is called so in this folder; whoever asks the store for it is told whether a file may be called so."""
        return Remote(self.scheme, self.bucket, f"{self.key}/{name}" if self.key else name)

    @property
    def path(self) -> str:
        """The bucket and the key."""
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Remote:
        """The folder it lies in; of a bucket itself."""
        return Remote(self.scheme, self.bucket, self.key.rpartition("/")[0])

    @property
    def server(self) -> str:
        """Who is asked for it, in words."""
        endpoint = _endpoint(self.scheme)
        return urlsplit(endpoint).netloc if endpoint else _SERVERS[self.scheme]


Place: TypeAlias = Path | Remote


def place_of(text: str | Path) -> Place:
    """What a person typed: a path of this computer, or s3://BUCKET/KEY or gs://BUCKET/KEY.

    Raises Img2TabError where it is of another kind, or not the name of one place; a sentence repeats nothing that may
    be a secret.
    """
    scheme, there, rest = str(text).partition("://")
    if isinstance(text, Path) or not there:
        return Path(text)
    if scheme not in _SERVERS:
        raise Img2TabError(
            f"A place must be a path of this computer, s3://BUCKET/... or gs://BUCKET/..., got {scheme!r:.20}://. "
            "Put the files at one of these."
        )
    bucket, _, key = rest.rstrip("/").partition("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", bucket) or ".." in bucket:
        raise Img2TabError(
            f"After {scheme}:// must stand a bucket, 3 to 63 small letters, digits, dots and dashes, and nothing else: "
            "credentials and addresses of servers come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL)."
        )
    place = Remote("s3" if scheme == "s3" else "gs", bucket, key)
    _check_key(place)
    return place


def absolute(place: Place) -> Place:
    """The same place for a process in another folder, such as a worker of a cluster."""
    return place.absolute() if isinstance(place, Path) else place


def name_of(place: Place) -> str:
    """What a file or folder itself is called."""
    return (place.resolve() if isinstance(place, Path) else place).name


def name_in(folder: Place, file: Place) -> str:
    """What a file is called in a folder that it lies below, with slashes."""
    if isinstance(folder, Path) and isinstance(file, Path):
        return file.relative_to(folder).as_posix()
    return str(file).removeprefix(f"{folder}/")


def listed(folder: Place, endings: Collection[str], *, deep: bool = True) -> dict[str, int]:
    """The files of a folder whose names end in one of these, sorted: name within the folder -> bytes.

    deep: those in folders of it too, with slashes in their names; bytes: -1 where the system does not say. {} where
    there is no such folder. Raises Img2TabError where a store cannot be asked, or has no such bucket.
    """
    sizes: dict[str, int] = {}
    if isinstance(folder, Remote):
        for info in _infos(folder, deep=deep):
            if PurePosixPath(info.path).suffix.lower() in endings:
                sizes[info.path[len(folder.path) + 1 :]] = info.size
    elif folder.is_dir():
        for file in folder.rglob("*") if deep else folder.iterdir():
            if file.suffix.lower() in endings and file.is_file():
                sizes[file.relative_to(folder).as_posix()] = _bytes_of(file)
    return {name: sizes[name] for name in sorted(sizes)}


def size_of(file: Place) -> int | None:
    """Bytes of a file, None where there is none. Raises Img2TabError where a store cannot be asked for it."""
    if isinstance(file, Path):
        return _bytes_of(file) if file.is_file() else None
    with _asking(file):
        info = _store(file).get_file_info(file.path)
    if not info.is_file:
        _must_have_bucket(file)
    return info.size if info.is_file else None


def read(file: Place, *, most: int) -> bytes:
    """The bytes of a file, at most so many. Raises Img2TabError where it has more, or a store has none or gives none;
    OSError where a file of this computer cannot be read."""
    with _opened(file) as (size, part):
        if size > most:
            raise Img2TabError(
                f"{file.name} must be at most {most / 1e6:.0f} MB, got {size / 1e6:.1f} MB. Save it smaller."
            )
        return b"".join(_blocks(file, size, part))


def read_listed(file: Place, folder: Place, *, most: int) -> bytes:
    """As `read`, of a file that was listed in this folder; Unreachable where the folder itself is not here."""
    try:
        return read(file, most=most)
    except FileNotFoundError as error:
        if isinstance(folder, Path) and not folder.is_dir():  # a drive that is gone, or not on every machine
            raise Unreachable(
                f"There is no folder {folder} on {socket.gethostname()}. Name one that is there, or bring it back, on "
                "every machine of a cluster, and run the same command again."
            ) from error
        raise


def blocks(file: Place, start: int = 0) -> Iterator[bytes]:
    """The bytes of a file from there on, BLOCK at once; a file that another one replaces meanwhile breaks off.

    Raises as `read`.
    """
    with _opened(file) as (size, part):
        yield from _blocks(file, size, part, start)


@contextmanager
def as_file(file: Place, *, most: int) -> Iterator[Path]:
    """A file as one of this computer: itself, or a copy of its name that goes with the context. Raises as `read`."""
    if isinstance(file, Path):
        yield file
        return
    data = read(file, most=most)
    with tempfile.TemporaryDirectory(prefix="img2tab-") as folder:
        copy = inside(Path(folder), file.name)
        copy.write_bytes(data)
        yield copy


def put(source: Path, file: Place, *, each: Callable[[int], None] = lambda count: None) -> None:
    """Copy a file of this computer to a place, over what is there. each: called with the bytes of every block.

    Of this computer it appears whole or not at all; a store shows a file once all of it was sent, or, where that broke
    off, may show a part: who reads it looks for what was written last. Raises Img2TabError where a store does not take
    it, OSError where a disk does not.
    """
    with _writing(file) as write:
        for block in blocks(source):
            write(block)
            each(len(block))


def put_bytes(data: bytes, file: Place) -> None:
    """`put` of bytes: of a few, in one request, whole or not at all on a store too."""
    with _writing(file) as write:
        write(data)


def remove(file: Place) -> None:
    """Remove a file, where it is there. Raises as `put`."""
    if isinstance(file, Path):
        file.unlink(missing_ok=True)
    elif size_of(file) is not None:
        with _asking(file):
            _store(file).delete_file(file.path)


# --- a store -----------------------------------------------------------------------------------------


def _infos(folder: Remote, *, deep: bool) -> list[FileInfo]:
    """Of every file of a folder, as the store lists them. Raises Img2TabError where it has no such bucket."""
    from pyarrow.fs import FileSelector

    with _asking(folder):
        infos = _store(folder).get_file_info(FileSelector(folder.path, recursive=deep, allow_not_found=True))
    if not infos:
        _must_have_bucket(folder)
    return [info for info in infos if info.is_file]


@contextmanager
def _opened(file: Place) -> Iterator[tuple[int, Callable[[int, int], bytes]]]:
    """(bytes of a file, (how many, from where) -> bytes) of an opened file."""
    if isinstance(file, Path):
        with file.open("rb") as stream:

            def of_disk(count: int, start: int) -> bytes:
                stream.seek(start)
                return stream.read(count)

            yield os.fstat(stream.fileno()).st_size, of_disk
        return
    with _asking(file):
        opened = _store(file).open_input_file(file.path)
    try:

        def of_store(count: int, start: int) -> bytes:
            with _asking(file):
                return opened.read_at(count, start)

        with _asking(file):
            size = opened.size()
        yield size, of_store
    finally:
        opened.close()


def _blocks(file: Place, size: int, part: Callable[[int, int], bytes], start: int = 0) -> Iterator[bytes]:
    while start < size:
        block = part(min(BLOCK, size - start), start)
        if not block:
            raise Img2TabError(f"{file} breaks off after {start:,} of {size:,} bytes. Copy it there once more.")
        start += len(block)
        yield block


@contextmanager
def _writing(file: Place) -> Iterator[Callable[[bytes], object]]:
    """What takes the bytes of a file in their order."""
    if isinstance(file, Path):
        make_folder(file.parent)
        with whole(file) as part, part.open("wb") as stream:
            yield stream.write
        return
    with _asking(file):
        stream = _store(file).open_output_stream(file.path)

    def write(block: bytes) -> None:
        with _asking(file):
            stream.write(block)

    try:
        yield write
    finally:
        with _asking(file):
            stream.close()


def _must_have_bucket(place: Remote) -> None:
    from pyarrow.fs import FileType

    with _asking(place):
        if _store(place).get_file_info(place.bucket).type == FileType.NotFound:
            raise _no_bucket(place)


def _no_bucket(place: Remote) -> Unreachable:
    return Unreachable(
        f"There is no bucket {place.scheme}://{place.bucket} at {place.server}. Check its name, and "
        f"{_ADDRESSES[place.scheme]}, which says where the server is."
    )


@contextmanager
def _asking(place: Remote) -> Iterator[None]:
    """A request to a store. Raises Img2TabError where what is asked for is not there, Unreachable where no answer
    comes, or that these credentials may not."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError as error:
        if place.key:
            _must_have_bucket(place)
            raise Img2TabError(f"There is no file {place}. Check the path.") from error
        raise _no_bucket(place) from error
    except (OSError, ArrowException) as error:
        raise _unreachable(place, str(error)) from error


def _unreachable(place: Remote, answer: str) -> Unreachable:
    """The sentence for what a store answered; of the answer only its code is repeated: the rest may hold a key."""
    if re.search(r"NO_SUCH_BUCKET|Bucket '[^']*' not found", answer):
        return _no_bucket(place)
    if refusal := _REFUSED.search(answer):
        return Unreachable(
            f"{place.server} refuses {place} to {_whose(place.scheme)} ({refusal[0]}). Set others: "
            f"{_how_set(place.scheme)}."
        )
    code = re.search(r"AWS Error (\w+(?: \(HTTP status \d+\))?)|google::cloud::Status\((\w+)", answer)
    details = re.search(r"(?:curlCode: \d+, |CURL error \[\d+\]=)([\w' ]+?)(?: error_info|;|$)", answer)
    why = details[1] if details else (code and (code[1] or code[2])) or "it does not say why"
    return Unreachable(
        f"{place.server} gives no answer about {place} ({why}). Check the network, and {_ADDRESSES[place.scheme]}, "
        "which says where the server is; then run the same command again."
    )


def _whose(scheme: str) -> str:
    """Who asks, in words."""
    if scheme == "gs":
        return f"the credentials in {_GOOGLE}" if os.environ.get(_GOOGLE) else "the credentials of this machine"
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return "the credentials in AWS_ACCESS_KEY_ID"
    if _file("AWS_SHARED_CREDENTIALS_FILE", "credentials").exists() or _file("AWS_CONFIG_FILE", "config").exists():
        return f"the profile {_profile()!r}"
    return "who brings no credentials"


def _how_set(scheme: str) -> str:
    if scheme == "gs":
        return f"`gcloud auth application-default login`, or a file in {_GOOGLE}"
    return "AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, or a profile of ~/.aws in AWS_PROFILE"


def _store(place: Remote) -> FileSystem:
    """What talks to the store, opened once for a bucket and these settings.

    Raises Img2TabError where no file may be called as the place is.
    """
    _check_key(place)
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith(_SETTINGS))
    key = (place.scheme, place.bucket, digest(repr(settings).encode("utf-8", "surrogateescape")))
    return _stores.get(key, lambda: _open_gs() if place.scheme == "gs" else _open_s3(place))


def _open_s3(place: Remote) -> FileSystem:
    from pyarrow import fs

    endpoint, options = _endpoint("s3"), {}
    if endpoint:
        parts = urlsplit(endpoint)
        options = {"scheme": parts.scheme, "endpoint_override": parts.netloc}
    elif not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or _setting("region")):
        options = {"region": fs.resolve_s3_region(place.bucket)}
    return fs.S3FileSystem(
        allow_delayed_open=True,  # a small file is one request
        background_writes=False,  # otherwise a file waits in memory for a network that is slower than the disk
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_tries()),
        connect_timeout=5,
        request_timeout=20,
        tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE") or None,
        **options,
    )


def _open_gs() -> FileSystem:
    from datetime import timedelta

    from pyarrow import fs

    endpoint, options = _endpoint("gs"), {}
    if endpoint:
        parts = urlsplit(endpoint)
        options = {"scheme": parts.scheme, "endpoint_override": parts.netloc, "anonymous": True}
    return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=2 * _tries()), **options)


def _tries() -> int:
    """TRIES, or what AWS_MAX_ATTEMPTS says."""
    text = os.environ.get("AWS_MAX_ATTEMPTS", "")
    return int(text) if re.fullmatch(r"[1-9]\d?", text) else TRIES


def _endpoint(scheme: str) -> str:
    """The address of the server that the environment or a file names, "" for the store's own.

    Raises Img2TabError where it is no address.
    """
    if scheme == "gs":
        name = _ADDRESSES[scheme]
        address = os.environ.get(name, "")
        address = f"http://{address}" if address and "://" not in address else address
    else:
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        name = next((name for name in names if os.environ.get(name)), "endpoint_url")
        address = _setting(name) if name == "endpoint_url" else os.environ[name]
    address = address.rstrip("/")
    if address and not re.fullmatch(r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?", address):
        raise Img2TabError(f"{name} must be an address as http://127.0.0.1:9000 and nothing else. Mend it.")
    return address


def _setting(name: str) -> str:
    """What the profile in ~/.aws/config says of this, "" where it says nothing or cannot be read."""
    profile = _profile()
    config = configparser.RawConfigParser()
    try:
        config.read(_file("AWS_CONFIG_FILE", "config"), encoding="utf-8")
    except (configparser.Error, UnicodeError):
        return ""
    section = profile if profile == "default" else f"profile {profile}"
    return config.get(section, name, fallback="").strip()


def _profile() -> str:
    return os.environ.get("AWS_PROFILE") or "default"


def _file(variable: str, name: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / ".aws" / name).expanduser()


def _check_key(place: Remote) -> None:
    """Raises Img2TabError where a key could mean another place than it seems to."""
    try:
        fits = len(place.key.encode()) <= 1024 and not re.search(r"[\x00-\x1f\x7f\\]", place.key)
    except UnicodeEncodeError:
        fits = False
    if not fits or (place.key and {"", ".", ".."} & set(place.key.split("/"))):
        raise Img2TabError(
            "A name on an object store must be one without '.', '..' or empty parts, backslashes and control "
            f"characters, at most 1,024 bytes, got {place.key!r:.80}. Give it another one there."
        )


def _bytes_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1  # why it cannot be read is said when it is its turn
