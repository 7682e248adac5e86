"""What the README's performance table is made from: `python -m benchmarks` (`make bench`)."""
