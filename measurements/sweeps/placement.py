"""What a run of a sweep asks of a cluster's nodes, and whether they have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import make_url

from measurements.sweeps.spec import SweepError, SweepSpec

Resources = Mapping[str, float]
"""Amounts by name: ``CPU``, ``GPU``."""


def needs_of(spec: SweepSpec, nodes: Sequence[Resources], cpus: int | None = None) -> Resources:
    """What a run asks of its node.

    Where there are GPUs, one of them. Else processors: one, or, where it is timed on
    them, all that the largest node has, so that no other run disturbs it.

    Args:
        spec: The sweep's.
        nodes: What each node has.
        cpus: Processors of a run, instead.

    Raises:
        SweepError: No node has that.
    """
    needs: dict[str, float] = {"CPU": cpus or 1}
    if spec.device == "cuda" or (spec.device == "auto" and any(n.get("GPU") for n in nodes)):
        needs["GPU"] = 1
    elif cpus is None and spec.timing:
        needs["CPU"] = max(1, *(n.get("CPU", 0) // 1 for n in nodes))
    if not slots(nodes, needs):
        raise SweepError(f"no node of the Ray cluster has {said(needs)}, which a run needs")
    return needs


def slots(nodes: Iterable[Resources], needs: Resources) -> int:
    """How many runs the nodes have room for at once."""
    return sum(int(min(n.get(name, 0) // amount for name, amount in needs.items())) for n in nodes)


def said(needs: Resources) -> str:
    """Amounts in words: ``1 CPU and 1 GPU``."""
    return " and ".join(f"{amount:g} {name}" for name, amount in needs.items())


def shared_url(url: str, nodes: Iterable[str], here: str) -> str:
    """The store's URL for every node.

    Args:
        url: For this process.
        nodes: The nodes' addresses.
        here: This machine's.

    Raises:
        SweepError: It is a file, and not all nodes are on this machine.
    """
    if not url.startswith("sqlite"):
        return url
    if set(nodes) != {here}:
        raise SweepError(
            "SQLite is a file of this machine, and the Ray cluster has others: set"
            " SPEECHPLAN_DATABASE_URL to a PostgreSQL database that every node reaches"
        )
    parsed = make_url(url)
    absolute = parsed.set(database=str(Path(parsed.database or "").absolute()))
    return absolute.render_as_string(hide_password=False)
