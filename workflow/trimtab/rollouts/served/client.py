"""vLLM as a server of requests, in this process or with workers of its own: started so that hooks run and the same
requests give the same tokens."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from trimtab.rollouts.chooser import Chooser
from trimtab.rollouts.episode import Choice
from trimtab.rollouts.served.keeping import Span
from trimtab.rollouts.served.requests import MOST_LIKELY, Reply, Request
from trimtab.settings.engine import EngineSettings
from trimtab.steering.edits import Edits
from trimtab.steering.gated import Opening
from trimtab.steering.packing import pack

OPTIONS = {
    "enforce_eager": True,
    "enable_prefix_caching": True,
    # tokens that are cached together: the fewest that attention on a processor takes
    "block_size": 32,
    # a pass after the next is planned before its tokens are known, and draws need to know how many there are
    "async_scheduling": False,
    "skip_tokenizer_init": True,
    "generation_config": "vllm",
    "load_format": "safetensors",
    "disable_log_stats": True,
}
ENVIRONMENT = {
    # hooks need the V1 model runner
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    # as many threads as OMP_NUM_THREADS says, on any core: jobs run side by side
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # a worker that is forked from a process which has computed can wait for ever for threads that it doesn't have
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "HF_HUB_OFFLINE": "1",
}


class VllmServer:
    """One model in vLLM."""

    def __init__(self, folder: Path, dtype: str, longest: int, engine: EngineSettings) -> None:
        """
        Args:
            longest: tokens of the longest sequence that is asked for.
        """
        # a config that says vllm has both
        assert engine.memory_mb is not None
        assert engine.vllm is not None
        workers = engine.vllm.tensor_parallel_size
        os.environ.update(ENVIRONMENT)
        if workers > 1 and "OMP_NUM_THREADS" in os.environ:
            # each worker computes with as many, and together they have this job's
            os.environ["OMP_NUM_THREADS"] = str(max(1, int(os.environ["OMP_NUM_THREADS"]) // workers))
        # after the environment, which vLLM reads
        from vllm import LLM

        from trimtab.rollouts.served.sampler import Draws
        from trimtab.rollouts.served.worker import SteeredWorker

        self._llm = LLM(
            str(folder),
            dtype=dtype,
            max_model_len=longest,
            kv_cache_memory_bytes=engine.memory_mb * 10**6 // workers,
            worker_extension_cls=f"{SteeredWorker.__module__}.{SteeredWorker.__name__}",
            logits_processors=[Draws],
            **OPTIONS,
            **{name: value for name, value in engine.vllm.record().items() if value is not None},
        )
        self._serial = count()
        self._call("trimtab_install")

    def _call(self, method: str, *given: Any) -> Any:
        """What every worker says: each has a share of the matrices, and all of what is drawn.

        Raises:
            RuntimeError: they don't say the same.
        """
        first, *others = self._llm.collective_rpc(method, args=given)
        if any(other != first for other in others):
            raise RuntimeError(f"{method}: vLLM's workers differ in what they computed alike")
        return first

    @property
    def tokens(self) -> int:
        """Whose keys and values vLLM has room for."""
        return int(self._llm.llm_engine.vllm_config.cache_config.kv_cache_size_tokens)

    def forget(self) -> None:
        """Have vLLM take nothing from its cache that it computed so far."""
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("vLLM can't empty its cache while requests run")

    def begin(self, chooser: Chooser, arms: Mapping[str, Edits]) -> None:
        """See `trimtab.rollouts.served.fields.Server`."""
        edits, tensors = packed(arms)
        self._call("trimtab_begin", json.dumps(asdict(chooser)), edits, tensors)

    def answer(self, requests: Sequence[Request], stops: Sequence[int]) -> list[Reply]:
        """See `trimtab.rollouts.served.fields.Server`."""
        return self.answer_with_logits(requests, stops)[0]

    def answer_with_logits(
        self, requests: Sequence[Request], stops: Sequence[int]
    ) -> tuple[list[Reply], dict[str, Tensor]]:
        """The same, and by their names the logits after the prompts of requests that keep them."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        prompts, params = [], []
        for order, tokens, salt in requests:
            # a salt of its own: what no other request has computed
            own = f"once {next(self._serial)}" if order.gated else salt
            prompts.append({"prompt_token_ids": tokens} | ({} if own is None else {"cache_salt": own}))
            params.append(
                SamplingParams(
                    temperature=0,
                    max_tokens=len(order.draws),
                    stop_token_ids=[] if order.acts else list(stops),
                    ignore_eos=True,
                    detokenize=False,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                    extra_args={"trimtab": order.text()},
                )
            )
        outputs = self._llm.generate(prompts, params, use_tqdm=False)
        text, logits = self._call("trimtab_end")
        told = json.loads(text)
        written = [output.outputs[0].token_ids for output in outputs]
        replies = [_reply(request, tokens, told) for request, tokens in zip(requests, written, strict=True)]
        return replies, from_bytes(logits)

    def answer_with_rows(
        self, requests: Sequence[Request], layers: Sequence[int]
    ) -> tuple[list[Span], dict[int, Tensor]]:
        """What was kept for requests that keep rows, of each of these layers, and whose tokens' rows these are."""
        self.begin(MOST_LIKELY, {})
        self._call("trimtab_keep", list(layers))
        self.answer(requests, [])
        spans, rows = self._call("trimtab_kept")
        kept = {int(layer): own for layer, own in from_bytes(rows).items()}
        return [Span(*each) for each in json.loads(spans)], kept


def _reply(request: Request, tokens: Sequence[int], told: Mapping[str, Any]) -> Reply:
    name, said = request.order.name, told["said"]
    choices: list[Choice | None] = [Choice(token) for token in tokens]
    if name in said:
        # the token that vLLM was left stands for what it can't say
        choices[-1] = None if said[name] is None else Choice(*said[name])
    return Reply(choices, [Opening(*each) for each in told["openings"].get(name, ())])


def packed(arms: Mapping[str, Edits]) -> tuple[str, bytes]:
    """The edits of each arm as a text and the bytes of their tensors."""
    told: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    for name, edits in arms.items():
        own, described = pack(edits)
        tensors |= {f"{name}/{key}": tensor.contiguous() for key, tensor in own.items()}
        behind = [None if edit.gate is None else id(edit.gate) for edit in edits]
        told[name] = {"edits": described, "gates": [None if gate is None else behind.index(gate) for gate in behind]}
    return json.dumps(told), to_bytes(tensors)
