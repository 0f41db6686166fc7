"""What frames and sound say of each utterance."""
