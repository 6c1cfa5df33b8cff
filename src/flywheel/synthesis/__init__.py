"""Recipes that make teacher traffic where there is none: for the demo, and for pre-training its student."""
