"""Sparse autoencoders: the dictionary (`sae`), training (`train`), files (`files`, `formats`), figures (`quality`)."""
