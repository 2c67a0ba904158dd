"""Draws what a change reruns, from the tables that test_reruns.py checks, to reruns.svg beside this file.

PYTHONPATH=workflow python tests/workflow/drawn.py
"""

import sys
from collections.abc import Collection
from html import escape
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from test_reruns import CODE, CONFIG, PACKAGES  # noqa: E402

FILE = Path(__file__).with_name("reruns.svg")
STAGES = {
    "model": ["manifest", "preflight", "action_calibration"],
    "prompts": ["transcripts", "corpus", "scenarios", "contrast_trait", "contrast"],
    "activations": ["corpus_cache", "contrast_cache"],
    "saes": ["sae", "sae_again", "sae_agreement", "sae_quality", "sae_examples"],
    "probes": ["probe", "probe_layers", "probe_scores"],
    "vectors": ["vectors", "vector_tables", "vectors_stability", "decisions", "chance", "vectors_comparison"],
    "rollouts": ["room", "conditions", "rollouts", "outcomes"],
    "evaluations": ["evaluation", "evaluations_effects"],
    "statistics": ["statistics_effects"],
    "report": ["report_figures", "report_page"],
}
RULES = [rule for rules in STAGES.values() for rule in rules]
LEFT, TOP, STEP, ROW, RADIUS = 330, 118, 19, 16, 5


def colour(rule: str, jobs: Collection[str], existing: Collection[str]) -> str | None:
    """Of a rule's dot; None where no job of it is among `jobs`. `existing` are jobs of the experiment as it was."""
    mine, before = ({job for job in each if job.split()[0] == rule} for each in (jobs, existing))
    if not mine:
        return None
    return "#1f5a8a" if before <= mine else "#9cc3e0"


def svg() -> str:
    tables = {"a setting of the config": CONFIG, "code of a module": CODE, "another version of a package": PACKAGES}
    # a change of code adds no job
    existing = {"conditions common"}.union(*CODE.values())
    width, height = LEFT + STEP * len(RULES) + 60, TOP + ROW * (sum(map(len, tables.values())) + 2 * len(tables)) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        ' font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="13" font-weight="bold">What a change reruns: {sum(map(len, tables.values()))}'
        " changes, each checked by a dry run</text>",
        '<text x="10" y="40">dark: all jobs of the rule; pale: some of them, or new ones alone</text>',
    ]
    for at, rule in enumerate(RULES):
        x = LEFT + STEP * at
        parts.append(f'<text transform="translate({x + 3} {TOP - 8}) rotate(-55)">{rule}</text>')
    y = TOP
    for title, table in tables.items():
        y += ROW
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{title}</text>')
        for change, jobs in table.items():
            y += ROW
            parts.append(f'<text x="20" y="{y}">{escape(change)}</text>')
            parts.append(f'<line x1="{LEFT - 8}" x2="{width - 62}" y1="{y - 4}" y2="{y - 4}" stroke="#ddd"/>')
            for at, rule in enumerate(RULES):
                if fill := colour(rule, jobs, existing):
                    parts.append(f'<circle cx="{LEFT + STEP * at}" cy="{y - 4}" r="{RADIUS}" fill="{fill}"/>')
        y += ROW
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    FILE.write_text(svg())
