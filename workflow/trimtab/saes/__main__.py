"""`python -m trimtab.saes info|import|export`: dictionaries between the formats of several tools."""

from pathlib import Path

from trimtab.artifacts import files as plain
from trimtab.errors import TrimtabError
from trimtab.forward.sites import PLACES, RESIDUAL, Sites
from trimtab.jobs import entry
from trimtab.saes import files, formats
from trimtab.saes.sae import TopKActivation


def info(path: Path, *, k: int | None = None) -> None:
    """Say what the dictionary at PATH is, a folder or file of any known format.

    --k: active latents a token, for files that don't say.
    """
    sae = formats.read(path, k)
    activation = sae.activation
    print(f"format      {formats.recognise(path)}")
    print(f"d_in        {sae.W_enc.shape[0]}")
    print(f"latents     {sae.W_enc.shape[1]}")
    if isinstance(activation, TopKActivation):
        print(f"activation  topk, k = {activation.k}")
    else:
        low, high = activation.threshold.aminmax()
        print(f"activation  jumprelu, thresholds {float(low):.4g} to {float(high):.4g}")
    for key, value in formats.described(path).said.items():
        print(f"{key:<11} {value if isinstance(value, str) else plain.canonical(value)}")
    norms = sae.W_dec.norm(dim=1)
    print(f"decoder     rows of length {float(norms.min()):.4g} to {float(norms.max()):.4g}")


def import_(
    path: Path,
    folder: Path,
    *,
    model: str,
    layer: int,
    k: int | None = None,
    context_size: int = 0,
    site: str = RESIDUAL,
    module: str = "",
) -> None:
    """Turn PATH, of any known format, into ours, which is SAELens's.

    --model, --layer: whose stream it is a dictionary of, which PATH must not deny; --k: active latents a token, for
    files that don't say; --site: mlp_out or attention_out where it is of what a module adds to the stream; --module:
    that module, for files that name their site by it.
    """
    if site not in PLACES:
        raise TrimtabError(f"--site {site}: expected one of {', '.join(PLACES)}")
    sites = Sites(site, (module,) * (layer + 1))
    origin = formats.origin_for(path, model, layer, context_size, sites)
    provenance = {
        "converted": formats.recognise(path),
        "inputs": {str(p): plain.sha256(p) for p in formats.inside(path)},
    }
    files.save(folder, formats.read(path, k), origin, provenance)


def export(folder: Path, kind: str, target: Path) -> None:
    """Turn FOLDER, in our format, into another: saelens, sparsify, dictionary_learning or qwen_scope.

    TARGET is a folder; for qwen_scope, a file layer<n>.sae.pt.
    """
    writers = {name: form.write for name, form in formats.FORMATS.items() if form.write is not None}
    if kind not in writers:
        raise TrimtabError(f"export {kind}: expected one of {', '.join(writers)}")
    writers[kind](target, formats.read(folder), formats.origin(folder))


if __name__ == "__main__":
    entry.commands(info=info, export=export, **{"import": import_})
