"""Doses side by side in a terminal: what `python -m trimtab.steering generate|chat` does.

The command has the name of what it shows and lies here, since it reads models and vectors, from rooms above that one.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from trimtab.rollouts.by_hand import ByHand
from trimtab.rollouts.continued import Piece


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
    rule: str | None = None,
    timing: str = "all",
    dtype: str | None = None,
    device: str | None = None,
) -> None:
    """Go on from a plain --prompt under each --dose.

    MODEL is a run's model/manifest.json or a folder with a model, VECTOR a file of a run's vectors/, of edits as well,
    of which a dose is the share.
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
    rule: str | None = None,
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
        for line in columns.add(piece.row, piece.text, bool(piece.ended)):
            print(line, flush=True)


class Columns:
    """Texts side by side that grow piece by piece; a line is given out once it is whole in every column."""

    def __init__(self, headings: Sequence[str], width: int) -> None:
        """`width`: of all columns together, in characters."""
        self._width = max((width - 3 * (len(headings) - 1)) // len(headings), 12)
        self._texts = [""] * len(headings)
        self._ended = [False] * len(headings)
        self._given = 0
        self.headings = self._line(headings) + "\n" + self._line(["-" * self._width] * len(headings))

    def add(self, column: int, text: str, ended: bool) -> list[str]:
        """Lines that are whole now; those of a column that has ended all are."""
        self._texts[column] += text
        self._ended[column] = ended
        columns = [self._wrapped(one) for one in self._texts]
        # a line that is a column's last may grow, or be broken elsewhere
        growing = [len(lines) - 1 for lines, over in zip(columns, self._ended, strict=True) if not over]
        until = min(growing, default=max(map(len, columns)))
        found = [
            self._line([lines[at] if at < len(lines) else "" for lines in columns]) for at in range(self._given, until)
        ]
        self._given = max(self._given, until)
        return found

    def _line(self, cells: Sequence[str]) -> str:
        return " | ".join(cell.ljust(self._width) for cell in cells).rstrip()

    def _wrapped(self, text: str) -> list[str]:
        """Lines of at most the column's width, broken at the last space where there is one."""
        lines = []
        for line in text.split("\n"):
            # a terminal would do as a control character says
            left = "".join(each if each.isprintable() else " " for each in line)
            while len(left) > self._width:
                at = left.rfind(" ", 1, self._width + 1)
                at = self._width if at < 0 else at
                lines.append(left[:at])
                left = left[at:].removeprefix(" ")
            lines.append(left)
        return lines
