"""What attention and the MLP of each layer add to the residual stream: the modules that give it, found by proof.

Names and orders of modules differ between architectures, and what a module gives isn't always what arrives in the
stream: Gemma 2 and 3 normalise it first, Granite scales it. So two modules are taken for a layer's contributions only
if their outputs and the layer's input add up to the layer's output, to the last bit, and if with one of them silenced
the other is all that the layer adds. With attention silenced in all layers nothing tells one token of another; that
says which of the two is which. Whatever mixes tokens counts as attention, a recurrent mixer too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from trimtab.errors import TrimtabError
from trimtab.forward.hooks import Hook, base_model, decoder_layers, hooked
from trimtab.forward.proof import TOLERANCE, alone, relative, rows_of_tokens
from trimtab.forward.sites import ATTENTION_OUT, MLP_OUT, PLACES, Site, Sites

TOKENS = 6

Passed = Float[Tensor, "batch token d_model"]


class _Pair(NamedTuple):
    """Two modules of one layer, in the order in which they end."""

    first: str
    second: str


class _Step(NamedTuple):
    """One layer in one pass."""

    before: Passed
    after: Passed
    modules: dict[str, Passed]
    """What modules that ran once gave and has the stream's shape, in the order in which they ended."""


def contributions(model: PreTrainedModel) -> dict[str, Sites]:
    """Where attention and the MLP of each layer add to the stream, as `attention_out` and `mlp_out`.

    Raises:
        TrimtabError: a layer adds anything else, so that there are no such sites.
    """
    (row,) = rows_of_tokens(model, [TOKENS])
    # alike at the ends: what says something of the tokens between them tells these two apart at the last
    other = [row[0], *reversed(row[1:-1]), row[-1]]
    pairs: list[_Pair] = []
    with alone(model):
        for step in _steps(model, row, {}):
            if (pair := _pair(step)) is None:
                raise _refusal(model, f"no two modules of layer {len(pairs)} give together what it adds to the stream")
            pairs.append(pair)
    without_first, without_second = (_mix(model, row, other, pairs, silenced) for silenced in (0, 1))
    if without_first == without_second:
        raise _refusal(model, "which of two modules of a layer is attention can't be told by what mixes tokens")
    # the one whose silence leaves tokens apart
    names = (ATTENTION_OUT, MLP_OUT) if without_second else (MLP_OUT, ATTENTION_OUT)
    return {name: Sites(name, modules) for name, modules in zip(names, zip(*pairs, strict=True), strict=True)}


def sites_of(model: PreTrainedModel, kind: str) -> Sites:
    """The sites of a kind (one of `PLACES`) in a model.

    Raises:
        TrimtabError: the model's layers have no such site, or there is no such kind.
    """
    if kind not in PLACES:
        raise TrimtabError(f"site {kind!r}: expected one of {', '.join(PLACES)}")
    return contributions(model)[kind] if kind in (MLP_OUT, ATTENTION_OUT) else Sites()


def _refusal(model: PreTrainedModel, why: str) -> TrimtabError:
    return TrimtabError(
        f"config.yaml, activations.site: {type(model).__name__} can be read and steered at the residual stream alone, "
        f"since {why}"
    )


def _pair(step: _Step) -> _Pair | None:
    """The two modules whose outputs are what a layer adds."""
    different: dict[str, Passed] = {}
    # of modules that give the same, as a projection and the MLP that ends with it, the outermost and then the first
    for name in sorted(step.modules, key=lambda name: name.count(".")):
        if not any(torch.equal(step.modules[name], known) for known in different.values()):
            different[name] = step.modules[name]
    ordered = [name for name in step.modules if name in different]
    for first, second in combinations(ordered, 2):
        if _adds(step, different[first], different[second]):
            return _Pair(first, second)
    return None


def _adds(step: _Step, one: Passed, other: Passed) -> bool:
    """Whether a layer's output is its input and these two, in some order of summation."""
    sums = (step.before + one) + other, (step.before + other) + one, step.before + (one + other)
    return any(torch.equal(step.after, each) for each in sums)


def _mix(
    model: PreTrainedModel, row: Sequence[int], other: Sequence[int], pairs: Sequence[_Pair], silenced: int
) -> bool:
    """Whether with one module of each layer silenced the others' outputs at the last token tell of tokens before it.

    Raises:
        TrimtabError: the others are not all that layers then add.
    """
    hooks = {Site(layer, pair[silenced]): torch.zeros_like for layer, pair in enumerate(pairs)}
    last: list[list[Tensor]] = []
    for tokens in (row, other):
        last.append([])
        for layer, step in enumerate(_steps(model, tokens, hooks)):
            left = step.modules[pairs[layer][1 - silenced]]
            if not torch.equal(step.after, step.before + left):
                raise _refusal(model, f"silencing {pairs[layer][silenced]} of layer {layer} leaves something of it")
            last[-1].append(left[0, -1])
    worst = max(relative(one, two) for one, two in zip(*last, strict=True))
    return not worst <= TOLERANCE[model.dtype]


@torch.inference_mode()
def _steps(model: PreTrainedModel, tokens: Sequence[int], hooks: Mapping[Site, Hook]) -> list[_Step]:
    """What happens in each layer of one pass over a row, under hooks."""
    found: list[_Step] = []
    with hooked(model, hooks), _watched(decoder_layers(model), found.append):
        base_model(model)(input_ids=torch.tensor([list(tokens)], device=model.device), use_cache=False)
    return found


@contextmanager
def _watched(stack: nn.ModuleList, done: Callable[[_Step], None]) -> Iterator[None]:
    """Tell of every layer that a pass inside the block goes through."""
    before: list[Tensor] = []
    modules: dict[str, list[Tensor]] = {}

    def begin(layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        modules.clear()
        # a copy: some layers add in place
        before[:] = [(given[0] if given else named["hidden_states"]).clone()]

    def gave(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if before and (stream := _stream(output)) is not None and stream.shape == before[0].shape:
                modules.setdefault(name, []).append(stream.clone())

        return hook

    def end(layer: nn.Module, given: Any, output: Any) -> None:
        if (stream := _stream(output)) is not None:
            # one dropout may serve both
            once = {name: gave[0] for name, gave in modules.items() if len(gave) == 1}
            done(_Step(before[0], stream.clone(), once))

    handles = []
    try:
        for layer in stack:
            handles.append(layer.register_forward_pre_hook(begin, with_kwargs=True))
            handles += [part.register_forward_hook(gave(name)) for name, part in layer.named_modules() if name]
            handles.append(layer.register_forward_hook(end))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _stream(output: Any) -> Tensor | None:
    found = output[0] if isinstance(output, tuple | list) and output else output
    return found if isinstance(found, Tensor) else None
