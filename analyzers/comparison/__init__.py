"""Two runs side by side, and many against many: alignment, statistics, changes over versions and time."""
