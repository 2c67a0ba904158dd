"""How every script starts: arguments from the signature of its `main`, errors as one line.

Positional parameters become positional arguments, keyword-only parameters become `--flags`. A `TrimtabError` ends the
program with its message alone; anything else is a bug and keeps its stack trace.
"""

import argparse
import inspect
import json
import logging
import sys
import typing
from collections.abc import Callable
from typing import Any

from trimtab.errors import TrimtabError


def script(main: Callable[..., None]) -> None:
    """Run `main` with the command line's arguments and exit.

    Types understood: whatever a one-argument constructor makes of a text (Path, str, int, float), a list of these, and
    `dict[str, Any]`, given as JSON.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    arguments = vars(_parser(main).parse_args())
    signature = inspect.signature(main)
    positional = [arguments.pop(name) for name, p in signature.parameters.items() if p.kind is not p.KEYWORD_ONLY]
    try:
        main(*positional, **arguments)
    except TrimtabError as error:
        sys.exit(str(error))


def _parser(main: Callable[..., None]) -> argparse.ArgumentParser:
    description = inspect.getdoc(inspect.getmodule(main)) or ""
    parser = argparse.ArgumentParser(description=description.splitlines()[0] if description else None)
    hints = typing.get_type_hints(main)
    for name, parameter in inspect.signature(main).parameters.items():
        options = _options(hints[name])
        if parameter.kind is not parameter.KEYWORD_ONLY:
            parser.add_argument(name, **options)
        elif parameter.default is parameter.empty:
            parser.add_argument(f"--{name.replace('_', '-')}", required=True, **options)
        else:
            parser.add_argument(f"--{name.replace('_', '-')}", default=parameter.default, **options)
    return parser


def _options(hint: Any) -> dict[str, Any]:
    if typing.get_origin(hint) is dict:
        return {"type": json.loads, "metavar": "JSON"}
    if typing.get_origin(hint) is list:
        return {"type": typing.get_args(hint)[0], "nargs": "*"}
    return {"type": hint}
