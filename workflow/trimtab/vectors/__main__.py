"""`python -m trimtab.vectors export --format gguf FILE OUT`: vectors for other tools, from the command line."""

import argparse
import sys
from pathlib import Path

from trimtab.errors import TrimtabError
from trimtab.vectors.export import FORMATS, export


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m trimtab.vectors", description="Vectors for other tools.")
    command = parser.add_subparsers(required=True).add_parser("export", help="write a vector as another tool's file")
    command.add_argument(
        "source", type=Path, metavar="FILE", help="a vector: results/<experiment>/vectors/<method>/<trait>.safetensors"
    )
    command.add_argument("target", type=Path, metavar="OUT")
    command.add_argument("--format", required=True, choices=FORMATS, dest="form")
    command.add_argument("--length", type=float, default=1.0, help="L2 length of what the tool adds at strength 1")
    command.add_argument("--model-type", default="llama", help="config.json's model_type, a hint for the tool")
    command.add_argument("--layers", type=int, help="the model's number of layers (persona_vectors)")
    export(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TrimtabError as error:
        sys.exit(str(error))
