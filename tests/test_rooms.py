"""The rooms of the library stand on floors: a room imports only rooms below its own, so no circle of folders exists."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "workflow/trimtab"
FLOORS = [
    {"errors", "numeric", "seeds"},
    {"settings", "wording"},
    {"artifacts"},
    {"forward", "jobs"},
    {"prompts", "activations", "steering"},
    {"agent", "model", "saes"},
    {"probes"},
    {"vectors"},
    {"config", "rollouts"},
    {"evaluations", "plan", "serve", "statistics"},
    {"report"},
    {"organism"},
    {"league"},
]
"""Folders and single modules, from the ground up; what `python -m trimtab.<room>` runs is of its room."""

FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported(path: Path) -> set[tuple[str, int]]:
    """Rooms that a module imports, wherever it does so, and the lines."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            # a name may be a module
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("trimtab."):
                found.add((name.split(".")[1], node.lineno))
    return found


def test_every_room_has_its_floor():
    rooms = {room_of(path) for path in LIBRARY.rglob("*.py")} - {"__init__"}
    assert rooms == set(FLOOR)


def test_modules_and_scripts_are_read_in_one_sitting():
    most = {LIBRARY: 300, LIBRARY.parent / "scripts": 60}
    longer = [
        path.name
        for folder, lines in most.items()
        for path in folder.rglob("*.py")
        if len(path.read_text().splitlines()) > lines
    ]
    assert longer == []


@pytest.mark.slow
@pytest.mark.parametrize("room", sorted(FLOOR))
def test_a_room_imports_only_rooms_of_lower_floors(room):
    wrong = [
        f"{path.relative_to(LIBRARY)}:{line} imports {other}"
        for path in LIBRARY.rglob("*.py")
        if room_of(path) == room
        for other, line in imported(path)
        if other != room and FLOOR[other] >= FLOOR[room]
    ]
    assert wrong == []


@pytest.mark.slow
def test_no_relative_import_hides_a_room():
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}:{node.lineno}"
