"""Settings and logging set-up. Imports nothing of ours; imported only by composition roots."""
