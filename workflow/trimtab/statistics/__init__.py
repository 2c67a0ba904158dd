"""From rollouts to estimates: what each condition changed, how sure that is, and along how many axes."""
