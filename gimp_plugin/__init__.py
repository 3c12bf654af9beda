"""The plug-in for GIMP 3, and what installs it.

`dip_restore/` is what runs inside GIMP: with GIMP's own Python, and nothing else of this project
but a copy of the client. The rest of this folder puts it there.
"""
