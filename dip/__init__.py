"""Deep Image Prior: restore one photograph with nothing but that photograph.

Tensors and arrays in, arrays out. Nothing here knows of HTTP or of GIMP.
"""

__version__ = "0.1.0"
