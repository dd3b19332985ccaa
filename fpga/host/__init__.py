"""What runs on the host: a model on a card, through XRT."""
