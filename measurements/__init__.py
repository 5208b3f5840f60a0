"""Real runs on real speech, and where their results are kept."""
