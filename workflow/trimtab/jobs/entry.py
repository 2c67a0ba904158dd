"""How every script and command starts: arguments from a function's signature, errors as one line.

Positional parameters become positional arguments, keyword-only parameters become `--flags`. A `TrimtabError` ends the
program with its message alone, and with a status of its own where the config is to blame, so that nobody tries again;
anything else is a bug and keeps its stack trace.

A program imports this module before all others (ruff keeps it first), since Python's cycle collector rests from here
until the program's own work begins: what imports make stays to the end, and looking through it again and again takes a
fifth of the time in which torch and transformers are loaded.
"""

import argparse
import gc
import inspect
import logging
import math
import os
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from trimtab.errors import TrimtabError
from trimtab.jobs import kernels, running, stopping
from trimtab.jobs.origins import VARIABLE, Origins, blames_the_config

gc.disable()
kernels.bound()
# in a job, which is interrupted with the run; while it loads its libraries, too
if VARIABLE in os.environ:
    stopping.end_in_one_line()


def script(main: Callable[..., None]) -> None:
    """Run `main` with the command line's arguments and exit.

    Types understood: whatever a one-argument constructor makes of a text (Path, str, int, float) and, given as JSON, a
    model of settings or a choice of several; a list of any of these; and `X | None`, an X that may be left
    out.
    """
    _run(main, _parser(main), sys.argv[1:])


def commands(**mains: Callable[..., None]) -> None:
    """Run the one of `mains` that the command line's first word names, and exit: `python -m trimtab.<stage> <name>`."""
    name, *rest = sys.argv[1:] or [""]
    if name not in mains:
        sys.exit(f"{name or 'no command'!r} is none of: {', '.join(mains)} (each has --help)")
    parser = _parser(mains[name])
    # of a package run by -m, argparse takes its file's name
    module = getattr(sys.modules["__main__"].__spec__, "parent", "") or parser.prog
    parser.prog, parser.description = f"python -m {module} {name}", inspect.getdoc(mains[name])
    _run(mains[name], parser, rest)


def _run(main: Callable[..., None], parser: argparse.ArgumentParser, words: list[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    arguments = vars(parser.parse_args(words))
    stopping.listen()
    # what was imported is never looked through
    gc.freeze()
    gc.enable()
    signature = inspect.signature(main)
    positional = [arguments.pop(name) for name, p in signature.parameters.items() if p.kind is not p.KEYWORD_ONLY]
    try:
        main(*positional, **arguments)
    except TrimtabError as error:
        told = Origins.found().told(str(error))
        if not blames_the_config(str(error)):
            sys.exit(told)
        if VARIABLE in os.environ:
            running.refuse(Path(sys.argv[0]).stem)
        print(told, file=sys.stderr)
        sys.exit(running.WRONG_CONFIG)


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
    if _is_json(hint):
        return {"type": _reader(hint), "metavar": "JSON"}
    if typing.get_origin(hint) is list:
        return {**_options(typing.get_args(hint)[0]), "nargs": "*"}
    if typing.get_origin(hint) is types.UnionType:
        return {"type": _plain(typing.get_args(hint)[0])}
    return {"type": _plain(hint)}


def _plain(kind: Any) -> Any:
    """What reads a word of the command line."""
    return _finite if kind is float else kind


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a finite number")
    return value


def _is_json(hint: Any) -> bool:
    """Whether a type is a model or a choice of models."""
    if typing.get_origin(hint) is types.UnionType:
        return _is_json(typing.get_args(hint)[-1])
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def _reader(hint: Any) -> Callable[[str], Any]:
    adapter = TypeAdapter(hint)

    def read(text: str) -> Any:
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            wrong = [
                ": ".join([".".join(map(str, each["loc"])), each["msg"]]).removeprefix(": ") for each in error.errors()
            ]
            raise argparse.ArgumentTypeError("; ".join(wrong)) from error

    return read
