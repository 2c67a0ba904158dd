"""Activation caches: rows of prompts at one site a layer, in HDF5 files that can be opened anywhere.

Layout of a shard, format `trimtab activations 2` (`capture` computes the rows, `layout` and `store` write the file,
`shards` ties these together; `reader` reads it, `check` verifies it):

    /layers/<layer>/rows   (tokens, d_model), the model's dtype; bfloat16 as its raw bits in uint16, attribute `dtype`
    /index/prompt_id       (prompts,) text
    /index/offset          (prompts + 1,) rows of prompt i are offset[i] to offset[i + 1]
    /tokens/id             (tokens,) token ids
    /tokens/position       (tokens,) position of the token in its sequence, context included

File attributes, all text: `format`, `model`, `revision`, `weights` (digest of the manifest's weight hashes), `hook`,
`selection`, `dtype` (of the rows), `provenance` (JSON), `identity` (digest of all that the rows depend on, code
included) and `index_sha256` (digest of the other attributes, the index and the tokens).

A chunk holds whole rows of one layer and is followed by HDF5's fletcher32 checksum, which any HDF5 reader verifies; the
file's structure has HDF5's own checksums (HDF5 1.10 or later). A shard is written under `.<name>.part` beside its
place, while its one writer holds `.<name>.lock`, and renamed when whole. The same prompts, model, settings, code and
versions give the same bytes, stopped on the way or not.
"""
