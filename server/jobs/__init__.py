"""The state of jobs: the database, their files, and notices of changes."""
