"""What a run will cost, estimated before it is submitted; several runs in one call; and where one stands."""
