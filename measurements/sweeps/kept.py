"""A sweep as it is in the store: what is to be run, and what has become of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from measurements.progress import Progress
from measurements.store import Store
from measurements.store.tables import SweepRow
from measurements.sweeps.claims import Claims
from measurements.sweeps.spec import Run, SweepSpec
from measurements.sweeps.states import RunState, SweepProgress
from models_registry import UnknownNameError
from planner.cost import utterance_flops
from planner.workload import DEFAULT_WORKLOAD

MADE_BY = "speechplan sweep"


class KeptSweep:
    """A sweep in a store; nothing of it needs torch.

    Args:
        spec: What is to be measured.
        store: Where it is kept; what is there already is not done again.
        device: Where runs go whose device is ``auto``.

    Raises:
        SweepError: A point of the design is no configuration.
        UnknownNameError: A model is not in the registry.
    """

    def __init__(self, spec: SweepSpec, store: Store, *, device: str = "auto") -> None:
        self.spec = spec
        self.device = device
        self.store = store
        self.id = spec.id
        self._candidates = spec.configurations()
        self._claims = Claims(store)
        self._pace: list[tuple[float, float]] = []
        if store.sweep(self.id) is None:
            self._save("running")
        # Whoever only looks must not have to write.
        if spec.design != "adaptive" and len(store.sweep_runs(self.id)) < self.total:
            self._add(
                spec.run_of(configuration, speech)
                for speech in spec.speech
                for configuration in self._candidates
            )

    @classmethod
    def of(cls, identifier: str, store: Store, *, device: str = "auto") -> Self:
        """The sweep with an id.

        Raises:
            UnknownNameError: There is none.
        """
        row = store.sweep(identifier)
        if row is None:
            known = [row.id for row in store.sweeps()]
            raise UnknownNameError("sweep", identifier, known, made_by=MADE_BY)
        return cls(SweepSpec.model_validate(row.document), store, device=device)

    @property
    def total(self) -> int:
        """How many runs it has in the end."""
        if self.spec.runs is not None:
            return min(self.spec.runs, len(self._candidates))
        return len(self._candidates) * len(self.spec.speech)

    @property
    def status(self) -> str:
        """``running``, ``done``, ``cancelled`` or ``failed``."""
        return self._row().status

    @property
    def error(self) -> str | None:
        """Why it failed; none otherwise."""
        return self._row().error

    def cancel(self) -> None:
        """Ends it behind the run under way, unless it is over."""
        if self.status == "running":
            self._save("cancelled")

    def go_on(self) -> None:
        """Lets a sweep go on that was cancelled, or failed."""
        if self.status in ("cancelled", "failed"):
            self._save("running")

    def states(self) -> tuple[RunState, ...]:
        """Its runs, in their order."""
        taken = self._claims.taken()
        states = []
        for row in self.store.sweep_runs(self.id):
            status = "running" if row.status == "waiting" and row.run in taken else row.status
            states.append(
                RunState.model_validate({**row.document, "status": status, "tries": row.tries})
            )
        return tuple(states)

    def retry_failed(self) -> int:
        """Lets failed runs wait again; how many there were."""
        failed = [state for state in self.states() if state.status == "failed"]
        for state in failed:
            self._put(state.model_copy(update={"status": "waiting", "tries": 0}))
        if failed:
            self._save("running")
        return len(failed)

    def progress(self, current: Mapping[str, Progress] | None = None) -> SweepProgress:
        """How far it is."""
        states = self.states()
        return SweepProgress(states, self.total, current or {}, self._left_s(states, current or {}))

    def note_pace(self, flops: float, seconds: float) -> None:
        """Notes how long runs took, for the time to go.

        Args:
            flops: Of an utterance, as :func:`flops_of` counts them.
            seconds: What they took.
        """
        self._pace.append((flops, seconds))

    def _add(self, runs: Iterable[Run]) -> None:
        unique = {run.key: RunState(run=run) for run in runs}
        self.store.add_sweep_runs(
            self.id, [(key, _document(state)) for key, state in unique.items()]
        )

    def _put(self, state: RunState) -> None:
        self.store.put_sweep_run(
            self.id,
            state.run.key,
            status=state.status,
            tries=state.tries,
            document=_document(state),
        )

    def _row(self) -> SweepRow:
        row = self.store.sweep(self.id)
        assert row is not None
        return row

    def _save(self, status: str) -> None:
        document = self.spec.model_dump(mode="json")
        self.store.put_sweep(self.id, status=status, document=document)

    def _left_s(self, states: Sequence[RunState], current: Mapping[str, Progress]) -> float | None:
        left_s, flops = 0.0, 0.0
        pace = list(self._pace)
        for state in states:
            now = current.get(state.run.key)
            if now is not None and now.left_s is not None:
                left_s += now.left_s
                if now.elapsed_s:
                    pace.append((flops_of(state.run), now.elapsed_s + now.left_s))
            elif state.status in ("waiting", "running"):
                flops += flops_of(state.run)
        if not pace:
            return None
        seconds = sum(s for _, s in pace) / sum(f for f, _ in pace)
        mean = sum(flops_of(s.run) for s in states) / max(len(states), 1)
        left_s += seconds * (flops + mean * (self.total - len(states)))
        return left_s / max(1, sum(state.status == "running" for state in states))


def _document(state: RunState) -> dict[str, object]:
    return state.model_dump(mode="json", exclude={"status", "tries"})


def flops_of(run: Run) -> float:
    """FLOPs of an utterance: what one run costs against another."""
    return float(utterance_flops(run.configuration, DEFAULT_WORKLOAD).total)
