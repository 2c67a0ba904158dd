"""What all settings have in common: frozen models of strict values, and kinds of values that several sections use.

A model's field is the only place that says what a key of the config is: its type and range, the default experiment's
value, and, in the text under it, its meaning, whose first sentence is quoted to whoever gets the key wrong. The check
of a config, config.yaml, the JSON schema and the reference of all keys are made from it (`trimtab.config`), and scripts
receive models.

A section inherits from its slices, the parts that single jobs need, so that a job's model can't see more. Pydantic
puts the last base's keys first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

AUTO = "auto"
DEFAULT = "default"
"""Name, in a field's JSON schema, of the value that the default experiment gives it."""

T = TypeVar("T")


class Settings(BaseModel):
    """Values of some keys of the config."""

    # validators are built when they are first asked for: Snakemake's start needs one of them, a job few
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def keys(cls, section: Mapping[str, Any]) -> list[str]:
        """Keys that this model takes from a section of the config; `section` counts where one key switches another."""
        return list(cls.model_fields)

    def record(self) -> dict[str, Any]:
        """The keys as they were given, for provenance."""
        return self.model_dump(exclude_unset=True)


def default(value: Any) -> Any:
    """A key that every experiment has; the default experiment's file, config.yaml, gives it this value."""
    # not a default of the model's: a job whose settings lack a key must not go on with another experiment's
    return Field(json_schema_extra={DEFAULT: value})


@dataclass(frozen=True)
class Text:
    """Annotation of a text that matches `pattern` from end to end."""

    pattern: str
    says: str
    """The pattern in words: what the text must be."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | {"pattern": f"^({self.pattern})$", "title": self.says}

    def _checked(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise PydanticCustomError("pattern", "not {says}", {"says": self.says})
        return value


@dataclass(frozen=True, eq=False)
class OneOf:
    """Annotation of a text that is one of some names, which a file gives and `Literal` can't list."""

    names: list[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.names))


@dataclass(frozen=True, eq=False)
class Schema:
    """Annotation that adds a keyword to a type's JSON schema: what a function checks, pydantic can't say there."""

    keyword: str
    value: Any

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | {self.keyword: self.value}


@dataclass(frozen=True, eq=False)
class OrWord:
    """Annotation of a list for which a word may stand in the file; the list takes its place before the check."""

    word: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"const": self.word}, handler(core)]}


def _as_written(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    handler(value)
    return value


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    for at, value in enumerate(values):
        if value in values[:at]:
            raise PydanticCustomError("repeated", "{value} is listed twice", {"value": value})
    return values


def _not_empty(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise PydanticCustomError("empty", "has fewer than 1 item(s)")
    return values


def _not_zero(value: float) -> float:
    if value == 0:
        raise PydanticCustomError("zero", "not other than 0")
    return value


WRITTEN = WrapValidator(_as_written)
"""Keeps a number as the file has it: 1 is not recorded as 1.0."""

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Number = Annotated[float, WRITTEN]
AboveZero = Annotated[float, Field(gt=0), WRITTEN]
AboveOne = Annotated[float, Field(gt=1), WRITTEN]
NotZero = Annotated[float, AfterValidator(_not_zero), Schema("not", {"const": 0}), WRITTEN]
NotNegative = Annotated[float, Field(ge=0), WRITTEN]
Share = Annotated[float, Field(ge=0, le=1), WRITTEN]
BelowOne = Annotated[float, Field(ge=0, lt=1), WRITTEN]
Percent = Annotated[float, Field(ge=0, le=100), WRITTEN]
OpenShare = Annotated[float, Field(gt=0, lt=1), WRITTEN]
Automatic = Positive | Literal["auto"]

Listed = Annotated[tuple[T, ...], Strict(False), AfterValidator(_distinct), Schema("uniqueItems", True)]
"""A list, which may be empty, of different values."""

Some = Annotated[Listed[T], AfterValidator(_not_empty), Schema("minItems", 1)]
"""A list of at least one."""
