"""A vector, or edits that add vectors, as a file of another tool.

Layers count from 0 here, and a vector belongs to the output of its layer. GGUF control vectors (llama.cpp, repeng,
EasySteer) and vllm-lens count the same way; persona_vectors keeps a row for the embedding first. llama.cpp refuses a
whole file that holds layer 0. These tools add what they are given to every token, one vector a layer, so a vector
leaves at the length asked for, and edits that are all such additions at a share of what they are. Edits of weights
leave by `trimtab.vectors.weights`; all other edits are what none of these tools can do.
"""

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.forward.sites import RESIDUAL, Site
from trimtab.steering.changes import Add, LowRank
from trimtab.vectors import artifact
from trimtab.vectors.artifact import OwnEdits, Vector

ARCHITECTURE = "controlvector"


Rows = Mapping[int, Float[np.ndarray, " d_model"]]
"""What is added after each layer, float32."""


def export(
    source: Path,
    target: Path,
    form: str,
    length: float | None,
    dose: float | None,
    model_type: str,
    layers: int | None,
) -> None:
    """Write the vector or the edits at `source` to `target`.

    Args:
        form: a name in FORMATS.
        length: of a vector: L2 length of what the tool will add, in the units of the residual stream; None for 1.
        dose: of edits: the share of what they are; None for all.
        model_type: what `transformers` calls the model's kind (`llama`); only a hint to the tools.
        layers: the model's number of layers, for persona_vectors.

    Raises:
        TrimtabError: edits, a layer or site that the format can't hold, or a length or dose that float32 doesn't hold.
    """
    made = artifact.read(source)
    if isinstance(made, OwnEdits):
        if length is not None:
            raise TrimtabError(f"--length {length:g}: {source} holds edits; expected a --dose, their share")
        share = 1.0 if dose is None else dose
        rows, said = _added(made, share, form), f"--dose {share:g}"
    else:
        if dose is not None:
            raise TrimtabError(f"--dose {dose:g}: {source} holds a vector; expected a --length")
        reach = 1.0 if length is None else length
        if not reach > 0:
            raise TrimtabError(f"--length {reach:g}: expected a length above 0 that float32 holds")
        if made.record.site != RESIDUAL:
            raise TrimtabError(
                f"{source}: is of site {made.record.site}; {form} has vectors of the residual stream alone"
            )
        rows, said = {made.layer: reach * made.unit.double()}, f"--length {reach:g}"
    wholes = {layer: row.float() for layer, row in rows.items()}
    # a length may be a number and overflow in the files' float32, or vanish there
    if not all(bool(row.isfinite().all() and row.any()) for row in wholes.values()):
        raise TrimtabError(f"{said}: expected a {said[2:].partition(' ')[0]} above 0 that float32 holds")
    with files.atomic(target) as temporary:
        FORMATS[form](temporary, made, {layer: row.numpy() for layer, row in wholes.items()}, model_type, layers)


def _added(made: OwnEdits, dose: float, form: str) -> dict[int, Tensor]:
    """What edits add after each layer, in float64."""
    found: dict[int, Tensor] = {}
    for edit in made.edits:
        site, change = edit.site, edit.change
        if not isinstance(change, Add) or site != Site(site.layer) or edit.gate is not None or edit.timing != "all":
            weights = "; --format peft or model holds edits of weights" if isinstance(change, LowRank) else ""
            gated = " behind a gate" if edit.gate is not None else ""
            raise TrimtabError(
                f"{made.path}: {type(change).__name__} at {site}{gated} is not a vector that is added to every token "
                f"after a layer, which is all that {form} holds{weights}"
            )
        row = dose * edit.strength * change.unit.double()
        found[site.layer] = found[site.layer] + row if site.layer in found else row
    return found


def _gguf(path: Path, made: Vector | OwnEdits, rows: Rows, model_type: str, layers: int | None) -> None:
    if 0 in rows:
        raise TrimtabError(f"{made.path}: is of layer 0, which llama.cpp's control vectors can't hold")
    _write_gguf(path, rows, model_type, {})


def _easysteer(path: Path, made: Vector | OwnEdits, rows: Rows, model_type: str, layers: int | None) -> None:
    _write_gguf(path, rows, model_type, {"method": made.method})


def _write_gguf(path: Path, rows: Rows, model_type: str, more: dict[str, str]) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(path, ARCHITECTURE)
    writer.add_string(f"{ARCHITECTURE}.model_hint", model_type)
    writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(rows))
    for key, value in more.items():
        writer.add_string(f"{ARCHITECTURE}.{key}", value)
    for layer, row in sorted(rows.items()):
        writer.add_tensor(f"direction.{layer}", row)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vllm_lens(path: Path, made: Vector | OwnEdits, rows: Rows, model_type: str, layers: int | None) -> None:
    table = np.stack([row for _, row in sorted(rows.items())])
    data = base64.b64encode(table.astype("<f4").tobytes()).decode()
    record = {
        "activations": {"data": data, "dtype": "float32", "shape": [*table.shape]},
        "layer_indices": sorted(rows),
        "scale": 1.0,
        "norm_match": False,
        "position_indices": None,
    }
    path.write_text(files.canonical(record) + "\n")


def _persona_vectors(path: Path, made: Vector | OwnEdits, rows: Rows, model_type: str, layers: int | None) -> None:
    deepest = max(rows)
    if layers is None or not deepest < layers:
        raise TrimtabError(f"--layers {layers}: {made.path} is of layer {deepest}; give the model's number of layers")
    table = torch.zeros(layers + 1, len(rows[deepest]))
    for layer, row in rows.items():
        table[layer + 1] = torch.from_numpy(row)
    buffer = io.BytesIO()
    torch.save(table, buffer)
    path.write_bytes(buffer.getvalue())


Writer = Callable[[Path, Vector | OwnEdits, Rows, str, int | None], None]
FORMATS: dict[str, Writer] = {
    "gguf": _gguf,
    "repeng": _gguf,
    "vllm-lens": _vllm_lens,
    "easysteer": _easysteer,
    "persona_vectors": _persona_vectors,
}
