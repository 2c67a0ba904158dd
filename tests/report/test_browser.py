"""The page in a real browser: sorting, searching, copying, transcripts, accessibility, no message, no request."""

import csv
import io
import json
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from chromium import CHROMIUM, FLAGS
from fake_run import MARKUP

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"), pytest.mark.slow]

PROBE = """
<script>
const found = {}, ODD = __ODD__;
const raw = cell => cell.dataset.key ?? cell.textContent;
const column = (table, place) => [...table.tBodies[0].rows].map(row => raw(row.cells[place]));
const table = document.querySelector("#table-saes table"), head = table.tHead.rows[0].cells[2];
head.firstElementChild.click(); found.up = column(table, 2); found.sorted = head.getAttribute("aria-sort");
head.firstElementChild.click(); found.down = column(table, 2);
const names = document.querySelector("#table-saes table").tHead.rows[0].cells[1];
names.firstElementChild.click(); found.names = column(table, 1);
const study = document.querySelector("#table-study table");
study.tHead.rows[0].cells[8].firstElementChild.click(); found.undefined_last = column(study, 8);
const shown = () => document.getElementById("comparison").textContent;
found.first = shown();
const pick = (id, value) => {
  const select = document.getElementById(id); select.value = value; select.dispatchEvent(new Event("change"));
};
pick("scenario", "s01"); pick("left", "zero"); pick("right", "sae_probe.deference.all.+0.3");
found.second = shown();
found.headings = [...document.querySelectorAll("#comparison h3")].map(h => h.textContent);
const doses = document.querySelector("#table-doses table"), search = document.querySelector("#table-doses input");
found.rows = doses.tBodies[0].rows.length;
search.value = "Autonomy 0.30"; search.dispatchEvent(new Event("input"));
found.kept = shownRows(doses).slice(1).map(row => row.textContent);
found.csv = csv(doses); found.latex = latex(doses);
shownRows(doses)[1].cells[0].textContent = ODD;
found.escaped = latex(doses).split("\\n")[4].split(" & ")[0];
found.quoted = csv(doses);
found.short = document.querySelectorAll("#table-declared input").length;
found.images = document.images.length;
found.broken = window.broken ?? null;
found.requests = performance.getEntriesByType("resource").map(entry => entry.name);
const out = document.createElement("pre"); out.id = "probe"; out.textContent = JSON.stringify(found);
document.body.append(out);
</script>
"""

WRITTEN = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "→": "$\\to$",
    "²": "$^2$",
}
"""What LaTeX takes for a command or doesn't know, and how it has it."""
ODD = f'Say "{"x".join(WRITTEN)}", then'
"""What a cell may hold."""


def opened(folder: Path, page: Path, probe: str, *options: str) -> tuple[dict, str]:
    """What a probe at the end of a page leaves in an element of its name, and what the browser had to say."""
    copy = folder / "page.html"
    copy.write_text(page.read_text().replace("</body>", probe + "</body>"))
    command = [str(CHROMIUM), *FLAGS, *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    match = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert match, done.stderr[-2000:]
    text = match[1].replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u00a0").replace("&amp;", "&")
    return json.loads(text), done.stderr


@pytest.fixture(scope="module")
def browser(results: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    probe = PROBE.replace("__ODD__", json.dumps(ODD))
    return opened(tmp_path_factory.mktemp("browser"), results / "report/report.html", probe)


def test_tables_sort_by_value_both_ways(browser):
    found, _ = browser
    values = [float(key) for key in found["up"]]
    assert values == sorted(values)
    assert found["sorted"] == "ascending"
    assert [float(key) for key in found["down"]] == sorted(values, reverse=True)
    assert found["names"] == sorted(found["names"])


def test_undefined_values_sort_last(browser):
    keys = browser[0]["undefined_last"]
    known = [float(key) for key in keys if key]
    assert known == sorted(known)
    assert set(keys[len(known) :]) == {""}


def test_transcripts_compare_and_markup_shows_as_text(browser):
    found, _ = browser
    assert MARKUP in found["first"]
    assert found["broken"] is None
    assert found["images"] == 0
    assert "Task 1: sum the column" in found["second"]
    assert found["headings"] == [
        "Hooks on, dose 0",
        "SAE-decoded probe · Deference · dose 0.30, all tokens",
    ]


def test_a_search_keeps_the_rows_that_hold_its_words(browser):
    found, _ = browser
    assert 0 < len(found["kept"]) < found["rows"]
    assert all("Autonomy" in row and "0.30" in row for row in found["kept"])
    # ten rows need no search
    assert found["short"] == 0


def test_what_is_shown_is_copied(browser):
    found, _ = browser
    head, *rows = csv.reader(io.StringIO(found["csv"]))
    assert len(rows) == len(found["kept"])
    assert all("Autonomy" in row for row in rows)
    lines = found["latex"].splitlines()
    assert lines[0].startswith("\\begin{tabular}{l")
    assert [lines[1], lines[3], *lines[-2:]] == ["\\toprule", "\\midrule", "\\bottomrule", "\\end{tabular}"]
    assert all(line.count(" & ") == len(head) - 1 and line.endswith(" \\\\") for line in [lines[2], *lines[4:-2]])


def test_no_sign_of_a_cell_is_lost_in_what_is_copied(browser):
    found, _ = browser
    assert found["escaped"] == f'Say "{"x".join(WRITTEN.values())}", then'
    assert next(csv.reader(io.StringIO(found["quoted"].split("\n", 1)[1])))[0] == ODD


LEVELS = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']"
CONTRAST = "{type: 'rule', values: ['color-contrast']}"


@pytest.mark.parametrize(("scheme", "rules"), [("light", LEVELS), ("dark", CONTRAST)], ids=["light", "dark"])
def test_the_page_is_accessible(results, tmp_path, scheme, rules):
    """By axe, which looks at every element of a large page: half a minute, and far longer on a busy machine."""
    spec = find_spec("axe_playwright_python")
    axe = Path(spec.origin).with_name("axe.min.js").read_text().replace("</", "<\\/")
    asked = f"{{resultTypes: ['violations'], runOnly: {rules}}}"
    # no flag of the browser without a window gives it a dark system
    page = (results / "report/report.html").read_text().replace(f"(prefers-color-scheme: {scheme})", "(min-width: 0)")
    (tmp_path / "of_scheme.html").write_text(page)
    probe = f"""<script>{axe}</script><script>
        axe.run(document, {asked}).then(result => {{
            const out = document.createElement("pre"); out.id = "probe";
            const places = rule => rule.nodes.map(node => node.target.join(" ")).slice(0, 3);
            const found = result.violations.map(rule => [rule.id, rule.nodes.length, ...places(rule)]);
            out.textContent = JSON.stringify({{found}});
            document.body.append(out);
        }});</script>"""
    seen, _ = opened(tmp_path, tmp_path / "of_scheme.html", probe, "--virtual-time-budget=60000")
    assert seen == {"found": []}


@pytest.mark.parametrize("width", [1200, 390], ids=["desk", "phone"])
def test_the_first_screen_has_the_answers_picture_and_nothing_is_cut_off_at_the_right(results, tmp_path, width):
    # in a frame, since no window of the browser is narrower than 500 pixels
    told = """parent.postMessage({
        width: innerWidth,
        wide: document.documentElement.scrollWidth - innerWidth,
        picture: document.querySelector("#figure-forest svg").getBoundingClientRect().top / innerHeight,
    }, "*")"""
    page = (results / "report/report.html").read_text()
    (tmp_path / "framed.html").write_text(page.replace("</body>", f"<script>{told}</script></body>"))
    around = tmp_path / "around.html"
    around.write_text(
        f'<body><iframe src="framed.html" style="width: {width}px; height: 900px; border: 0"></iframe></body>'
    )
    probe = """<script>
        addEventListener("message", said => {
            const out = document.createElement("pre"); out.id = "probe";
            out.textContent = JSON.stringify(said.data);
            document.body.append(out);
        });
    </script>"""
    seen, _ = opened(tmp_path, around, probe, "--window-size=1300,1000", "--virtual-time-budget=20000")
    assert seen["width"] == width
    assert seen["wide"] <= 0
    assert seen["picture"] < 0.9


def test_no_request_and_no_console_message(browser):
    found, log = browser
    assert found["requests"] == []
    assert "CONSOLE" not in log
