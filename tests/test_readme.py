"""What docs/rules.md shows of the DAG is the DAG."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_rule_graph_is_the_workflows_own(tmp_path):
    # somewhere else, so that no results are looked at
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")
    words = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    done = subprocess.run([*words, "--rulegraph", "mermaid-js"], capture_output=True, text=True, check=True, cwd=ROOT)
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", done.stdout))
    edges = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", done.stdout)}
    shown = re.findall(r"^    (\w+) --> (\w+)$", (ROOT / "docs/rules.md").read_text(), flags=re.MULTILINE)
    assert set(shown) == {(a, b) for a, b in edges if b != "all"}
