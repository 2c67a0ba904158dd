"""What `benchmarks/validity.py` simulates, a module for each room whose promises are tried."""
