"""A vector tried by hand, doses side by side: `python -m trimtab.steering generate|chat MODEL VECTOR --dose 0 0.4`."""

from trimtab.jobs.entry import commands

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from trimtab.rollouts.by_hand import ByHand, Columns, Piece


def generate(
    model: Path,
    vector: Path,
    *,
    dose: list[float],
    prompt: str,
    tokens: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
    unit: str = "residual_share",
    rule: str = "add",
    timing: str = "all",
    dtype: str | None = None,
    device: str | None = None,
) -> None:
    """Go on from a plain --prompt under each --dose.

    MODEL is a run's model/manifest.json or a folder with a model, VECTOR a file of a run's vectors/.
    --tokens: written, at most; --temperature: 0 takes the likeliest token; --seed: of the random numbers, which all
    doses share; --unit, --rule, --timing: as in config.yaml's rollouts; --dtype, --device: for a folder.
    """
    hand = ByHand.of(model, vector, dose, unit=unit, rule=rule, timing=timing, dtype=dtype, device=device)
    _show(hand.generate(prompt, tokens, temperature, seed), dose)


def chat(
    model: Path,
    vector: Path,
    *,
    dose: list[float],
    system: str = "",
    tokens: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
    unit: str = "residual_share",
    rule: str = "add",
    timing: str = "all",
    dtype: str | None = None,
    device: str | None = None,
) -> None:
    """Answer messages, a line of the input each, under each --dose, in the model's chat template; an empty line ends.

    --system: the system line; all else as for generate.
    """
    hand = ByHand.of(model, vector, dose, unit=unit, rule=rule, timing=timing, dtype=dtype, device=device)
    while message := _message():
        _show(hand.chat(message, tokens, temperature, seed, system), dose)


def _message() -> str:
    if sys.stdin.isatty():
        print("> ", end="", flush=True)
    return sys.stdin.readline().strip()


def _show(pieces: Iterator[Piece], doses: list[float]) -> None:
    columns = Columns([f"dose {dose:+g}" if dose else "dose 0" for dose in doses], shutil.get_terminal_size().columns)
    print(columns.headings, flush=True)
    for piece in pieces:
        for line in columns.add(piece.row, piece.text, piece.ended):
            print(line, flush=True)


if __name__ == "__main__":
    commands(generate=generate, chat=chat)
