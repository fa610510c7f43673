"""From loss to better weights: optimisers, learning-rate schedules, CPU threads."""
