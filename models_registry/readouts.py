"""Trained read-outs on this machine, and as one file that goes with a plan."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from models_registry.configuration import Configuration, Readout
from models_registry.flags import configuration_flags
from models_registry.paths import cache_dir
from models_registry.weights import WeightsError

TENSORS_FILE, ABOUT_FILE = "readout.safetensors", "readout.json"

ABOUT = "speechplan-readout"
"""Where the metadata of a read-out in one file say what :data:`ABOUT_FILE` does."""


@dataclass(frozen=True)
class ReadoutInfo:
    """What is known of a trained read-out.

    Attributes:
        kind: ``linear`` or ``attentive``.
        width: Width of the tokens that it reads.
        labels: Emotions, in the order of its classes.
        study: Study whose clips it was trained on.
        measurement: Key of the measurement that it belongs to.
        weights_sha256: Checksum of the encoder's weights.
        provenance: The command that trained it.
    """

    kind: Readout
    width: int
    labels: tuple[str, ...]
    study: str
    measurement: str
    weights_sha256: str | None
    provenance: str

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1)


def info_of(text: str) -> ReadoutInfo:
    """What :meth:`ReadoutInfo.text` wrote.

    Raises:
        ValueError: It is something else.
    """
    try:
        document = json.loads(text)
        return ReadoutInfo(**{**document, "labels": tuple(document["labels"])})
    except (TypeError, KeyError) as error:
        raise ValueError(str(error)) from None


def read_info(folder: Path) -> ReadoutInfo:
    """What is known of the read-out in a folder.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    about = folder / ABOUT_FILE
    try:
        return info_of(about.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{about}: {error.strerror}") from None
    except ValueError:
        raise WeightsError(f"{about}: does not describe a read-out") from None


def readouts_folder(configuration: Configuration) -> Path:
    """Where the read-outs that were trained for a configuration are kept, one folder each."""
    # In whatever batch it is to run, it was trained for single clips.
    alone = configuration.model_copy(update={"batch_size": 1})
    return cache_dir() / "readouts" / alone.key


def training_command(configuration: Configuration) -> str:
    """The command that trains a configuration's read-out, its data set left open."""
    alone = configuration.model_copy(update={"batch_size": 1})
    return shlex.join(["speechplan", "measure", *configuration_flags(alone)]) + " --dataset ..."


def find_readouts(
    configuration: Configuration, study: str | None = None, trained_by: str | None = None
) -> list[Path]:
    """Folders of the read-outs that were trained for a configuration, the newest first.

    There are several of one study where other weights or seeds were measured too.

    Args:
        configuration: What it reads.
        study: On whose clips; not needed where there is one only.
        trained_by: Command that trains it, where it is known.

    Raises:
        WeightsError: There is none, or several and no study is named; the message names the
            command that would train one.
    """
    trained: dict[str, list[Path]] = {}
    for about in sorted(readouts_folder(configuration).glob(f"*/{ABOUT_FILE}")):
        trained.setdefault(read_info(about.parent).study, []).append(about)
    if not trained or (study is not None and study not in trained):
        where = "" if study is None else f" on {study}"
        there = f"; there is one of {', '.join(trained)}" if trained else ""
        command = trained_by or training_command(configuration)
        raise WeightsError(
            f"{configuration.label()}: no read-out was trained{where} on this machine{there};"
            f" train it with: {command}"
        )
    if study is None and len(trained) > 1:
        raise WeightsError(
            f"{configuration.label()}: name the study of the read-out, {' or '.join(trained)}"
        )
    found = trained[study or next(iter(trained))]
    newest = sorted(found, key=lambda about: about.stat().st_mtime, reverse=True)
    return [about.parent for about in newest]


def pack_readout(folder: Path, file: Path) -> None:
    """Writes the read-out of a folder as one safetensors file, what is known of it inside.

    Raises:
        WeightsError: A file is missing or damaged, or safetensors is not installed.
        OSError: The file can't be written.
    """
    info = read_info(folder)
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file, save
    except ImportError:
        raise WeightsError(
            "a read-out needs safetensors: pip install 'speechplan[measure]'"
        ) from None
    try:
        tensors = load_file(folder / TENSORS_FILE)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{folder / TENSORS_FILE}: {str(error).splitlines()[0]}") from None
    file.write_bytes(save(tensors, metadata={ABOUT: info.text()}))
