"""The page in a real browser: sorting, comparing transcripts, no console message, no request."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fake_run import MARKUP

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"), pytest.mark.slow]

PROBE = """
<script>
const found = {};
const column = (table, place) => [...table.tBodies[0].rows].map(row => row.cells[place].dataset.key);
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
found.headings = [...document.querySelectorAll("#comparison h4")].map(h => h.textContent);
found.images = document.images.length;
found.broken = window.broken ?? null;
found.requests = performance.getEntriesByType("resource").map(entry => entry.name);
const out = document.createElement("pre"); out.id = "probe"; out.textContent = JSON.stringify(found);
document.body.append(out);
</script>
"""


@pytest.fixture(scope="module")
def browser(results: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """What the probe saw on the page, and what the browser had to say."""
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "page.html"
    page.write_text((results / "report/report.html").read_text().replace("</body>", PROBE + "</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    match = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert match, done.stderr[-2000:]
    text = match[1].replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u00a0").replace("&amp;", "&")
    return json.loads(text), done.stderr


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


def test_no_request_and_no_console_message(browser):
    found, log = browser
    assert found["requests"] == []
    assert "CONSOLE" not in log
