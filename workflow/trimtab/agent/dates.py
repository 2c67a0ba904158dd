"""The date that chat templates tell, so that a prompt is the same every day.

Some take it as a text (`date_string`), others ask the library's `strftime_now`, which reads the clock and can't be
replaced by an argument: only data reach a template. A macro of that name before the template stands in its place.
"""

from datetime import datetime

DATE = datetime(2026, 1, 1)
TEXT = DATE.strftime("%d %b %Y")
ASKED = "strftime_now"
PARTS = ("%-d", "%e", "%Y", "%y", "%m", "%d", "%B", "%b", "%A", "%a", "%H", "%I", "%M", "%S", "%p", "%j", "%F", "%T")


def dated(template: str) -> str:
    """A template that is told `DATE` when it asks for the time."""
    if ASKED not in template:
        return template
    told = "".join(f"|replace('{part}','{DATE.strftime(part)}')" for part in PARTS)
    return f"{{%- macro {ASKED}(format) -%}}{{{{- format{told} -}}}}{{%- endmacro -%}}{template}"
