"""The plug-in for GIMP 3, and its installer.

The folder `dip_restore/` runs inside GIMP, with GIMP's own Python and copies of the service's
client and of the rules about damage. The other files install it.
"""
