"""Deep Image Prior: restoration of a photograph, learned from that photograph alone.

This package knows nothing of HTTP or GIMP.
"""

__version__ = "0.2.0"
