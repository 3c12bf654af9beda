"""Requests and responses: routes, authentication, uploads, and the HTTP server itself."""
