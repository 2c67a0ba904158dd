"""Every form of calls that is read, one module each; a new one is a module and its line here."""

from trimtab.agent.calls import (
    bare,
    deepseek,
    gemma,
    glm,
    harmony,
    hermes,
    json_marks,
    kimi,
    minimax,
    mistral,
    pythonic,
    qwen_xml,
)

FORMATS = (
    qwen_xml.FORMAT,
    glm.FORMAT,
    hermes.FORMAT,
    *json_marks.FORMATS,
    mistral.FORMAT,
    deepseek.FORMAT,
    kimi.FORMAT,
    minimax.FORMAT,
    pythonic.FORMAT,
    gemma.FORMAT,
    harmony.FORMAT,
    bare.FORMAT,
    pythonic.FORMAT_ALONE,
)
"""Where two begin at one place, the first that can is tried: forms that share a mark stand from the narrowest on."""
