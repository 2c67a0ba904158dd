"""What users wait for, as the page's first table: before, what was to be reached, what was found, what bounds the rest.

"Before" and "reach" are those of the project's issue on speed. What was found is from the JSON files of the benches: of
`waits`, and of the others where a row is theirs. A row whose bench or part wasn't run says so.
"""

from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any, NamedTuple

from costs import largest
from figures import figure, ratios, spread

HEAD = ("what", "before", "reach", "now", "")
MINUTE, GIB = 60, 1024
NOT_MEASURED = "not measured"
Records = Mapping[str, Mapping[str, Any]]


class Found(NamedTuple):
    """What a row found."""

    now: str
    reached: bool
    bound: str
    """What keeps it from going further, in figures; for rows that were missed."""


class Row(NamedTuple):
    what: str
    before: str
    reach: str
    find: Callable[[Records], Found]
    """Raises KeyError where a bench or part wasn't run."""

    def cells(self, records: Records) -> list[str]:
        try:
            found = self.find(records)
        except KeyError as missing:
            return [self.what, self.before, self.reach, NOT_MEASURED, f"`{missing.args[0]}` wasn't run"]
        verdict = "reached" if found.reached else f"missed: {found.bound}"
        return [self.what, self.before, self.reach, found.now, verdict]


def part(records: Records, name: str) -> Any:
    parts = records["waits"]["parts"]
    return parts[name]


def section(records: Records) -> Iterator[str]:
    """The lines of the page's first section; none where `waits` wasn't run."""
    if "waits" not in records:
        return
    yield "## What users wait for\n"
    parts = records["waits"]["parts"]
    yield (
        "`benchmarks/waits.py`, of a finished default run and of copies of it; rows of other benches are cited from "
        "their sections below. Processor seconds (CPU-s) are of all processes of a call."
    )
    for name, one in parts.items():
        on = one["machine"]
        yield (
            f"{name.capitalize()}: code of {one['commit']}, {on['cores']} cores of {on['processor']}, "
            f"load {on['load']:.1f} when it began."
        )
    yield f"\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}"
    for row in ROWS:
        yield f"| {' | '.join(row.cells(records))} |"
    yield ""


def whole(records: Records) -> Found:
    found = part(records, "default")
    cores, wall = found["machine"]["cores"], found["wall"]
    least = found["cpu"] / cores / MINUTE
    busy = f"at least {found['cpu'] / MINUTE:.0f} CPU-minutes of {found['jobs']} jobs"
    took = "wall not known (`--touch`)" if wall is None else f"{wall / MINUTE:.0f} min of wall"
    now = f"{took}, in which jobs had {found['given']:.0%} of a core each; {busy}"
    reached = wall is not None and wall <= 15 * MINUTE
    bound = f"{busy} are {least:.0f} min on {cores} cores; by rule {largest(found['rules'])}"
    return Found(now, reached, f"{bound}. Snakemake looks every 30 s, and sees no job's last seconds")


def memory(records: Records) -> Found:
    found = part(records, "default")
    name, size = found["memory"]
    bound = f"`rollouts.memory_mb` gives rows of a batch {found['memory_mb']:,} MB; libraries and model come on top"
    return Found(f"{size / GIB:.1f} GiB, `{name}`", size <= 3 * GIB, bound)


def change(name: str, seconds: float) -> Callable[[Records], Found]:
    def find(records: Records) -> Found:
        plan = part(records, "plans")[name]
        jobs, cpu = sum(plan["jobs"].values()), sum(plan["rules"].values())
        planned = f"{jobs} jobs, which took {figure(cpu)} CPU-s in the default run: {largest(plan['rules'])}"
        one = records["waits"]["parts"].get(name)
        if one is None:
            return Found(f"not run; it makes anew {planned}", False, f"{figure(cpu)} CPU-s of jobs")
        now = f"{figure(one['wall'])} s of wall, {figure(one['cpu'])} CPU-s"
        own = sum(one["rules"].values())
        rest = one["cpu"] - own
        jobs = f"{one['count']} jobs of {figure(own)} CPU-s ({largest(one['rules'])})"
        bound = f"{jobs}, and {figure(rest)} CPU-s of Snakemake and of the ends of jobs that it doesn't see"
        return Found(now, one["wall"] <= seconds, bound)

    return find


def quality(records: Records) -> Found:
    cpu = part(records, "default")["rules"]["sae_quality"]
    seconds = part(records, "quality")["seconds"]
    own = {name: value for name, value in seconds.items() if name != "whole"}
    bound = f"of {figure(seconds['whole'])} CPU-s, run again: {largest(own, len(own))}"
    return Found(f"{figure(cpu)} CPU-s", cpu <= 60, bound)


def decisions(records: Records) -> Found:
    found, model = part(records, "default"), part(records, "model")
    cpu, read = sum(found["rules"][rule] for rule in ("decisions", "chance")), found["decisions"]
    tokens, rate = model["decision_tokens"], median(model["forward"])
    bound = (
        f"{figure(1000 * cpu / read)} CPU-ms a decision, lengths for the same KL included; of 120 CPU-s each would "
        f"have {figure(120_000 / read)} ms, in which the bare model reads {figure(120 / read * rate)} tokens, and a "
        f"decision has {figure(tokens)} of its own"
    )
    return Found(f"{figure(cpu)} CPU-s for {read:,} decisions", cpu <= 120, bound)


def start(records: Records) -> Found:
    found = part(records, "model")
    each = [imports + load for imports, load in zip(found["imports"], found["load"], strict=True)]
    bound = (
        f"imports {figure(median(found['imports']))} CPU-s, of which torch and transformers' class of the model alone "
        f"take {figure(median(found['bare']))}; loading the model {figure(median(found['load']))}"
    )
    return Found(f"{spread(each)} CPU-s", median(each) <= 2, bound)


def idle(records: Records) -> Found:
    found = part(records, "nothing")
    plan, run = (found[name] for name in ("plan", "run"))
    now = f"{spread(plan['wall'])} s, {spread(plan['cpu'])} CPU-s; a second run {spread(run['wall'])} s"
    return Found(now, median(plan["wall"]) <= 4, f"{spread(plan['cpu'])} CPU-s of it are the process's own")


def plan(records: Records) -> Found:
    bench = records["dag"]
    (task,) = {each["task"] for each in bench["rates"]}
    least = "two rules that do nothing"
    over = [1 / ratio for ratio in ratios(bench["rates"], task, "Trimtab", least)]
    same = ratios(bench["rates"], task, "Trimtab", f"{least}, with as many inputs")
    bound = f"{least}, with as many inputs a job, take {figure(median(same))} of its time"
    return Found(f"{spread(over)}x", median(over) <= 1.6, bound)


def shuffled(records: Records) -> Found:
    bench, steps = records["capture"], part(records, "reads")
    task = next(each["task"] for each in bench["rates"] if "page cache" in each["task"])
    epochs = ("first epoch", "five epochs")
    one, five = (ratios(bench["rates"], task, f"Trimtab, {name}", "raw sequential read") for name in epochs)
    raw, fill, check, serve = (
        median(steps[name]) for name in ("raw", "kernel to buffer", "checksum", "buffer to batch")
    )
    once, again = 1 / (1 / fill + 1 / check + 1 / serve) / raw, 1 / (1 / fill + 1 / serve) / raw
    rates = ", ".join(f"{figure(rate / 1e9)} GB/s" for rate in (fill, check, serve))
    bound = (
        f"a raw read copies a byte once, into a buffer in the processor's cache ({figure(raw / 1e9)} GB/s). A shuffled "
        "one copies it into a buffer beyond the cache, reads it for the checksum the first time, and copies its row "
        f"into a batch: {rates}. One after the other that is {figure(once)} of a raw read, {figure(again)} without the "
        "checksum; threads that copy and sum while another serves share the same memory"
    )
    return Found(f"{spread(one)}; five epochs {spread(five)}", median(five) >= 0.5, bound)


def capture(records: Records) -> Found:
    bench, model = records["capture"], part(records, "model")
    tasks = {each["contender"]: each["task"] for each in bench["rates"] if each["contender"] != "Trimtab"}
    over = ratios(bench["rates"], tasks["SAELens"], "Trimtab", "SAELens")
    bare = ratios(bench["rates"], tasks["nnsight"], "Trimtab", "bare forward pass to layer 26")
    share = median(model["forward"]) * model["operations"] / median(model["product"])
    bound = (
        f"it has {spread(bare)} of the rate of the bare forward pass, whose products of tokens and weights would take "
        f"{share:.0%} of its time at the rate that one such product reaches alone "
        f"({figure(median(model['product']) / 1e9)} billion operations a second)"
    )
    return Found(f"{spread(over)}x", median(over) >= 8, bound)


def dictionaries(records: Records) -> Found:
    rates = records["saes"]["rates"]
    tasks = list(dict.fromkeys(each["task"] for each in rates))
    over = {task: 1 / median(ratios(rates, task, "Trimtab", "encoder product alone, float32")) for task in tasks}
    now = ", ".join(f"{figure(value)} at {task}" for task, value in over.items())
    rest = ", ".join(figure(value - 1) for value in over.values())
    bound = f"beside the product a step takes {rest} of one: ranking, sparse decoding, its gradients, Adam"
    return Found(now, all(value <= 1.5 for value in over.values()), bound)


def ranked(records: Records) -> Found:
    rates = records["saes"]["rates"]
    tasks = list(dict.fromkeys(each["task"] for each in rates))
    ahead = {task: ratios(rates, task, "Trimtab, ranked in bfloat16", "sparsify") for task in tasks}
    now = ", ".join(f"{spread(values)} at {task}" for task, values in ahead.items())
    left = ", ".join(f"{3 / median(values) - 1:.0%}" for values in ahead.values() if median(values) < 3)
    bound = f"a step would have to be faster by {left}"
    return Found(now, all(median(values) >= 3 for values in ahead.values()), bound)


def roofline(records: Records) -> Found:
    rates = records["rollouts"]["rates"]
    limits = [each for each in rates if each["contender"].startswith("limit")]
    if not limits:
        raise KeyError("limit of the machine")
    episodes, steps = dict.fromkeys(each["task"] for each in limits)
    arithmetic, memory = dict.fromkeys(each["contender"] for each in limits)
    share = ratios(rates, episodes, "Trimtab", arithmetic)
    grown = [spread(ratios(rates, steps, "steered", limit)) for limit in (arithmetic, memory)]
    bound = (
        f"{steps} have {grown[0]} of the products' limit and {grown[1]} of reading the weights; attention, norms and "
        "choices stand beside the products, and neither limit counts them"
    )
    return Found(f"{spread(share)} of the products' limit", median(share) >= 0.5, bound)


ROWS = [
    Row("default, whole, fresh results, 2 cores", "17 to 25 min for less", "15 min", whole),
    Row("a change of one dose to a new report", "", "60 s", change("dose", 60)),
    Row("a change of one template to a new report", "", "3 min", change("template", 180)),
    Row("a change of the report's title to a new report", "", "10 s", change("title", 10)),
    Row("SAE quality of nine layers", "176 CPU-s", "60 CPU-s", quality),
    Row(
        "first decisions of all methods and 100 random directions, five traits", "325 CPU-s for 16 directions",
        "120 CPU-s",
        decisions,
    ),
    Row("start of a job that needs the model", "4 to 5 CPU-s", "2 CPU-s", start),
    Row("dry run with nothing to do, default", "8 s", "4 s", idle),
    Row("plan of 10,000 jobs, over Snakemake's own least", "2.6x", "1.6x", plan),
    Row(
        "shuffled read from the page cache, over a raw read", "0.14 to 0.26", "0.5, or the reason in bytes and copies",
        shuffled,
    ),
    Row("capture over nine SAELens hook runs", "5.9x", "8x, or the arithmetic limit", capture),
    Row("SAE step over its encoder product", "1.7", "1.5 at both shapes", dictionaries),
    Row("SAE step ranked in bfloat16, over sparsify", "2.2 and 1.6", "3x at both shapes", ranked),
    Row("rollouts over the arithmetic and memory limit of the same tokens", "unknown", "0.5", roofline),
    Row("memory of the largest job, default", "3.4 GB", "3 GB", memory),
]  # fmt: skip
