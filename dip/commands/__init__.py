"""One module for each command, and the options and signal handling that commands share."""
