"""What a user sees while it runs: the plan, rates, losses."""
