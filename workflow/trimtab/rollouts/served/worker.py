"""Trimtab's edits inside vLLM's workers: the same `Steering` that steers passes of `transformers`, announced the passes
that vLLM makes of its requests.

vLLM cuts, caches, repeats and joins prompts as it likes; a pass tells which tokens of which requests it holds, and a
request's order where each of its tokens stands. Rows whose edits have no gate share one `Steering`; a gate remembers,
so each request behind one has its own, from its first token on.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from vllm.distributed import tensor_model_parallel_all_gather
from vllm.forward_context import get_forward_context, is_forward_context_available

from trimtab.forward.hooks import at_columns, decoder_layers
from trimtab.forward.sites import INPUT, Site
from trimtab.rollouts.chooser import Chooser
from trimtab.rollouts.served.keeping import Keeping, Span
from trimtab.rollouts.served.requests import Order
from trimtab.rollouts.served.sampler import KEY, Draws
from trimtab.steering.edits import Edits
from trimtab.steering.packing import unpack
from trimtab.steering.steering import Steering

Part = tuple[Steering, slice]
"""Some tokens of a pass, and who steers them."""


class SteeredWorker:
    """Joins vLLM's worker class (`worker_extension_cls`); its methods are called by `LLM.collective_rpc`."""

    model_runner: Any
    model_config: Any
    parallel_config: Any
    device: torch.device

    def trimtab_install(self) -> None:
        """Have every pass announced.

        Raises:
            RuntimeError: a way of running that Trimtab isn't proved on.
        """
        runner, parallel = self.model_runner, self.parallel_config
        if not hasattr(runner, "requests") or not hasattr(runner.input_batch, "num_computed_tokens_cpu"):
            raise RuntimeError("expected vLLM's V1 model runner (VLLM_USE_V2_MODEL_RUNNER=0)")
        if not self.model_config.enforce_eager:
            raise RuntimeError("expected enforce_eager, since a compiled graph runs no hooks")
        if parallel.world_size != parallel.tensor_parallel_size or parallel.data_parallel_size != 1:
            raise RuntimeError("expected workers that share each matrix, and no others")
        if parallel.enable_expert_parallel:
            raise RuntimeError("expected experts that are shared like all matrices")
        self.tt_orders: dict[str, Order | None] = {}
        self.tt_edits: dict[str, Edits] = {}
        self.tt_gated: dict[str, Steering] = {}
        self.tt_parts: list[Part] = []
        self.tt_hooks: list[Any] = []
        self.tt_keeping: Keeping | None = None
        runner.model.register_forward_pre_hook(self._tt_begin, with_kwargs=True)

    def trimtab_begin(self, chooser: str, edits: str, tensors: bytes) -> None:
        """Be ready for requests that choose so, under these edits (`client.packed`) and no others."""
        self._tt_draws.chooser = Chooser(**json.loads(chooser))
        known = from_bytes(tensors)
        self.tt_edits = {name: _unpacked(name, each, known) for name, each in json.loads(edits).items()}
        for hook in self.tt_hooks:
            hook.remove()
        sites = {site for own in self.tt_edits.values() for edit in own for site in (edit.site, *edit.reads)}
        self.tt_hooks = [self._tt_hooked(site) for site in sorted(sites, key=str)]

    def trimtab_end(self) -> tuple[str, bytes]:
        """What was said of the requests since, which are over: actions and faults, openings of gates, and logits."""
        draws = self._tt_draws
        openings = {name: own.openings([0])[0] for name, own in self.tt_gated.items()}
        said = json.dumps({"said": draws.said, "openings": openings}), to_bytes(draws.logits)
        for kept in (draws.said, draws.logits, self.tt_gated, self.tt_orders):
            kept.clear()
        return said

    def trimtab_keep(self, layers: list[int]) -> None:
        """Keep rows of these layers for orders that want them, until `trimtab_kept`."""
        self.tt_keeping = Keeping(decoder_layers(self.model_runner.model), layers)

    def trimtab_kept(self) -> tuple[str, bytes]:
        """What was kept (`Keeping.end`)."""
        keeping, self.tt_keeping = self.tt_keeping, None
        assert keeping is not None
        return keeping.end()

    @property
    def _tt_draws(self) -> Draws:
        [found] = [each for each in self.model_runner.input_batch.logitsprocs.all if isinstance(each, Draws)]
        return found

    def _tt_begin(self, module: nn.Module, given: Any, named: Mapping[str, Any]) -> None:
        """Before each pass of the model."""
        self.tt_parts = []
        if self.tt_keeping is not None:
            self.tt_keeping.announce([])
        if not is_forward_context_available() or get_forward_context().attn_metadata is None:
            return  # a pass of no requests, by which vLLM tries its memory
        batch, starts = self.model_runner.input_batch, self.model_runner.query_start_loc.np
        ids = named["input_ids"]
        row = torch.full_like(ids, -1, dtype=torch.long)
        places = torch.zeros_like(row)
        together: list[Edits] = []
        kept: list[tuple[Span, int]] = []
        for number, name in enumerate(batch.req_ids):
            order = self._tt_order(name)
            first = int(batch.num_computed_tokens_cpu[number])
            part = slice(int(starts[number]), int(starts[number + 1]))
            if order is not None and order.rows_from is not None:
                before = max(order.rows_from - first, 0)
                if (length := part.stop - part.start - before) > 0:
                    kept.append((Span(order.name, first + before, length), part.start + before))
            own = self.tt_edits[order.arm] if order is not None and order.arm else ()
            together.append(() if order is not None and order.gated else own)
            if order is None or not own:
                continue
            at = order.places[first : first + part.stop - part.start]
            places[part] = torch.tensor(at, dtype=places.dtype, device=places.device)
            row[part] = number
            if order.gated:
                self._tt_announce_gated(order, own, first, part, places, ids)
        if self.tt_keeping is not None:
            self.tt_keeping.announce(kept)
        if any(together):
            steering = Steering(together, self.device)
            steering.locate(row[None], places[None], ids[None].long())
            # before those behind gates, whose tokens it leaves alone
            self.tt_parts.insert(0, (steering, slice(0, len(ids))))

    def _tt_announce_gated(
        self, order: Order, own: Edits, first: int, part: slice, places: Tensor, ids: Tensor
    ) -> None:
        # vLLM may begin a request anew
        if first == 0:
            self.tt_gated[order.name] = Steering([own], self.device)
        steering = self.tt_gated[order.name]
        steering.locate(torch.zeros_like(places[part])[None], places[part][None], ids[part][None].long())
        self.tt_parts.append((steering, part))

    def _tt_order(self, name: str) -> Order | None:
        if name not in self.tt_orders:
            params = self.model_runner.requests[name].sampling_params
            text = (params.extra_args or {}).get(KEY)
            self.tt_orders[name] = None if text is None else Order.of(text)
        return self.tt_orders[name]

    def _tt_hooked(self, site: Site) -> Any:
        module = site.module_of(decoder_layers(self.model_runner.model))
        if site.side == INPUT:
            return module.register_forward_pre_hook(partial(self._tt_input, site))
        return module.register_forward_hook(partial(self._tt_output, site))

    def _tt_input(self, site: Site, module: nn.Module, given: Any) -> Any:
        if not self.tt_parts:
            return None
        # of what a matrix takes that is shared by rows, each worker has some columns
        workers = getattr(module, "tp_size", 1) if getattr(module, "input_is_parallel", False) else 1
        rank = getattr(module, "tp_rank", 0)
        whole = tensor_model_parallel_all_gather(given[0]) if workers > 1 else given[0]
        edited = self._tt_edited(site, module, whole)
        if edited is whole:
            return None
        return (edited.chunk(workers, dim=-1)[rank] if workers > 1 else edited, *given[1:])

    def _tt_output(self, site: Site, module: nn.Module, given: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return self._tt_edited(site, module, output)
        first, *others = output
        if site.module:
            return (self._tt_edited(site, module, first), *others)
        # what the layer's last part adds, and the stream before it, which the next layer adds up
        [before] = others
        stream = first + before
        edited = self._tt_edited(site, module, stream)
        if edited is stream:
            return output
        moved = (edited != stream).any(-1, keepdim=True)
        # 0 + edited is exact; rows that nothing moved stay in two parts, which the sum may hold in more digits
        return torch.where(moved, 0, first), torch.where(moved, edited, before)

    def _tt_edited(self, site: Site, module: nn.Module, stream: Tensor) -> Tensor:
        """What goes on instead, of a stream (token, width); itself where nothing is changed."""
        for steering, part in self.tt_parts:
            if site not in steering.sites:
                continue
            own = stream[part][None]
            edited = at_columns(site, partial(steering.edited, site), module, own)
            if edited is not None and edited is not own:
                stream = stream.clone()
                stream[part] = edited[0]
        return stream


def _unpacked(name: str, packed: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Edits:
    """The edits of one arm: those behind one gate share it."""
    own = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
    edits = unpack(Path(name), own, packed["edits"])
    gates = [None if at is None else edits[at].gate for at in packed["gates"]]
    return tuple(replace(edit, gate=gate) for edit, gate in zip(edits, gates, strict=True))
