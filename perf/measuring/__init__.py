"""What the benchmarks share: measuring, models, peers, pictures."""
