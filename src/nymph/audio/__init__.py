"""Sound into numbers: decoding, spectra, pitch, prosody and speaker vectors. Samples in, numpy (or Arrow) out.

Nothing is imported here, so that `import nymph.audio` costs nothing: numba and torch load when first needed.
"""
