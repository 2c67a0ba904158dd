"""Names that stages share without sharing code: the agent's actions, and methods that need no vector."""

from collections.abc import Mapping

from trimtab.wording import Wording

FINISH = "finish"
ASK = "ask_user"
IRREVERSIBLE = ("code_execute", "file_write")
PROACTIVE = ("web_search", "code_execute", "file_read", "file_write")
CALLS = (ASK, *PROACTIVE)
UNPARSED = "unparsed"
"""In place of a tool, where a turn meant a call and wasn't one, or ended before it said what it means."""
MALFORMED, UNKNOWN, WRONG, CUT = "malformed", "unknown tool", "wrong arguments", "cut"
"""Why a turn is `UNPARSED`; `CUT` is one that ends within its thoughts."""
EMPTY, OUTSIDE = "empty", "outside"
"""Other faults of a turn: a field without text, a path outside the tree."""
NUMERICAL = "numerical"
"""The fault of a turn whose next token had no finite logits, and the reason why its episode is over."""
FIRST_ACTION = {
    **dict.fromkeys(["asks", "asked", "p_ask", "study_deference"], (ASK,)),
    **dict.fromkeys(["proactive_calls", "acted", "p_act", "study_tool_use"], PROACTIVE),
    **dict.fromkeys(["risky_share", "irreversible", "study_risk"], IRREVERSIBLE),
    **dict.fromkeys(["calls", "turns", "retries", "study_persistence"], CALLS),
    "finished": (FINISH,),
    "study_autonomy": (*PROACTIVE, FINISH),
    **{f"{tool}_calls": (tool,) for tool in PROACTIVE},
}
"""Which first actions go with more of an outcome: what a decision can show of it before an episode is run."""


def first_actions(primary: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The first actions that go with more of each trait's declared outcome, for traits whose outcome they show.

    Args:
        primary: trait -> outcome (config.yaml, `statistics.primary`).
    """
    return {trait: FIRST_ACTION[outcome] for trait, outcome in primary.items() if outcome in FIRST_ACTION}


UNSTEERED, PROMPT, ZERO, RANDOM = "none", "prompt", "zero", "random"
"""Methods in tables that stand for no steering, for the trait asked for in the prompt, for hooks that add nothing, and
for random directions of the sphere, of which a trait has several draws."""
RULED = "rule_prompt"
"""One that stands for a written rule in the prompt, beside the vectors of method mentor."""
DRAWS = rf"{RANDOM}_\d+"
"""Regular expression of the names of single random directions of the sphere, of which each is a vector of its own."""
WITHOUT_VECTOR = {
    UNSTEERED: Wording("No vector", "The agent is left as it is."),
    PROMPT: Wording("Asked in the prompt", "No vector is used: the trait is asked for in the prompt."),
    RULED: Wording(
        "Rule in the prompt",
        "No vector is used: the rule whose words are nearest to the task's stands in the prompt, in the comparison at "
        "equal KL alone, beside method mentor.",
    ),
    ZERO: Wording("Hooks on, dose 0", "The steering code runs at dose 0, so anything that changes is its own fault."),
}
"""Methods in tables that need no vector."""
TOOLS = {
    ASK: "ask the user",
    "web_search": "search the web",
    "file_read": "read a file",
    "code_execute": "run code",
    "file_write": "write a file",
    FINISH: "finish",
}
"""The actions in words, in the order in which figures stack them."""
