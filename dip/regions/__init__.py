"""Where the damage is: masks, regions, and the fills in their place."""
