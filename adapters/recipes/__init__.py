"""Recipes: complete training runs, each of whose numbers says where it comes from."""
