"""Real transformers of each family at toy size, built from their config classes."""

import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    FalconH1Config,
    FalconH1ForCausalLM,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    OlmoeConfig,
    OlmoeForCausalLM,
    PreTrainedModel,
    Qwen3_5MoeForCausalLM,
    Qwen3_5MoeTextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCABULARY, LAYERS, D_MODEL = 97, 4, 32
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": D_MODEL,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
}


def llama(**changes: object) -> PreTrainedModel:
    return _build(LlamaForCausalLM, LlamaConfig(**{**SHAPE, **changes}))


def gpt2(**changes: object) -> PreTrainedModel:
    # as its config calls them
    shape = {"n_embd": D_MODEL, "n_layer": LAYERS, "n_head": 4}
    named = {name: {**SHAPE, **changes}[name] for name in ("vocab_size", "max_position_embeddings")}
    return _build(GPT2LMHeadModel, GPT2Config(**shape, **named))


def bloom(**changes: object) -> PreTrainedModel:
    # takes no positions, and any number of them
    taken = ("vocab_size", "initializer_range")
    shape = {name: value for name, value in {**SHAPE, **changes}.items() if name in taken}
    return _build(BloomForCausalLM, BloomConfig(**shape, hidden_size=D_MODEL, n_layer=LAYERS, n_head=4))


def gpt_neo(**changes: object) -> PreTrainedModel:
    shape = {name: {**SHAPE, **changes}[name] for name in ("vocab_size", "max_position_embeddings")}
    layers = [[["global", "local"], LAYERS // 2]]
    return _build(
        GPTNeoForCausalLM,
        GPTNeoConfig(
            **shape, hidden_size=D_MODEL, num_layers=LAYERS, num_heads=4, attention_types=layers, window_size=8
        ),
    )


def gemma3(**changes: object) -> PreTrainedModel:
    return _build(Gemma3ForCausalLM, Gemma3TextConfig(**{**SHAPE, **changes}, sliding_window=8))


def mixtral(**changes: object) -> PreTrainedModel:
    # as many experts as layers: the stack of layers must not be mistaken for theirs
    return _build(
        MixtralForCausalLM, MixtralConfig(**{**SHAPE, **changes}, num_local_experts=LAYERS, num_experts_per_tok=2)
    )


def qwen3_5_moe(**changes: object) -> PreTrainedModel:
    rope = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "partial_rotary_factor": 0.5,
        "mrope_section": [1, 1, 0],
        "mrope_interleaved": True,
    }
    return _build(
        Qwen3_5MoeForCausalLM,
        Qwen3_5MoeTextConfig(
            **{**SHAPE, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "rope_parameters": rope, **changes},
            full_attention_interval=4,
            linear_num_key_heads=2,
            linear_num_value_heads=2,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=16,
            shared_expert_intermediate_size=16,
        ),
    )


def qwen3(**changes: object) -> PreTrainedModel:
    return _build(Qwen3ForCausalLM, Qwen3Config(**{**SHAPE, **changes}))


def olmoe(**changes: object) -> PreTrainedModel:
    shape = {name: value for name, value in {**SHAPE, **changes}.items() if name != "head_dim"}
    return _build(OlmoeForCausalLM, OlmoeConfig(**shape, num_experts=LAYERS, num_experts_per_tok=2, eos_token_id=None))


def falcon_h1(**changes: object) -> PreTrainedModel:
    mamba = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_state": 8, "mamba_chunk_size": 8}
    return _build(FalconH1ForCausalLM, FalconH1Config(**{**SHAPE, **changes}, **mamba))


def mamba(**changes: object) -> PreTrainedModel:
    shape = {name: {**SHAPE, **changes}[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers")}
    return _build(MambaForCausalLM, MambaConfig(**shape, state_size=4, time_step_rank=4))


def gemma3_with_eyes(**changes: object) -> PreTrainedModel:
    vocabulary = {**SHAPE, **changes}["vocab_size"]
    # as many layers in the picture encoder as in the language model
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config=Gemma3TextConfig(**{**SHAPE, **changes}, sliding_window=8).to_dict(),
        vision_config={**vision, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        boi_token_index=vocabulary - 3,
        eoi_token_index=vocabulary - 2,
        image_token_index=vocabulary - 1,
    )
    return _build(Gemma3ForConditionalGeneration, config)


FAMILIES = {"llama": llama, "gpt2": gpt2, "gemma3": gemma3, "mixtral": mixtral, "qwen3_5_moe": qwen3_5_moe}
"""One of each kind of cache."""

ARCHITECTURES = FAMILIES | {
    "qwen3": qwen3,
    "olmoe": olmoe,
    "falcon_h1": falcon_h1,
    "mamba": mamba,
    "gemma3_with_eyes": gemma3_with_eyes,
}
"""What rows can be captured from."""

ALONE = {"bloom": bloom, "gpt_neo": gpt_neo}
"""What has rows that can't be padded."""


def loud(model: PreTrainedModel) -> PreTrainedModel:
    """The model with matrices 15 times as large, so that what it says depends on what it reads."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.mul_(15)
    return model


def _build(kind: type[PreTrainedModel], config: object) -> PreTrainedModel:
    torch.manual_seed(0)
    return kind(config).eval().requires_grad_(False)
