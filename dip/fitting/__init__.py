"""The network: one fit of one region, several of them, and how each is judged and stopped."""
