"""What to build for a model on a board: resources of a core from its config, and the choice of a config."""
