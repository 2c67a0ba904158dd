"""What is done to the residual stream, at which tokens, and forward passes that have it done."""
