"""What a run will cost, estimated before it is submitted."""
