"""Pictures that a browser can show."""
