"""The one self-contained HTML page: artifacts in, text out, nothing loaded from anywhere.

The template (`workflow/report/page.html.j2`) holds layout, style and the small script; this module gathers what it
shows. Escaping is on for all of it, and text of the model reaches the page only as escaped text or inside JSON that the
script inserts as text. A content security policy in the page forbids every request.
"""

import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from trimtab.artifacts import files
from trimtab.artifacts.provenance import commit, versions
from trimtab.artifacts.trail import trail
from trimtab.errors import TrimtabError
from trimtab.report import (
    observations,
    tables_effects,
    tables_evaluations,
    tables_parts,
    tables_response,
    tables_structure,
    tables_vectors,
    words,
)
from trimtab.report.abstract import abstract
from trimtab.report.figures import plots
from trimtab.report.limitations import limitations
from trimtab.report.methods import methods, terms
from trimtab.report.run import WholeRun
from trimtab.report.templates import fill
from trimtab.report.transcripts import transcripts

SCALE = 1.25
"""Figures on the page, by their size in print."""


def render(run: WholeRun, figures: Path) -> str:
    """The page's HTML."""
    hashes = {str(path.relative_to(run.root)): files.sha256(path) for path in run.inputs()}
    evaluated = [*tables_evaluations.sections(run)]
    shown = [
        *(one for section in evaluated for one in section.tables),
        tables_effects.declared(run),
        tables_effects.controls(run),
        tables_effects.models(run),
        tables_response.doses(run),
        tables_response.contrasts(run),
        tables_response.fits(run),
        tables_response.tools(run),
        tables_structure.spectrum(run),
        tables_structure.coupling(run),
        tables_structure.prediction(run),
        tables_effects.study(run),
        tables_vectors.comparison(run),
        tables_vectors.not_made(run),
        *([] if run.best_of is None else [tables_vectors.best_of(run.best_of, run.plan)]),
        *([tables_vectors.drift(run.tables["drift"])] if "drift" in run.tables else []),
        *([tables_vectors.margins(run.tables["margins"])] if "margins" in run.tables else []),
        tables_vectors.dimensions(run),
        tables_vectors.stability(run),
        tables_parts.saes(run),
        tables_parts.probes(run),
        tables_parts.gaps(run),
        tables_parts.strengths(run),
        tables_parts.preflight(run),
        tables_parts.artifacts(hashes),
        tables_parts.links(trail(run.root, "statistics/summary.json")),
    ]
    return fill(
        "page.html.j2",
        title=run.config.report.title,
        experiment=run.config.experiment,
        model=words.model(run.manifest.model),
        manifest=run.manifest.record(),
        abstract=abstract(run),
        limitations=limitations(run),
        methods=methods(run),
        terms=terms(run),
        leads={
            lead.__name__: lead(run)
            for lead in (
                observations.checks,
                observations.doses,
                observations.timings,
                observations.interactions,
                observations.mix,
                observations.forecast,
            )
        },
        figures={name: inline_svg(figures / f"{name}.svg", name, plot.caption) for name, plot in plots(run).items()},
        plots=plots(run),
        tables={one.name: one for one in shown},
        evaluations=evaluated,
        transcripts=transcripts(run),
        compared=words.method(run.config.rollouts.study.method),
        settings=run.config.record(),
        commit=commit(),
        short_commit=commit().partition("+")[0][:12] if not commit().startswith("unknown") else "unknown",
        versions=versions(),
        summary=run.summary,
    )


def inline_svg(path: Path, name: str, description: str) -> Markup:
    """A figure's SVG element, its ids made the figure's own, with a text for readers who don't see it.

    Raises:
        TrimtabError: the figure has not been drawn.
    """
    if not path.exists():
        raise TrimtabError(f"{path}: not there; draw the figures first (rule report_figures)")
    svg = re.sub(r"^.*?(?=<svg)", "", path.read_text(), flags=re.DOTALL)
    svg = _slim(_renamed(re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL), name))
    # a page is read from farther away than a paper
    svg = re.sub(
        r'width="([\d.]+)pt" height="[\d.]+pt"', lambda m: f'width="{SCALE * float(m[1]):.1f}pt"', svg, count=1
    )
    label = Markup("<svg role='img' aria-label='{}'").format(description)
    # safe: drawn by us from numbers and our own labels
    return Markup(label + Markup(svg.removeprefix("<svg")))


def write_page(run: WholeRun, figures: Path, page: Path) -> None:
    """Render to `page`."""
    text: Any = render(run, figures)
    with files.atomic(page) as temporary:
        temporary.write_text(text)


def _renamed(svg: str, name: str) -> str:
    """Parts that others refer to are named by the figure and a number, and no other has a name: matplotlib names parts
    alike in every figure and at length, and ids of one page must differ."""
    ids: dict[str, str] = {}
    for found in re.findall(r'(?:href="|url\()#([^")]+)', svg):
        ids.setdefault(found, f"{name}-{len(ids)}")
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{ids[found[1]]}"' if found[1] in ids else "", svg)
    svg = svg.replace("xlink:href", "href")
    return re.sub(r'(href="|url\()#([^")]+)', lambda found: f"{found[1]}#{ids[found[2]]}", svg)


def _slim(svg: str) -> str:
    """Without blanks for people's eyes and digits far below a pixel."""
    svg = re.sub(r' (?:d|x|y)="[^"]*"|translate\([^)]*\)', lambda found: re.sub(r"(\d\.\d\d)\d+", r"\1", found[0]), svg)
    return re.sub(r"\n\s+", "\n", re.sub(r"\s+(?=\n|/>|\")", "", svg))
