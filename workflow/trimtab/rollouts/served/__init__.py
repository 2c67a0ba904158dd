"""Episodes on vLLM: requests of a field each, edited and drawn inside vLLM's worker by the code that steers passes of
`transformers`. `fields` and `requests` know nothing of vLLM; `client`, `worker` and `sampler` do."""
