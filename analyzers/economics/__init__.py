"""What an orchestration is worth: turns of a run, one agent instead of many, savings, and the verdict on the architecture."""
