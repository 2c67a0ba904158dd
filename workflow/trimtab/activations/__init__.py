"""Activation caches: residual-stream rows of prompts, in HDF5 files that can be opened anywhere.

Layout of a shard (`store` writes it, `reader` reads it, `capture` fills it):

    /layers/<layer>/rows   (tokens, d_model), the model's dtype; bfloat16 as its raw bits in uint16
    /index/prompt_id       (prompts,) text
    /index/offset          (prompts + 1,) rows of prompt i are offset[i] to offset[i + 1]
    /tokens/id             (tokens,) token ids
    /tokens/position       (tokens,) position of the token in its prompt

File attributes: `model`, `revision`, `hook`, `selection`, `dtype` (of the rows) and `provenance` (JSON). Every chunk
carries HDF5's fletcher32 checksum, which any HDF5 reader verifies. A file is written under a temporary name and
renamed when whole.
"""
