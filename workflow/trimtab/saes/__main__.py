"""`python -m trimtab.saes info|import|export`: dictionaries between the formats of several tools."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from trimtab.artifacts import files as plain
from trimtab.errors import TrimtabError
from trimtab.saes import files, formats
from trimtab.saes.files import Origin
from trimtab.saes.sae import TopK


def info(path: Path, k: int | None) -> None:
    sae = formats.read(path, k)
    activation = sae.activation
    print(f"format      {formats.recognise(path)}")
    print(f"d_in        {sae.W_enc.shape[0]}")
    print(f"latents     {sae.W_enc.shape[1]}")
    if isinstance(activation, TopK):
        print(f"activation  topk, k = {activation.k}")
    else:
        low, high = activation.threshold.aminmax()
        print(f"activation  jumprelu, thresholds {float(low):.4g} to {float(high):.4g}")
    norms = sae.W_dec.norm(dim=1)
    print(f"decoder     rows of length {float(norms.min()):.4g} to {float(norms.max()):.4g}")


def import_(path: Path, folder: Path, k: int | None, model: str, layer: int, context_size: int) -> None:
    provenance = {
        "converted": formats.recognise(path),
        "inputs": {str(p): plain.sha256(p) for p in formats.inside(path)},
    }
    files.save(folder, formats.read(path, k), Origin(model, layer, context_size), provenance)


def export(folder: Path, kind: str, target: Path) -> None:
    formats.FORMATS[kind].write(target, formats.read(folder), formats.origin(folder))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m trimtab.saes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("info", help="what a dictionary is")
    two = commands.add_parser("import", help="any known format to ours, which is SAELens's")
    three = commands.add_parser("export", help="ours to another format")
    for command in (one, two):
        command.add_argument("path", type=Path, help="a folder or file of any known format")
        command.add_argument("--k", type=int, help="active latents a token, for files that don't say")
    two.add_argument("folder", type=Path)
    two.add_argument("--model", required=True, help="the model's name, for readers of cfg.json")
    two.add_argument("--layer", type=int, required=True)
    two.add_argument("--context-size", type=int, default=0)
    three.add_argument("folder", type=Path)
    three.add_argument("kind", choices=list(formats.FORMATS))
    three.add_argument("target", type=Path, help="a folder; for qwen_scope a file layer<n>.sae.pt")
    given = vars(parser.parse_args(arguments))
    commands_by_name: dict[str, Callable[..., None]] = {"info": info, "import": import_, "export": export}
    run = commands_by_name[given.pop("command")]
    try:
        run(**given)
    except TrimtabError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
