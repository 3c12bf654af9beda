"""The damaged regions of an image: masks, regions, crops and composites."""
