"""Text: the vocabulary and its special tokens, the tokenizer, chat threads and normalisation."""
