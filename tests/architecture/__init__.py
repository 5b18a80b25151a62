"""Rules of the source itself: imports, names, words, sizes, types and the README."""
