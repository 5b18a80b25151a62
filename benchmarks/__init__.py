"""How fast the package is, side by side with what a user would write instead."""
