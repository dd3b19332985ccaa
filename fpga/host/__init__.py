"""The host's side of a model on a card, through XRT."""
