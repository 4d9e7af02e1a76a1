"""The gate of a build, from files or a store to what a build server reads. What is a problem is decided in `analyzers.gate`."""
