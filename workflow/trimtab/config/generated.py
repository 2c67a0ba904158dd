"""The files that say what a config may hold, made from the models: the default experiment, a schema and a reference."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from trimtab.settings.base import DEFAULT, Settings
from trimtab.settings.experiment import Experiment
from trimtab.settings.meanings import meanings

ROOT = Path(__file__).parents[3]
WIDTH = 120
COMMAND = "python -m trimtab.config write"

HEAD = f"""\
# The embedded default experiment: SmolLM2-135M-Instruct on a laptop, offline.
#
# Another experiment is a small YAML file with the keys that differ, given as `snakemake --configfile mine.yaml`
# (mappings are merged, lists are replaced). A rule sees only the keys its stage needs, so a change reruns only what
# depends on it. docs/config.md has the type and range of every key.
#
# Written by `{COMMAND}` from workflow/trimtab/settings.
"""


class _Described(GenerateJsonSchema):
    """With the meaning of each key, and without the titles that pydantic makes of their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        for name, text in meanings(schema["cls"]).items():
            made["properties"][name]["description"] = text
        return made


def files() -> dict[Path, str]:
    """Text of each generated file, by its path."""
    return {
        ROOT / "config.yaml": config_yaml(),
        ROOT / "workflow/schemas/config.schema.json": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
        ROOT / "docs/config.md": reference(),
    }


def schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of a config, for editors and other tools."""
    comment = f"Written by `{COMMAND}`. The check itself is trimtab.config, which also ties keys to one another."
    made = Experiment.model_json_schema(schema_generator=_Described)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": comment, **made}


def config_yaml() -> str:
    """The default experiment, each key under its meaning."""
    parts = ["\n".join(_entry(Experiment, name, "")) for name in Experiment.model_fields]
    return "\n\n".join([HEAD.rstrip("\n"), *parts]) + "\n"


def _entry(model: type[Settings], name: str, indent: str) -> Iterator[str]:
    field = model.model_fields[name]
    inner = _section(field)
    if inner is None:
        yield from _comment(meanings(model)[name], indent)
        yield from _value(name, _default(field), indent)
    else:
        yield from _comment(inner.__doc__ or "", indent)
        yield f"{indent}{name}:"
        for key in inner.model_fields:
            yield from _entry(inner, key, f"{indent}  ")


def _section(field: FieldInfo) -> type[Settings] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Settings) else None


def _default(field: FieldInfo) -> Any:
    extra = field.json_schema_extra
    if not isinstance(extra, dict):
        raise KeyError(f"no default for {field!r}")
    return extra[DEFAULT]


def _comment(text: str, indent: str) -> list[str]:
    # a line end of the source is no line end of the comment
    start = f"{indent}# "
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent=start, subsequent_indent=start)


def _value(name: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, dict) and value:
        return [f"{indent}{name}:", *(line for key, each in value.items() for line in _value(key, each, indent + "  "))]
    # in a list, as a bare scalar's dump ends in the mark of a document's end
    dumped = yaml.safe_dump([value], default_flow_style=True, width=10_000, allow_unicode=True)[1:-2]
    line = f"{name}: {dumped}"
    wrapped = textwrap.wrap(line, WIDTH - len(indent), subsequent_indent="  ") if isinstance(value, list) else [line]
    return [indent + each for each in wrapped]


def reference() -> str:
    """docs/config.md: every key with its type, range, default and meaning."""
    made = schema()
    lines = [
        "# The config, key by key",
        "",
        "An experiment is a YAML file with the keys that differ from [config.yaml](../config.yaml), given as",
        "`snakemake --configfile mine.yaml`. Mappings are merged key by key, lists and values are replaced. A slip is",
        "told in one line before the first job.",
        "",
        f"Written by `{COMMAND}` from `workflow/trimtab/settings`.",
    ]
    for title, text, rows in _tables("", made, made["$defs"]):
        lines += ["", f"## {title}" if title else "## Top level", "", *([text, ""] if text else [])]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _tables(path: str, node: dict[str, Any], known: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Title, text and rows of a mapping and, after it, of those inside."""
    rows, inside = [], []
    for name, entry in node["properties"].items():
        key = f"{path}.{name}".removeprefix(".")
        if model := _model(entry, known):
            inside.append((key, model))
        if "$ref" not in entry:
            default = _code(json.dumps(entry["default"], ensure_ascii=False)) if DEFAULT in entry else ""
            if default == "`null`" and name not in node.get("required", []):
                default = "may be left out"
            rows.append(
                f"| `{key}` | {_cell(_kind(entry, known))} | {default} | {_cell(entry.get('description', ''))} |"
            )
    if rows:
        yield path, " ".join(node.get("description", "").split()) if path else "", rows
    for key, model in inside:
        yield from _tables(key, model, known)


def _model(entry: dict[str, Any], known: dict[str, Any]) -> dict[str, Any] | None:
    """The mapping that a key holds, or holds many of."""
    for node in (entry, *entry.get("anyOf", []), entry.get("items"), entry.get("additionalProperties")):
        if isinstance(node, dict) and "$ref" in node:
            found = known[node["$ref"].rpartition("/")[2]]
            return found if "properties" in found else None
    return None


def _kind(node: dict[str, Any], known: dict[str, Any]) -> str:
    """A type and its range in words."""
    if "$ref" in node:
        return "mapping"
    if "anyOf" in node:
        return " or ".join(_kind(each, known) for each in node["anyOf"])
    if "enum" in node:
        return ", ".join(_code(each) for each in node["enum"])
    if "const" in node:
        return _code(node["const"])
    if node["type"] == "array":
        at_least = " (at least one)" if node.get("minItems") else ""
        return f"list{at_least}: {_kind(node['items'], known)}"
    if node["type"] == "object":
        return f"mapping: {_kind(node['additionalProperties'], known)}"
    words = [node.get("title", NOUNS[node["type"]])]
    words += [f"{said} {node[bound]:g}" for bound, said in BOUNDS.items() if bound in node]
    return ", ".join(words)


NOUNS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def _code(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
