"""Pictures of the pages are legible on any ground: their ink is dark, and the white behind it is their own."""

import re
import subprocess
from itertools import accumulate
from pathlib import Path

import pytest
from chromium import CHROMIUM, FLAGS
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
SHAPE = re.compile(r'viewBox="0 0 (\S+) (\S+)"')
WIDE = 900
DARK = "#1e2129"
"""What the site's dark scheme has behind its text."""


def luminance(colour: tuple[int, int, int]) -> float:
    """As WCAG has it, of 0 to 1."""
    shares = [part / 255 for part in colour]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_pictures_bring_the_ground_that_their_ink_is_drawn_for(tmp_path: Path) -> None:
    shown = sorted({(page.parent / link).resolve() for page in PAGES for link in PICTURE.findall(page.read_text())})
    assert len(shown) > 5
    shapes = [SHAPE.search(path.read_text()) for path in shown]
    heights = [round(WIDE * float(shape[2]) / float(shape[1])) for shape in shapes if shape]
    style = f"body {{ margin: 0; background: {DARK} }} img {{ display: block; width: {WIDE}px }}"
    pictures = [f'<img src="{path.as_uri()}" height="{high}">' for path, high in zip(shown, heights, strict=True)]
    (tmp_path / "page.html").write_text(f"<style>{style}</style><body>{''.join(pictures)}")
    screen = [f"--window-size={WIDE},{sum(heights)}", f"--screenshot={tmp_path / 'screen.png'}"]
    command = [str(CHROMIUM), *FLAGS, *screen, f"--user-data-dir={tmp_path / 'profile'}", "page.html"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    seen = Image.open(tmp_path / "screen.png").convert("RGB")
    for path, high, top in zip(shown, heights, accumulate(heights, initial=0), strict=False):
        part = seen.crop((0, top, WIDE, top + high))
        edges = [part.getpixel((x, y)) for x in (3, WIDE - 4) for y in (3, high - 4)]
        assert set(edges) == {(255, 255, 255)}, path
        inks = [luminance(colour) for count, colour in part.getcolors(WIDE * high) if count >= 20]
        # 7 to 1, which WCAG asks of text at its strictest, between white and the darkest of the ink
        assert 1.05 / (min(inks) + 0.05) >= 7, path
