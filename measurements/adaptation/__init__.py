"""Trains adapters: what a window, a stride or a task costs, won back by few parameters."""
