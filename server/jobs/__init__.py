"""The state of jobs: the database, their files, and notification of changes."""
