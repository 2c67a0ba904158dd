"""The edits of a batch's rows, ready to be applied to forward passes.

One `Steering` serves a batch whose rows may each have other edits: other sites, changes, strengths, timings and gates.
Whoever runs the model says before every pass which row each token belongs to and where it stands in its episode. Which
tokens a timing touches is decided in `trimtab.steering.places`, how far a gate is open in `trimtab.steering.gated`,
what a change does in `trimtab.steering.changes`; how functions reach the model, in `trimtab.forward.hooks`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.forward.hooks import Hook, Stream, hooked
from trimtab.forward.sites import Site
from trimtab.steering.changes import Add, Change
from trimtab.steering.edits import Edit, Edits
from trimtab.steering.gated import Gated, Opening, openings
from trimtab.steering.gates import NOTHING, Gate
from trimtab.steering.places import Places, check_timing, touched


@dataclass
class _Step:
    """The edits that are the n-th of their row at one site: no row has two of them."""

    added: Float[Tensor, "row width"] | None = None
    """What plain additions without a gate add to each row, in one table, since most edits are such."""
    timings: dict[str, Bool[Tensor, "row"]] = field(default_factory=dict)
    """Rows of `added`, by timing."""
    others: list[tuple[Edit, Bool[Tensor, "row"]]] = field(default_factory=list)
    """All other edits, and the rows that have each."""

    def of_rows(self, index: Int[Tensor, "chosen"]) -> "_Step":
        return _Step(
            None if self.added is None else self.added[index],
            {timing: own[index] for timing, own in self.timings.items()},
            [(edit, own[index]) for edit, own in self.others],
        )


@dataclass(frozen=True)
class _Pass:
    """What a pass is made of."""

    row: Int[Tensor, "batch token"]
    """Of each token; 0 for padding, which `real` tells."""
    real: Bool[Tensor, "batch token"]
    places: Places
    ids: Int[Tensor, "batch token"] | None
    touched: dict[str, Bool[Tensor, "batch token"]] = field(default_factory=dict)
    """By timing, as far as it was asked for."""

    def tokens(self, timing: str) -> Bool[Tensor, "batch token"]:
        """Real tokens that a timing touches."""
        if timing not in self.touched:
            self.touched[timing] = self.real & touched(timing, self.places)
        return self.touched[timing]


class Steering:
    """The edits of a batch's rows."""

    def __init__(self, rows: Sequence[Edits], device: torch.device) -> None:
        """`rows` has one entry a row, empty for a row that is left alone.

        Raises:
            ValueError: there is no such timing.
        """
        self._rows, self._device = len(rows), device
        self._steps: dict[Site, list[_Step]] = {}
        self._gates: dict[int, Gated] = {}
        """By the gate's identity: rows of an arm share one."""
        self._pass: _Pass | None = None
        self._read: dict[Site, Stream] = {}
        """What was at the sites that gates and changes read, in the announced pass."""
        masks: dict[tuple[int, Site, int], Bool[Tensor, row]] = {}
        for row, edits in enumerate(rows):
            at: dict[Site, int] = {}
            for edit in edits:
                check_timing(edit.timing)
                if edit.timing == "none":
                    continue
                number = at.get(edit.site, 0)
                at[edit.site] = number + 1
                steps = self._steps.setdefault(edit.site, [])
                if number == len(steps):
                    steps.append(_Step())
                if isinstance(edit.change, Add) and edit.gate is None:
                    self._add(steps[number], row, edit, edit.change.unit)
                    continue
                if (key := (id(edit), edit.site, number)) not in masks:
                    masks[key] = self._nobody()
                    steps[number].others.append((edit, masks[key]))
                masks[key][row] = True
                if edit.gate is not None:
                    gated = self._gated(edit.gate)
                    gated.own[row] = True
                    gated.timings.setdefault(edit.timing, self._nobody())[row] = True

    def _nobody(self) -> Bool[Tensor, "row"]:
        return torch.zeros(self._rows, dtype=torch.bool, device=self._device)

    def _add(self, step: _Step, row: int, edit: Edit, unit: Tensor) -> None:
        if step.added is None:
            step.added = torch.zeros(self._rows, unit.numel(), device=self._device)
        step.added[row] = edit.strength * unit.to(self._device, torch.float32)
        step.timings.setdefault(edit.timing, self._nobody())[row] = True

    def _gated(self, gate: Gate) -> Gated:
        if id(gate) not in self._gates:
            self._gates[id(gate)] = Gated.at_first(gate, self._nobody())
        return self._gates[id(gate)]

    @property
    def untouched(self) -> int:
        """How many layers come before the first that is steered or read; 0 if none is."""
        return min((site.layer for site in self.sites), default=0)

    @property
    def sites(self) -> list[Site]:
        """All that need a hook: those that are read, and those that are edited."""
        return sorted({*self._reads, *self._steps}, key=str)

    @cached_property
    def _reads(self) -> set[Site]:
        """Sites that gates and changes read."""
        others = [edit for steps in self._steps.values() for step in steps for edit, _ in step.others]
        return {site for edit in others for site in edit.reads}

    def select(self, rows: Sequence[int], repeats: int = 1) -> "Steering":
        """The steering of a batch made of `rows` of this one, each repeated in place; gates remember nothing yet."""
        chosen = Steering([], self._device)
        index = torch.tensor(list(rows), dtype=torch.long, device=self._device).repeat_interleave(repeats)
        chosen._rows = len(index)
        chosen._steps = {site: [step.of_rows(index) for step in steps] for site, steps in self._steps.items()}
        chosen._gates = {key: gated.of_rows(index) for key, gated in self._gates.items()}
        return chosen

    # --- what gates remember, and how often they were open ---

    def remember(self, other: "Steering", rows: Sequence[int]) -> None:
        """Go on with what gates saw of `rows` of another steering: each of these rows is one of those."""
        index = torch.tensor(list(rows), dtype=torch.long, device=self._device)
        for key, gated in self._gates.items():
            if key in other._gates:
                gated.go_on(other._gates[key], index)

    def memory(self) -> dict[str, Tensor]:
        """What gates remember and have counted, by names that the same arms give again."""
        counted = {f"{name}.counted": gated.counted for name, gated in self._named()}
        return counted | {name: gated.memory for name, gated in self._named() if gated.gate.remembers != NOTHING}

    def set_memory(self, memory: Mapping[str, Tensor]) -> None:
        """Put back what `memory` gave."""
        for name, gated in self._named():
            gated.counted = memory[f"{name}.counted"].to(self._device)
            if gated.gate.remembers != NOTHING:
                gated.memory = memory[name].to(self._device)

    def _named(self) -> list[tuple[str, Gated]]:
        return [(f"gate.{number}", gated) for number, gated in enumerate(self._gates.values())]

    @property
    def has_gates(self) -> bool:
        return bool(self._gates)

    def openings(self, rows: Sequence[int]) -> list[list[Opening]]:
        """Of each of these rows, how its gates stood so far, in the order in which its edits have them."""
        return openings([*self._gates.values()], torch.tensor(list(rows), dtype=torch.long, device=self._device))

    # --- a pass ---

    def locate(
        self,
        row: Int[Tensor, "batch token"],
        places: Int[Tensor, "batch token"] | Bool[Tensor, "batch token"],
        ids: Int[Tensor, "batch token"] | None = None,
    ) -> None:
        """Say what the next pass is made of: each token's row (-1 for padding), its place, and for gates its id."""
        self._pass = _Pass(row.clamp_min(0), row >= 0, Places.of(places), ids)
        self._read = {}
        for gated in self._gates.values():
            gated.open = None
            if not gated.gate.sites:
                self._open(gated)

    @contextmanager
    def applied(self, model: PreTrainedModel) -> Iterator[None]:
        """Steer every forward pass inside the block; each must be announced by `locate`."""
        with hooked(model, {site: self._hook(site) for site in self.sites}):
            yield

    def _hook(self, site: Site) -> Hook:
        return lambda stream: self.edited(site, stream)

    def edited(self, site: Site, stream: Stream) -> Stream:
        """What goes on at a site in the announced pass.

        Raises:
            RuntimeError: the pass was not announced.
        """
        now = self._pass
        if now is None or now.row.shape != stream.shape[:2]:
            raise RuntimeError("a steered pass was not announced by locate()")
        self._keep(site, stream)
        edited = stream
        for step in self._steps.get(site, ()):
            edited = self._stepped(site, step, edited, stream, now)
        return edited

    def _keep(self, site: Site, stream: Stream) -> None:
        """Remember what is read here, and open the gates that have read all they need."""
        if site not in self._reads:
            return
        self._read[site] = stream
        for gated in self._gates.values():
            if gated.open is None and all(each in self._read for each in gated.gate.sites):
                self._open(gated)

    def _stepped(self, site: Site, step: _Step, edited: Stream, stream: Stream, now: _Pass) -> Stream:
        """The stream after one step; `stream` is what it was before all of them, and stays as it is."""
        row = now.row.to(stream.device)
        # float32: a push is often below the rounding of a bfloat16 stream
        if step.added is not None:
            added = step.added.to(stream.device)
            # a zero push runs the hook and leaves every bit alone, which adding 0.0 to -0.0 wouldn't; but where a
            # gradient is asked of it, zero is where it starts
            pushed = (added != 0).any(dim=1) | added.requires_grad
            moved = self._timed(step.timings, now).to(stream.device) & pushed[row]
            if moved.any():
                edited = stream.clone() if edited is stream else edited
                edited[moved] = (edited[moved].float() + added[row[moved]]).to(stream.dtype)
        for edit, own in step.others:
            moved = self._timed({edit.timing: own}, now).to(stream.device)
            strength: float | Tensor = edit.strength
            if edit.gate is not None:
                opened = self._gates[id(edit.gate)].open
                if opened is None:
                    late = ", ".join(str(each) for each in edit.gate.sites)
                    raise ValueError(f"the gate of the edit at {site} reads at {late}, which no pass reaches before")
                opened = opened.to(stream.device)
                moved = moved & (opened > 0)
                share = opened[moved]
                # wholly open, as most are: one strength for all, and the same bits as without a gate
                strength = edit.strength if bool((share == 1).all()) else edit.strength * share[:, None]
            if edit.strength != 0 and moved.any():
                edited = stream.clone() if edited is stream else edited
                rows = self._changed(site, edit.change, edited[moved].float(), strength, moved)
                edited[moved] = rows.to(stream.dtype)
        return edited

    def _changed(
        self, site: Site, change: Change, rows: Tensor, strength: float | Tensor, moved: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "moved width"]:
        if not change.takes_inputs:
            return change(rows, strength)
        inputs = self._read[site.inputs]
        return change(rows, strength, inputs[moved.to(inputs.device)].float().to(rows.device))  # type: ignore[call-arg]

    def _timed(self, timings: Mapping[str, Bool[Tensor, "row"]], now: _Pass) -> Bool[Tensor, "batch token"]:
        """Tokens that timings touch, each in its own rows."""
        active = torch.zeros_like(now.real)
        for timing, own in timings.items():
            active |= own[now.row] & now.tokens(timing)
        return active

    def _open(self, gated: Gated) -> None:
        """How far a gate is open at each token of the announced pass."""
        now = self._pass
        if now is None or now.ids is None:
            raise RuntimeError("a pass with gates was announced without its tokens")
        at = now.real & gated.own[now.row]
        rows = [self._read[site][at.to(self._read[site].device)].float() for site in gated.gate.sites]
        read = torch.cat([each.to(self._device) for each in rows], dim=-1) if rows else None
        gated.see(now.ids, now.row, now.places, at, read)
        gated.count(now.row, self._timed(gated.timings, now))
