"""Use cases: ask for a sync, hand work to the workers, do it, and mend what was lost on the way."""
