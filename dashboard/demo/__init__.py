"""The demonstration: the bundled incidents, recorded through the real shim, and what became of each."""
