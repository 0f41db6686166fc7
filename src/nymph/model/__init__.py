"""The model: attention, layers, transformer, multimodal fusion, objectives, generation.

Standard library and torch only; nothing is imported here, so that options can be read without loading torch.
"""
