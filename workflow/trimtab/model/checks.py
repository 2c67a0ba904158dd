"""Names of the preflight's checks, which the config's `model.accepted_failures` may name.

Apart from what runs them, so that the config's check needs no torch.
"""

CAPTURED = "captured rows equal hidden_states[layer + 1]"
ADDED = "hidden_states[layer] and the captured rows of attention and MLP add up to hidden_states[layer + 1]"
MODULE = "rows captured in a batch equal what a hook on plain transformers' module sees"
"""These two take the place of `CAPTURED` and `ROWS` where what a module adds is read."""

ROWS = "rows captured in a batch equal plain transformers' hidden states"
HOOKS = "no hook is left behind, after success or failure"
PLAIN = "each prompt alone equals plain transformers"
PADDED = "a left-padded prompt equals the unpadded one"
ZERO_DOSE = "a hook with dose 0 changes no bit"
SELECTOR = "a position selector touches exactly its tokens"
BATCHED = "batch of unequal lengths equals each prompt alone"
CHUNKS = "a prompt in chunks over the cache equals one piece"
SHARED = "rows that share a header equal each prompt alone"
SECOND_TURN = "a batched second turn over the cache equals the whole"
STEERED = "alike rows, one of them steered above the first layer, equal plain transformers"
SAME = "prepared linear layers give the products that plain ones give"

GROWING = (ZERO_DOSE, SELECTOR, BATCHED, CHUNKS, SHARED, SECOND_TURN, STEERED)
"""Checks of the batches that rollouts run in, which need a key-value cache."""

SERVED = "prompts together on vLLM equal plain transformers"
SERVED_AGAIN = "prompts that vLLM has in its cache equal plain transformers"
SERVED_STEERED = "a steered prompt among others on vLLM equals plain transformers"
SERVED_FIRST = "first tokens on vLLM are those of plain transformers"
SERVED_ROWS = "rows captured on vLLM equal plain transformers' hidden states"
ON_VLLM = (SERVED, SERVED_AGAIN, SERVED_STEERED, SERVED_FIRST, SERVED_ROWS)
"""Checks of vLLM, where it runs a part of the experiment (`trimtab.rollouts.served.preflight`)."""

ALL = (CAPTURED, ROWS, HOOKS, PLAIN, PADDED, *GROWING, SAME, ADDED, MODULE, *ON_VLLM)
"""All names that the config may accept the failure of."""
