"""docs/first-hour.md, step by step: its files are written as the page says, and its commands run on a toy model.

Of Snakemake's commands, those that name prompts run as they stand; the others are planned to the last job. The whole
experiment isn't run here: others are (tests/workflow).
"""

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from project import JOB, ROOT, Project
from recorded import scenario
from snakemake.utils import update_config

from trimtab.agent.turn import Turn, table
from trimtab.config.check import check
from trimtab.jobs.origins import Origins
from trimtab.rollouts.conditions import trait_conditions

PAGE = (ROOT / "docs/first-hour.md").read_text()
STEP = re.compile(r"^## (.+)\n", re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PLACE = re.compile(
    r"# (\S+\.\w+)(?:, right (under|above) the line `(.*)`|, (in place of) the line that begins alike)?\n"
)
"""The first line of a block that goes into a file."""


def steps() -> dict[str, list[tuple[str, str]]]:
    """Title -> blocks, each its language and text."""
    _, *parts = STEP.split(PAGE)
    return {title: BLOCK.findall(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


class Reader:
    """Does what the page says, in a copy of the project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.known = project.command()
        self.known["env"]["PYTHONPATH"] = str(project.folder / "workflow")
        # a file of that name is the page's to write
        (project.folder / "mine.yaml").unlink()

    def read(self, title: str) -> list[str]:
        """Write a step's files and run its commands; what each of these said."""
        return [said for language, text in steps()[title] for said in self._follow(language, text)]

    def _follow(self, language: str, text: str) -> Iterator[str]:
        if language == "sh":
            yield from map(self._run, text.splitlines())
        elif place := PLACE.match(text):
            name, side, line, instead = place.groups()
            path = self.project.folder / name
            path.write_text(self._placed(path, text, side, line, instead))

    @staticmethod
    def _placed(path: Path, text: str, side: str | None, line: str | None, instead: str | None) -> str:
        if instead:
            lines = path.read_text().splitlines(keepends=True)
            (at,) = [at for at, old in enumerate(lines) if old.split(":")[0] == text.splitlines()[1].split(":")[0]]
            return "".join([*lines[:at], text, *lines[at + 1 :]])
        if side is None:
            return text
        before, found, after = f"\n{path.read_text()}".partition(f"\n{line}\n")
        assert found
        assert f"\n{line}\n" not in after
        return (before + (found + text if side == "under" else f"\n{text}{found[1:]}") + after)[1:]

    def _run(self, line: str) -> str:
        words = shlex.split(line.replace("/models/Qwen3-0.6B", "tiny-llama"))
        if words[0] == "snakemake":
            # what isn't prompts is planned alone
            if not any("/prompts/" in word for word in words):
                words.insert(1, "--dry-run")
            words[0:1] = ["python", "-m", "snakemake"]
        if words[0] == "python":
            words[0] = str(self.project.python)
        known = {**self.known, "args": words}
        done = subprocess.run(**known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        return str(done.stdout)


@pytest.fixture(scope="module")
def reader(new_project: Callable[[], Project]) -> Reader:
    return Reader(new_project())


def jobs(said: str) -> set[str]:
    """Rules that a dry run lists."""
    return {rule for rule, _ in JOB.findall(said)}


def test_the_five_steps_come_between_the_setting_up_and_the_effect() -> None:
    assert [*steps()] == [
        "Set up",
        *(
            "1. Your own model",
            "2. Your own trait",
            "3. Your own scenario",
            "4. Your own outcome",
            "5. Your own method",
        ),
        "The effect",
    ]


def test_a_model(reader: Reader) -> None:
    told, planned = reader.read("1. Your own model")
    assert "mine.yaml is written; then:\n  snakemake --configfile mine.yaml -- results/mine/model/preflight" in told
    assert jobs(planned) == {"manifest", "preflight"}


def test_a_trait(reader: Reader) -> None:
    _, _, found, planned, _ = reader.read("2. Your own trait")
    assert f"\n{found.strip()} prompts: " in PAGE
    assert {"probe", "vectors", "rollouts", "statistics_effects", "report_page"} < jobs(planned)
    assert "wildcards: trait=curiosity" in planned
    assert "trait=autonomy" not in planned


def test_a_scenario(reader: Reader) -> None:
    _, found = reader.read("3. Your own scenario")
    assert f"\n{found.strip()}: it is among the twenty" in PAGE


def turn(seed: int, at: int, tool: str) -> Turn:
    keys = {"condition_id": "c", "scenario_id": "s", "seed": seed, "turn": at}
    texts = dict.fromkeys(("messages", "call", "prompt", "thought", "argument", "observation", "finish_reason"), "")
    return Turn(**keys, **texts, tool=tool, ok=True, fault="", ignored_calls=0, tokens=5, thought_ended=True)


def counted(project: Project, episodes: Sequence[Sequence[str]]) -> pd.DataFrame:
    """The table of outcomes by the project's own file, of rollouts that call these tools."""
    spec = importlib.util.spec_from_file_location("own", project.folder / "workflow/trimtab/rollouts/outcomes.py")
    assert spec is not None
    assert spec.loader is not None
    own = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(own)
    turns = [turn(seed, at, tool) for seed, tools in enumerate(episodes) for at, tool in enumerate(tools)]
    return own.outcomes(table(turns), [scenario("file_write")])


def test_an_outcome(reader: Reader) -> None:
    episodes = [("web_search", "file_read"), ("file_read", "web_search"), ("finish",)]
    assert "searched_first" not in counted(reader.project, episodes)
    reader.read("4. Your own outcome")
    found = counted(reader.project, episodes)
    assert found["searched_first"].tolist() == [1, 0, 0]
    assert found["web_search_calls"].tolist() == [1, 1, 0]


def test_a_method_and_all_that_follows(reader: Reader) -> None:
    """The experiment of all five steps is planned to its report, and has the conditions that the page speaks of."""
    reader.read("5. Your own method")
    (planned,) = reader.read("The effect")
    assert "report_page" in jobs(planned)
    assert "median_difference" in planned
    folder = reader.project.folder
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for name in ("mine.yaml", "hour.yaml"):
        update_config(config, yaml.safe_load((folder / name).read_text()))
    assert config["statistics"]["primary"]["curiosity"] == "searched_first"
    # this process has the library as it is, without the page's method and outcome
    config["vectors"]["methods"].remove("median_difference")
    config["rollouts"]["grid"] = []
    config["statistics"]["primary"]["curiosity"] = "web_search_calls"
    config["model"]["source"] = str(folder / "tiny-llama")
    design = check(config, Origins()).rollouts
    ids = [each.condition_id for each in trait_conditions("curiosity", 1, design)]
    assert {"behaviour.curiosity.all.+0.1", "mean_difference.curiosity.all.+0.1"} < set(ids)
    assert '"behaviour.curiosity.all.+0.1"' in PAGE
    assert sum(each.startswith("random.") for each in ids) == 20


def test_the_effect_is_printed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """No row or column is left out where a terminal is narrow."""
    (code,) = [text for language, text in steps()["The effect"] if language == "python"]
    names = {"condition_id": "behaviour.curiosity.all.+0.1", "baseline_id": "unsteered", "outcome": "searched_first"}
    rows = [
        {
            **names,
            "estimand": "share_of_random_as_large",
            "estimate": at + 0.123457,
            "lower": -0.154651,
            "upper": 1.054651,
        }
        for at in range(9)
    ]
    (tmp_path / "results/mine/statistics").mkdir(parents=True)
    columns = ("p", "p_corrected", "family", "n_scenarios", "n_seeds", "method", "margin")
    table = pd.DataFrame(rows).assign(**dict.fromkeys(columns, 0.031250))
    table.to_csv(tmp_path / "results/mine/statistics/effects.csv", index=False)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "first-hour.md", "exec"), {})
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["estimand", "estimate", "lower", "upper", "p"]
    assert [line.split()[2:] for line in lines] == [
        [f"{at}.123457", "-0.154651", "1.054651", "0.03125"] for at in range(9)
    ]


def test_the_method_is_that_of_the_other_pages() -> None:
    (block,) = [text for language, text in steps()["5. Your own method"] if language == "python"]
    for page in ("README.md", "docs/vectors.md"):
        assert f"```python\n{block}```" in (ROOT / page).read_text()
