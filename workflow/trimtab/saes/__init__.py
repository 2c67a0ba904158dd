"""Sparse autoencoders: the dictionary (`topk`), its training (`train`), files (`files`) and figures (`quality`)."""
