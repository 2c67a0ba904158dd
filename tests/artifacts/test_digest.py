"""The code digest: deaf to how code looks and where it lies, and awake to what it says, at any depth of imports."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.artifacts import digest as digests
from trimtab.artifacts.digest import LIBRARY, MEMORY, _release, _remembered, code_digest, keep, modules
from trimtab.errors import TrimtabError

FILES = {
    "scripts/fit.py": (
        '"""Rule fit."""\n\nfrom trimtab.saes import train\n\n\ndef main():\n'
        "    from trimtab.late import thing\n\n    train.run(thing)\n"
    ),
    "trimtab/__init__.py": '"""The package."""\n',
    "trimtab/saes/__init__.py": "from . import names\n",
    "trimtab/saes/names.py": "NAMES = ['a']\n",
    "trimtab/saes/train.py": (
        "import trimtab.seeds as seeds\nfrom ..files import whole, SIZE\n\n\n"
        'def run(x):\n    """Train."""\n    return seeds.derive(x) + 1  # one more\n'
    ),
    "trimtab/seeds.py": "from trimtab import files\n\n\ndef derive(x):\n    return x\n",
    "trimtab/files.py": "import trimtab.seeds\n\nSIZE = 1\n\n\ndef whole():\n    pass\n",
    "trimtab/late.py": "thing = 1\n",
    "trimtab/other.py": "import torch\n\nwidth = 1\n",
}
USED = {name for name in FILES if name.startswith("trimtab/")} - {"trimtab/other.py"}


@pytest.fixture
def digest(tmp_path):
    """Digest of the files above with some of them replaced, each time in a new folder."""

    def digest_of(changes: dict[str, str] | None = None, script: str = "scripts/fit.py") -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in {**FILES, **(changes or {})}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return code_digest(folder / script, folder / "trimtab")

    return digest_of


def edited(name: str, old: str, new: str) -> dict[str, str]:
    assert old in FILES[name]
    return {name: FILES[name].replace(old, new)}


def test_another_clone_has_the_same_digest(digest):
    assert digest() == digest()


@pytest.mark.parametrize(
    "change",
    [
        edited("trimtab/saes/train.py", "# one more", "# one more, since ids count from 1"),
        edited("trimtab/saes/train.py", '"""Train."""', '"""Train an SAE."""'),
        edited("trimtab/saes/train.py", '    """Train."""\n', ""),
        edited("trimtab/saes/train.py", "(x) + 1", "(\n        x\n    ) + 1"),
        edited("trimtab/files.py", "SIZE = 1", 'SIZE = 1\n"""Bytes."""'),
        edited("trimtab/__init__.py", "The package.", "A package."),
        edited("scripts/fit.py", "Rule fit.", "Fit."),
    ],
)
def test_looks_do_not_count(digest, change):
    assert digest(change) == digest()


@pytest.mark.parametrize("name", sorted(USED))
def test_an_edit_in_any_module_that_is_used_counts(digest, name):
    assert digest({name: FILES[name] + "\nadded = 1\n"}) != digest()


def test_an_edit_in_the_script_counts(digest):
    assert digest(edited("scripts/fit.py", "run(thing)", "run(2)")) != digest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "'a'"),
        ("1", "1.0"),
        ("'None'", "None"),
        ("[1, [2]]", "[[1], 2]"),
        ("f(a, b)", "f((a, b))"),
        ("f(a, b=c)", "f(a, *b, c)"),
        ("lambda: a", "lambda a: a"),
    ],
)
def test_code_that_nearly_says_the_same_counts(digest, one, other):
    first, second = (digest({"trimtab/late.py": f"thing = {text}\n"}) for text in (one, other))
    assert first != second


def test_an_edit_in_a_module_that_is_not_used_does_not_count(digest):
    assert digest(edited("trimtab/other.py", "width = 1", "width = 2")) == digest()


def test_the_name_of_the_script_does_not_count(digest):
    assert digest({"scripts/saes_fit.py": FILES["scripts/fit.py"]}, "scripts/saes_fit.py") == digest()


def test_code_that_moves_between_modules_counts(digest):
    swapped = {"trimtab/late.py": FILES["trimtab/saes/names.py"], "trimtab/saes/names.py": FILES["trimtab/late.py"]}
    assert digest(swapped) != digest()


def test_modules_are_found_through_every_form_of_import(digest, tmp_path):
    digest()
    found = modules(tmp_path / "0/scripts/fit.py", tmp_path / "0/trimtab")
    assert {str(path.relative_to(tmp_path / "0")) for path in found.values()} == USED
    assert sorted(found) == [
        "trimtab",
        "trimtab.files",
        "trimtab.late",
        "trimtab.saes",
        "trimtab.saes.names",
        "trimtab.saes.train",
        "trimtab.seeds",
    ]


def test_an_import_of_nothing_is_told(digest, tmp_path):
    with pytest.raises(TrimtabError) as raised:
        digest(edited("scripts/fit.py", "trimtab.late", "trimtab.later"))
    folder = tmp_path / "0"
    assert str(raised.value) == (
        f"{folder}/scripts/fit.py, line 7: imports trimtab.later, and {folder}/trimtab has no such module"
    )


def test_what_is_not_python_is_told(digest, tmp_path):
    with pytest.raises(TrimtabError) as raised:
        digest({"trimtab/late.py": "thing =\n"})
    assert str(raised.value).startswith(f"{tmp_path}/0/trimtab/late.py: can't be read as Python (invalid syntax")


def test_a_file_is_read_once_a_process(digest, tmp_path):
    first = digest()
    folder = tmp_path / "0"
    for name in FILES:
        os.remove(folder / name)
    assert code_digest(folder / "scripts/fit.py", folder / "trimtab") == first


@pytest.fixture
def remembering(tmp_path, monkeypatch):
    """Where Snakemake works: two equal projects, and the digest of one as a new process takes it."""
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def digest_of(folder: Path) -> str:
        # as a new process has it
        _remembered.cache_clear()
        found = code_digest(folder / "scripts/fit.py", folder / "trimtab")
        keep()
        return found

    yield folders, digest_of
    _remembered.cache_clear()


def test_what_texts_came_to_is_remembered_from_one_process_to_the_next(remembering, monkeypatch):
    (first, second), digest_of = remembering
    before = digest_of(first)
    assert MEMORY.is_file()
    # nothing is read as Python any more
    monkeypatch.setattr(digests.ast, "parse", None)
    assert digest_of(second) == before


@pytest.mark.parametrize("edit", ["text", "memory cut off", "memory of other code", "memory of nothing"])
def test_a_memory_is_never_taken_for_another_text(remembering, edit):
    (first, second), digest_of = remembering
    before = digest_of(first)
    late = second / "trimtab/late.py"
    times = late.stat()
    match edit:
        case "text":
            # of the same length, and of the same time
            late.write_text("thing = 2\n")
            os.utime(late, ns=(times.st_atime_ns, times.st_mtime_ns))
        case "memory cut off":
            MEMORY.write_bytes(MEMORY.read_bytes()[:-9])
        case "memory of other code":
            known = json.loads(MEMORY.read_text())
            false = {key: ["0", imports] for key, (_, imports) in known["texts"].items()}
            MEMORY.write_text(json.dumps({"maker": "another", "texts": false}))
        case "memory of nothing":
            MEMORY.write_text("[]")
    assert (digest_of(second) == before) == (edit != "text")


def test_a_memory_of_more_than_is_kept_begins_anew(remembering, monkeypatch):
    (first, second), digest_of = remembering
    monkeypatch.setattr(digests, "MOST", len(USED) + 1)
    digest_of(first)
    texts = json.loads(MEMORY.read_text())["texts"]
    # the script and what it uses, of which two are alike or none
    assert len(texts) == len({FILES[name] for name in [*USED, "scripts/fit.py"]})
    (second / "trimtab/late.py").write_text("thing = 3\n")
    digest_of(second)
    again = json.loads(MEMORY.read_text())["texts"]
    assert len(again) == len(texts)
    assert len(again.keys() - texts.keys()) == 1


def test_what_a_method_says_of_itself_is_no_code(tmp_path):
    package = tmp_path / "library"
    package.mkdir()
    (package / "__init__.py").write_text("")
    digests = []
    for number, text in enumerate(['LABEL = "a"\nx = 1\n', 'LABEL = "b"\nx = 1\n', 'LABEL = "a"\nx = 2\n']):
        script = tmp_path / f"{number}.py"
        script.write_text(text)
        digests.append(code_digest(script, package))
    assert digests[0] == digests[1] != digests[2]


def test_the_digest_of_this_project_needs_none_of_its_imports():
    package = Path(__file__).parents[2] / "workflow" / "trimtab"
    assert set(modules(package / "artifacts/digest.py", package)) == {"trimtab", "trimtab.errors", "trimtab.wording"}


LOADER = """
import json, runpy, sys

for script in sys.argv[1:]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "trimtab"]:
        del sys.modules[name]
    runpy.run_path(script, run_name="loaded")
    print(json.dumps([script, [name for name in sys.modules if name.partition(".")[0] == "trimtab"]]))
"""


@pytest.mark.slow
def test_what_programs_drawn_at_random_load_of_the_library_is_in_their_digests():
    """What Python itself loads, against what the digest reads."""
    drawn = random.SystemRandom().sample(sorted((LIBRARY.parent / "scripts").glob("*.py")), 4)
    words = [sys.executable, "-c", LOADER, *map(str, drawn)]
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY.parent)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(drawn)
    for script, loaded in lines:
        assert set(loaded) <= set(modules(Path(script), LIBRARY)), script


@pytest.mark.parametrize(("imports", "counts"), [("import other_one", True), ("import json", False), ("", False)])
def test_the_version_of_what_a_module_imports_counts(tmp_path, monkeypatch, imports, counts):
    (tmp_path / "trimtab").mkdir()
    (tmp_path / "trimtab/__init__.py").touch()
    found = []
    for version in ("1.0", "1.1"):
        site, script = tmp_path / version, tmp_path / f"{version}.py"
        (site / "other_one.dist-info").mkdir(parents=True)
        (site / "other_one.dist-info/METADATA").write_text(f"Name: other_one\nVersion: {version}\n")
        script.write_text(f"{imports}\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(site)
            _release.cache_clear()
            found.append(code_digest(script, tmp_path / "trimtab"))
    assert (found[0] != found[1]) == counts


@pytest.mark.slow
def test_a_training_that_was_cut_off_knows_the_library_it_ran_on():
    """Scripts that go on from a checkpoint ask for the digest themselves."""
    for name in ("saes_train", "saes_stream"):
        script = LIBRARY.parent / "scripts" / f"{name}.py"
        assert "digest.code_digest(Path(__file__), digest.LIBRARY)" in script.read_text()
        assert {"trimtab.saes.train", "trimtab.saes.dictionary"} <= modules(script, LIBRARY).keys()
